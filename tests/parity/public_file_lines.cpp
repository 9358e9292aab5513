// Our side of public_files_parity.py: for each line on stdin, a JSON object, one on stdout. {"csv": TEXT}
// gives {"rows":
// [[…]]}, or {"error": …}; {"answer": TEXT, "reference": TEXT} what each of GSM8K's filters finds in it.
#include <iostream>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "lab/csv.h"
#include "lab/final_answer.h"

namespace {

chaski::Json filtered(const std::optional<std::string>& found, const std::string& reference) {
  return {{"found", found ? chaski::Json(*found) : chaski::Json(nullptr)},
          {"is_match", chaski::is_exact_match(found, chaski::reference_answer(reference))}};
}

chaski::Json reply(const chaski::Json& line) {
  using chaski::require_string;
  if (line.contains("csv")) {
    chaski::Json rows = chaski::Json::array();
    for (const chaski::CsvRow& row : chaski::parse_csv(require_string(line, "csv", "line"), "text")) {
      rows.push_back(row.fields);
    }
    return {{"rows", rows}};
  }
  const std::string answer = require_string(line, "answer", "line");
  const std::string reference = require_string(line, "reference", "line");
  return {{"strict-match", filtered(chaski::strict_match(answer), reference)},
          {"flexible-extract", filtered(chaski::flexible_extract(answer), reference)}};
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    chaski::Json answer;
    try {
      answer = reply(chaski::parse_json(line, "line"));
    } catch (const chaski::Error& error) {
      answer = {{"error", error.what()}};
    }
    std::cout << chaski::to_json_text(answer) << "\n";
  }
}
