#include "cli/chat_settings.h"

#include <variant>

#include "base/error.h"

namespace chaski::cli {
namespace {

constexpr size_t kMaxStopTexts = 64;

using Number = std::optional<double> GenerationSettings::*;
using Whole = std::optional<int64_t> GenerationSettings::*;
using Text = std::optional<std::string> GenerationSettings::*;
using Seed = std::optional<uint64_t> GenerationSettings::*;
using Texts = std::vector<std::string> GenerationSettings::*;
using Flag = bool GenerationSettings::*;

struct Setting {
  std::string_view name;
  std::variant<Number, Whole, Text, Seed, Texts, Flag> field;
};

using G = GenerationSettings;
const Setting kSettings[] = {
    {"seed", &G::seed},
    {"temperature", &G::temperature},
    {"top_k", &G::top_k},
    {"top_p", &G::top_p},
    {"min_p", &G::min_p},
    {"repetition_penalty", &G::repetition_penalty},
    {"presence_penalty", &G::presence_penalty},
    {"frequency_penalty", &G::frequency_penalty},
    {"max_length", &G::max_length},
    {"max_new_tokens", &G::max_new_tokens},
    {"system", &G::system},
    {"stop", &G::stop},
    {"ignore_eos", &G::ignores_eos},
};

[[noreturn]] void fail(std::string_view name, std::string_view expected, const Json& value) {
  throw Error(ErrorCode::kUsage, "set",
              fmt::format("{}: expected {}, found {}", name, expected, printable(to_json_text(value), 60)));
}

/// Puts a JSON value into one field; null empties it.
struct Assign {
  GenerationSettings& settings;
  std::string_view name;
  const Json& value;

  void operator()(Number field) const {
    if (!value.is_null() && !value.is_number()) fail(name, "a number", value);
    settings.*field = value.is_null() ? std::nullopt : std::optional(value.get<double>());
  }
  void operator()(Whole field) const {
    const bool fits =
        value.is_number_integer() &&
        (!value.is_number_unsigned() || value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
    if (!value.is_null() && !fits) fail(name, "a whole number", value);
    settings.*field = value.is_null() ? std::nullopt : std::optional(value.get<int64_t>());
  }
  void operator()(Seed field) const {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > kMaxSeed) {
      fail(name, fmt::format("a whole number from 0 to {}", kMaxSeed), value);
    }
    settings.*field = value.get<uint64_t>();
  }
  void operator()(Text field) const {
    if (!value.is_null() && !value.is_string()) fail(name, "text", value);
    settings.*field = value.is_null() ? std::nullopt : std::optional(value.get<std::string>());
  }
  void operator()(Texts field) const {
    std::vector<std::string> texts;
    const Json list = value.is_string() ? Json::array({value}) : value;
    if (!value.is_null() && (!list.is_array() || list.size() > kMaxStopTexts)) {
      fail(name, fmt::format("text, or a list of at most {} texts", kMaxStopTexts), value);
    }
    for (const Json& text : list) {
      if (!text.is_string() || text.get_ref<const std::string&>().empty()) fail(name, "texts", value);
      texts.push_back(text.get<std::string>());
    }
    settings.*field = std::move(texts);
  }
  void operator()(Flag field) const {
    if (!value.is_boolean()) fail(name, "true or false", value);
    settings.*field = value.get<bool>();
  }
};

}  // namespace

void set_setting(GenerationSettings& settings, std::string_view name, const Json& value) {
  for (const Setting& setting : kSettings) {
    if (setting.name != name) continue;
    GenerationSettings changed = settings;
    std::visit(Assign{changed, name, value}, setting.field);
    for (const auto& [limit, other] :
         {std::pair(&G::max_length, &G::max_new_tokens), std::pair(&G::max_new_tokens, &G::max_length)}) {
      if (setting.field != decltype(setting.field)(limit) || !(changed.*limit)) continue;
      if (*(changed.*limit) < 1) fail(name, "at least 1", value);
      (changed.*other).reset();  // one limit at a time, the later one
    }
    sampling_of(changed);
    settings = std::move(changed);
    return;
  }
  throw Error(ErrorCode::kUsage, "set", fmt::format("no setting {}", printable(name)),
              fmt::format("settings: {}", fmt::join(setting_names(), ", ")));
}

Json value_typed(const std::string& text) {
  constexpr std::string_view kFirst = "-0123456789[tfn";
  if (text.empty()) return nullptr;
  if (kFirst.find(text[0]) != kFirst.npos) {
    try {
      return parse_json(text, "value", {.max_bytes = 64u << 10, .max_depth = 2, .max_nodes = 1000});
    } catch (const Error&) {
      // Text that begins like a number is text.
    }
  }
  return text;
}

std::vector<std::string> setting_names() {
  std::vector<std::string> names;
  for (const Setting& setting : kSettings) names.emplace_back(setting.name);
  return names;
}

}  // namespace chaski::cli
