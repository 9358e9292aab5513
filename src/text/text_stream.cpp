#include "text/text_stream.h"

#include <algorithm>

#include "base/utf8.h"

namespace chaski {

TextStream::TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings)
    : tokenizer_(tokenizer), strips_next_space_(tokenizer.strips_first_space()) {
  for (const std::string& given : stop_strings) {
    if (given.empty()) continue;
    Stop stop;
    stop.text = replace_invalid_utf8(given);
    stop.fallback.assign(stop.text.size(), 0);
    for (size_t i = 1, matched = 0; i < stop.text.size(); ++i) {
      while (matched > 0 && stop.text[i] != stop.text[matched]) matched = stop.fallback[matched - 1];
      if (stop.text[i] == stop.text[matched]) ++matched;
      stop.fallback[i] = matched;
    }
    stops_.push_back(std::move(stop));
  }
}

std::string TextStream::push(int32_t id) {
  if (is_stopped_ || tokenizer_.is_special(id)) return {};
  bytes_ += tokenizer_.piece(id);
  if (strips_next_space_ && !bytes_.empty()) {
    if (bytes_[0] == ' ') bytes_.erase(0, 1);
    strips_next_space_ = false;
  }
  const size_t n_whole = bytes_.size() - incomplete_utf8_tail(bytes_);
  const std::string valid = replace_invalid_utf8(std::string_view(bytes_).substr(0, n_whole));
  bytes_.erase(0, n_whole);
  return emit(valid);
}

std::string TextStream::finish() {
  if (is_stopped_) return {};
  std::string out = emit(replace_invalid_utf8(bytes_));
  bytes_.clear();
  if (is_stopped_) return out;
  out += held_;
  text_ += held_;
  held_.clear();
  for (Stop& stop : stops_) stop.n_matched = 0;
  return out;
}

std::string TextStream::emit(std::string_view valid) {
  if (stops_.empty()) {
    text_ += valid;
    return std::string(valid);
  }
  // Byte by byte, so that where the text ends does not depend on how it was cut into tokens.
  size_t n_free = 0;  // bytes of held_ that are certain
  for (const char c : valid) {
    held_ += c;
    size_t longest = 0;
    size_t stop_bytes = 0;
    for (Stop& stop : stops_) {
      while (stop.n_matched > 0 && stop.text[stop.n_matched] != c)
        stop.n_matched = stop.fallback[stop.n_matched - 1];
      if (stop.text[stop.n_matched] == c) ++stop.n_matched;
      longest = std::max(longest, stop.n_matched);
      if (stop.n_matched == stop.text.size()) stop_bytes = std::max(stop_bytes, stop.text.size());
    }
    if (stop_bytes > 0) {
      is_stopped_ = true;
      n_free = held_.size() - stop_bytes;
      break;
    }
    n_free = held_.size() - longest;
  }
  std::string out = held_.substr(0, n_free);
  held_.erase(0, n_free);
  if (is_stopped_) held_.clear();
  text_ += out;
  return out;
}

}  // namespace chaski
