// Server-sent events, the format of a chat server's stream, parsed as bytes arrive. What an event's data
// means is the caller's; identifiers and times of reconnecting are passed over.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace chaski {

struct SseEvent {
  std::string type;  ///< "message" where the stream names none
  std::string data;  ///< lines joined by a newline; any bytes, not checked to be UTF-8
};

struct SseLimits {
  size_t max_line_bytes = size_t{1} << 20;
  size_t max_event_bytes = size_t{4} << 20;  ///< of data
};

class SseParser {
 public:
  explicit SseParser(const SseLimits& limits = {}) : limits_(limits) {}

  /// Take the next bytes, cut anywhere, and hand over each event that they complete. What is not completed by
  /// an empty line is no event. Throws Error(kCorrupt) over a limit, and what `on_event` throws; the parser
  /// is then done for.
  void feed(std::string_view bytes, const std::function<void(const SseEvent&)>& on_event);

 private:
  void take_line(std::string_view line, const std::function<void(const SseEvent&)>& on_event);

  SseLimits limits_;
  std::string line_;  ///< begun and not ended
  SseEvent event_;
  bool has_data_ = false;
  bool is_first_line_ = true;     ///< which may begin with a byte order mark
  bool skips_line_feed_ = false;  ///< the last byte was a carriage return, which ended a line
};

}  // namespace chaski
