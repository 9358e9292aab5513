// A table of a report, in one language and free of format, and its forms in Markdown and on a terminal; the
// HTML form is in html_page.h. What tables hold: run_tables.h, comparison_tables.h.
#pragma once

#include <string>
#include <vector>

#include "report/lang.h"

namespace chaski {

struct Table {
  std::string id;     ///< of the section: "speed"
  std::string title;  ///< empty where a heading above says it
  std::vector<std::string> columns;
  std::string align;                           ///< a letter per column: l text, r figures
  std::vector<std::vector<std::string>> rows;  ///< plain text, not trusted
  std::vector<std::string> notes;              ///< sentences below it
  /// By column: "a" or "b" where it is of one of two runs, "p" for published figures; may be shorter.
  std::vector<std::string> sides;

  /// Add a row, whose cells are as many as the columns.
  void add(std::vector<std::string> row);
  bool empty() const { return rows.empty(); }
};

/// The table without its title, notes below.
std::string markdown_table(const Table& table);

/// In columns, title above; each at most `max_columns` wide.
std::string terminal_table(const Table& table, int max_columns = 40);

}  // namespace chaski
