// The page of a comparison: verdict, charts, tables, answers, how it was measured, warnings.
#pragma once

#include <string>

#include "report/comparison.h"
#include "report/svg_chart.h"

namespace chaski {

/// One self-contained HTML document of at most 20 MB.
std::string compare_html(const Comparison& comparison, Lang lang);

/// The verdict and the charts as one picture.
Drawing compare_picture(const Comparison& comparison, Lang lang);

}  // namespace chaski
