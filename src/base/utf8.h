// UTF-8: strict decoding, validity, and the replacement that Python's errors="replace" makes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace chaski {

/// One decoded character: `code` and the `length` in bytes that it took; length 0 at the end of the text.
/// An invalid sequence gives `is_valid` false and the length of its maximal invalid part (1 to 3).
struct Utf8Char {
  uint32_t code = 0;
  int length = 0;
  bool is_valid = true;
};

/// Decode the character at `at`. Overlong forms, surrogates and codes above U+10FFFF are invalid.
Utf8Char decode_utf8(std::string_view text, size_t at);

bool is_valid_utf8(std::string_view text);

/// Characters of valid UTF-8; in other text, bytes that continue none are not counted.
size_t count_code_points(std::string_view text);

/// The text with each maximal invalid part as U+FFFD, as Unicode recommends and Python does.
std::string replace_invalid_utf8(std::string_view text);

void append_utf8(std::string& text, uint32_t code);

/// How many bytes at the end of `text` are the valid beginning of a character that is not complete (0 to 3).
size_t incomplete_utf8_tail(std::string_view text);

}  // namespace chaski
