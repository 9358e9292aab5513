#include "report/answers_html.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "report/eval_report.h"
#include "report/figures.h"
#include "report/names.h"

namespace chaski {
namespace {

constexpr size_t kMostAnswerBytes = 40'000;
constexpr size_t kMostPromptBytes = 20'000;
constexpr size_t kMostEvidenceBytes = 1'500;
constexpr size_t kMostOpen = 12;  // pages with more questions show them folded
constexpr size_t kMostPairs = 3'000;
constexpr size_t kMostScores = 20;  // of one answer

using ScoresOf = std::unordered_map<std::string, std::vector<const ScoreRecord*>>;

std::string key_of(const std::string& id, int64_t sample) { return fmt::format("{} {}", sample, id); }

ScoresOf scores_of(const RunRecord& record) {
  ScoresOf scores;
  for (const ScoreRecord& score : record.scores) scores[key_of(score.id, score.sample)].push_back(&score);
  return scores;
}

std::string clipped(std::string_view text, size_t max_bytes) {
  const ClippedHtml shown = html_text(text, max_bytes);
  return shown.html + (shown.n_cut_bytes > 0 ? "…" : "");
}

std::string score_text(const ScoreRecord& score, Lang lang) {
  if (score.status != "scored") return words_for(NameOf::kStatus, score.status, lang);
  if (score.score) return fmt::format("{} / 5", *score.score);
  if (score.is_correct)
    return std::string(*score.is_correct ? tr(lang, "right", "正确") : tr(lang, "wrong", "错误"));
  return "–";
}

std::string adjustment_text(const ScoreAdjustment& adjustment, Lang lang) {
  return adjustment.is_cap ? trf(lang, "at most {}", "最高 {} 分", figure(adjustment.points))
                           : fmt::format("−{}", figure(std::abs(adjustment.points)));
}

/// What a score is made of, folded.
std::string evidence_html(const ScoreRecord& score, Lang lang) {
  std::string rows;
  const auto row = [&rows, lang](std::string_view name, std::string_view value, std::string_view evidence) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td class=\"r\">{}</td><td>{}</td></tr>\n",
                        clipped(words_for(NameOf::kScorePart, name, lang), 200), clipped(value, 200),
                        clipped(remark_words(evidence, lang), kMostEvidenceBytes));
  };
  for (size_t i = 0; i < std::min(score.components.size(), kMostScores); ++i) {
    const ScoreComponent& c = score.components[i];
    row(c.name, fmt::format("{:.3g} × {:.3g}", c.value, c.weight), c.evidence);
  }
  for (size_t i = 0; i < std::min(score.adjustments.size(), kMostScores); ++i) {
    row(score.adjustments[i].name, adjustment_text(score.adjustments[i], lang),
        score.adjustments[i].evidence);
  }
  const std::string note = score.note.empty()
                               ? ""
                               : fmt::format("<p class=\"note\">{}</p>",
                                             clipped(remark_words(score.note, lang), kMostEvidenceBytes));
  if (rows.empty() && note.empty()) return "";
  const std::string table =
      rows.empty() ? ""
                   : fmt::format(
                         "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">{}</th><th scope=\"col\" "
                         "class=\"r\">{}</th><th scope=\"col\">{}</th></tr></thead><tbody>\n{}</tbody>"
                         "</table></div>",
                         tr(lang, "part", "评分项"), tr(lang, "value × weight", "得分 × 权重"),
                         tr(lang, "evidence", "依据"), rows);
  return fmt::format("<details class=\"evidence\"><summary>{}</summary>{}{}</details>\n",
                     trf(lang, "Evidence of the score: {}", "评分依据：{}",
                         clipped(words_for(NameOf::kScorer, score.scorer, lang), 200)),
                     table, note);
}

std::string missing_text(size_t n_cut, size_t n_all, const RunView& run, Lang lang) {
  return trf(lang, "{} of {} bytes are not shown; the whole answer is in {}.",
             "共 {1} 字节，其中 {0} 字节未显示；完整回答见 {2}。", n_cut, n_all,
             run.source.empty() ? std::string("run.json") : run.source);
}

std::string answer_html(const RunView& run, const AnswerRecord* item, const ScoresOf& scores, Lang lang) {
  const std::string letter = side_letter(run);
  std::string html = "<div class=\"answer\"><div class=\"head\">";
  if (!letter.empty()) html += fmt::format("<span class=\"side {}\">{}</span>", run.side, letter);
  if (item == nullptr) {
    return html + fmt::format("<span>{}</span></div></div>\n", tr(lang, "was not asked", "没有提问"));
  }
  const auto at = scores.find(key_of(item->id, item->sample));
  std::string evidence;
  for (size_t i = 0; at != scores.end() && i < std::min(at->second.size(), kMostScores); ++i) {
    const ScoreRecord& score = *at->second[i];
    html += fmt::format("<span class=\"score\" title=\"{}\">{}</span>",
                        clipped(words_for(NameOf::kScorer, score.scorer, lang), 200),
                        clipped(score_text(score, lang), 200));
    evidence += evidence_html(score, lang);
  }
  html += fmt::format("<span>{}</span>", html_text(answer_figures(*item, lang)));
  if (item->finish_reason == "length") {
    html += fmt::format("<span>{}</span>", tr(lang, "cut by the length limit", "达到长度上限被截断"));
  }
  html += "</div>";
  if (item->answer.empty()) {
    html += fmt::format("<p class=\"note\">{}</p>", tr(lang, "no text", "没有文字"));
  } else {
    const ClippedHtml shown = html_text(item->answer, kMostAnswerBytes);
    html += fmt::format("<pre>{}{}</pre>", shown.html, shown.n_cut_bytes > 0 ? "…" : "");
    if (shown.n_cut_bytes > 0) {
      html += fmt::format("<p class=\"note\">{}</p>",
                          html_text(missing_text(shown.n_cut_bytes, item->answer.size(), run, lang)));
    }
  }
  return html + evidence + "</div>\n";
}

}  // namespace

void add_answers(HtmlBody& body, std::span<const RunView> runs, const std::vector<AnswerPair>& pairs,
                 Lang lang) {
  if (pairs.empty()) return;
  std::vector<ScoresOf> scores;
  for (const RunView& run : runs) scores.push_back(scores_of(*run.record));
  const bool is_sampled =
      std::any_of(pairs.begin(), pairs.end(), [](const AnswerPair& pair) { return pair.any().sample > 0; });
  body.open_section("answers", runs.size() > 1 ? tr(lang, "Answers side by side", "回答对照")
                                               : tr(lang, "Answers", "回答"));
  size_t n_shown = 0;
  for (const AnswerPair& pair : pairs) {
    const AnswerRecord& item = pair.any();
    std::string html = fmt::format(
        "<details class=\"item\"{}><summary>{} · {}{}</summary>\n<div class=\"prompt\">{}</div>\n<div "
        "class=\"pair\">\n",
        pairs.size() <= kMostOpen ? " open" : "", clipped(item.id, 200),
        clipped(type_title(*runs[0].record, item.type, lang), 200),
        is_sampled ? fmt::format(" <span class=\"n\">{}</span>",
                                 trf(lang, "sample {}", "第 {} 次采样", item.sample + 1))
                   : "",
        clipped(item.prompt, kMostPromptBytes));
    html += answer_html(runs[0], pair.a, scores[0], lang);
    if (runs.size() > 1) html += answer_html(runs[1], pair.b, scores[1], lang);
    if (n_shown == kMostPairs || !body.add(html + "</div></details>\n")) break;
    ++n_shown;
  }
  body.close_section();
  if (n_shown < pairs.size()) {
    body.add_always(
        fmt::format("<p class=\"warn\">{}</p>\n",
                    trf(lang, "{} of {} questions and answers are shown; all are in the records.",
                        "共 {1} 组问答，此处显示 {0} 组；全部内容见运行记录。", n_shown, pairs.size())));
  }
}

}  // namespace chaski
