#include "lab/gsm8k.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "lab/final_answer.h"

namespace chaski {
namespace {

constexpr std::string_view kOperation = "read GSM8K";
constexpr std::string_view kPlace = "{prompt}";

/// Written for this program, in the manner of those in Wei et al. 2022, so that nothing need be fetched to
/// run. One step or two each, integers, and the ending that strict-match looks for.
constexpr std::pair<std::string_view, std::string_view> kExamples[] = {
    {"A shelf holds 18 jars. The cook adds some more, and then there are 25 jars. How many jars did the cook "
     "add?",
     "The shelf had 18 jars at first and 25 jars afterwards. The cook added 25 - 18 = 7 jars. The answer is "
     "7."},
    {"Two buses are at the stop and 5 more arrive. How many buses are at the stop now?",
     "There were 2 buses. With 5 more there are 2 + 5 = 7 buses. The answer is 7."},
    {"Wei picked 27 pears and her brother picked 36. They gave 19 of them to a neighbour. How many pears do "
     "they have "
     "left?",
     "Together they picked 27 + 36 = 63 pears. After giving 19 away they have 63 - 19 = 44. The answer is "
     "44."},
    {"Tomas had 31 stamps. He sent some letters, and now he has 22 stamps. How many stamps did he use?",
     "Tomas started with 31 stamps and has 22 left. He used 31 - 22 = 9 stamps. The answer is 9."},
    {"A kitten weighs 400 grams. It gains 30 grams a day for 6 days. How many grams does it weigh then?",
     "In 6 days the kitten gains 30 * 6 = 180 grams. It then weighs 400 + 180 = 580 grams. The answer is "
     "580."},
    {"A library lends 14 books each day from Monday to Friday, and 20 books on Saturday. How many books does "
     "it lend in "
     "these six days?",
     "Monday to Friday are 5 days, with 14 * 5 = 70 books. With Saturday that is 70 + 20 = 90 books. The "
     "answer is "
     "90."},
    {"Ines had 72 beads. On Tuesday she used 15 of them, and on Wednesday twice as many. How many beads are "
     "left?",
     "On Wednesday she used 15 * 2 = 30 beads. In all she used 15 + 30 = 45. So 72 - 45 = 27 beads are left. "
     "The "
     "answer is 27."},
    {"Omar has $40. He buys 3 notebooks for $6 each. How much money does he have left?",
     "3 notebooks for 6 dollars each cost 3 * 6 = 18 dollars. Omar has 40 - 18 = 22 dollars left. The answer "
     "is 22."},
};

std::string example_text(std::string_view question, std::string_view answer) {
  return fmt::format("Q: {}\nA: {}\n\n", question, answer);
}

std::string own_examples() {
  std::string text;
  for (const auto& [question, answer] : kExamples) text += example_text(question, answer);
  return text;
}

std::string text_field(const Json& fields, std::string_view key, const std::string& place) {
  std::string text = require_string(fields, key, place);
  if (text.empty())
    throw Error(ErrorCode::kCorrupt, std::string(kOperation), fmt::format("{}: {} is empty", place, key));
  return text;
}

std::string examples_of(std::string_view jsonl, std::string_view where) {
  std::string text;
  for_each_json_line(jsonl, where, kOperation, [&](const Json& fields, const std::string& place) {
    const std::string answer = text_field(fields, "answer", place);
    if (!strict_match(answer)) {
      throw Error(
          ErrorCode::kCorrupt, std::string(kOperation),
          fmt::format("{}: answer: expected an example that ends in \"The answer is\", the number and a full "
                      "stop",
                      place));
    }
    text += example_text(text_field(fields, "question", place), answer);
  });
  if (text.find(kPlace) != std::string::npos) {
    throw Error(ErrorCode::kCorrupt, std::string(kOperation),
                fmt::format("{}: {} stands in an example, where the question would be put", where, kPlace));
  }
  if (text.empty())
    throw Error(ErrorCode::kCorrupt, std::string(kOperation), fmt::format("{}: has no examples", where));
  return text;
}

std::string read_file(const std::string& path) {
  try {
    return read_public_file(path);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    throw Error(
        ErrorCode::kNotFound, std::string(kOperation), fmt::format("{} is not there", printable(path, 200)),
        "fetch test.jsonl of GSM8K by OpenAI (the data set openai/gsm8k on ModelScope and Hugging Face, or "
        "the "
        "repository openai/grade-school-math); it is named as gsm8k:FILE, or gsm8k:FILE:EXAMPLES with a "
        "file of worked examples of your own");
  }
}

class Gsm8k final : public PublicSuite {
 public:
  std::string_view name() const override { return "gsm8k"; }

  Suite load(const std::string& place) const override {
    std::error_code ignored;
    const size_t colon = place.rfind(':');
    if (colon == std::string::npos || std::filesystem::exists(place, ignored)) {
      return parse_gsm8k(read_file(place), place);
    }
    const std::string file = place.substr(0, colon), examples = place.substr(colon + 1);
    return parse_gsm8k(read_file(file), file, read_file(examples), examples);
  }

  ScoreRecord score(const SuiteItem& item, const AnswerRecord& answer, CodeRunner* /*runner*/,
                    const CancelToken& /*cancel*/) const override {
    ScoreRecord score;
    score.id = answer.id;
    score.sample = answer.sample;
    score.scorer = "exact";
    const std::string reference = item.extra.at("answer").get<std::string>();
    const auto add = [&](std::string name, double weight, const std::optional<std::string>& found) {
      score.components.push_back(
          {std::move(name), weight, is_exact_match(found, reference) ? 1.0 : 0.0,
           fmt::format("{}, expected {}", found ? *found : "no number", printable(reference, 100))});
    };
    add("strict-match", 1.0, strict_match(answer.answer));
    add("flexible-extract", 0.0, flexible_extract(answer.answer));
    score.is_correct = score.components[0].value == 1.0;
    return score;
  }

  std::vector<TaskResult> results(std::span<const ScoreRecord> scores) const override {
    std::vector<TaskResult> results;
    for (const char* filter : {"strict-match", "flexible-extract"}) {
      std::vector<double> shares;
      for (const auto& [id, share] : component_by_item(scores, filter)) shares.push_back(share);
      if (shares.empty()) continue;
      results.push_back(mean_result(std::string(name()), fmt::format("exact_match, {}", filter), shares));
    }
    return results;
  }
};

}  // namespace

const PublicSuite& gsm8k() {
  static const Gsm8k suite;
  return suite;
}

Suite parse_gsm8k(std::string_view jsonl, std::string_view where, std::string_view examples,
                  std::string_view examples_where) {
  Suite suite;
  suite.name = "gsm8k";
  suite.title = {"GSM8K", "GSM8K"};
  suite.types["arithmetic"] = {"Arithmetic", "算术"};
  suite.settings.temperature = 0;
  suite.settings.max_new_tokens = 256;
  suite.settings.stop = {"Q:", "</s>", "<|im_end|>"};
  const std::string lead = examples_where.empty() ? own_examples() : examples_of(examples, examples_where);
  suite.prompt_template = fmt::format("raw:{}Q: {}\nA:", lead, kPlace);
  suite.sha256 = sha256_of(std::string(jsonl) + lead);
  for_each_json_line(jsonl, where, kOperation, [&](const Json& fields, const std::string& place) {
    SuiteItem item;
    item.id = fmt::format("{}", suite.items.size());
    item.type = "arithmetic";
    item.prompt = text_field(fields, "question", place);
    item.extra["answer"] = reference_answer(text_field(fields, "answer", place));
    if (item.extra["answer"].get_ref<const std::string&>().empty()) {
      throw Error(ErrorCode::kCorrupt, std::string(kOperation),
                  fmt::format("{}: nothing stands after ####", place));
    }
    suite.items.push_back(std::move(item));
  });
  if (suite.items.empty()) {
    throw Error(ErrorCode::kCorrupt, std::string(kOperation), fmt::format("{}: has no problems", where));
  }
  return suite;
}

}  // namespace chaski
