// Runs as other programs take them: JSON, CSV, SQL. Tables for people are elsewhere (table.h).
#pragma once

#include <span>
#include <string>

#include "report/run_record.h"

namespace chaski {

/// A record and what the export calls it: its id in the history, or the path that it was read from.
struct ExportedRun {
  std::string name;
  RunRecord record;
};

/// A list of the records, each as run.json has it.
std::string json_of_runs(std::span<const ExportedRun> runs);

/// One line per figure, in long form: the run's facts, what it is a figure of, value, spread. Texts that a
/// spreadsheet would take for formulas are prefixed.
std::string csv_of_runs(std::span<const ExportedRun> runs);

/// A dump that sqlite3 reads, with the tables runs (whole JSON), figures (as the CSV), and answers.
std::string sql_of_runs(std::span<const ExportedRun> runs);

}  // namespace chaski
