#include "base/json.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace chaski {
namespace {

std::string refusal(std::string_view text, const JsonLimits& limits = {}) {
  try {
    parse_json(text, "x.json", limits);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    return error.what();
  }
  return "accepted";
}

TEST(Json, NamesTheFileAndTheOffsetOfASyntaxError) {
  const std::string text = refusal(R"({"a": 1,})");
  EXPECT_NE(text.find("x.json"), std::string::npos) << text;
  EXPECT_NE(text.find("offset 9"), std::string::npos) << text;
}

TEST(Json, RefusesWhatParsersDisagreeOn) {
  EXPECT_NE(refusal(R"({"a":1,"a":2})").find("twice"), std::string::npos);
  EXPECT_NE(refusal("{} {}"), "accepted");
  EXPECT_NE(refusal("// no\n{}"), "accepted");
  EXPECT_NE(refusal("\xEF\xBB\xBF{}"), "accepted");
  EXPECT_NE(refusal("[1e400]"), "accepted");
  EXPECT_NE(refusal("[\"\\ud800\"]"), "accepted");
  EXPECT_NE(refusal("[\"\xC3\x28\"]"), "accepted");
  EXPECT_NE(refusal("[NaN]"), "accepted");
  EXPECT_NE(refusal(""), "accepted");
}

TEST(Json, RefusesDepthAndSizeBeforeTheyCost) {
  EXPECT_NE(refusal(std::string(100000, '[')).find("nested deeper"), std::string::npos);
  EXPECT_NE(refusal(std::string(100, ' '), {.max_bytes = 10}).find("at most 10"), std::string::npos);
}

TEST(Json, NonFiniteLiteralsMayStandInFieldsNobodyReads) {
  const Json config = parse_json(R"({"a": Infinity, "b": [-Infinity, NaN], "c": "NaN \" Infinity", "d": 2})",
                                 "x.json", {.allow_nonfinite_literals = true});
  EXPECT_EQ(get_int(config, "d", 0, "x.json"), 2);
  EXPECT_EQ(config["c"], "NaN \" Infinity");
  EXPECT_THROW(get_number(config, "a", 0, "x.json"), Error);
}

TEST(Json, NonFiniteLiteralsAreNoKeys) {
  const JsonLimits limits{.allow_nonfinite_literals = true};
  for (const char* text : {"{NaN: 1}", "{\"a\": 1, Infinity :1}", "{-Infinity\n:1}", "[NaN: 1]", "NaN:1"}) {
    EXPECT_NE(refusal(text, limits).find("invalid JSON"), std::string::npos) << text;
  }
}

TEST(Json, SmallTextCannotBecomeALargeTree) {
  const auto repeat = [](const std::string& begin, const std::string& unit, const std::string& end) {
    std::string text = begin;
    text.reserve(64u << 20);
    while (text.size() + unit.size() + end.size() <= 64u << 20) text += unit;
    return text + end;
  };
  for (const std::string unit : {"[],", "{},", "0,", "[[0]],"}) {
    EXPECT_NE(refusal(repeat("[", unit, "0]")).find("more than 1000000 values"), std::string::npos) << unit;
  }
  EXPECT_NE(refusal("[1,[2],{\"a\":3}]", {.max_nodes = 5}).find("more than 5 values"), std::string::npos);
  EXPECT_EQ(refusal("[1,[2],{\"a\":3}]", {.max_nodes = 6}), "accepted");
}

TEST(Json, IntegersMustBeIntegers) {
  const Json config = parse_json(
      R"({"a": 1e3, "b": 99999999999999999999, "c": "3", "d": 9223372036854775808, "e": -0})", "x.json");
  for (const char* key : {"a", "b", "c", "d"}) EXPECT_THROW(require_int(config, key, "x.json"), Error) << key;
  EXPECT_EQ(require_int(config, "e", "x.json"), 0);
  EXPECT_THROW(require_int(config, "missing", "x.json"), Error);
}

TEST(Json, ManyKeysStayFast) {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += fmt::format("\"k{}\":{},", i, i);
  text += "\"end\":0}";
  EXPECT_EQ(parse_json(text, "x.json").size(), 200001u);
}

TEST(Json, OrderedKeepsTheOrderOfKeys) {
  EXPECT_EQ(to_json_text(parse_ordered_json(R"({"z":1,"a":[{"y":1,"b":2}]})", "x")),
            R"({"z":1,"a":[{"y":1,"b":2}]})");
}

TEST(Json, DumpsAnyBytesAModelCanProduce) { EXPECT_EQ(to_json_text(Json("a\xFF")), "\"a\xEF\xBF\xBD\""); }

}  // namespace
}  // namespace chaski
