// Rubrics as data: which names there are, and the strict reading of rubric.yaml.
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/utf8.h"
#include "lab/embedded_suites.h"
#include "lab/scorer.h"

namespace chaski {
namespace {

constexpr size_t kMaxYamlBytes = 64u << 10;
constexpr size_t kMaxTexts = 400;  // of one list
constexpr size_t kMaxTextBytes = 200;
constexpr double kMaxLimit = 1e9;

using Names = std::set<std::string>;

struct TypeNames {
  Names weights, caps;
};
const std::map<std::string, TypeNames>& type_names() {
  static const std::map<std::string, TypeNames> names{
      {"arithmetic",
       {{"final", "steps", "stated_last"}, {"wrong_final", "no_number", "other_language", "empty"}}},
      {"code",
       {{"syntax", "tests", "signature", "behaviour"},
        {"no_code", "syntax_error", "no_test_passed", "timed_out", "other_language", "empty"}}},
      {"commonsense", {{"match", "consistent"}, {"contradiction", "refusal", "other_language", "empty"}}},
      {"concept",
       {{"keywords", "relations", "length", "structure", "no_false_statement"},
        {"low_coverage", "no_coverage", "other_language", "empty"}}},
      {"self-introduction",
       {{"states_ai", "identity", "abilities", "language", "length"},
        {"false_identity", "other_language", "empty"}}}};
  return names;
}
const Names kPenalties{"wrong_language", "markup_noise",     "markup_page", "needless_heading",
                       "repetition",     "heavy_repetition", "truncated"};
const Names kLimits{"max_answer_bytes",  "language_share",    "language_share_low",  "language_min_weight",
                    "latin_word_weight", "distinct_4grams",   "distinct_4grams_low", "repetition_min_zh",
                    "repetition_min_en", "cycle_min_zh",      "cycle_min_en",        "heading_min_zh",
                    "heading_min_en",    "markup_page_share", "negation_window_zh",  "negation_window_en",
                    "coverage_low",      "concept_min_zh",    "concept_max_zh",      "concept_min_en",
                    "concept_max_en",    "intro_min_zh",      "intro_max_zh",        "intro_min_en",
                    "intro_max_en",      "paragraph_max_zh",  "paragraph_max_en",    "abilities",
                    "code_seconds"};
const Names kWords{"answer_markers",  "sum_markers",  "conclusions",  "negations",    "affirmations",
                   "negations_after", "copulas",      "alternatives", "fillers",      "refusals",
                   "states_ai",       "first_person", "claims",       "person_roles", "person_facts",
                   "special_tokens",  "placeholders", "role_headers", "html_tags",    "markup_topics"};
const Names kGroups{"makers", "abilities"};

class Reader {
 public:
  explicit Reader(std::string_view where) : where_(where) {}

  Rubric read(std::string_view text) const {
    Rubric rubric;
    try {
      const YAML::Node root = YAML::Load(std::string(text));
      for_each(root, "rubric", {"name", "types", "penalties", "limits", "words", "groups"},
               [&](const std::string& key, const YAML::Node& value) {
                 if (key == "name") rubric.name = text_of(value, key);
                 if (key == "types") read_types(value, rubric);
                 if (key == "penalties") rubric.penalties = numbers(value, key, kPenalties, 0, 4);
                 if (key == "limits") rubric.limits = numbers(value, key, kLimits, 0, kMaxLimit);
                 if (key == "words") {
                   for_each(value, key, kWords, [&](const std::string& name, const YAML::Node& list) {
                     rubric.words[name] = texts(list, name);
                   });
                 }
                 if (key == "groups") read_groups(value, rubric);
               });
      if (rubric.name.empty()) fail_at(root, "name: is empty");
      check_pairs(root, rubric);
    } catch (const YAML::Exception& e) {
      fail(std::max(0, e.mark.line) + 1, printable(e.msg, 200));
    }
    return rubric;
  }

  [[noreturn]] void fail(int line, const std::string& message) const {
    throw Error(ErrorCode::kCorrupt, "read rubric", fmt::format("{} line {}: {}", where_, line, message),
                "docs/en/scoring.md says what stands in a rubric; suites/rubric.yaml is the built-in one");
  }

 private:
  [[noreturn]] void fail_at(const YAML::Node& node, const std::string& message) const {
    fail(std::max(0, node.Mark().line) + 1, message);
  }

  /// Visits a map that has all of `names`, or some of them where `is_whole` is false, and no others.
  template <typename Visit>
  void for_each(const YAML::Node& map, const std::string& what, const Names& names, const Visit& visit,
                bool is_whole = true) const {
    if (!map.IsMap()) fail_at(map, what + ": expected a map of names and values");
    Names seen;
    for (const auto& entry : map) {
      const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : std::string();
      if (!names.contains(key)) {
        fail_at(entry.first, fmt::format("{}: unknown name \"{}\"; known are {}", what, printable(key),
                                         fmt::join(names, ", ")));
      }
      if (!seen.insert(key).second) fail_at(entry.first, fmt::format("{}: \"{}\" stands twice", what, key));
      visit(key, entry.second);
    }
    for (const std::string& name : names) {
      if (is_whole && !seen.contains(name)) fail_at(map, fmt::format("{}: has no \"{}\"", what, name));
    }
  }

  std::map<std::string, double> numbers(const YAML::Node& map, const std::string& what, const Names& names,
                                        double least, double most) const {
    std::map<std::string, double> values;
    for_each(map, what, names, [&](const std::string& name, const YAML::Node& node) {
      double value = NAN;
      try {
        if (node.IsScalar()) value = node.as<double>();
      } catch (const YAML::BadConversion&) {  // said below
      }
      if (!(value >= least && value <= most)) {
        fail_at(node, fmt::format("{} {}: expected a number from {} to {}, found \"{}\"", what, name, least,
                                  most, node.IsScalar() ? printable(node.Scalar()) : "a list or map"));
      }
      values[name] = value;
    });
    return values;
  }

  void read_types(const YAML::Node& map, Rubric& rubric) const {
    Names names;
    for (const auto& [name, parts] : type_names()) names.insert(name);
    for_each(
        map, "types", names,
        [&](const std::string& name, const YAML::Node& node) {
          const TypeNames& known = type_names().at(name);
          Rubric::Type& type = rubric.types[name];
          for_each(node, name, {"weights", "caps"}, [&](const std::string& key, const YAML::Node& value) {
            if (key == "weights") type.weights = numbers(value, name + " weights", known.weights, 0, 1);
            if (key == "caps") type.caps = numbers(value, name + " caps", known.caps, 1, 5);
          });
          double sum = 0;
          for (const auto& [component, weight] : type.weights) sum += weight;
          if (std::abs(sum - 1) > 1e-9)
            fail_at(node, fmt::format("{}: the weights sum to {:.6g}, not 1", name, sum));
        },
        false);
  }

  void read_groups(const YAML::Node& map, Rubric& rubric) const {
    for_each(map, "groups", kGroups, [&](const std::string& name, const YAML::Node& list) {
      if (!list.IsSequence() || list.size() > kMaxTexts) {
        fail_at(list, fmt::format("{}: expected a list of at most {} lists", name, kMaxTexts));
      }
      for (const YAML::Node& group : list) rubric.groups[name].push_back(texts(group, name));
    });
  }

  std::vector<std::string> texts(const YAML::Node& list, const std::string& what) const {
    if (!list.IsSequence() || list.size() == 0 || list.size() > kMaxTexts) {
      fail_at(list, fmt::format("{}: expected a list of 1 to {} texts", what, kMaxTexts));
    }
    std::vector<std::string> all;
    for (const YAML::Node& text : list) all.push_back(text_of(text, what));
    return all;
  }

  std::string text_of(const YAML::Node& node, const std::string& what) const {
    if (!node.IsScalar() || node.Scalar().empty() || node.Scalar().size() > kMaxTextBytes ||
        !is_valid_utf8(node.Scalar())) {
      fail_at(node, fmt::format("{}: expected a text of 1 to {} bytes", what, kMaxTextBytes));
    }
    return node.Scalar();
  }

  /// Limits that only make sense together.
  void check_pairs(const YAML::Node& root, const Rubric& rubric) const {
    for (const auto& [low, high] :
         std::map<std::string, std::string>{{"language_share_low", "language_share"},
                                            {"distinct_4grams_low", "distinct_4grams"},
                                            {"concept_min_zh", "concept_max_zh"},
                                            {"concept_min_en", "concept_max_en"},
                                            {"intro_min_zh", "intro_max_zh"},
                                            {"intro_min_en", "intro_max_en"}}) {
      if (rubric.limits.at(low) > rubric.limits.at(high)) {
        fail_at(root["limits"], fmt::format("limits: {} is above {}", low, high));
      }
    }
  }

  std::string where_;
};

}  // namespace

Rubric parse_rubric(std::string_view yaml, std::string_view where) {
  const Reader reader(where);
  if (yaml.size() > kMaxYamlBytes) reader.fail(1, fmt::format("more than {} bytes", kMaxYamlBytes));
  Rubric rubric = reader.read(yaml);
  rubric.sha256 = sha256_of(yaml);
  return rubric;
}

const Rubric& default_rubric() {
  static const Rubric rubric = parse_rubric(embedded_rubric(), "suites/rubric.yaml");
  return rubric;
}

}  // namespace chaski
