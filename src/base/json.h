// Strict JSON: limits on depth, size and number of values, duplicate keys refused, errors that name file and
// offset; and typed getters that say which field was wrong. Nothing here knows what a field means.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace chaski {

using Json = nlohmann::json;
/// Keeps the order of keys; lookups are linear, so for small objects only.
using OrderedJson = nlohmann::ordered_json;

struct JsonLimits {
  size_t max_bytes = 64u << 20;
  int max_depth = 64;
  /// Values of all kinds, containers too: a byte or two of text each can cost fifty in memory.
  size_t max_nodes = 1'000'000;
  /// Accept the literals NaN, Infinity and -Infinity, as Python writes them; they become strings of that
  /// name, so that reading one as a number is an error and ignoring one is not.
  bool allow_nonfinite_literals = false;
  /// Keys of one object. An OrderedJson looks through all of them for each that is added.
  size_t max_keys = 1'000'000;
};

/// Parse one JSON document. `where` names the file in errors. Throws Error(kCorrupt).
Json parse_json(std::string_view text, std::string_view where, const JsonLimits& limits = {});
OrderedJson parse_ordered_json(std::string_view text, std::string_view where, const JsonLimits& limits = {});

/// Typed reads of `object[key]`. Absent or null gives `fallback`; the wrong type throws Error(kCorrupt)
/// naming `where`, the key, what was expected and what was found. `require_*` throw where the key is absent.
int64_t get_int(const Json& object, std::string_view key, int64_t fallback, std::string_view where);
double get_number(const Json& object, std::string_view key, double fallback, std::string_view where);
bool get_bool(const Json& object, std::string_view key, bool fallback, std::string_view where);
std::string get_string(const Json& object, std::string_view key, std::string_view fallback,
                       std::string_view where);
int64_t require_int(const Json& object, std::string_view key, std::string_view where);
double require_number(const Json& object, std::string_view key, std::string_view where);
std::string require_string(const Json& object, std::string_view key, std::string_view where);

/// One line of compact JSON, invalid UTF-8 replaced by U+FFFD: never throws on any text a model can produce.
std::string to_json_text(const Json& value, int indent = -1);
std::string to_json_text(const OrderedJson& value, int indent = -1);

}  // namespace chaski
