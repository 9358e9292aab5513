// JSON read token by token from a source, without a tree: for headers and indexes of a hundred megabytes. As
// strict as base/json.h. Who reads decides what a repeated key means; nothing here keeps keys.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "format/byte_source.h"

namespace chaski {

/// Every function passes white space first and throws Error(kCorrupt) naming source, place and offset.
class JsonStream {
 public:
  static constexpr int kMaxDepth = 64;

  JsonStream(const ByteSource& source, uint64_t begin, uint64_t end) : in_(source, begin, end) {}

  /// The next character that is no white space, not taken; 0 at the end.
  char peek();
  void take(char expected);
  bool try_take(char wanted);
  /// A string as UTF-8 with escapes resolved, at most `max_bytes` long.
  void read_string(std::string& out, size_t max_bytes);
  /// A number of digits alone, below 2^64: no sign, fraction or exponent.
  uint64_t read_unsigned();
  /// Pass over any value, checking that it is JSON.
  void skip_value();
  void expect_end();
  uint64_t offset() const { return in_.offset(); }
  [[noreturn]] void fail(const std::string& message) const;

  /// Calls `member(key)` for each member; it must take the value.
  template <typename Member>
  void read_object(size_t max_key_bytes, Member member) {
    std::string key;
    take('{');
    if (try_take('}')) return;
    do {
      read_string(key, max_key_bytes);
      take(':');
      member(key);
    } while (try_take(','));
    take('}');
  }

  /// Calls `element()` for each element; it must take it.
  template <typename Element>
  void read_array(Element element) {
    take('[');
    if (try_take(']')) return;
    do element();
    while (try_take(','));
    take(']');
  }

 private:
  /// Hands the bytes between the quotes, escapes resolved, piece by piece to `put(std::string_view)`.
  template <typename Put>
  void scan_string(Put put);
  uint32_t read_hex4();
  template <typename Put>
  void scan_escape(Put put);
  template <typename Put>
  void scan_multibyte(unsigned char first, Put put);
  void skip_number();
  void skip_literal(std::string_view literal);
  unsigned char next(std::string_view in_what);
  bool at_digit();
  int skip_digits();

  ForwardReader in_;
};

}  // namespace chaski
