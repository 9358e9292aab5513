#include "report/compare_html.h"

#include "report/answers_html.h"
#include "report/page_parts.h"
#include "report/run_charts.h"
#include "report/text_safety.h"

namespace chaski {
namespace {

std::string_view glyph_of(Verdict verdict) {
  return verdict == Verdict::kSupported ? "✓" : verdict == Verdict::kNotSupported ? "✗" : "?";
}

std::string claim_html(const Claim& claim, const Comparison& comparison, Lang lang) {
  const std::string_view look = verdict_look(claim.verdict);
  return fmt::format(
      "<div class=\"claim {0}\"><span class=\"badge {0}\">{1} {2}</span>\n<h3>{3}</h3>\n<p>{4}</p>\n"
      "<p class=\"test\">{5}</p></div>\n",
      look, glyph_of(claim.verdict), verdict_title(claim.verdict, lang),
      html_text(claim_title(claim, comparison, lang)), html_text(claim_finding(claim, lang)),
      html_text(claim_test(claim, lang)));
}

void add_header(const Comparison& comparison, Lang lang, HtmlBody& body) {
  body.add(fmt::format("<header>\n<p class=\"eyebrow\">chaski · {}</p>\n<h1>{}</h1>\n</header>\n",
                       tr(lang, "comparison of two runs", "两次运行的对比"),
                       html_text(short_name(run_title(*comparison.a.record, lang), 200))));
  add_runs(body, comparison.runs(), lang);
}

void add_verdict(const Comparison& comparison, Lang lang, HtmlBody& body) {
  body.open_section("verdict", tr(lang, "Verdict", "结论"));
  body.add(fmt::format("<p class=\"lead\">{}</p>\n", html_text(verdict_summary(comparison, lang))));
  body.add(warning_boxes(comparison_warnings(comparison, lang)));
  const std::vector<RunView> runs = comparison.runs();
  body.add(tiles_html(runs, comparison.scorer, lang));
  std::string claims = "<div class=\"claims\">\n";
  for (const Claim& claim : comparison.claims) {
    if (claim.type.empty()) claims += claim_html(claim, comparison, lang);
  }
  body.add(claims + "</div>\n");
  body.add(type_claims_table(comparison, lang), lang);
  body.close_section();
}

void add_tables(const Comparison& comparison, Lang lang, HtmlBody& body) {
  const std::vector<RunView> runs = comparison.runs();
  body.open_section("figures", tr(lang, "Figures", "数据"));
  for (const Table& table : measured_tables(runs, comparison.scorer, comparison.published, lang)) {
    body.add(table, lang);
  }
  body.add(questions_table(runs, comparison.scorer, comparison.published, lang), lang);
  for (const Table& table : judgement_tables(comparison, lang)) body.add(table, lang);
  body.close_section();
}

void add_method(const Comparison& comparison, Lang lang, HtmlBody& body) {
  const std::vector<RunView> runs = comparison.runs();
  body.open_section("method", tr(lang, "How it was measured", "测量方法"));
  Table differing{"differences",
                  std::string(tr(lang, "What differs", "不同之处")),
                  {"", std::string(tr(lang, "kind", "类别")), "A", "B"},
                  "llll",
                  {},
                  {},
                  {"", "", "a", "b"}};
  for (const Difference& d : differences(comparison, lang)) {
    differing.add({d.title, std::string(title_of(d.group, lang)), d.a, d.b});
  }
  body.add(differing, lang);
  Table facts = facts_table(runs, lang);
  facts.title = tr(lang, "Both runs", "两次运行");
  body.add(facts, lang);
  body.add(fmt::format("<h3>{}</h3>\n{}", tr(lang, "How claims are decided", "结论的判定规则"),
                       notes_html(claim_rules(lang))));
  body.add(fmt::format("<h3>{}</h3>\n{}", tr(lang, "What the figures mean", "各项含义"),
                       notes_html(definitions(lang))));
  body.close_section();
}

std::string command_of(const Comparison& c) {
  const auto source = [](const RunView& run) { return run.source.empty() ? std::string("RUN") : run.source; };
  return fmt::format("chaski compare {} {}{}", source(c.a), source(c.b), c.judgement ? " --judge URL" : "");
}

}  // namespace

std::string compare_html(const Comparison& comparison, Lang lang) {
  const std::vector<RunView> runs = comparison.runs();
  HtmlBody body;
  add_header(comparison, lang, body);
  add_verdict(comparison, lang, body);
  add_charts(body, charts_of(runs, comparison.scorer, comparison.published, lang), lang);
  add_tables(comparison, lang, body);
  add_answers(body, runs, comparison.pairs, lang);
  add_method(comparison, lang, body);
  add_failures(body, runs, lang);
  const std::vector<std::string> warnings = record_warnings(runs, lang);
  if (!warnings.empty()) {
    body.open_section("warnings", tr(lang, "Warnings of the runs", "运行中的提示"));
    body.add(warning_boxes(warnings));
    body.close_section();
  }
  body.add_always(footer_html(command_of(comparison), lang));
  return html_document(fmt::format("{} / {} · chaski", comparison.a.name, comparison.b.name), body, lang);
}

Drawing compare_picture(const Comparison& comparison, Lang lang) {
  const std::vector<RunView> runs = comparison.runs();
  std::vector<TextLine> lines{
      {fmt::format("A {}  /  B {}", comparison.a.name, comparison.b.name), "head"},
      {run_title(*comparison.a.record, lang), "muted"},
      {verdict_summary(comparison, lang), ""},
  };
  for (const Claim& claim : comparison.claims) {
    if (!claim.type.empty()) continue;
    lines.push_back({fmt::format("{} {}{}{}", glyph_of(claim.verdict), claim_title(claim, comparison, lang),
                                 tr(lang, ": ", "："), verdict_title(claim.verdict, lang)),
                     claim.verdict == Verdict::kUndecided ? "muted" : ""});
  }
  Drawing top = draw_text(lines, 780);
  top.title = fmt::format("A {} / B {}", comparison.a.name, comparison.b.name);
  top.description = verdict_summary(comparison, lang);
  return arrange(top, charts_of(runs, comparison.scorer, comparison.published, lang));
}

}  // namespace chaski
