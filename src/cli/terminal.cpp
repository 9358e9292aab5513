#include "cli/terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>

#include "base/error.h"
#include "report/text_safety.h"

namespace chaski::cli {
namespace {

std::atomic<CancelToken*> g_cancel{nullptr};
std::atomic<bool> g_second_ends{true};

extern "C" void on_interrupt(int) {
  CancelToken* cancel = g_cancel.load();
  if (cancel == nullptr) return;
  cancel->cancel();
  if (g_second_ends.load()) std::signal(SIGINT, SIG_DFL);
}

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

void write_if_possible(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace

void open_closed_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is taken, which is this one.
    const int opened = ::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
    if (opened >= 0 && opened != fd) ::close(opened);
  }
}

void print_exactly(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE) throw OutputClosed{};
    if (n < 0) {
      throw Error(ErrorCode::kIo, "write to standard output",
                  std::error_code(errno, std::generic_category()).message());
    }
    text.remove_prefix(static_cast<size_t>(n));
  }
}

void print(std::string_view text) {
  if (stdout_is_terminal()) {
    print_exactly(strip_controls(text));
  } else {
    print_exactly(text);
  }
}

void note(std::string_view text) {
  write_if_possible(STDERR_FILENO, stderr_is_terminal() ? strip_controls(text) : std::string(text));
}

bool stdout_is_terminal() { return is_terminal(STDOUT_FILENO); }
bool stderr_is_terminal() { return is_terminal(STDERR_FILENO); }
bool stdin_is_terminal() { return is_terminal(STDIN_FILENO); }

std::string read_stdin(size_t max_bytes, const CancelToken& cancel) {
  std::string text;
  std::array<char, 1 << 16> chunk;
  while (true) {
    const ssize_t n = ::read(STDIN_FILENO, chunk.data(), chunk.size());
    cancel.throw_if_cancelled("read standard input");
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      throw Error(ErrorCode::kNotFound, "read standard input",
                  std::error_code(errno, std::generic_category()).message());
    }
    if (n == 0) return text;
    text.append(chunk.data(), static_cast<size_t>(n));
    if (text.size() > max_bytes) {
      throw Error(ErrorCode::kUsage, "read standard input", fmt::format("more than {} bytes", max_bytes));
    }
  }
}

void show_moving_line(std::string_view text) noexcept {
  if (!stderr_is_terminal()) return;
  write_if_possible(STDERR_FILENO, "\r");
  write_if_possible(STDERR_FILENO, text);
  write_if_possible(STDERR_FILENO, "\x1b[K");
}

void Progress::show(int64_t done, int64_t total) {
  if (!stderr_is_terminal() || total <= 0) return;
  const int percent = static_cast<int>(100 * done / total);
  if (percent == shown_percent_) return;
  shown_percent_ = percent;
  show_moving_line(fmt::format("{} {:3}%", label_, percent));
}

void Progress::clear() noexcept {
  if (shown_percent_ >= 0) show_moving_line("");
  shown_percent_ = -1;
}

void cancel_on_interrupt(CancelToken& cancel, bool second_ends) {
  g_cancel = &cancel;
  g_second_ends = second_ends;
  struct sigaction action {};
  action.sa_handler = on_interrupt;  // without SA_RESTART: a read that waits must notice
  ::sigaction(SIGINT, &action, nullptr);
}

Lang lang_of_locale() {
  for (const char* name : {"LC_ALL", "LC_MESSAGES", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    return std::string_view(value).substr(0, 2) == "zh" ? Lang::kZh : Lang::kEn;
  }
  return Lang::kEn;
}

}  // namespace chaski::cli
