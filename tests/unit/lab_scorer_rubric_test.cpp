// Rubrics as data: the built-in one, and what an author sees for each mistake.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files.h"
#include "lab/scorer.h"

namespace chaski {
namespace {

using testing::HasSubstr;

std::string built_in() { return read_text_file(std::string(CHASKI_SUITES) + "/rubric.yaml"); }

std::string changed(const std::string& from, const std::string& to) {
  std::string text = built_in();
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string refusal(const std::string& yaml) {
  try {
    parse_rubric(yaml, "mine.yaml");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    return error.what();
  }
  return "accepted";
}

TEST(Rubric, TheBuiltInOneIsTheFileOfTheSourceTreeAndItsHashIsKnown) {
  EXPECT_EQ(default_rubric().sha256, sha256_of(built_in()));
  EXPECT_EQ(default_rubric().types.size(), 5u);
  EXPECT_EQ(default_rubric().name.rfind("chaski-rubric/", 0), 0u);
}

TEST(Rubric, AnotherNumberGivesAnotherHash) {
  const Rubric rubric = parse_rubric(changed("markup_noise: 1", "markup_noise: 2"), "mine.yaml");
  EXPECT_EQ(rubric.penalties.at("markup_noise"), 2);
  EXPECT_NE(rubric.sha256, default_rubric().sha256);
}

TEST(Rubric, AMistakeIsNamedByLineAndName) {
  EXPECT_THAT(refusal(changed("final: 0.7", "final: 0.6")), HasSubstr("arithmetic: the weights sum to 0.9"));
  EXPECT_THAT(refusal(changed("final: 0.7", "finale: 0.7")), HasSubstr("unknown name \"finale\""));
  EXPECT_THAT(refusal(changed("wrong_final: 2, ", "")), HasSubstr("has no \"wrong_final\""));
  EXPECT_THAT(refusal(changed("wrong_final: 2", "wrong_final: 7")), HasSubstr("from 1 to 5, found \"7\""));
  EXPECT_THAT(refusal(changed("truncated: 0.5", "truncated: nan")), HasSubstr("truncated"));
  EXPECT_THAT(refusal(changed("truncated: 0.5", "truncated: [1]")), HasSubstr("a list or map"));
  EXPECT_THAT(refusal(changed("concept_min_zh: 60", "concept_min_zh: 600")),
              HasSubstr("concept_min_zh is above"));
  EXPECT_THAT(refusal(changed("  arithmetic:", "  poetry:")), HasSubstr("mine.yaml line 6"));
  EXPECT_THAT(refusal("name: [\n"), HasSubstr("line"));
  EXPECT_THAT(refusal(""), HasSubstr("expected a map"));
  EXPECT_THAT(refusal(std::string(100'000, '#')), HasSubstr("more than 65536 bytes"));
}

TEST(Rubric, TypesMayBeLeftOut) {
  std::string text = built_in();
  const size_t begin = text.find("  concept:\n"), end = text.find("  self-introduction:\n");
  text.erase(begin, end - begin);
  EXPECT_EQ(parse_rubric(text, "mine.yaml").types.count("concept"), 0u);
}

}  // namespace
}  // namespace chaski
