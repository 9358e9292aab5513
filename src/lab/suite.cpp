#include "lab/suite.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/utf8.h"
#include "lab/embedded_suites.h"
#include "lab/public_suites.h"

namespace chaski {
namespace {

constexpr uint64_t kMaxYamlBytes = 64u << 10;
constexpr uint64_t kMaxItemsBytes = 64u << 20;
constexpr size_t kMaxLineBytes = 1u << 20;
constexpr size_t kMaxItems = 100'000;
constexpr size_t kMaxNameBytes = 64;

[[noreturn]] void fail(std::string_view where, size_t line, const std::string& message) {
  throw Error(ErrorCode::kCorrupt, "read suite", fmt::format("{} line {}: {}", where, line, message),
              "a suite is a folder with suite.yaml and items.jsonl; CONTRIBUTING.md shows one");
}

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kMaxNameBytes || !is_valid_utf8(text)) return false;
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte <= 0x20 || byte == 0x7F || c == '/' || c == '\\';
  });
}

/// Reads suite.yaml: every key is known, every value of its type, every fault named by line.
class YamlReader {
 public:
  explicit YamlReader(std::string where) : where_(std::move(where)) {}

  void read(std::string_view text, Suite& suite) const {
    try {
      const YAML::Node root = YAML::Load(std::string(text));
      for_each(root, "suite.yaml", [&](const std::string& key, const YAML::Node& value) {
        if (key == "name") {
          suite.name = string_of(value, key);
          if (!is_name(suite.name))
            fail_at(value, "name: expected up to 64 characters without spaces and slashes");
        } else if (key == "title") {
          suite.title = bilingual_of(value, key);
        } else if (key == "description") {
          suite.description = bilingual_of(value, key);
        } else if (key == "types") {
          for_each(value, key, [&](const std::string& type, const YAML::Node& title) {
            suite.types[type] = bilingual_of(title, type);
          });
        } else if (key == "settings") {
          read_settings(value, suite.settings);
        } else if (key == "timing") {
          suite.is_timed_alone = is_alone(value);
        } else {
          fail_at(
              value,
              fmt::format("unknown key \"{}\"; known are name, title, description, types, settings, timing",
                          printable(key)));
        }
      });
    } catch (const YAML::Exception& e) {
      fail(where_, static_cast<size_t>(std::max(0, e.mark.line) + 1), printable(e.msg, 200));
    }
    if (suite.name.empty()) fail(where_, 1, "has no name");
    try {
      sampling_of(suite.settings);
    } catch (const Error& error) {
      throw Error(ErrorCode::kCorrupt, "read suite", fmt::format("{} settings: {}", where_, error.what()));
    }
    if (suite.title.en.empty()) suite.title = {suite.name, suite.name};
  }

 private:
  [[noreturn]] void fail_at(const YAML::Node& node, const std::string& message) const {
    fail(where_, static_cast<size_t>(std::max(0, node.Mark().line) + 1), message);
  }

  template <typename Visit>
  void for_each(const YAML::Node& map, std::string_view what, const Visit& visit) const {
    if (!map.IsMap()) fail_at(map, fmt::format("{}: expected a map of keys and values", printable(what)));
    std::set<std::string> seen;
    for (const auto& entry : map) {
      if (!entry.first.IsScalar())
        fail_at(entry.first, fmt::format("{}: expected a plain key", printable(what)));
      const std::string key = entry.first.Scalar();
      if (!seen.insert(key).second)
        fail_at(entry.first, fmt::format("key \"{}\" stands twice", printable(key)));
      visit(key, entry.second);
    }
  }

  std::string string_of(const YAML::Node& node, std::string_view key) const {
    if (!node.IsScalar()) fail_at(node, fmt::format("{}: expected a text", printable(key)));
    if (!is_valid_utf8(node.Scalar())) fail_at(node, fmt::format("{}: is not UTF-8", printable(key)));
    return node.Scalar();
  }

  template <typename T>
  T number_of(const YAML::Node& node, std::string_view key) const {
    try {
      if (node.IsScalar()) return node.as<T>();
    } catch (const YAML::BadConversion&) {  // said below
    }
    fail_at(node, fmt::format("{}: expected {}, found \"{}\"", printable(key),
                              std::is_integral_v<T> ? "a whole number" : "a number",
                              node.IsScalar() ? printable(node.Scalar()) : "a list or map"));
  }

  Bilingual bilingual_of(const YAML::Node& node, std::string_view key) const {
    if (node.IsScalar()) return {string_of(node, key), string_of(node, key)};
    Bilingual text;
    for_each(node, key, [&](const std::string& lang, const YAML::Node& value) {
      if (lang != "zh" && lang != "en")
        fail_at(value, fmt::format("{}: expected the languages zh and en", printable(key)));
      (lang == "zh" ? text.zh : text.en) = string_of(value, lang);
    });
    if (text.en.empty()) text.en = text.zh;
    if (text.zh.empty()) text.zh = text.en;
    return text;
  }

  bool is_alone(const YAML::Node& node) const {
    const std::string timing = string_of(node, "timing");
    if (timing != "alone" && timing != "batched") {
      fail_at(node, fmt::format("timing: expected alone or batched, found \"{}\"", printable(timing)));
    }
    return timing == "alone";
  }

  void read_settings(const YAML::Node& node, GenerationSettings& s) const {
    const std::map<std::string, std::optional<double>*> numbers{{"temperature", &s.temperature},
                                                                {"top_p", &s.top_p},
                                                                {"min_p", &s.min_p},
                                                                {"repetition_penalty", &s.repetition_penalty},
                                                                {"presence_penalty", &s.presence_penalty},
                                                                {"frequency_penalty", &s.frequency_penalty}};
    const std::map<std::string, std::optional<int64_t>*> integers{
        {"top_k", &s.top_k}, {"max_length", &s.max_length}, {"max_new_tokens", &s.max_new_tokens}};
    for_each(node, "settings", [&](const std::string& key, const YAML::Node& value) {
      if (const auto number = numbers.find(key); number != numbers.end()) {
        *number->second = number_of<double>(value, key);
      } else if (const auto integer = integers.find(key); integer != integers.end()) {
        *integer->second = number_of<int64_t>(value, key);
      } else if (key == "seed") {
        const std::string seed = string_of(value, key);
        s.seed = parse_seed(seed);
        if (!s.seed) {
          fail_at(value, fmt::format("seed: expected a whole number from 0 to {} (2^53 − 1), found \"{}\"",
                                     kMaxSeed, printable(seed)));
        }
      } else if (key == "system") {
        s.system = string_of(value, key);
      } else if (key == "stop") {
        if (!value.IsSequence()) fail_at(value, "stop: expected a list of texts");
        for (const YAML::Node& text : value) s.stop.push_back(string_of(text, key));
      } else {
        std::string known = "seed, system, stop";
        for (const auto& [name, target] : numbers) known += ", " + name;
        for (const auto& [name, target] : integers) known += ", " + name;
        fail_at(value, fmt::format("unknown setting \"{}\"; known are {}", printable(key), known));
      }
    });
  }

  std::string where_;
};

SuiteItem parse_item(std::string_view line, const std::string& where, size_t number) {
  if (line.size() > kMaxLineBytes) {
    fail(where, number, fmt::format("{} bytes, at most {} are accepted", line.size(), kMaxLineBytes));
  }
  const std::string place = fmt::format("{} line {}", where, number);
  JsonLimits limits;
  limits.max_bytes = kMaxLineBytes;
  SuiteItem item;
  item.extra = parse_json(line, place, limits);
  item.id = require_string(item.extra, "id", place);
  item.type = require_string(item.extra, "type", place);
  item.prompt = require_string(item.extra, "prompt", place);
  if (!is_name(item.id)) fail(where, number, "id: expected up to 64 characters without spaces and slashes");
  if (!is_name(item.type))
    fail(where, number, "type: expected up to 64 characters without spaces and slashes");
  if (item.prompt.empty()) fail(where, number, "prompt: is empty");
  for (const char* key : {"id", "type", "prompt"}) item.extra.erase(key);
  return item;
}

std::vector<SuiteItem> parse_items(std::string_view text, const std::string& where) {
  std::vector<SuiteItem> items;
  std::set<std::string> ids;
  size_t number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() && text.empty()) break;  // the file ends in a blank line
    if (line.empty()) fail(where, number, "is empty; expected one JSON object per line");
    if (items.size() == kMaxItems) fail(where, number, fmt::format("more than {} items", kMaxItems));
    items.push_back(parse_item(line, where, number));
    if (!ids.insert(items.back().id).second) {
      fail(where, number, fmt::format("id \"{}\" was used before", printable(items.back().id)));
    }
  }
  if (items.empty()) fail(where, 1, "has no items");
  return items;
}

Suite suite_in_folder(const std::filesystem::path& folder) {
  const std::string yaml = read_text_file(folder / "suite.yaml", kMaxYamlBytes);
  const std::string items = read_text_file(folder / "items.jsonl", kMaxItemsBytes);
  Suite suite = parse_suite(yaml, items, folder.string());
  suite.source = folder.string();
  std::error_code ignored;
  if (const auto rubric = folder / "rubric.yaml"; std::filesystem::exists(rubric, ignored)) {
    suite.rubric = read_text_file(rubric, kMaxYamlBytes);
  }
  return suite;
}

bool is_suite_folder(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path / "suite.yaml", ignored);
}

}  // namespace

Suite parse_suite(std::string_view suite_yaml, std::string_view items_jsonl, std::string_view where) {
  const std::string folder(where);
  if (suite_yaml.size() > kMaxYamlBytes) {
    fail(folder + "/suite.yaml", 1, fmt::format("more than {} bytes", kMaxYamlBytes));
  }
  Suite suite;
  YamlReader(folder + "/suite.yaml").read(suite_yaml, suite);
  suite.items = parse_items(items_jsonl, folder + "/items.jsonl");
  suite.sha256 = sha256_of(std::string(suite_yaml) + std::string(items_jsonl));
  return suite;
}

Suite find_suite(const std::string& name_or_path, const std::vector<std::filesystem::path>& folders) {
  if (is_suite_folder(name_or_path)) return suite_in_folder(name_or_path);
  if (std::optional<Suite> suite = load_public_suite(name_or_path)) return *std::move(suite);
  if (is_name(name_or_path)) {
    for (const std::filesystem::path& folder : folders) {
      if (is_suite_folder(folder / name_or_path)) return suite_in_folder(folder / name_or_path);
    }
    for (const EmbeddedSuite& embedded : embedded_suites()) {
      if (embedded.name != name_or_path) continue;
      Suite suite = parse_suite(embedded.suite_yaml, embedded.items_jsonl, "suites/" + name_or_path);
      suite.source = "built in";
      suite.rubric = embedded.rubric_yaml;
      return suite;
    }
  }
  throw Error(
      ErrorCode::kNotFound, "find suite",
      fmt::format("{}: neither a folder with suite.yaml nor a suite's name", printable(name_or_path, 200)),
      fmt::format("the suites here are: {}", fmt::join(suite_names(folders), ", ")));
}

Suite part_of(Suite suite, const SuitePart& part) {
  std::map<std::string, int64_t> n_of_type;
  for (const SuiteItem& item : suite.items) ++n_of_type[item.type];
  for (const std::string& type : part.types) {
    if (n_of_type.count(type) > 0) continue;
    std::vector<std::string> known;
    for (const auto& [name, n] : n_of_type) known.push_back(name);
    throw Error(ErrorCode::kUsage, "select questions",
                fmt::format("{}: suite \"{}\" has no questions of this type", printable(type, 100),
                            printable(suite.name)),
                fmt::format("its types are: {}", printable(fmt::format("{}", fmt::join(known, ", ")), 2000)));
  }
  std::vector<SuiteItem> chosen;
  std::map<std::string, int64_t> n_chosen;
  for (const SuiteItem& item : suite.items) {
    const bool is_of_type =
        part.types.empty() || std::find(part.types.begin(), part.types.end(), item.type) != part.types.end();
    if (is_of_type && (part.limit == 0 || n_chosen[item.type]++ < part.limit)) chosen.push_back(item);
  }
  if (chosen.size() == suite.items.size()) return suite;
  suite.part = {{"n_questions", chosen.size()}, {"n_all", suite.items.size()}};
  suite.part["types"] =
      part.types.empty() ? OrderedJson() : OrderedJson(fmt::format("{}", fmt::join(part.types, ",")));
  suite.part["limit"] = part.limit == 0 ? OrderedJson() : OrderedJson(part.limit);
  suite.items = std::move(chosen);
  return suite;
}

std::string_view language_of(const Suite& suite) {
  size_t n_chinese = 0, n_ascii = 0;
  for (const SuiteItem& item : suite.items) {
    bool has_han = false, has_other = false;
    for (size_t at = 0; at < item.prompt.size();) {
      const Utf8Char c = decode_utf8(item.prompt, at);
      at += static_cast<size_t>(c.length);
      has_han = has_han || (c.code >= 0x4E00 && c.code <= 0x9FFF);
      const bool is_kana_or_hangul =
          (c.code >= 0x3040 && c.code <= 0x30FF) || (c.code >= 0xAC00 && c.code <= 0xD7AF);
      has_other = has_other || is_kana_or_hangul;
    }
    n_chinese += has_han && !has_other ? 1 : 0;
    n_ascii += count_code_points(item.prompt) == item.prompt.size() ? 1 : 0;
  }
  if (2 * n_chinese > suite.items.size()) return "zh";
  return 2 * n_ascii > suite.items.size() ? "en" : "";
}

std::vector<std::string> suite_names(const std::vector<std::filesystem::path>& folders) {
  std::set<std::string> names;
  for (const EmbeddedSuite& embedded : embedded_suites()) names.emplace(embedded.name);
  for (const std::filesystem::path& folder : folders) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
      if (is_suite_folder(entry.path())) names.insert(entry.path().filename().string());
    }
  }
  return {names.begin(), names.end()};
}

}  // namespace chaski
