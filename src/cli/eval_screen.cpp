#include "cli/eval_screen.h"

#include <memory>
#include <utility>

#include "base/error.h"
#include "cli/scoring.h"
#include "cli/terminal.h"
#include "report/eval_report.h"
#include "report/run_tables.h"
#include "report/text_safety.h"

namespace chaski::cli {
namespace {

std::string question_line(const EvalView& view, size_t number, const std::string& type,
                          const std::string& prompt) {
  return fmt::format("[{}/{}] {}{}{} · {}\n", number, view.n_answers, view.label,
                     view.label.empty() ? "" : " · ", strip_controls(type_title(view.run, type, view.lang)),
                     strip_controls(prompt));
}

/// What ends an answer on the screen.
std::string answer_end(const ItemRow& row, Lang lang) {
  std::string text;
  if (row.failure) {
    text = fmt::format("{}: {}", tr(lang, "failed", "失败"), printable(row.failure->message, 400));
  }
  return text + fmt::format("\n    → {}\n\n", answer_figures(row.answer, lang));
}

}  // namespace

Screen::~Screen() {
  if (!writer_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  writer_.join();
}

void Screen::stream(std::string_view text) {
  if (!writer_.joinable()) writer_ = std::thread([this] { write_streamed(); });
  {
    const std::lock_guard lock(mutex_);
    streamed_ += text;
  }
  changed_.notify_all();
}

void Screen::write_streamed() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return is_ending_ || !streamed_.empty(); });
    if (streamed_.empty()) return;
    const std::string text = std::exchange(streamed_, {});
    is_writing_ = true;
    lock.unlock();
    try_to(print, text);
    lock.lock();
    is_writing_ = false;
    changed_.notify_all();
  }
}

void Screen::wait_for_streamed() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return streamed_.empty() && !is_writing_; });
}

void Screen::show(std::string_view text) {
  wait_for_streamed();
  try_to(print, text);
}
void Screen::show_exactly(std::string_view text) {
  wait_for_streamed();
  try_to(print_exactly, text);
}

void Screen::throw_if_failed() {
  wait_for_streamed();
  if (failure_) std::rethrow_exception(failure_);
}

void Screen::try_to(void (*write)(std::string_view), std::string_view text) noexcept {
  if (is_off_) return;
  try {
    write(text);
  } catch (const OutputClosed&) {
    is_off_ = true;
  } catch (...) {
    is_off_ = true;
    failure_ = std::current_exception();
  }
}

EvalEvents events_on_screen(const EvalView& view, bool is_batched) {
  EvalEvents events;
  if (is_batched) {
    events.on_row = [view](const ItemRow& row) {
      view.screen.show(question_line(view, view.journal.rows().size(), row.answer.type, row.answer.prompt) +
                       strip_controls(row.answer.answer) + answer_end(row, view.lang));
    };
    return events;
  }
  events.on_question = [view](const SuiteItem& item, int64_t) {
    view.screen.show(question_line(view, view.journal.rows().size() + 1, item.type, item.prompt));
  };
  events.on_text = [view](std::string_view piece) { view.screen.stream(strip_controls(piece)); };
  events.on_row = [view](const ItemRow& row) { view.screen.show(answer_end(row, view.lang)); };
  return events;
}

EvalEvents quiet_events(const EvalView& view) {
  const auto progress = std::make_shared<Progress>("eval");
  EvalEvents events;
  events.on_row = [view, progress](const ItemRow&) {
    progress->show(static_cast<int64_t>(view.journal.rows().size()), view.n_answers);
  };
  return events;
}

void show_outcome(Screen& screen, const RunRecord& record, const std::filesystem::path& folder, Lang lang) {
  screen.show(eval_table(record, lang));
  if (const std::string scores = score_text(record, lang); !scores.empty()) screen.show("\n" + scores);
  const RunView view{&record, "", "", ""};
  const std::vector<std::string> warnings = record_warnings({&view, 1}, lang);
  if (!warnings.empty()) screen.show("\n");
  for (const std::string& warning : warnings) {
    screen.show(fmt::format("  {} {}\n", tr(lang, "note:", "注意："), strip_controls(warning)));
  }
  screen.show(fmt::format("\n  {} {}\n  {} {}\n", tr(lang, "record:", "记录："),
                          (folder / "run.json").string(), tr(lang, "report:", "报告："),
                          (folder / "report.md").string()));
}

}  // namespace chaski::cli
