// Numbers in text: how people and models write them, which is the answer, and equations beside it.
#include <gtest/gtest.h>

#include "lab/numbers_in_text.h"
#include "lab/scorer.h"

namespace chaski {
namespace {

std::string value_of(const std::string& text) {
  const auto quantity = parse_quantity(text);
  if (!quantity) return "none";
  return std::to_string(quantity->value.num) + "/" + std::to_string(quantity->value.den);
}

std::string final_of(const std::string& text) {
  const auto& words = default_rubric().words;
  const auto found =
      find_final_number(text, {words.at("answer_markers"), words.at("sum_markers"), words.at("conclusions")});
  if (!found) return "none";
  return std::to_string(found->quantity.value.num) + "/" + std::to_string(found->quantity.value.den);
}

std::string steps_of(const std::string& text) {
  const EquationCheck check = check_equations(text);
  return std::to_string(check.n_true) + " of " + std::to_string(check.n);
}

TEST(NumbersInText, EveryUsualWritingOfANumberIsRead) {
  const std::vector<std::pair<std::string, std::string>> cases{{"15", "15/1"},
                                                               {"－５", "-5/1"},
                                                               {"−5", "-5/1"},
                                                               {"1,234,567", "1234567/1"},
                                                               {"3.50", "7/2"},
                                                               {"25%", "1/4"},
                                                               {"２５％", "1/4"},
                                                               {"百分之二十五", "1/4"},
                                                               {"1/3", "1/3"},
                                                               {"2/6", "1/3"},
                                                               {"1 1/2", "3/2"},
                                                               {"½", "1/2"},
                                                               {"三分之二", "2/3"},
                                                               {"3又1/2", "7/2"},
                                                               {"三又二分之一", "7/2"},
                                                               {"\\frac{3}{4}", "3/4"},
                                                               {"2\\frac{1}{2}", "5/2"},
                                                               {"一百二十三点五", "247/2"},
                                                               {"十五", "15/1"},
                                                               {"两千零五", "2005/1"},
                                                               {"二〇二四", "2024/1"},
                                                               {"一亿二千万", "120000000/1"},
                                                               {"3.5亿", "350000000/1"},
                                                               {"1万2千", "12000/1"},
                                                               {"萬", "none"},
                                                               {"負十", "-10/1"},
                                                               {"壹佰贰拾叁", "123/1"},
                                                               {"twenty-five", "25/1"},
                                                               {"one hundred and five", "105/1"},
                                                               {"5 million", "5000000/1"},
                                                               {"3千克", "3/1"},
                                                               {"2千米", "2/1"},
                                                               {"99999999999999999999", "none"},
                                                               {"1 2", "none"},
                                                               {"", "none"},
                                                               {"x", "none"},
                                                               {"1/0", "none"}};
  for (const auto& [text, value] : cases) EXPECT_EQ(value_of(text), value) << text;
}

TEST(NumbersInText, TheFinalNumberIsTheOneThatIsStated) {
  EXPECT_EQ(final_of("The answer is 15, because there are 5 numbers."), "15/1");
  EXPECT_EQ(final_of("答案是 15。验证:15-5=10。"), "15/1");
  EXPECT_EQ(final_of("\\boxed{15} 是 5 个数的和"), "15/1");
  EXPECT_EQ(final_of("答案是10。不对,答案是15。"), "15/1");
  EXPECT_EQ(final_of("1+2+3+4+5=15。这里有5个数。"), "15/1");
  EXPECT_EQ(final_of("15 = 1+2+3+4+5"), "15/1");
  EXPECT_EQ(final_of("答案是一个数:15"), "15/1");
  EXPECT_EQ(final_of("答案是五个。"), "5/1");
  EXPECT_EQ(final_of("17÷5=3……2"), "3/1");
  EXPECT_EQ(final_of("x = 7"), "7/1");
  EXPECT_EQ(final_of("一个统一的十分好的回答"), "10/1") << "nothing better is there";
  EXPECT_EQ(final_of("没有数"), "none");
  EXPECT_EQ(final_of("The sum is 90, the four are 70, so the fifth is 20."), "20/1");
  EXPECT_EQ(final_of("五个数的总和是90。四个的和是4*17.5=70。所以第五个是90-70=20。"), "20/1");
  EXPECT_EQ(final_of("So the sum is 15, as you also add 5 to 10."), "15/1") << "nothing is concluded";
}

TEST(NumbersInText, EquationsAreCheckedExactly) {
  EXPECT_EQ(steps_of("1+2=3, 3+3=6, 6+4=11"), "2 of 3");
  EXPECT_EQ(steps_of("0.1+0.2=0.3"), "1 of 1");
  EXPECT_EQ(steps_of("1+2+3 = 3+3 = 6"), "2 of 2");
  EXPECT_EQ(steps_of("(1+2)*3=9, 2^10=1024, 2**3=8"), "3 of 3");
  EXPECT_EQ(steps_of("12 × 12 = 144,7 ÷ 2 = 3.5"), "2 of 2");
  EXPECT_EQ(steps_of("10/3=3.33, 10/3≈3, 10/3=3.34"), "2 of 3");
  EXPECT_EQ(steps_of("17÷5=3……2,18/4=4余2,17÷5=3余1"), "2 of 3");
  EXPECT_EQ(steps_of("5个苹果 + 3个苹果 = 8个苹果"), "1 of 1");
  EXPECT_EQ(steps_of("3(个)+2(个)=6(个)"), "0 of 1");
  EXPECT_EQ(steps_of("三加五等于八"), "1 of 1");
  EXPECT_EQ(steps_of("$\\frac{1}{2} + \\frac{1}{3} = \\frac{5}{6}$"), "1 of 1");
  EXPECT_EQ(steps_of("x2 + 1 = 5, f(x) + 1 = 3, √9 + 1 = 4, a = 3"), "0 of 0") << "unknowns are not judged";
  EXPECT_EQ(steps_of("9223372036854775807 + 1 = 0"), "0 of 0") << "what does not fit is not judged";
}

TEST(NumbersInText, RoundingIsAllowedWhereADecimalDoesNotEnd) {
  const auto same = [](const char* expected, const char* found) {
    return means_the_same(*parse_quantity(expected), *parse_quantity(found));
  };
  EXPECT_TRUE(same("1/3", "0.33"));
  EXPECT_TRUE(same("2/3", "0.667"));
  EXPECT_FALSE(same("1/3", "0.3")) << "too coarse";
  EXPECT_FALSE(same("1/3", "0.34"));
  EXPECT_FALSE(same("0.125", "0.13")) << "it ends, so it can be written";
  EXPECT_TRUE(same("25%", "25"));
  EXPECT_FALSE(same("25", "25%"));
  EXPECT_TRUE(same("90分钟", "1.5小时"));
  EXPECT_FALSE(same("90分钟", "90千克"));
}

}  // namespace
}  // namespace chaski
