// Runs as other programs take them: JSON, CSV, SQL. Tables for people are elsewhere (table.h).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "report/run_record.h"

namespace chaski {

/// A record and what the export calls it: its id in the history, or the path that it was read from.
struct ExportedRun {
  std::string name;
  RunRecord record;
};

/// A form of export, written run by run: what it begins with, what each run adds, what it ends with. All are
/// lists of runs:
/// .json, the records as run.json has them;
/// .csv, a line per figure in long form, after the facts of its run; texts that a spreadsheet would take for
/// formulas are prefixed;
/// .sql, a dump that sqlite3 reads, with the tables runs (whole JSON), figures (as the CSV), and answers.
struct ExportFormat {
  std::string_view extension;
  std::string (*begin)();
  std::string (*run)(const ExportedRun& run, bool is_first);
  std::string_view end;
};
/// By the extension of a file's name, as ".csv"; null where there is none of that.
const ExportFormat* find_export_format(std::string_view extension);

/// A whole export.
std::string export_text(const ExportFormat& format, std::span<const ExportedRun> runs);

}  // namespace chaski
