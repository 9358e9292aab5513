// Lines from a person or a pipe.
#pragma once

#include <memory>
#include <string>

#include "base/cancel.h"

namespace chaski::cli {

class LineReader {
 public:
  enum class Outcome { kLine, kEnd, kInterrupted };

  /// With editing and history where standard input and output are a terminal; else plain lines.
  explicit LineReader(std::string prompt);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// The next line without its end, valid UTF-8. kInterrupted when `cancel` was set while waiting.
  Outcome read(std::string& line, const CancelToken& cancel);

 private:
  struct Editor;
  Outcome read_plain(std::string& line, const CancelToken& cancel);

  std::unique_ptr<Editor> editor_;  ///< null for plain lines
  std::string pending_;             ///< read and not yet given out
  bool is_at_end_ = false;
};

}  // namespace chaski::cli
