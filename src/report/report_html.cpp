#include "report/report_html.h"

#include <map>

#include "report/answers_html.h"
#include "report/page_parts.h"
#include "report/run_charts.h"
#include "report/text_safety.h"

namespace chaski {
namespace {

/// What of one run is shown.
struct Shown {
  RunView view;
  std::optional<ScorerChoice> scorer;
  const Published* published = nullptr;
  Runs runs() const { return {&view, 1}; }
};

Shown shown(const RunRecord& record, const std::string& source) {
  Shown all{{&record, "", model_name(record), source}, std::nullopt, nullptr};
  const RunRecord* const records[] = {&record};
  all.scorer = main_scorer(records);
  const std::string suite = suite_name(record);
  if (!suite.empty()) all.published = published_for(suite);
  return all;
}

}  // namespace

std::string report_html(const RunRecord& record, const std::string& source, Lang lang) {
  const Shown all = shown(record, source);
  HtmlBody body;
  body.add(fmt::format("<header>\n<p class=\"eyebrow\">chaski · {}</p>\n<h1>{}</h1>\n</header>\n",
                       html_text(run_title(record, lang)), html_text(all.view.name)));
  add_runs(body, all.runs(), lang);
  const std::vector<std::string> warnings = record_warnings(all.runs(), lang);
  const std::string tiles = tiles_html(all.runs(), all.scorer, lang);
  if (!tiles.empty() || !warnings.empty()) {
    body.open_section("summary", tr(lang, "Summary", "概要"));
    body.add(tiles + warning_boxes(warnings));
    body.close_section();
  }
  add_charts(body, charts_of(all.runs(), all.scorer, all.published, lang), lang);
  body.open_section("figures", tr(lang, "Figures", "数据"));
  for (const Table& table : measured_tables(all.runs(), all.scorer, all.published, lang))
    body.add(table, lang);
  body.add(questions_table(all.runs(), all.scorer, all.published, lang), lang);
  body.close_section();
  std::vector<AnswerPair> answers;
  for (const AnswerRecord& item : record.items) answers.push_back({&item, nullptr});
  add_answers(body, all.runs(), answers, lang);
  body.open_section("method", tr(lang, "How it was measured", "测量方法"));
  body.add(facts_table(all.runs(), lang), lang);
  body.add(fmt::format("<h3>{}</h3>\n{}", tr(lang, "What the figures mean", "各项含义"),
                       notes_html(definitions(lang))));
  body.close_section();
  add_failures(body, all.runs(), lang);
  body.add_always(footer_html("chaski report " + (source.empty() ? "RUN" : source), lang));
  return html_document(fmt::format("{} · {} · chaski", all.view.name, run_title(record, lang)), body, lang);
}

Drawing report_picture(const RunRecord& record, Lang lang) {
  const Shown all = shown(record, "");
  Drawing top = draw_text({{all.view.name, "head"}, {run_title(record, lang), "muted"}}, 780);
  top.title = all.view.name;
  top.description = run_title(record, lang);
  return arrange(top, charts_of(all.runs(), all.scorer, all.published, lang));
}

std::string report_csv(const RunRecord& record) {
  const Shown all = shown(record, "");
  std::map<std::pair<std::string, int64_t>, const ScoreRecord*> scores;
  for (const ScoreRecord& score : record.scores) {
    if (all.scorer && score.scorer == all.scorer->scorer)
      scores.emplace(std::pair(score.id, score.sample), &score);
  }
  const auto number = [](const auto& value) { return value ? fmt::format("{}", *value) : std::string(); };
  std::string text =
      "id,sample,type,prompt,answer,n_prompt_tokens,n_tokens,seconds,ttft_s,tpot_s,finish_reason,scorer,"
      "score,"
      "is_correct\n";
  for (const AnswerRecord& item : record.items) {
    const auto at = scores.find({item.id, item.sample});
    const ScoreRecord none;
    const ScoreRecord& score = at == scores.end() ? none : *at->second;
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", csv_cell(item.id), item.sample,
                        csv_cell(item.type), csv_cell(item.prompt), csv_cell(item.answer),
                        item.n_prompt_tokens, item.n_tokens(), item.seconds, number(item.ttft_s),
                        number(item.tpot_s), csv_cell(item.finish_reason), csv_cell(score.scorer),
                        number(score.score), score.is_correct ? (*score.is_correct ? "true" : "false") : "");
  }
  return text;
}

std::string report_terminal(const RunRecord& record, Lang lang) {
  const Shown all = shown(record, "");
  std::string text = fmt::format("{}\n{}\n", all.view.name, run_title(record, lang));
  for (const std::string& warning : record_warnings(all.runs(), lang)) {
    text += fmt::format("\n  {} {}\n", tr(lang, "note:", "注意："), warning);
  }
  for (const Table& table : measured_tables(all.runs(), all.scorer, all.published, lang)) {
    text += "\n" + terminal_table(table, 60);
  }
  const Table questions = questions_table(all.runs(), all.scorer, all.published, lang);
  if (!questions.empty()) text += "\n" + terminal_table(questions);
  return strip_controls(text);
}

}  // namespace chaski
