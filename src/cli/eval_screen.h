// What a person sees of an evaluation while it runs and at its end.
#pragma once

#include <condition_variable>
#include <exception>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "lab/eval.h"
#include "report/lang.h"

namespace chaski::cli {

/// Standard output of an eval. Its product is the files: where nobody reads what is printed, it goes on
/// without printing.
class Screen {
 public:
  Screen() = default;
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  /// To be written by another thread, in order: a reader that is slow costs the caller no time.
  void stream(std::string_view text);
  /// Written when it returns, after what was streamed.
  void show(std::string_view text);
  void show_exactly(std::string_view text);
  /// Throws what kept the output from being written, unless its reader just went away.
  void throw_if_failed();

 private:
  void try_to(void (*write)(std::string_view), std::string_view text) noexcept;
  void write_streamed();
  void wait_for_streamed();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string streamed_;  ///< and not yet written
  bool is_writing_ = false, is_ending_ = false;
  std::thread writer_;  ///< from the first stream() on

  // Of whoever writes: the writer, or, while that has nothing to do, the caller.
  bool is_off_ = false;
  std::exception_ptr failure_;
};

/// Where the answers of a run are shown, and under which names.
struct EvalView {
  Screen& screen;
  const RunRecord& run;  ///< for the titles of types
  const ItemJournal& journal;
  int64_t n_answers = 0;  ///< of the whole run
  Lang lang = Lang::kEn;
  std::string label;  ///< before each question, where several models answer by turns
};

/// Questions as they are asked and answers as they come; answers as a whole where several come at once. The
/// view's pointees must outlive the events.
EvalEvents events_on_screen(const EvalView& view, bool is_batched);
/// A line of progress on a terminal.
EvalEvents quiet_events(const EvalView& view);

/// The table, the scores, the warnings, the files.
void show_outcome(Screen& screen, const RunRecord& record, const std::filesystem::path& folder, Lang lang);

}  // namespace chaski::cli
