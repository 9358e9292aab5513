#include "lab/choice_suites.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "lab/csv.h"
#include "lab/final_answer.h"
#include "lab/loglikelihood.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kLetters{"A", "B", "C", "D"};
constexpr size_t kShots = 5;
constexpr size_t kMaxSubjects = 1000;
constexpr size_t kMaxQuestions = 200'000;
constexpr std::string_view kDev = "dev";

bool is_subject_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

/// Of a row's fields, which are which.
struct Columns {
  size_t question = 0, answer = 5, n = 6;
  std::array<size_t, 4> choices{1, 2, 3, 4};
};

Columns columns_of(const ChoiceSet& set, const CsvRow& header, std::string_view where) {
  const auto find = [&](std::string_view name) {
    const auto it = std::find_if(header.fields.begin(), header.fields.end(),
                                 [name](const std::string& field) { return stripped(field) == name; });
    if (it != header.fields.end()) return static_cast<size_t>(it - header.fields.begin());
    throw Error(
        ErrorCode::kCorrupt, fmt::format("read {}", set.title),
        fmt::format("{} line {}: expected a header with the column \"{}\", found \"{}\"", where, header.line,
                    name, printable(fmt::format("{}", fmt::join(header.fields, ",")), 100)));
  };
  Columns columns;
  columns.question = find(set.question_column);
  columns.answer = find(set.answer_column);
  for (size_t i = 0; i < kLetters.size(); ++i) columns.choices[i] = find(kLetters[i]);
  columns.n = header.fields.size();
  return columns;
}

ChoiceQuestion question_of(const ChoiceSet& set, const CsvRow& row, const Columns& columns,
                           std::string_view where) {
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorCode::kCorrupt, fmt::format("read {}", set.title),
                fmt::format("{} line {}: {}", where, row.line, what));
  };
  if (row.fields.size() != columns.n) {
    fail(fmt::format("expected {} fields, found {}", columns.n, row.fields.size()));
  }
  ChoiceQuestion question;
  const std::string_view text = stripped(row.fields[columns.question]);
  if (text.empty()) fail("the question is empty");
  const std::string_view answer = stripped(row.fields[columns.answer]);
  const auto gold = std::find(kLetters.begin(), kLetters.end(), answer);
  if (gold == kLetters.end()) {
    fail(fmt::format("answer: expected A, B, C or D, found \"{}\"", printable(std::string(answer), 40)));
  }
  question.gold = *gold;
  question.text = text;
  for (size_t i = 0; i < kLetters.size(); ++i) {
    question.text += fmt::format("\n{}. {}", kLetters[i], row.fields[columns.choices[i]]);
  }
  question.text += fmt::format("\n{}", set.cue);
  return question;
}

/// "DIR" or "DIR:SUBJECT"; a colon in the name of a folder that is there is no separator.
std::pair<fs::path, std::string> split_place(const std::string& place) {
  std::error_code ignored;
  const size_t colon = place.rfind(':');
  if (colon == std::string::npos || fs::is_directory(place, ignored)) return {place, {}};
  return {place.substr(0, colon), place.substr(colon + 1)};
}

const ChoiceSubject* known_subject(const ChoiceSet& set, std::string_view id) {
  const auto it = std::find_if(set.subjects.begin(), set.subjects.end(),
                               [id](const ChoiceSubject& subject) { return subject.id == id; });
  return it == set.subjects.end() ? nullptr : &*it;
}

std::string spaced(std::string_view id) {
  std::string text(id);
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

/// How the prompt names it.
std::string title_of(const ChoiceSet& set, const std::string& id) {
  const ChoiceSubject* known = known_subject(set, id);
  return known == nullptr || known->title.empty() ? spaced(id) : std::string(known->title);
}

class ChoiceSuite final : public PublicSuite {
 public:
  explicit ChoiceSuite(const ChoiceSet& set) : set_(set) {}

  std::string_view name() const override { return set_.name; }

  Suite load(const std::string& place) const override {
    const auto [folder, subject] = split_place(place);
    const std::vector<std::string> found = subjects_in(folder);
    if (!subject.empty() && std::find(found.begin(), found.end(), subject) == found.end()) {
      throw Error(ErrorCode::kNotFound, read_title(),
                  fmt::format("{}: has no subject \"{}\"", folder.string(), printable(subject, 100)),
                  fmt::format("the subjects there are: {}", fmt::join(found, ", ")));
    }
    Suite suite;
    suite.name = subject.empty() ? std::string(set_.name) : fmt::format("{}-{}", set_.name, subject);
    suite.title.en =
        subject.empty() ? std::string(set_.title) : fmt::format("{}: {}", set_.title, spaced(subject));
    suite.title.zh = subject.empty() ? std::string(set_.title)
                                     : fmt::format("{}：{}", set_.title, title_of(set_, subject));
    suite.prompt_template = "raw:{prompt}";
    suite.settings.temperature = 0;
    std::string hashes;
    for (const std::string& id : subject.empty() ? found : std::vector<std::string>{subject}) {
      add_subject(suite, folder, id, hashes);
    }
    suite.sha256 = sha256_of(hashes);
    return suite;
  }

  ScoreRecord score(const SuiteItem& item, const AnswerRecord& answer, CodeRunner* /*runner*/,
                    const CancelToken& /*cancel*/) const override {
    ScoreRecord score;
    score.id = answer.id;
    score.sample = answer.sample;
    score.scorer = "exact";
    const std::string gold = item.extra.at("answer").get<std::string>();
    const bool has_all = answer.choices.size() == kLetters.size() &&
                         std::equal(kLetters.begin(), kLetters.end(), answer.choices.begin(),
                                    [](std::string_view a, const ChoiceRecord& b) { return a == b.text; });
    if (!has_all) {
      score.is_correct = false;
      score.note = "the answer has no log-likelihoods of A, B, C and D";
      score.components = {{"acc", 1.0, 0.0, ""}, {"acc_norm", 0.0, 0.0, ""}};
      return score;
    }
    std::vector<ChoiceRecord> per_character = answer.choices;
    std::string evidence;
    for (ChoiceRecord& choice : per_character) {
      evidence += fmt::format("{}{} {:.4f}", evidence.empty() ? "" : ", ", choice.text, choice.loglikelihood);
      choice.loglikelihood /= static_cast<double>(choice.text.size());  // letters: a byte each
    }
    const bool is_right = most_probable(answer.choices).text == gold;
    const bool is_right_per_character = most_probable(per_character).text == gold;
    score.is_correct = is_right;
    score.components = {{"acc", 1.0, is_right ? 1.0 : 0.0, evidence},
                        {"acc_norm", 0.0, is_right_per_character ? 1.0 : 0.0, "per character"}};
    return score;
  }

  std::vector<TaskResult> results(std::span<const ScoreRecord> scores) const override;

 private:
  std::string read_title() const { return fmt::format("read {}", set_.title); }

  Error not_there(const fs::path& path) const {
    return Error(
        ErrorCode::kNotFound, read_title(), fmt::format("{} is not there", printable(path.string(), 300)),
        fmt::format("fetch {}; it is named as {}:DIR or {}:DIR:SUBJECT, DIR having the folders dev, with "
                    "SUBJECT{}, and {}, with SUBJECT{}",
                    set_.where_from, set_.name, set_.name, set_.dev_suffix, set_.split, set_.split_suffix));
  }

  std::vector<std::string> subjects_in(const fs::path& folder) const {
    const fs::path questions = folder / set_.split;
    std::error_code fault;
    std::vector<std::string> subjects;
    for (const auto& entry : fs::directory_iterator(questions, fault)) {
      const std::string file = entry.path().filename().string();
      const size_t end = file.size() - std::min(file.size(), set_.split_suffix.size());
      if (file.substr(end) != set_.split_suffix || !is_subject_name(file.substr(0, end))) continue;
      subjects.push_back(file.substr(0, end));
      if (subjects.size() > kMaxSubjects) {
        throw Error(ErrorCode::kCorrupt, read_title(),
                    fmt::format("{}: more than {} subjects", questions.string(), kMaxSubjects));
      }
    }
    if (subjects.empty()) throw not_there(questions / fmt::format("SUBJECT{}", set_.split_suffix));
    std::sort(subjects.begin(), subjects.end());
    return subjects;
  }

  /// The file's text, noted in `hashes`.
  std::string read(const fs::path& file, std::string& hashes) const {
    try {
      std::string text = read_public_file(file.string());
      hashes += fmt::format("{} {}\n", file.filename().string(), sha256_of(text));
      return text;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound) throw;
      throw not_there(file);
    }
  }

  void add_subject(Suite& suite, const fs::path& folder, const std::string& id, std::string& hashes) const {
    const fs::path dev = folder / kDev / fmt::format("{}{}", id, set_.dev_suffix);
    const fs::path asked = folder / set_.split / fmt::format("{}{}", id, set_.split_suffix);
    const auto task = std::make_shared<ChoiceTask>();
    task->lead = fmt::format("{}{}{}", set_.lead_begin, title_of(set_, id), set_.lead_end);
    task->choices.assign(kLetters.begin(), kLetters.end());
    const std::vector<ChoiceQuestion> shots = parse_choice_questions(set_, read(dev, hashes), dev.string());
    if (shots.size() < kShots) {
      throw Error(
          ErrorCode::kCorrupt, read_title(),
          fmt::format("{}: expected {} worked examples, found {}", dev.string(), kShots, shots.size()));
    }
    for (size_t i = 0; i < kShots; ++i) task->lead += fmt::format("{} {}\n\n", shots[i].text, shots[i].gold);
    suite.types[id] = {spaced(id), title_of(set_, id)};
    size_t number = 0;
    for (const ChoiceQuestion& question : parse_choice_questions(set_, read(asked, hashes), asked.string())) {
      if (suite.items.size() == kMaxQuestions) {
        throw Error(ErrorCode::kCorrupt, read_title(),
                    fmt::format("{}: more than {} questions", folder.string(), kMaxQuestions));
      }
      suite.items.push_back(
          {fmt::format("{}/{}", id, number++), id, question.text, {{"answer", question.gold}}, task});
    }
  }

  const ChoiceSet& set_;
};

/// Of a group of subjects: the mean over its questions and the mean of its subjects' means.
void add_group(std::vector<TaskResult>& results, const std::string& task, const std::string& metric,
               const std::vector<const TaskResult*>& subjects) {
  if (subjects.size() < 2) return;
  TaskResult all{task, metric, 0, std::nullopt, 0};
  TaskResult macro{task, metric + ", mean of subjects", 0, std::nullopt,
                   static_cast<int64_t>(subjects.size())};
  double squares = 0, pooled = 0;
  bool has_errors = true;
  for (const TaskResult* subject : subjects) {
    const auto n = static_cast<double>(subject->n);
    const double error = subject->standard_error.value_or(0);
    has_errors = has_errors && subject->standard_error;
    all.n += subject->n;
    all.value += subject->value * n;
    macro.value += subject->value / static_cast<double>(subjects.size());
    squares += error * error;
    pooled += (n - 1) * error * error * n;
  }
  const auto n = static_cast<double>(all.n);
  all.value /= n;
  if (has_errors) {
    all.standard_error = std::sqrt(pooled / (n - static_cast<double>(subjects.size())) / n);
    macro.standard_error = std::sqrt(squares) / static_cast<double>(subjects.size());
  }
  results.push_back(std::move(all));
  results.push_back(std::move(macro));
}

std::vector<TaskResult> ChoiceSuite::results(std::span<const ScoreRecord> scores) const {
  std::vector<TaskResult> results;
  for (const char* metric : {"acc", "acc_norm"}) {
    std::map<std::string, std::vector<double>> shares;  // by subject
    for (const auto& [id, share] : component_by_item(scores, metric)) {
      shares[id.substr(0, id.find('/'))].push_back(share);
    }
    std::vector<TaskResult> subjects;
    for (const auto& [id, values] : shares) {
      subjects.push_back(mean_result(fmt::format("{}/{}", set_.name, id), metric, values));
    }
    std::vector<const TaskResult*> all;
    std::map<std::string, std::vector<const TaskResult*>> groups;
    size_t i = 0;
    for (const auto& [id, values] : shares) {
      const ChoiceSubject* known = known_subject(set_, id);
      if (known != nullptr && !known->group.empty())
        groups[std::string(known->group)].push_back(&subjects[i]);
      all.push_back(&subjects[i++]);
    }
    add_group(results, std::string(set_.name), metric, all);
    for (const auto& [group, members] : groups) {
      add_group(results, fmt::format("{}/{}", set_.name, group), metric, members);
    }
    results.insert(results.end(), subjects.begin(), subjects.end());
  }
  return results;
}

}  // namespace

const PublicSuite& ceval() {
  static const ChoiceSuite suite(ceval_set());
  return suite;
}

const PublicSuite& cmmlu() {
  static const ChoiceSuite suite(cmmlu_set());
  return suite;
}

const PublicSuite& mmlu() {
  static const ChoiceSuite suite(mmlu_set());
  return suite;
}

std::vector<ChoiceQuestion> parse_choice_questions(const ChoiceSet& set, std::string_view csv,
                                                   std::string_view where) {
  const std::vector<CsvRow> rows = parse_csv(csv, where);
  size_t first = 0;
  Columns columns;
  if (!set.question_column.empty() && !rows.empty()) columns = columns_of(set, rows[first++], where);
  if (rows.size() == first) {
    throw Error(ErrorCode::kCorrupt, fmt::format("read {}", set.title),
                fmt::format("{}: has no questions", where));
  }
  std::vector<ChoiceQuestion> questions;
  for (size_t i = first; i < rows.size(); ++i) questions.push_back(question_of(set, rows[i], columns, where));
  return questions;
}

}  // namespace chaski
