#include "report/compare_markdown.h"

#include <map>
#include <utility>

#include "report/eval_report.h"
#include "report/figures.h"
#include "report/names.h"
#include "report/run_tables.h"
#include "report/text_safety.h"

namespace chaski {
namespace {

constexpr size_t kMostAnswerBytes = 40'000;
constexpr size_t kMostPairs = 3'000;

std::string inline_text(std::string_view text) { return markdown_inline(visible_text(text)); }

Table claims_table(const Comparison& comparison, Lang lang) {
  Table table{"claims",
              {},
              {std::string(tr(lang, "claim", "结论")), std::string(tr(lang, "verdict", "判定")),
               std::string(tr(lang, "what the data say", "数据说明")), std::string(tr(lang, "test", "检验"))},
              "llll",
              {},
              {},
              {}};
  for (const Claim& claim : comparison.claims) {
    table.add({claim_title(claim, comparison, lang), std::string(verdict_title(claim.verdict, lang)),
               claim_finding(claim, lang), claim_test(claim, lang)});
  }
  return table;
}

std::string bullets(const std::vector<std::string>& sentences) {
  std::string text;
  for (const std::string& sentence : sentences) text += fmt::format("- {}\n", inline_text(sentence));
  return text;
}

/// A record's scores by id and sample.
using ScoresOf = std::multimap<std::pair<std::string, int64_t>, const ScoreRecord*>;

ScoresOf scores_of(const RunRecord& record) {
  ScoresOf scores;
  for (const ScoreRecord& score : record.scores) scores.emplace(std::pair{score.id, score.sample}, &score);
  return scores;
}

std::string scores_line(const ScoresOf& scores, const AnswerRecord& item, Lang lang) {
  std::string text;
  const auto [first, last] = scores.equal_range({item.id, item.sample});
  for (auto at = first; at != last; ++at) {
    const ScoreRecord& score = *at->second;
    text += fmt::format(" · {} {}", words_for(NameOf::kScorer, score.scorer, lang),
                        score.score        ? fmt::format("{}/5", *score.score)
                        : score.is_correct ? std::string(*score.is_correct ? tr(lang, "right", "正确")
                                                                           : tr(lang, "wrong", "错误"))
                                           : words_for(NameOf::kStatus, score.status, lang));
  }
  return text;
}

std::string answer_block(const RunView& run, const AnswerRecord* item, const ScoresOf& scores, Lang lang) {
  if (item == nullptr)
    return fmt::format("**{}** {}\n\n", side_letter(run), tr(lang, "was not asked", "没有提问"));
  const std::string_view shown = clip_utf8(item->answer, kMostAnswerBytes);
  std::string text = fmt::format("**{}** {}\n\n", side_letter(run),
                                 inline_text(answer_figures(*item, lang) + scores_line(scores, *item, lang)));
  text += item->answer.empty() ? fmt::format("*{}*\n", tr(lang, "no text", "没有文字"))
                               : markdown_fence(visible_text(shown));
  if (shown.size() < item->answer.size()) {
    text += fmt::format("\n{}\n", trf(lang, "{} more bytes are in the record.", "其余 {} 字节见运行记录。",
                                      item->answer.size() - shown.size()));
  }
  return text + "\n";
}

std::string answers_section(const Comparison& comparison, Lang lang) {
  const ScoresOf of_a = scores_of(*comparison.a.record);
  const ScoresOf of_b = scores_of(*comparison.b.record);
  std::string text;
  size_t n = 0;
  for (const AnswerPair& pair : comparison.pairs) {
    if (n++ == kMostPairs) {
      text += fmt::format("{}\n", trf(lang, "{} more questions are in the records.", "其余 {} 题见运行记录。",
                                      comparison.pairs.size() - kMostPairs));
      break;
    }
    const AnswerRecord& item = pair.any();
    text +=
        fmt::format("### {} · {}\n\n{}\n",
                    inline_text(item.sample > 0 ? fmt::format("{}.{}", item.id, item.sample + 1) : item.id),
                    inline_text(type_title(*comparison.a.record, item.type, lang)),
                    markdown_fence(visible_text(clip_utf8(item.prompt, kMostAnswerBytes))));
    text += answer_block(comparison.a, pair.a, of_a, lang) + answer_block(comparison.b, pair.b, of_b, lang);
  }
  return text;
}

std::string title_of_comparison(const Comparison& comparison) {
  return fmt::format("A {} / B {}", comparison.a.name, comparison.b.name);
}

}  // namespace

std::string compare_markdown(const Comparison& comparison, Lang lang) {
  const std::vector<RunView> runs = comparison.runs();
  std::string text = fmt::format("# {}\n\n{}\n\n**{}**\n\n", inline_text(title_of_comparison(comparison)),
                                 inline_text(run_title(*comparison.a.record, lang)),
                                 inline_text(verdict_summary(comparison, lang)));
  const std::vector<std::string> warnings = comparison_warnings(comparison, lang);
  if (!warnings.empty()) text += bullets(warnings) + "\n";
  const auto section = [&](std::string_view title, const std::string& body) {
    if (!body.empty()) text += fmt::format("## {}\n\n{}\n", inline_text(title), body);
  };
  section(tr(lang, "Claims", "结论"), markdown_table(claims_table(comparison, lang)));
  for (const Table& table : measured_tables(runs, comparison.scorer, comparison.published, lang)) {
    section(table.title, markdown_table(table));
  }
  const Table questions = questions_table(runs, comparison.scorer, comparison.published, lang);
  if (!questions.empty()) section(questions.title, markdown_table(questions));
  for (const Table& table : judgement_tables(comparison, lang)) section(table.title, markdown_table(table));
  section(tr(lang, "Answers side by side", "回答对照"), answers_section(comparison, lang));
  section(tr(lang, "What was compared", "对比对象"), markdown_table(facts_table(runs, lang)));
  section(tr(lang, "How claims are decided", "结论的判定规则"), bullets(claim_rules(lang)));
  section(tr(lang, "What the figures mean", "各项含义"), bullets(definitions(lang)));
  section(tr(lang, "Warnings of the runs", "运行中的提示"), bullets(record_warnings(runs, lang)));
  while (text.size() > 1 && text[text.size() - 2] == '\n') text.pop_back();
  return text;
}

std::string compare_terminal(const Comparison& comparison, Lang lang) {
  const std::vector<RunView> runs = comparison.runs();
  std::string text = fmt::format("A  {}\nB  {}\n\n{}\n\n", comparison.a.name, comparison.b.name,
                                 verdict_summary(comparison, lang));
  for (const std::string& warning : comparison_warnings(comparison, lang)) {
    text += fmt::format("  {} {}\n\n", tr(lang, "note:", "注意："), warning);
  }
  for (const Claim& claim : comparison.claims) {
    if (!claim.type.empty()) continue;
    text += fmt::format("  {}  {}\n      {}\n      {}\n", pad_right(verdict_title(claim.verdict, lang), 14),
                        claim_title(claim, comparison, lang), claim_finding(claim, lang),
                        claim_test(claim, lang));
  }
  const Table by_type = type_claims_table(comparison, lang);
  if (!by_type.empty()) text += "\n" + terminal_table(by_type, 60);
  for (const Table& table : measured_tables(runs, comparison.scorer, comparison.published, lang)) {
    text += "\n" + terminal_table(table);
  }
  text += judgement_terminal(comparison, lang);
  return strip_controls(text);
}

}  // namespace chaski
