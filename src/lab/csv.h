// Comma-separated values as spreadsheets and Python write them: quoted fields with doubled quotes, commas and
// line ends in them, a byte order mark, CRLF. What the columns mean is the reader's; see choice_suites.h.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace chaski {

struct CsvRow {
  size_t line = 0;  ///< where it begins, from 1
  std::vector<std::string> fields;
};

struct CsvLimits {
  size_t max_rows = 1'000'000;
  size_t max_fields = 256;  ///< of a row
  size_t max_field_bytes = 1 << 20;
};

/// All rows but the empty lines, the header, where there is one, among them; read as Python's csv module does
/// by default. Throws Error(kCorrupt) naming `where` and line for text that is not UTF-8, a NUL byte, a quote
/// that is never closed, and what is over the limits.
std::vector<CsvRow> parse_csv(std::string_view text, std::string_view where, const CsvLimits& limits = {});

}  // namespace chaski
