// Untrusted text (answers, prompts, names from files) made safe for a terminal, for Markdown, for CSV, and
// for columns. For HTML: html_page.h.
#pragma once

#include <string>
#include <string_view>

namespace chaski {

/// The text without control characters (C0 but newline and tab, DEL, C1) and with invalid UTF-8 as U+FFFD, so
/// that it cannot move a terminal's cursor or change its state.
std::string strip_controls(std::string_view text);

/// The text with everything that hides or moves other text shown as a mark, "‹U+202E›": controls but newline
/// and tab, bidi controls, zero-width and tag characters, line separators. Invalid UTF-8 becomes U+FFFD.
std::string visible_text(std::string_view text);

/// The first `max_bytes` at most, cut between characters.
std::string_view clip_utf8(std::string_view text, size_t max_bytes);

/// A visible one-line name of at most `max_columns`, cut with an ellipsis.
std::string short_name(std::string_view text, int max_columns);

enum class CsvQuotes { kWhereNeeded, kAlways };
/// A cell of a CSV file that no spreadsheet takes for a formula.
std::string csv_cell(std::string_view text, CsvQuotes quotes = CsvQuotes::kWhereNeeded);

/// One line of running Markdown text that shows exactly `text`: markup escaped, newlines as spaces.
std::string markdown_inline(std::string_view text);

/// A fenced block that shows `text` and cannot be closed by it.
std::string markdown_fence(std::string_view text);

/// Columns that `text` takes on a terminal: East Asian wide characters two, combining ones none.
int display_width(std::string_view text);

/// `text` with spaces after it up to `width` columns; longer text is cut with an ellipsis.
std::string pad_right(std::string_view text, int width);
/// `text` with spaces before it up to `width` columns.
std::string pad_left(std::string_view text, int width);

}  // namespace chaski
