// What a person sees of an evaluation while it runs and at its end.
#pragma once

#include <exception>
#include <filesystem>
#include <string>
#include <string_view>

#include "lab/eval.h"
#include "report/lang.h"

namespace chaski::cli {

/// Standard output of an eval. Its product is the files: where nobody reads what is printed, it goes on
/// without printing.
class Screen {
 public:
  void show(std::string_view text);
  void show_exactly(std::string_view text);
  /// Throws what kept the output from being written, unless its reader just went away.
  void throw_if_failed() const;

 private:
  void try_to(void (*write)(std::string_view), std::string_view text);

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
