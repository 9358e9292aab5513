// Code: the program is found in the answer and run with the item's hidden tests by a CodeRunner, which has a
// real parser. What isolates it is code_runner.h's; without it nothing is scored.
#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "lab/scorer_parts.h"

namespace chaski {
namespace {

constexpr size_t kMaxTried = 4;  // unfenced blocks that are offered to the parser

bool is_python(const CodeBlock& block) { return block.language.empty() || block.language.starts_with("py"); }

bool defines(std::string_view code, std::string_view name) {
  for (size_t at = code.find("def "); at != std::string_view::npos; at = code.find("def ", at + 1)) {
    const std::string_view rest = code.substr(at + 4);
    if (name.empty() || (rest.starts_with(name) && rest.substr(name.size()).starts_with('('))) return true;
  }
  return false;
}

/// The last Python fence that defines what was asked for, else a function, else the last one.
const CodeBlock* fenced_program(const std::vector<CodeBlock>& blocks, std::string_view entry_point) {
  const CodeBlock* best = nullptr;
  int best_rank = -1;
  for (const CodeBlock& block : blocks) {
    if (!is_python(block)) continue;
    const int rank = !entry_point.empty() && defines(block.code, entry_point) ? 2
                     : defines(block.code, "")                                ? 1
                                                                              : 0;
    if (rank >= best_rank) best = &block, best_rank = rank;
  }
  return best;
}

/// Without the prompts of an interactive session, where it begins as one: a docstring may show a session,
/// too.
std::string without_prompts(std::string_view code) {
  const size_t begin = std::min(code.find_first_not_of("\r\n"), code.size());
  if (!code.substr(begin).starts_with(">>> ")) return std::string(code);
  std::string out;
  while (!code.empty()) {
    const size_t end = std::min(code.find('\n'), code.size());
    const std::string_view line = code.substr(0, end);
    if (line.starts_with(">>> ") || line.starts_with("... ")) out.append(line.substr(4)).push_back('\n');
    code.remove_prefix(std::min(end + 1, code.size()));
  }
  return out;
}

bool looks_like_code(std::string_view line) {
  constexpr std::array<std::string_view, 19> kBegins = {
      "def ",  "class ", "import ", "from ",  "@",     "if ",    "for ", "while ", "return", "print(",
      "else:", "elif ",  "try:",    "except", "with ", "yield ", "#",    "    ",   "\t"};
  if (std::any_of(kBegins.begin(), kBegins.end(),
                  [&](std::string_view begin) { return line.starts_with(begin); })) {
    return true;
  }
  const size_t equals = line.find(" = ");
  return equals != std::string_view::npos && equals > 0 &&
         std::all_of(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(equals), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                  c == ',' || c == ' ';
         });
}

/// Stretches of lines that look like Python and define a function.
std::vector<std::string> code_stretches(std::string_view text) {
  std::vector<std::string> blocks(1);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (looks_like_code(line) || (line.empty() && !blocks.back().empty())) {
      blocks.back().append(line).push_back('\n');
    } else if (!blocks.back().empty()) {
      blocks.emplace_back();
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  blocks.erase(
      std::remove_if(blocks.begin(), blocks.end(), [](const std::string& b) { return !defines(b, ""); }),
      blocks.end());
  return blocks;
}

/// Of the answer as it is, then without its noise, which may be code's own signs; the largest first.
std::vector<std::string> unfenced_programs(const Reading& reading) {
  const auto most = static_cast<size_t>(reading.limit("max_answer_bytes"));
  std::vector<std::string> blocks =
      code_stretches(replace_invalid_utf8(std::string_view(reading.answer.answer).substr(0, most)));
  for (std::string& block : code_stretches(reading.parts.text)) {
    if (std::find(blocks.begin(), blocks.end(), block) == blocks.end()) blocks.push_back(std::move(block));
  }
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
  if (blocks.size() > kMaxTried) blocks.resize(kMaxTried);
  return blocks;
}

std::vector<std::string> programs_in(const Reading& reading, std::string_view entry_point) {
  if (const CodeBlock* block = fenced_program(reading.parts.blocks, entry_point)) {
    return {without_prompts(block->code)};
  }
  return unfenced_programs(reading);
}

bool ran_out_of_time(const CodeResult& result) {
  return result.verdict == CodeVerdict::kTimedOut ||
         std::find(result.tests.begin(), result.tests.end(), CodeVerdict::kTimedOut) != result.tests.end();
}

void fill_sheet(const CodeResult& result, size_t n_tests, ScoreSheet& sheet) {
  const std::string failure = one_line(result.message);
  const bool is_parsed = result.verdict != CodeVerdict::kSyntaxError;
  const bool is_late = ran_out_of_time(result);
  const double passed = static_cast<double>(result.n_passed()) / static_cast<double>(n_tests);
  sheet.is_correct = result.verdict == CodeVerdict::kPassed;
  sheet.add("syntax", is_parsed ? 1 : 0, is_parsed ? "" : failure);
  sheet.add("tests", passed,
            fmt::format("{} / {}{}{}", result.n_passed(), n_tests, failure.empty() ? "" : ": ", failure));
  sheet.add("signature", result.defines_entry_point ? 1 : 0, {});
  sheet.add("behaviour", is_parsed && !result.writes_output && !is_late ? 1 : 0,
            std::string(name_of(result.verdict)));
  if (!is_parsed)
    sheet.cap("syntax_error", failure);
  else if (is_late)
    sheet.cap("timed_out", failure);
  if (is_parsed && result.n_passed() == 0) sheet.cap("no_test_passed", failure);
}

}  // namespace

void score_code(const Reading& reading, CodeRunner* runner, const CancelToken& cancel, ScoreSheet& sheet) {
  const auto tests = reference_list(reading.item, "tests");
  if (!tests || tests->empty()) {
    return sheet.give_up("no_rule", "the item lacks `tests`: a list of Python texts");
  }
  CodeTask task;
  task.entry_point = reference_text(reading.item, "entry_point").value_or("");
  task.tests = *tests;
  task.limits.wall_s = task.limits.cpu_s = reading.limit("code_seconds");
  const std::vector<std::string> programs = programs_in(reading, task.entry_point);
  if (programs.empty()) {
    for (const char* name : {"syntax", "tests", "signature", "behaviour"}) sheet.add(name, 0, {});
    sheet.is_correct = false;
    return sheet.cap("no_code", {});
  }
  if (runner == nullptr) return sheet.give_up("not_run", "there is nothing to run code in");
  if (runner->tier() == "none") return sheet.give_up("not_run", runner->why_not());
  CodeResult result;
  for (const std::string& program : programs) {
    task.program = program;
    result = runner->run(task, cancel);
    if (result.verdict != CodeVerdict::kSyntaxError) break;
  }
  if (result.verdict == CodeVerdict::kNotRun) return sheet.give_up("not_run", one_line(result.message, 200));
  fill_sheet(result, tests->size(), sheet);
}

}  // namespace chaski
