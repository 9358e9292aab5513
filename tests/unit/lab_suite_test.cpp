// Suites as data: the review's own, and what a suite's author sees for each mistake.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "lab/suite.h"

namespace chaski {
namespace {

using testing::HasSubstr;

constexpr std::string_view kYaml = "name: toy\nsettings: {temperature: 0, max_new_tokens: 8}\n";
constexpr std::string_view kItem = R"({"id": "a", "type": "code", "prompt": "p"})";

std::string refusal(std::string_view yaml, std::string_view items) {
  try {
    parse_suite(yaml, items, "toy");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    return error.what();
  }
  return "accepted";
}

TEST(Suite, TheReviewsSuiteIsTheReviewsFiveQuestionsInOrderWithItsSettings) {
  const Suite suite = find_suite("review-zh", {});
  EXPECT_EQ(suite.source, "built in");
  const std::vector<std::pair<std::string, std::string>> expected{
      {"self-introduction", "请介绍一下你自己"},
      {"code", "写一个Python函数计算斐波那契数列"},
      {"commonsense", "中国的首都是哪里?"},
      {"concept", "请解释一下机器学习是什么"},
      {"arithmetic", "1+2+3+4+5等于多少?"}};
  std::vector<std::pair<std::string, std::string>> found;
  for (const SuiteItem& item : suite.items) found.emplace_back(item.type, item.prompt);
  EXPECT_EQ(found, expected);
  EXPECT_EQ(suite.settings.max_length, 512);
  EXPECT_EQ(suite.settings.temperature, 0.7);
  EXPECT_EQ(suite.settings.top_p, 0.9);
  EXPECT_EQ(suite.settings.repetition_penalty, 1.1);
  EXPECT_EQ(suite.settings.top_k, 50);
  EXPECT_FALSE(suite.settings.seed);
  EXPECT_TRUE(suite.is_timed_alone) << "the seconds of each question are its result";
  EXPECT_EQ(suite.types.at("code").in(Lang::kZh), "代码生成");
}

TEST(Suite, EverySuiteOfTheSourceTreeIsBuiltInUnchanged) {
  for (const auto& folder : std::filesystem::directory_iterator(CHASKI_SUITES)) {
    if (!std::filesystem::exists(folder.path() / "suite.yaml")) continue;  // the rubric, answers to score
    const Suite from_folder = find_suite(folder.path().string(), {});
    EXPECT_EQ(find_suite(folder.path().filename().string(), {}).sha256, from_folder.sha256);
  }
}

TEST(Suite, AFolderOfTheReadersOwnGoesBeforeWhatIsBuiltIn) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "own-suites";
  std::filesystem::create_directories(folder / "review-zh");
  std::ofstream(folder / "review-zh/suite.yaml") << "name: review-zh\ntitle: mine\n";
  std::ofstream(folder / "review-zh/items.jsonl") << kItem << "\n";
  const Suite suite = find_suite("review-zh", {folder});
  EXPECT_EQ(suite.title.zh, "mine");
  EXPECT_EQ(suite.source, (folder / "review-zh").string());
  std::filesystem::remove_all(folder);
}

TEST(Suite, ItsOwnRubricIsFoundBesideItAndNoRubricIsNone) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "suite-with-rubric";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "suite.yaml") << "name: toy\ntiming: batched\n";
  std::ofstream(folder / "items.jsonl") << kItem << "\n";
  const Suite without = find_suite(folder.string(), {});
  EXPECT_EQ(without.rubric, "");
  EXPECT_FALSE(without.is_timed_alone);
  std::ofstream(folder / "rubric.yaml") << "name: mine\n";
  const Suite with = find_suite(folder.string(), {});
  EXPECT_EQ(with.rubric, "name: mine\n");
  EXPECT_EQ(with.sha256, without.sha256) << "questions are the same under every rubric";
  std::filesystem::remove_all(folder);
}

TEST(Suite, AnUnknownNameIsAnsweredWithTheNamesThereAre) {
  try {
    find_suite("revue-zh", {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.hint(), HasSubstr("review-zh"));
  }
  EXPECT_THROW(find_suite("../../etc", {}), Error);
}

TEST(Suite, FurtherFieldsOfALineAreKeptForScorers) {
  const Suite suite = parse_suite(kYaml, R"({"id":"a","type":"code","prompt":"p","expects":["15"]})", "toy");
  EXPECT_EQ(suite.items[0].extra.dump(), R"({"expects":["15"]})");
  EXPECT_EQ(suite.settings.temperature, 0.0);
  EXPECT_EQ(suite.settings.max_new_tokens, 8);
}

std::vector<std::string> ids_of(const Suite& suite) {
  std::vector<std::string> ids;
  for (const SuiteItem& item : suite.items) ids.push_back(item.id);
  return ids;
}

TEST(Suite, APartIsTheFirstOfEachTypeInOrderAndSaysThatItIsNotAll) {
  std::string items;
  for (const char* item : {"a1", "b1", "a2", "b2", "a3"}) {
    items += fmt::format("{{\"id\": \"{}\", \"type\": \"{}\", \"prompt\": \"p\"}}\n", item, item[0]);
  }
  const Suite whole = parse_suite(kYaml, items, "toy");
  EXPECT_TRUE(whole.part.is_null());
  const Suite first = part_of(whole, {{}, 2});
  EXPECT_THAT(ids_of(first), testing::ElementsAre("a1", "b1", "a2", "b2"));
  EXPECT_EQ(first.sha256, whole.sha256) << "by which the questions are found again";
  EXPECT_EQ(first.part.dump(), R"({"n_questions":4,"n_all":5,"types":null,"limit":2})");
  EXPECT_THAT(ids_of(part_of(whole, {{"a"}, 0})), testing::ElementsAre("a1", "a2", "a3"));
  const Suite both = part_of(whole, {{"b", "a"}, 1});
  EXPECT_THAT(ids_of(both), testing::ElementsAre("a1", "b1"));
  EXPECT_EQ(both.part["types"], "b,a");
  EXPECT_TRUE(part_of(whole, {{"b", "a"}, 3}).part.is_null()) << "that is all of it";
  try {
    part_of(whole, {{"c"}, 0});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    EXPECT_THAT(error.hint(), HasSubstr("a, b"));
  }
}

TEST(Suite, ItsLanguageIsToldFromItsQuestions) {
  EXPECT_EQ(language_of(find_suite("chaski-zh", {})), "zh");
  EXPECT_EQ(language_of(find_suite("chaski-en", {})), "en");
  const auto of = [](const std::string& prompt) {
    return language_of(parse_suite(kYaml, R"({"id": "a", "type": "t", "prompt": ")" + prompt + "\"}", "toy"));
  };
  EXPECT_EQ(of("日本の首都はどこですか"), "");
  EXPECT_EQ(of("Où est la gare ?"), "");
}

TEST(Suite, ABadLineIsNamedAndNeverSkipped) {
  const std::string good(kItem);
  EXPECT_THAT(refusal(kYaml, good + "\n{\"id\": 1}\n"), HasSubstr("toy/items.jsonl line 2"));
  EXPECT_THAT(refusal(kYaml, good + "\nnot json\n"), HasSubstr("toy/items.jsonl line 2"));
  EXPECT_THAT(refusal(kYaml, good + "\n\n" + good), HasSubstr("line 2: is empty"));
  EXPECT_THAT(refusal(kYaml, good + "\n" + good), HasSubstr("\"a\" was used before"));
  EXPECT_THAT(refusal(kYaml, R"({"id":"a","type":"code"})"), HasSubstr("prompt"));
  EXPECT_THAT(refusal(kYaml, R"({"id":"../a","type":"code","prompt":"p"})"), HasSubstr("id: expected"));
  EXPECT_THAT(refusal(kYaml, "{\"id\":\"a\",\"type\":\"code\",\"prompt\":\"\xFF\"}"), HasSubstr("line 1"));
  EXPECT_THAT(refusal(kYaml, ""), HasSubstr("no items"));
  EXPECT_THAT(refusal(kYaml, std::string((1u << 20) + 1, ' ')), HasSubstr("at most"));
}

TEST(Suite, ABadSettingIsNamedByLine) {
  EXPECT_THAT(refusal("name: toy\nsettings:\n  temprature: 1\n", kItem),
              HasSubstr("suite.yaml line 3: unknown setting"));
  EXPECT_THAT(refusal("name: toy\nsettings:\n  top_k: many\n", kItem),
              HasSubstr("line 3: top_k: expected a whole number"));
  for (const char* seed : {"-1", "9007199254740992", "1.5", "many"}) {
    EXPECT_THAT(refusal(fmt::format("name: toy\nsettings:\n  seed: {}\n", seed), kItem),
                HasSubstr("line 3: seed: expected a whole number from 0 to 9007199254740991"));
  }
  EXPECT_THAT(refusal("name: toy\nname: boy\n", kItem), HasSubstr("line 2: key \"name\" stands twice"));
  EXPECT_THAT(refusal("name: toy\ntiming: fast\n", kItem), HasSubstr("line 2: timing: expected alone"));
  EXPECT_THAT(refusal("title: t\n", kItem), HasSubstr("has no name"));
  EXPECT_THAT(refusal("name: [", kItem), HasSubstr("suite.yaml line"));
  EXPECT_THAT(refusal("just text", kItem), HasSubstr("expected a map"));
  EXPECT_THAT(refusal(std::string(5000, '['), kItem), HasSubstr("suite.yaml line"));
  EXPECT_THAT(refusal("name: toy\ntitle: {fr: bonjour}\n", kItem), HasSubstr("languages zh and en"));
}

}  // namespace
}  // namespace chaski
