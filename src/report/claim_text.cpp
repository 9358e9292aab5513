// Claims in words. What is decided, and how, is in claims.cpp.
#include <algorithm>
#include <array>
#include <cmath>

#include "report/claims.h"
#include "report/comparison.h"
#include "report/eval_report.h"
#include "report/figures.h"

namespace chaski {
namespace {

/// What is said of the better side.
struct Words {
  std::string_view topic, en, zh;
};

constexpr std::array<Words, 10> kWords{{
    {"faster_per_question", "is faster per question", "每题用时更短"},
    {"faster_per_token", "is faster per token", "每词元用时更短"},
    {"starts_sooner", "starts answering sooner", "更早开始回答"},
    {"decodes_faster", "decodes faster", "解码更快"},
    {"prefills_faster", "reads prompts faster", "预填充更快"},
    {"scores_higher", "scores higher", "得分更高"},
    {"right_more_often", "is right more often", "答对更多"},
    {"preferred_by_judge", "is preferred by the judge", "更受裁判模型偏好"},
    {"less_memory", "needs less memory", "占用内存更少"},
    {"less_energy", "uses less energy per token", "每词元能耗更低"},
}};

std::string said_of(const Claim& claim, std::string_view side, Lang lang) {
  for (const Words& words : kWords) {
    if (words.topic == claim.topic) return fmt::format("{} {}", side, tr(lang, words.en, words.zh));
  }
  return std::string(tr(lang, "Neither run failed", "两次运行都没有失败"));
}

std::string with_type(std::string sentence, const Claim& claim, const Comparison& comparison, Lang lang) {
  if (claim.type.empty()) return sentence;
  const std::string type = type_title(*comparison.a.record, claim.type, lang);
  return lang == Lang::kZh ? fmt::format("{}（{}）", sentence, type)
                           : fmt::format("{} on {}", sentence, type);
}

/// " (23 % less)": how far B is from A. What is three times as much and more is said as a factor, which stays
/// readable where percents do not.
std::string distance(const Claim& claim, Lang lang) {
  constexpr double kLeastFactor = 3, kMostFactor = 10'000;
  const double a = claim.mean_a, b = claim.mean_b;
  if (a == b || a < 0 || b < 0 || claim.unit == "points" || claim.unit == "share") return "";
  if (a == 0) return std::string(tr(lang, " (up from 0)", "（从 0 增加）"));
  if (b == 0) return std::string(tr(lang, " (down to 0)", "（降为 0）"));
  if (b / a > kMostFactor) return std::string(tr(lang, " (more than 10,000×)", "（超过 10000 倍）"));
  if (b / a >= kLeastFactor) return trf(lang, " ({}×)", "（{} 倍）", figure(b / a));
  const double size = std::abs(b - a) / a * 100;
  if (size > 99.9 && b < a) return std::string(tr(lang, " (over 99.9 % less)", "（少 99.9 % 以上）"));
  const bool is_coarse = size >= 10 && (size < 99 || b > a);
  const std::string amount = is_coarse ? fmt::format("{:.0f}", size) : fmt::format("{:.1f}", size);
  return b < a ? trf(lang, " ({} % less)", "（少 {} %）", amount)
               : trf(lang, " ({} % more)", "（多 {} %）", amount);
}

/// The rate that 0 failures in n attempts leave possible at 95 %.
double rate_bound(int64_t n) { return 1 - std::pow(0.05, 1 / static_cast<double>(n)); }

std::string failures_text(const Claim& claim, Lang lang) {
  if (!claim.has_figures()) {
    return std::string(tr(lang, "Nothing was asked in one of the runs.", "其中一次运行没有任何提问。"));
  }
  if (claim.verdict == Verdict::kSupported) {
    return trf(lang,
               "None of {} attempts in A and {} in B. With 95 % confidence that leaves failure rates up to "
               "{} and {}.",
               "A 的 {} 次与 B 的 {} 次全部成功。在 95 % 置信度下，失败率仍可能高达 {} 与 {}。", claim.n,
               claim.n_b, percent(rate_bound(claim.n)), percent(rate_bound(claim.n_b)));
  }
  return trf(lang, "{:.0f} of {} attempts failed in A, {:.0f} of {} in B.",
             "A 有 {:.0f} 次失败（共 {} 次），B 有 {:.0f} 次失败（共 {} 次）。", claim.mean_a, claim.n,
             claim.mean_b, claim.n_b);
}

std::string difference_text(const Claim& claim, double value, Lang lang) {
  const std::string size = claim_figure(claim, std::abs(value), lang);
  return (value < 0 ? "−" : value > 0 ? "+" : "±") + size;
}

std::string joined(const std::vector<std::string>& parts, Lang lang) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += tr(lang, "; ", "；");
    text += part;
  }
  return text;
}

}  // namespace

std::string_view verdict_title(Verdict verdict, Lang lang) {
  switch (verdict) {
    case Verdict::kSupported:
      return tr(lang, "supported", "成立");
    case Verdict::kNotSupported:
      return tr(lang, "not supported", "不成立");
    case Verdict::kUndecided:
      break;
  }
  return tr(lang, "undecided", "无法判定");
}

std::string_view verdict_look(Verdict verdict) {
  return verdict == Verdict::kSupported ? "yes" : verdict == Verdict::kNotSupported ? "no" : "open";
}

std::string claim_figure(const Claim& claim, double value, Lang lang) {
  if (claim.unit == "bytes") return bytes_text(static_cast<int64_t>(value));
  if (claim.unit == "share") return percent(value);
  if (claim.unit == "points") return trf(lang, "{:.2f} points", "{:.2f} 分", value);
  if (claim.unit == "tokens/s") return trf(lang, "{} tokens/s", "{} 词元/秒", figure(value));
  if (claim.unit == "s") return trf(lang, "{} s", "{} 秒", figure(value));
  if (claim.unit == "ms") return trf(lang, "{} ms", "{} 毫秒", figure(value));
  if (claim.unit == "J") return trf(lang, "{} J", "{} 焦耳", figure(value));
  return figure(value);
}

std::string claim_title(const Claim& claim, const Comparison& comparison, Lang lang) {
  return with_type(said_of(claim, "B", lang), claim, comparison, lang);
}

std::string claim_finding(const Claim& claim, Lang lang) {
  if (claim.topic == "never_failed") return failures_text(claim, lang);
  const std::string a = claim_figure(claim, claim.mean_a, lang);
  const std::string b = claim_figure(claim, claim.mean_b, lang);
  const bool is_mean = claim.test != TestMethod::kNone;
  const std::string means =
      trf(lang, "{}B {} against A {}{}", "{}B {}，A {}{}",
          is_mean ? tr(lang, "On average ", "平均 ") : std::string_view(), b, a, distance(claim, lang));
  switch (claim.ground) {
    case Ground::kTested:
      return trf(lang, "{}.", "{}。", means);
    case Ground::kCounted:
      return trf(lang, "{}: counted, so no test is needed.", "{}：为计数所得，无需检验。", means);
    case Ground::kOpposite:
      return trf(lang, "The opposite: {}. {}.", "恰好相反：{}。{}。", said_of(claim, "A", lang), means);
    case Ground::kUnvaried:
      return trf(lang, "{}: no difference varies, and so few cannot rule out one beyond ±{}.",
                 "{}：各项差异完全相同，但数量太少，不能排除超过 ±{} 的差异。", means,
                 claim_figure(claim, claim.margin, lang));
    case Ground::kEquivalent:
      if (claim.test == TestMethod::kNone)
        return trf(lang, "{}: the same by count.", "{}：按计数相同。", means);
      return trf(lang, "{}: a difference beyond ±{} is ruled out.", "{}：可排除超过 ±{} 的差异。", means,
                 claim_figure(claim, claim.margin, lang));
    case Ground::kNoEvidence:
      return trf(lang, "{}: chance alone may explain that.", "{}：可能只是偶然。", means);
    case Ground::kTooFew:
      return trf(lang, "{}: with so few for so many claims, no result could be told from chance.",
                 "{}：相对于受检结论的数目，数量太少，任何结果都无法与偶然区分。", means);
    case Ground::kOneReading:
      if (claim.test == TestMethod::kPaired) {
        return trf(lang, "{}, on one question: nothing to test.", "{}，只有一题：无法检验。", means);
      }
      return trf(lang, "{}, one reading each: without spread there is nothing to test.",
                 "{}，各只有一次读数：没有波动信息，无法检验。", means);
    case Ground::kNotComparable:
      return trf(lang, "Not compared: {}.", "不作比较：{}。", obstacle_text(claim.obstacle, lang));
    case Ground::kNotMeasured:
      break;
  }
  return std::string(
      tr(lang, "At least one of the runs has not measured it.", "至少有一次运行没有测量此项。"));
}

std::string claim_test(const Claim& claim, Lang lang) {
  if (!claim.p) {
    const bool is_count = claim.ground == Ground::kCounted || claim.topic == "less_memory";
    return is_count && claim.has_figures() ? std::string(tr(lang, "a count, no test", "计数，无需检验"))
                                           : std::string(tr(lang, "no test", "未检验"));
  }
  std::string text =
      claim.test == TestMethod::kPaired
          ? trf(lang, "Paired sign-flip permutation test, {} questions", "配对符号翻转置换检验，{} 题",
                claim.n)
          : trf(lang, "Permutation test, {} and {} samples", "置换检验，{} 与 {} 个样本", claim.n, claim.n_b);
  text += trf(lang, "; B − A {}", "；B − A 为 {}", difference_text(claim, claim.difference, lang));
  text += claim.ci95 ? trf(lang, ", 95 % interval {} to {}", "，95 % 区间 {} 至 {}",
                           difference_text(claim, claim.ci95->low, lang),
                           difference_text(claim, claim.ci95->high, lang))
                     : std::string(tr(lang, ", too few for an interval", "，数量不足以给出区间"));
  text += fmt::format("{}{}", tr(lang, "; ", "；"), p_text(*claim.p));
  return text + trf(lang, ", {} after Holm's correction", "，Holm 校正后 {}", p_text(*claim.p_holm));
}

std::string verdict_summary(const Comparison& comparison, Lang lang) {
  std::vector<std::string> found;
  int64_t n_open = 0;
  for (const Claim& claim : comparison.claims) {
    if (claim.verdict == Verdict::kUndecided) ++n_open;
    const bool is_for_b = claim.verdict == Verdict::kSupported;
    if (claim.topic != "never_failed" && (is_for_b || claim.ground == Ground::kOpposite)) {
      found.push_back(with_type(said_of(claim, is_for_b ? "B" : "A", lang), claim, comparison, lang));
    }
  }
  const std::string first =
      found.empty()
          ? std::string(tr(lang, "These measurements do not show that either run is better in anything",
                           "测量结果没有显示任何一方在任何方面更好"))
          : trf(lang, "What the measurements support: {}", "测量结果支持：{}", joined(found, lang));
  return trf(lang, "{}. Of {} claims, {} stay undecided.", "{}。共 {} 项结论，{} 项无法判定。", first,
             comparison.claims.size(), n_open);
}

Table type_claims_table(const Comparison& comparison, Lang lang) {
  Table table{"claims_by_type",
              std::string(tr(lang, "Claims by task type", "按任务类型的结论")),
              {std::string(tr(lang, "claim", "结论")), std::string(tr(lang, "verdict", "判定")), "A", "B",
               std::string(tr(lang, "test", "检验"))},
              "llrrl",
              {},
              {},
              {"", "", "a", "b"}};
  for (const Claim& claim : comparison.claims) {
    if (claim.type.empty()) continue;
    const bool is_single = claim.ground == Ground::kOneReading;
    table.add({claim_title(claim, comparison, lang), std::string(verdict_title(claim.verdict, lang)),
               claim_figure(claim, claim.mean_a, lang), claim_figure(claim, claim.mean_b, lang),
               is_single ? std::string(tr(lang, "one question, nothing to test", "只有一题，无法检验"))
                         : claim_test(claim, lang)});
  }
  return table;
}

std::vector<std::string> claim_rules(Lang lang) {
  return {
      std::string(tr(
          lang,
          "A claim is supported where p, by Holm's correction over all claims tested here, is below 0.05 "
          "and the 95 % interval of the difference leaves 0 out. It is not supported where the same holds "
          "for the opposite, or where the interval lies within ±5 % (±0.25 points, ±2 % of right "
          "answers): so small a difference is of no account, however certain. Otherwise it is undecided, "
          "as where the differences are all alike and too few to rule out larger ones.",
          "结论“成立”：按全部受检结论做 Holm 校正后 p < 0.05，且差值的 95 % 区间不含 0。“不成立”：相反的结论"
          "满足上述条件，或区间完全落在 ±5 %（分数 ±0.25 分，正确率 ±2 "
          "%）以内：差异如此之小，再确定也不算优势。其余为"
          "“无法判定”，包括各项差异完全相同、而数量不足以排除更大差异的情形。")),
      std::string(
          tr(lang,
             "Questions are the unit: several samples of a question are averaged first, since they are not "
             "independent. Paired test: all sign flips of the differences up to 20 questions, sampled above; "
             "intervals are bootstrap percentiles over questions, from six on.",
             "以题为单位：同一题的多次采样先取平均，因为它们并不独立。配对检验：20 "
             "题以内枚举所有符号翻转，更多则"
             "抽样；区间为按题自助法百分位区间，至少六题才给出。")),
      std::string(tr(
          lang,
          "Not compared are times of runs of different kinds or with different numbers of requests at once, "
          "figures of tests of other lengths or depths, memory of another context, scores by other rubrics, "
          "energy of other phases.",
          "以下情形不作比较：运行类型或同时处理的请求数不同时的用时，长度或深度不同的测试，上下文长度不同时的"
          "内存，"
          "不同评分规则的得分，不同阶段的能耗。")),
      std::string(
          tr(lang,
             "The tests speak of these questions, on these machines, in these sessions; not of other ones.",
             "检验只说明这些题目、这些机器、这几次运行，不说明其他情形。")),
  };
}

}  // namespace chaski
