// Version numbers of drivers and toolkits: "24.1.rc3", "8.0.0", "8.0.0.alpha001".
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace chaski {

/// In order of release: 8.0.RC3 comes before 8.0.0, which comes before 8.0.1.
struct Release {
  int64_t major = 0, minor = 0;
  int64_t stage = 3;   ///< 0 alpha, 1 beta, 2 release candidate, 3 released
  int64_t number = 0;  ///< of the stage; of a release, the third number
  auto operator<=>(const Release&) const = default;
};

/// Nothing where the text does not begin with two numbers, or one and a stage.
std::optional<Release> parse_release(std::string_view text);

}  // namespace chaski
