#include "report/table.h"

#include <algorithm>

#include "base/error.h"
#include "report/text_safety.h"

namespace chaski {
namespace {

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (const std::string& cell : cells) line += fmt::format(" {} |", markdown_inline(visible_text(cell)));
  return line + "\n";
}

}  // namespace

void Table::add(std::vector<std::string> row) {
  CHECK(row.size() == columns.size(), "a row of {} cells in a table of {} columns", row.size(),
        columns.size());
  rows.push_back(std::move(row));
}

std::string markdown_table(const Table& table) {
  std::string text = markdown_row(table.columns) + "|";
  for (const char side : table.align) text += side == 'r' ? " ---: |" : " --- |";
  text += "\n";
  for (const std::vector<std::string>& row : table.rows) text += markdown_row(row);
  for (const std::string& note : table.notes)
    text += fmt::format("\n{}\n", markdown_inline(visible_text(note)));
  return text;
}

std::string terminal_table(const Table& table, int max_columns) {
  std::vector<std::vector<std::string>> lines{table.columns};
  lines.insert(lines.end(), table.rows.begin(), table.rows.end());
  std::vector<int> widths(table.columns.size(), 0);
  for (std::vector<std::string>& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      line[i] = short_name(line[i], max_columns);
      widths[i] = std::max(widths[i], display_width(line[i]));
    }
  }
  std::string text = table.title.empty() ? "" : fmt::format("{}\n", table.title);
  for (const std::vector<std::string>& line : lines) {
    std::string row = " ";
    for (size_t i = 0; i < line.size(); ++i) {
      row +=
          " " + (table.align[i] == 'r' ? pad_left(line[i], widths[i]) : pad_right(line[i], widths[i])) + " ";
    }
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + "\n";
  }
  return text;
}

}  // namespace chaski
