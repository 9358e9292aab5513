#include "cli/help_page.h"

#include <algorithm>
#include <numeric>
#include <string_view>

namespace chaski::cli {
namespace {

class HelpFormatter : public CLI::Formatter {
 public:
  explicit HelpFormatter(Lang lang) : lang_(lang) {
    struct Label {
      const char *name, *en, *zh;
    };
    constexpr Label kLabels[] = {{"Usage", "Usage", "用法"},
                                 {"OPTIONS", "OPTIONS", "选项"},
                                 {"Positionals", "Arguments", "参数"},
                                 {"SUBCOMMAND", "COMMAND", "命令"},
                                 {"SUBCOMMANDS", "COMMAND", "命令"}};
    for (const Label& row : kLabels) label(row.name, lang == Lang::kZh ? row.zh : row.en);
  }

  std::string make_option_usage(const CLI::Option* option) const override {
    const std::string name = make_option_name(option, true) + (option->get_expected_max() > 1 ? "..." : "");
    return option->get_required() ? name : "[" + name + "]";
  }

  std::string make_option_opts(const CLI::Option* option) const override {
    std::string text;
    // A switch expects nothing after it.
    if (option->nonpositional() && option->get_type_size() != 0 && option->get_expected_max() > 0) {
      text += " " + value_of(option->get_type_name());
      if (option->get_expected_max() > 1) text += " ...";
      if (option->get_required()) text += tr(lang_, " (required)", "（必需）");
    }
    text += others(option->get_needs(), " (with {})", "（与 {} 合用）");
    text += others(option->get_excludes(), " (not with {})", "（不与 {} 同用）");
    return text;
  }

 private:
  /// CLI11 writes a type, then what checks it: "TEXT:{table,md}", "INT:INT in [0 - 9]".
  std::string value_of(const std::string& type) const {
    const size_t set = type.find(":{");
    if (set != std::string::npos && type.ends_with("}")) {
      std::string members = type.substr(set + 2, type.size() - set - 3);
      std::replace(members.begin(), members.end(), ',', '|');
      return members;
    }
    if (type.starts_with("TEXT")) return std::string(tr(lang_, "TEXT", "文本"));
    return type.starts_with("FLOAT") ? "X" : "N";
  }

  std::string others(const std::set<CLI::Option*>& options, fmt::string_view en, fmt::string_view zh) const {
    std::vector<std::string> names;
    for (const CLI::Option* option : options) names.push_back(option->get_name());
    if (names.empty()) return "";
    std::sort(names.begin(), names.end());  // a set of pointers has no order of its own
    return fmt::format(fmt::runtime(lang_ == Lang::kZh ? zh : en), fmt::join(names, ", "));
  }

  Lang lang_;
};

/// How many letters must be put in, taken out, replaced or swapped with their neighbour.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      const bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (is_swap) now[j] = std::min(now[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(now);
  }
  return last[b.size()];
}

/// The candidate that `word` was most probably meant to be; empty where none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr size_t kLongest = 64, kLeastPrefix = 3;
  if (word.size() > kLongest) return "";
  std::string best;
  size_t least = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const bool is_shorter = word.size() < candidate.size();
    const std::string_view shorter = is_shorter ? word : candidate, longer = is_shorter ? candidate : word;
    const bool is_prefix = shorter.size() >= kLeastPrefix && longer.starts_with(shorter);
    const size_t distance = is_prefix ? 1 : edit_distance(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/// The commands right below; those without a group are not shown.
std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command :
       app.get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); }))
    names.push_back(command->get_name());
  return names;
}

std::vector<std::string> options_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

Error unknown(std::string_view what_en, std::string_view what_zh, const std::string& word,
              const std::string& near, Lang lang) {
  const std::string shown = printable(word, 200);
  return Error(ErrorCode::kUsage, "command line",
               trf(lang, "unknown {} \"{}\"", "未知的{}“{}”", tr(lang, what_en, what_zh), shown),
               near.empty() ? std::string(tr(
                                  lang, "`chaski help` lists the commands, `chaski help COMMAND` its options",
                                  "`chaski help` 列出命令，`chaski help 命令` 列出其选项"))
                            : trf(lang, "did you mean `{}`?", "是否想输入 `{}`？", near));
}

Error unknown_command(const CLI::App& app, const std::string& prefix, const std::string& word, Lang lang) {
  const std::string near = nearest(word, commands_of(app));
  return unknown("command", "命令", word, near.empty() ? near : prefix + " " + near, lang);
}

}  // namespace

std::shared_ptr<CLI::Formatter> make_help_formatter(Lang lang) {
  return std::make_shared<HelpFormatter>(lang);
}

std::string help_page(CLI::App& app, const std::vector<std::string>& path, Lang lang) {
  CLI::App* page = &app;
  std::string name = app.get_name();
  for (const std::string& word : path) {
    const auto found = page->get_subcommands([&](const CLI::App* sub) { return sub->get_name() == word; });
    if (found.empty()) throw unknown_command(*page, name, word, lang);
    page = found.front();
    name += " " + word;
  }
  return page->get_formatter()->make_help(page, name, CLI::AppFormatMode::Normal);
}

std::optional<Error> unknown_word(const CLI::App& app, Lang lang) {
  const CLI::App* command = &app;
  std::string name = app.get_name();
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    name += " " + command->get_name();
  }
  const std::vector<std::string> words = app.remaining(true);
  const auto option = std::find_if(words.begin(), words.end(),
                                   [](const std::string& word) { return word.size() > 1 && word[0] == '-'; });
  if (command == &app && !words.empty() && option != words.begin()) {
    return unknown_command(app, name, words.front(), lang);
  }
  if (option != words.end()) {
    const std::string word = option->substr(0, option->find('='));
    return unknown("option", "选项", word, nearest(word, options_of(*command)), lang);
  }
  if (words.empty()) return std::nullopt;
  return Error(
      ErrorCode::kUsage, "command line",
      trf(lang, "more arguments than expected: \"{}\"", "多余的参数“{}”", printable(words.front(), 200)),
      trf(lang, "`{} --help` shows what it takes", "`{} --help` 说明其参数", name));
}

}  // namespace chaski::cli
