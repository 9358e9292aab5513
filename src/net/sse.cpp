#include "net/sse.h"

#include <fmt/format.h>

#include "base/error.h"

namespace chaski {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

Error too_long(std::string_view what, size_t limit) {
  return Error(ErrorCode::kCorrupt, "read an event stream",
               fmt::format("{} is longer than {} bytes", what, limit));
}

}  // namespace

void SseParser::feed(std::string_view bytes, const std::function<void(const SseEvent&)>& on_event) {
  while (!bytes.empty()) {
    if (skips_line_feed_) {
      skips_line_feed_ = false;
      if (bytes.front() == '\n') bytes.remove_prefix(1);
      continue;
    }
    const size_t end = bytes.find_first_of("\r\n");
    const std::string_view piece = bytes.substr(0, end);
    if (line_.size() + piece.size() > limits_.max_line_bytes)
      throw too_long("a line", limits_.max_line_bytes);
    line_.append(piece);
    if (end == std::string_view::npos) return;
    skips_line_feed_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    const std::string line = std::move(line_);
    line_.clear();
    take_line(line, on_event);
  }
}

void SseParser::take_line(std::string_view line, const std::function<void(const SseEvent&)>& on_event) {
  if (is_first_line_ && line.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
    line.remove_prefix(kByteOrderMark.size());
  }
  is_first_line_ = false;
  if (line.empty()) {
    if (event_.type.empty()) event_.type = "message";
    const SseEvent event = std::move(event_);
    const bool is_event = has_data_;
    event_ = {};
    has_data_ = false;
    if (is_event) on_event(event);
    return;
  }
  const size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);  // empty for a comment
  std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (field == "event") {
    event_.type = value;
  } else if (field == "data") {
    if (event_.data.size() + value.size() + 1 > limits_.max_event_bytes) {
      throw too_long("an event", limits_.max_event_bytes);
    }
    if (has_data_) event_.data += '\n';
    event_.data += value;
    has_data_ = true;
  }
}

}  // namespace chaski
