// Text from ids as they come: whole characters only, special tokens left out, ended by stop strings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace chaski {

/// One answer being written. What is emitted, put together, is the decode of all ids without special tokens,
/// invalid UTF-8 as U+FFFD, up to the first stop string. For one thread; the tokenizer must outlive it.
class TextStream {
 public:
  /// Empty stop strings are ignored.
  explicit TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings = {});

  /// The text that is certain after this id; may be empty. Characters not yet complete and what may become a
  /// stop string are held back. After the stop string nothing more comes.
  std::string push(int32_t id);
  /// What was held back, at the end of the ids.
  std::string finish();

  bool is_stopped() const { return is_stopped_; }    ///< whether a stop string ended the text
  const std::string& text() const { return text_; }  ///< all that was emitted

 private:
  /// A stop string and how much of it the text now ends with.
  struct Stop {
    std::string text;
    std::vector<size_t> fallback;  // [i]: the longest proper prefix that text[0..i] ends with
    size_t n_matched = 0;
  };

  /// Take valid UTF-8 and emit what can be no part of a stop string.
  std::string emit(std::string_view valid);

  const Tokenizer& tokenizer_;
  std::vector<Stop> stops_;
  std::string bytes_;  // the beginning of a character that is not complete
  std::string held_;   // valid text that may become a stop string
  std::string text_;
  bool strips_next_space_;
  bool is_stopped_ = false;
};

}  // namespace chaski
