#include "format/json_stream.h"

#include <array>

#include "base/checked.h"
#include "base/error.h"
#include "base/utf8.h"

namespace chaski {

void JsonStream::fail(const std::string& message) const {
  throw Error(ErrorCode::kCorrupt, "read JSON",
              fmt::format("{} at offset {}: {}", in_.name(), in_.offset(), message));
}

char JsonStream::peek() {
  while (in_.remaining() > 0) {
    const unsigned char c = in_.peek();
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return static_cast<char>(c);
    in_.advance();
  }
  return '\0';
}

bool JsonStream::try_take(char wanted) {
  if (peek() != wanted) return false;
  // A zero byte in the text looks like the end; it is never wanted.
  in_.advance();
  return true;
}

void JsonStream::take(char expected) {
  if (try_take(expected)) return;
  const char found = peek();
  fail(in_.remaining() == 0 ? fmt::format("expected '{}', found the end", expected)
                            : fmt::format("expected '{}', found '{}'", expected, printable({&found, 1})));
}

void JsonStream::expect_end() {
  peek();
  if (in_.remaining() > 0) fail("expected the end of the JSON text");
}

unsigned char JsonStream::next(std::string_view in_what) {
  if (in_.remaining() == 0) fail(fmt::format("the text ends inside {}", in_what));
  const unsigned char c = in_.peek();
  in_.advance();
  return c;
}

namespace {

/// How many bytes at the front of `text` stand for themselves in a string, each alone.
size_t n_plain(std::string_view text) {
  size_t n = 0;
  while (n < text.size()) {
    const auto c = static_cast<unsigned char>(text[n]);
    if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\') break;
    ++n;
  }
  return n;
}

}  // namespace

template <typename Put>
void JsonStream::scan_string(Put put) {
  take('"');
  while (true) {
    if (in_.remaining() > 0) {
      const std::string_view text = in_.buffered();
      const size_t n = n_plain(text);
      if (n > 0) put(text.substr(0, n));
      in_.skip(n);
    }
    const unsigned char c = next("a string");
    if (c == '"') return;
    if (c == '\\') {
      scan_escape(put);
    } else if (c < 0x20) {
      fail("control character in a string");
    } else if (c < 0x80) {
      const char plain = static_cast<char>(c);
      put({&plain, 1});
    } else {
      scan_multibyte(c, put);
    }
  }
}

template <typename Put>
void JsonStream::scan_multibyte(unsigned char first, Put put) {
  std::array<char, 4> bytes{static_cast<char>(first)};
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  for (size_t i = 1; i < length; ++i) bytes[i] = static_cast<char>(next("a string"));
  const Utf8Char decoded = decode_utf8({bytes.data(), length}, 0);
  if (!decoded.is_valid || static_cast<size_t>(decoded.length) != length) fail("invalid UTF-8 in a string");
  put({bytes.data(), length});
}

uint32_t JsonStream::read_hex4() {
  uint32_t code = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned char c = next("an escape");
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) fail("expected four hexadecimal digits after \\u");
    code = code << 4 | static_cast<uint32_t>(digit);
  }
  return code;
}

template <typename Put>
void JsonStream::scan_escape(Put put) {
  constexpr std::string_view kShort = "\"\\/bfnrt", kMeaning = "\"\\/\b\f\n\r\t";
  const unsigned char c = next("an escape");
  if (const size_t at = kShort.find(static_cast<char>(c)); at != std::string_view::npos) {
    put(kMeaning.substr(at, 1));
    return;
  }
  if (c != 'u') fail("unknown escape in a string");
  uint32_t code = read_hex4();
  if (code >= 0xD800 && code < 0xDC00) {
    if (next("an escape") != '\\' || next("an escape") != 'u') fail("lone surrogate in a string");
    const uint32_t low = read_hex4();
    if (low < 0xDC00 || low > 0xDFFF) fail("lone surrogate in a string");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  } else if (code >= 0xDC00 && code <= 0xDFFF) {
    fail("lone surrogate in a string");
  }
  std::string encoded;
  append_utf8(encoded, code);
  put(encoded);
}

void JsonStream::read_string(std::string& out, size_t max_bytes) {
  out.clear();
  scan_string([&](std::string_view part) {
    if (part.size() > max_bytes - out.size()) {
      fail(fmt::format("expected a string of at most {} bytes", max_bytes));
    }
    out += part;
  });
}

bool JsonStream::at_digit() { return in_.remaining() > 0 && in_.peek() >= '0' && in_.peek() <= '9'; }

uint64_t JsonStream::read_unsigned() {
  peek();
  if (!at_digit()) fail("expected a whole number of 0 or more");
  const bool starts_with_zero = in_.peek() == '0';
  uint64_t value = 0;
  int n_digits = 0;
  for (; at_digit(); in_.advance(), ++n_digits) {
    const auto tenfold = checked_mul<uint64_t>(value, 10);
    const auto sum = tenfold ? checked_add<uint64_t>(*tenfold, in_.peek() - '0') : std::nullopt;
    if (!sum) fail("the number does not fit into 64 bits");
    value = *sum;
  }
  const char after = in_.remaining() > 0 ? static_cast<char>(in_.peek()) : '\0';
  if (after == '.' || after == 'e' || after == 'E')
    fail("expected a whole number, found a fraction or exponent");
  if (starts_with_zero && n_digits > 1) fail("a number may not start with 0");
  return value;
}

int JsonStream::skip_digits() {
  int n = 0;
  for (; at_digit(); in_.advance()) n = 1;
  return n;
}

void JsonStream::skip_number() {
  if (in_.peek() == '-') in_.advance();
  if (!at_digit()) fail("expected a digit");
  const bool starts_with_zero = in_.peek() == '0';
  in_.advance();
  if (starts_with_zero && at_digit()) fail("a number may not start with 0");
  skip_digits();
  if (in_.remaining() > 0 && in_.peek() == '.') {
    in_.advance();
    if (skip_digits() == 0) fail("expected a digit");
  }
  if (in_.remaining() > 0 && (in_.peek() == 'e' || in_.peek() == 'E')) {
    in_.advance();
    if (in_.remaining() > 0 && (in_.peek() == '+' || in_.peek() == '-')) in_.advance();
    if (skip_digits() == 0) fail("expected a digit");
  }
}

void JsonStream::skip_literal(std::string_view literal) {
  for (const char c : literal) {
    if (next("a value") != static_cast<unsigned char>(c)) fail(fmt::format("expected {}", literal));
  }
}

void JsonStream::skip_value() {
  // One character for each container that is open; no recursion on untrusted depth.
  std::string open;
  do {
    const char c = peek();
    if (c == '{' || c == '[') {
      if (open.size() == kMaxDepth) fail(fmt::format("nested deeper than {} levels", kMaxDepth));
      in_.advance();
      open += c == '{' ? '}' : ']';
      if (!try_take(open.back())) {
        if (c == '{') {
          scan_string([](std::string_view) {});
          take(':');
        }
        continue;
      }
      open.pop_back();
    } else if (c == '"') {
      scan_string([](std::string_view) {});
    } else if (c == 't') {
      skip_literal("true");
    } else if (c == 'f') {
      skip_literal("false");
    } else if (c == 'n') {
      skip_literal("null");
    } else if (in_.remaining() > 0 && (c == '-' || at_digit())) {
      skip_number();
    } else {
      fail("expected a value");
    }
    // A value is complete: pass what closes after it, up to the next value.
    while (!open.empty()) {
      if (try_take(',')) {
        if (open.back() == '}') {
          scan_string([](std::string_view) {});
          take(':');
        }
        break;
      }
      take(open.back());
      open.pop_back();
    }
  } while (!open.empty());
}

}  // namespace chaski
