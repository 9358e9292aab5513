#include "machine/npu_smi.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <system_error>

#include "base/clock.h"

extern char** environ;

namespace chaski {
namespace {

constexpr size_t kMostDevices = 64;
constexpr size_t kMostText = size_t{256} << 10;
constexpr double kMostSeconds = 10;
constexpr int64_t kMostMegabytes = int64_t{1} << 30;

/// Words between blanks and slashes.
std::vector<std::string_view> words_of(std::string_view cell) {
  constexpr std::string_view kBetween = " /";
  std::vector<std::string_view> words;
  while (true) {
    const size_t begin = cell.find_first_not_of(kBetween);
    if (begin == std::string_view::npos) return words;
    const size_t end = std::min(cell.find_first_of(kBetween, begin), cell.size());
    words.push_back(cell.substr(begin, end - begin));
    cell.remove_prefix(end);
  }
}

/// Cells between bars; none for a line that is no row.
std::vector<std::string_view> cells_of(std::string_view line) {
  std::vector<std::string_view> cells;
  if (line.empty() || line.front() != '|') return cells;
  line.remove_prefix(1);
  for (size_t bar = line.find('|'); bar != std::string_view::npos; bar = line.find('|')) {
    cells.push_back(line.substr(0, bar));
    line.remove_prefix(bar + 1);
  }
  return cells;
}

template <typename T>
std::optional<T> number(std::string_view word) {
  T value{};
  const auto [end, fault] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (fault != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

template <typename T>
std::optional<T> within(std::optional<T> value, T least, T most) {
  return value && *value >= least && *value <= most ? value : std::nullopt;
}

/// "0 910B3 | OK | 90.1 41 0 / 0": number and name, health, then power, temperature, huge pages.
std::optional<AcceleratorFacts> upper_row(const std::vector<std::string_view>& cells) {
  if (cells.size() != 3) return std::nullopt;
  const std::vector<std::string_view> name = words_of(cells[0]), values = words_of(cells[2]);
  if (name.size() != 2 || !number<int>(name[0]) || number<int>(name[1]) || values.size() < 2)
    return std::nullopt;
  AcceleratorFacts facts;
  facts.name = shown(name[1], 64);
  facts.watts = within<double>(number<double>(values[0]), 0, 1e5);
  facts.temperature_c = within(number<int>(values[1]), -60, 200);
  return facts;
}

/// "0 | 0000:C1:00.0 | 0 0 / 0 3358 / 65536": chip, bus, then busy, memory, HBM: used and all.
bool lower_row(const std::vector<std::string_view>& cells, AcceleratorFacts& facts) {
  if (cells.size() != 3 || cells[1].find(':') == std::string_view::npos) return false;
  const std::vector<std::string_view> values = words_of(cells[2]);
  if (values.empty()) return false;
  facts.busy_percent = within(number<int>(values[0]), 0, 100);
  if (values.size() < 5) return true;
  const auto used = within<int64_t>(number<int64_t>(values[3]), 0, kMostMegabytes);
  const auto all = within<int64_t>(number<int64_t>(values[4]), 1, kMostMegabytes);
  if (used && all && *used <= *all) {
    facts.used_bytes = *used << 20;
    facts.total_bytes = *all << 20;
  }
  return true;
}

std::string system_text(int error_number) { return std::generic_category().message(error_number); }

/// What a program prints until its end, or until the time is over.
std::string output_of(const char* program, std::string& why_not) {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    why_not = system_text(errno);
    return {};
  }
  std::string name = program, argument = "info";
  std::array<char*, 3> argv{name.data(), argument.data(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = -1;
  const int fault = ::posix_spawn(&child, program, &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::string text;
  if (fault != 0) {
    why_not = system_text(fault);
  } else {
    const Stopwatch watch;
    std::array<char, 4096> bytes{};
    pollfd waited{ends[0], POLLIN, 0};
    bool is_over = false;
    while (!is_over && text.size() < kMostText && watch.seconds() < kMostSeconds) {
      if (::poll(&waited, 1, 100) <= 0) continue;
      const ssize_t n = ::read(ends[0], bytes.data(), bytes.size());
      is_over = n == 0 || (n < 0 && errno != EINTR);
      if (n > 0) text.append(bytes.data(), static_cast<size_t>(n));
    }
    if (!is_over) {
      ::kill(child, SIGKILL);
      why_not = fmt::format("it did not end within {:.0f} s", kMostSeconds);
      text.clear();
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
  }
  ::close(ends[0]);
  return text;
}

}  // namespace

std::vector<AcceleratorFacts> parse_npu_smi(std::string_view text) {
  std::vector<AcceleratorFacts> devices;
  std::optional<AcceleratorFacts> open;
  while (!text.empty() && devices.size() < kMostDevices) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::vector<std::string_view> cells = cells_of(line);
    if (cells.size() > 1 && cells[1].find("Process") != std::string_view::npos) break;  // the next table
    if (open && lower_row(cells, *open)) {
      devices.push_back(std::move(*open));
      open.reset();
    } else if (auto upper = upper_row(cells)) {
      open = std::move(upper);
    }
  }
  return devices;
}

std::string run_npu_smi(std::string& why_not) {
  // Where drivers put it; $PATH is not asked what to run.
  for (const char* program : {"/usr/local/bin/npu-smi", "/usr/local/sbin/npu-smi"}) {
    if (::access(program, X_OK) == 0) return output_of(program, why_not);
  }
  why_not = "there is no npu-smi";
  return {};
}

}  // namespace chaski
