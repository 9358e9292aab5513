// The page of one run: figures, charts, answers, what was measured and how.
#pragma once

#include <string>

#include "report/run_facts.h"
#include "report/svg_chart.h"

namespace chaski {

/// One self-contained HTML document of at most 20 MB. `source` is how the user named the run.
std::string report_html(const RunRecord& record, const std::string& source, Lang lang);

/// Its charts as one picture.
Drawing report_picture(const RunRecord& record, Lang lang);

/// A row per answer, scores included.
std::string report_csv(const RunRecord& record);

/// Tables of what was measured, for a terminal.
std::string report_terminal(const RunRecord& record, Lang lang);

}  // namespace chaski
