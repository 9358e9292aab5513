// The suites of the source tree's suites/ and its rubric, put into the program when it is built
// (cmake/suites.cmake).
#pragma once

#include <span>
#include <string_view>

namespace chaski {

struct EmbeddedSuite {
  std::string_view name;  ///< of the folder
  std::string_view suite_yaml;
  std::string_view items_jsonl;
  std::string_view rubric_yaml;  ///< its own rubric; empty where it has none
};

std::span<const EmbeddedSuite> embedded_suites();

/// suites/rubric.yaml, which scores what has no rubric of its own.
std::string_view embedded_rubric();

}  // namespace chaski
