// The person's side of the program: standard output that may close, progress on a terminal, Ctrl-C.
#pragma once

#include <exception>
#include <string>
#include <string_view>

#include "base/cancel.h"
#include "report/lang.h"

namespace chaski::cli {

/// Whoever read our output has gone; nothing went wrong.
struct OutputClosed : std::exception {
  const char* what() const noexcept override { return "standard output was closed"; }
};

/// Give every standard stream that is closed /dev/null, so that no file we open takes its place. Writing to a
/// standard output that was closed stays an error.
void open_closed_streams();

/// Write to standard output at once. On a terminal, control characters are taken out. Throws OutputClosed, or
/// Error(kIo) where it cannot be written.
void print(std::string_view text);
/// The same, byte for byte, whatever standard output is.
void print_exactly(std::string_view text);
/// Write to standard error; whether that succeeds is not looked at.
void note(std::string_view text);

bool stdout_is_terminal();
bool stderr_is_terminal();
bool stdin_is_terminal();

/// All of standard input. Throws Error(kUsage) over `max_bytes`, Error(kCancelled) on Ctrl-C.
std::string read_stdin(size_t max_bytes, const CancelToken& cancel);

/// One line on the terminal of standard error, over the one that this showed before; empty: none any more.
/// Silent where standard error is a file.
void show_moving_line(std::string_view text) noexcept;

/// A line on a terminal that says how far something has come, and goes away. Silent where standard error is a
/// file.
class Progress {
 public:
  explicit Progress(std::string label) : label_(std::move(label)) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void show(int64_t done, int64_t total);
  void clear() noexcept;

 private:
  std::string label_;
  int shown_percent_ = -1;
};

/// From now on Ctrl-C sets `cancel` (which must live on). Where `second_ends`, a second Ctrl-C ends the
/// program.
void cancel_on_interrupt(CancelToken& cancel, bool second_ends);

/// zh or en, by LC_ALL, LC_MESSAGES or LANG.
Lang lang_of_locale();

}  // namespace chaski::cli
