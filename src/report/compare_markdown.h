// A comparison as Markdown, and its verdict and tables for a terminal.
#pragma once

#include <string>

#include "report/comparison.h"

namespace chaski {

std::string compare_markdown(const Comparison& comparison, Lang lang);

/// Without answers and method, in columns.
std::string compare_terminal(const Comparison& comparison, Lang lang);

}  // namespace chaski
