// Suites: questions and settings as data, from a folder with suite.yaml and items.jsonl. Nothing in a suite
// is code. How to add one: docs in CONTRIBUTING.md. Running one: eval.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "lab/generation_settings.h"
#include "report/lang.h"

namespace chaski {

/// A text in both languages; one given alone stands for both.
struct Bilingual {
  std::string en, zh;
  const std::string& in(Lang lang) const { return lang == Lang::kZh ? zh : en; }
};

/// What questions of multiple choice share: they are answered by which continuation of `lead` and the prompt
/// is the most probable.
struct ChoiceTask {
  std::string lead;                  ///< worked examples, in front of the prompt
  std::vector<std::string> choices;  ///< the answers, as "A"; after the prompt each has `delimiter` before it
  std::string delimiter = " ";
};

struct SuiteItem {
  std::string id;    ///< unique in the suite
  std::string type;  ///< of task, as "code"
  std::string prompt;
  Json extra;  ///< all other fields of the line, for scorers: `expects`, `notes`, …
  std::shared_ptr<const ChoiceTask> choice = {};  ///< null: the answer is generated
};

struct Suite {
  std::string name;
  Bilingual title, description;
  std::map<std::string, Bilingual> types;  ///< titles of the types of task
  GenerationSettings settings;
  /// Questions are asked one at a time unless the user says otherwise: their seconds are what is wanted.
  bool is_timed_alone = false;
  std::vector<SuiteItem> items;
  std::string source;    ///< the folder, or "built in"
  std::string sha256;    ///< of suite.yaml and items.jsonl, one after the other; of all, also for a part
  OrderedJson part;      ///< settings.suite.part of a record; null where all questions are there
  std::string rubric;    ///< text of the suite's own rubric.yaml; empty where it has none
  std::string protocol;  ///< of a public set, which then scores it (public_suites.h); empty: a rubric does
  std::string
      prompt_template;  ///< as --template takes it, unless the user says otherwise; empty: the model's
};

/// A suite from the texts of its two files; `where` names the folder in errors. Throws Error(kCorrupt) naming
/// file, line and field: a bad line is never skipped.
Suite parse_suite(std::string_view suite_yaml, std::string_view items_jsonl, std::string_view where);

/// The suite of that name, or in that folder. Looked for as a path, then below `folders` in order, then among
/// those built in; or a public set's in its file, as "humaneval:FILE". Throws Error(kNotFound) listing what
/// there is.
Suite find_suite(const std::string& name_or_path, const std::vector<std::filesystem::path>& folders);

/// Which of a suite's questions are asked.
struct SuitePart {
  std::vector<std::string> types;  ///< of these types; none: of all
  int64_t limit = 0;               ///< the first so many of each type; 0: all of them
};
/// The suite with those questions alone, in its order; where these are all, the suite as it was. Throws
/// Error(kUsage) naming the types that there are for one that is none of them.
Suite part_of(Suite suite, const SuitePart& part);

/// "zh" where most questions have Chinese characters and none of Japanese or Korean, "en" where most are
/// plain ASCII, else "".
std::string_view language_of(const Suite& suite);

/// Names of the suites in `folders` and built in, sorted.
std::vector<std::string> suite_names(const std::vector<std::filesystem::path>& folders);

}  // namespace chaski
