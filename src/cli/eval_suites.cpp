#include "cli/eval_suites.h"

#include "base/error.h"
#include "cli/eval_folders.h"
#include "cli/terminal.h"
#include "lab/public_suites.h"
#include "report/table.h"
#include "report/text_safety.h"

namespace chaski::cli {
namespace {

std::vector<Suite> suites_here(Lang lang) {
  std::vector<Suite> suites;
  for (const std::string& name : suite_names(suite_folders())) {
    try {
      suites.push_back(find_suite(name, suite_folders()));
    } catch (const Error& error) {
      note(describe(error, name_of(lang)) + "\n");
    }
  }
  return suites;
}

/// Types of questions and how many of each.
std::map<std::string, int64_t> counts_by_type(const Suite& suite) {
  std::map<std::string, int64_t> counts;
  for (const SuiteItem& item : suite.items) ++counts[item.type];
  return counts;
}

std::string_view language_title(const Suite& suite, Lang lang) {
  const std::string_view language = language_of(suite);
  if (language == "zh") return tr(lang, "Chinese", "中文");
  return language == "en" ? tr(lang, "English", "英文") : "–";
}

OrderedJson suites_json(const std::vector<Suite>& suites) {
  OrderedJson json = OrderedJson::array();
  for (const Suite& suite : suites) {
    const std::string_view language = language_of(suite);
    OrderedJson entry;
    entry["name"] = suite.name;
    entry["title"] = {{"en", suite.title.en}, {"zh", suite.title.zh}};
    entry["n_questions"] = suite.items.size();
    entry["language"] = language.empty() ? OrderedJson() : OrderedJson(language);
    entry["types"] = counts_by_type(suite);
    entry["source"] = suite.source;
    entry["sha256"] = suite.sha256;
    json.push_back(std::move(entry));
  }
  return json;
}

std::string suites_text(const std::vector<Suite>& suites, Lang lang) {
  Table table{"", "", {}, "lrlll", {}, {}, {}};
  table.columns = {std::string(tr(lang, "suite", "题集")), std::string(tr(lang, "questions", "题数")),
                   std::string(tr(lang, "language", "语言")), std::string(tr(lang, "title", "标题")),
                   std::string(tr(lang, "found at", "位置"))};
  std::string types, sets;
  for (const Suite& suite : suites) {
    const bool is_built_in = suite.source == "built in";
    table.add({suite.name, std::to_string(suite.items.size()), std::string(language_title(suite, lang)),
               suite.title.in(lang), is_built_in ? std::string(tr(lang, "built in", "内置")) : suite.source});
    types += fmt::format("  {}:", suite.name);
    for (const auto& [type, n] : counts_by_type(suite)) types += fmt::format(" {} {}", type, n);
    types += "\n";
  }
  for (const PublicSuite* set : public_suites()) sets += fmt::format(" {}:…", set->name());
  return terminal_table(table) +
         trf(lang, "\nTypes of questions (--type):\n{}\nPublic sets, each in its own files:{}\n",
             "\n题目类型（--type）：\n{}\n公开评测集（需自备原始文件）：{}\n", types, sets);
}

}  // namespace

void add_part_options(CLI::App& command, Lang lang, SuitePart& part) {
  command
      .add_option(
          "--limit", part.limit,
          std::string(tr(lang, "ask the first so many questions of each type alone", "每类只问前若干题")))
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  command
      .add_option("--type", part.types,
                  std::string(tr(lang, "ask questions of this type alone, or of several, as code,concept",
                                 "只问此类题目，可给出多个，如 code,concept")))
      ->delimiter(',')
      ->allow_extra_args(false);
}

void list_suites(bool wants_json, Lang lang) {
  const std::vector<Suite> suites = suites_here(lang);
  if (wants_json) return print_exactly(to_json_text(suites_json(suites), 2) + "\n");
  print(strip_controls(suites_text(suites, lang)));
}

}  // namespace chaski::cli
