// Parts that the page of a comparison and the page of one run share.
#pragma once

#include <string>
#include <vector>

#include "report/html_page.h"
#include "report/run_tables.h"
#include "report/svg_chart.h"

namespace chaski {

/// A card per run: letter, name, what it ran on.
void add_runs(HtmlBody& body, Runs runs, Lang lang);

/// The few figures a reader looks for first, each of every run.
std::string tiles_html(Runs runs, const std::optional<ScorerChoice>& scorer, Lang lang);

void add_charts(HtmlBody& body, const std::vector<Drawing>& drawings, Lang lang);

/// Sentences in boxes.
std::string warning_boxes(const std::vector<std::string>& warnings);

/// Paragraphs of small print.
std::string notes_html(const std::vector<std::string>& notes);

/// Failures with their messages.
void add_failures(HtmlBody& body, Runs runs, Lang lang);

/// Which program made the page, and by which command.
std::string footer_html(std::string_view command, Lang lang);

}  // namespace chaski
