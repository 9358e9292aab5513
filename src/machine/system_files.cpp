#include "machine/system_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <limits>
#include <system_error>

#include "base/cpu_name.h"

namespace chaski {
namespace {

std::optional<uint64_t> number_at_front(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end != text.data()) return value;
  errno = EINVAL;
  return std::nullopt;
}

}  // namespace

std::optional<std::string> first_line(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  char bytes[128];
  const ssize_t n = ::read(fd, bytes, sizeof(bytes));
  const int reason = errno;
  ::close(fd);
  errno = reason;
  if (n < 0) return std::nullopt;
  const std::string text(bytes, static_cast<size_t>(n));
  return text.substr(0, text.find('\n'));
}

std::optional<uint64_t> number_in(const std::filesystem::path& file) {
  const auto line = first_line(file);
  return line ? number_at_front(*line) : std::nullopt;
}

std::optional<int64_t> bytes_in(const std::filesystem::path& file, std::string_view key) {
  constexpr uint64_t kMostKib = static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / 1024;
  const auto kib = number_at_front(system_value(file, {key}, ':'));
  if (!kib || *kib > kMostKib) return std::nullopt;
  return static_cast<int64_t>(*kib * 1024);
}

}  // namespace chaski
