// The suites of the source tree's suites/, put into the program when it is built (cmake/suites.cmake).
#pragma once

#include <span>
#include <string_view>

namespace chaski {

struct EmbeddedSuite {
  std::string_view name;  ///< of the folder
  std::string_view suite_yaml;
  std::string_view items_jsonl;
};

std::span<const EmbeddedSuite> embedded_suites();

}  // namespace chaski
