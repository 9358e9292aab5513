#include "machine/release.h"

#include <array>
#include <charconv>
#include <string>
#include <utility>

namespace chaski {
namespace {

std::optional<int64_t> number(std::string_view text) {
  constexpr int64_t kMost = 1'000'000'000;
  int64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size() || value < 0 || value > kMost)
    return std::nullopt;
  return value;
}

}  // namespace

std::optional<Release> parse_release(std::string_view text) {
  Release release;
  std::string lower(text.substr(0, 64));
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  std::string_view rest = lower;
  for (int i = 0; !rest.empty() || i == 0; ++i) {
    const std::string_view part = rest.substr(0, rest.find('.'));
    rest.remove_prefix(part.size() == rest.size() ? part.size() : part.size() + 1);
    constexpr std::array<std::pair<std::string_view, int64_t>, 3> kStages{
        {{"alpha", 0}, {"beta", 1}, {"rc", 2}}};
    for (const auto& [name, stage] : kStages) {
      const auto n = part.substr(0, name.size()) == name ? number(part.substr(name.size())) : std::nullopt;
      if (i == 0 || !n) continue;
      release.stage = stage;
      release.number = *n;
      return release;
    }
    const auto value = number(part);
    if (!value) return i >= 2 ? std::optional(release) : std::nullopt;
    if (i == 0) release.major = *value;
    if (i == 1) release.minor = *value;
    if (i == 2) release.number = *value;
    if (rest.empty() && i == 0) return std::nullopt;
  }
  return release;
}

}  // namespace chaski
