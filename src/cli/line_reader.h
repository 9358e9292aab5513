// Lines from a person or a pipe.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/cancel.h"

namespace chaski::cli {

class LineReader {
 public:
  enum class Outcome { kLine, kEnd, kInterrupted };

  /// With editing, history and completion where standard input and output are a terminal; else plain lines.
  /// `history_file` is read now and written at the end, readable by its owner alone; one that cannot be is
  /// no error. A line that begins with / is completed from `commands`.
  LineReader(const std::filesystem::path& history_file, std::vector<std::string> commands);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// The next line without its end, valid UTF-8. kInterrupted when `cancel` was set while waiting.
  Outcome read(const std::string& prompt, std::string& line, const CancelToken& cancel);

 private:
  struct Editor;
  Outcome read_plain(std::string& line, const CancelToken& cancel);

  std::unique_ptr<Editor> editor_;  ///< null for plain lines
  std::string pending_;             ///< read and not yet given out
  bool is_at_end_ = false;
};

}  // namespace chaski::cli
