#include "report/page_parts.h"

#include <algorithm>
#include <functional>

#include "report/figures.h"
#include "report/text_safety.h"

namespace chaski {
namespace {

constexpr size_t kMostFailures = 100;
constexpr size_t kMostWarnings = 100;

std::string clipped(std::string_view text, size_t max_bytes) {
  const ClippedHtml shown = html_text(text, max_bytes);
  return shown.html + (shown.n_cut_bytes > 0 ? "…" : "");
}

/// A figure of each run under one heading; nothing where no run has it.
std::string tile(Runs runs, std::string_view what, std::string_view unit,
                 const std::function<std::optional<double>(const RunRecord&)>& value_of) {
  std::string figures;
  bool has_value = false;
  for (const RunView& run : runs) {
    const std::optional<double> value = value_of(*run.record);
    has_value = has_value || value;
    const std::string letter = side_letter(run);
    figures +=
        fmt::format("<div class=\"figure\">{}{}<span class=\"unit\">{}</span></div>",
                    letter.empty() ? "" : fmt::format("<span class=\"side {}\">{}</span>", run.side, letter),
                    figure(value), value ? unit : "");
  }
  if (!has_value) return "";
  return fmt::format("<div class=\"tile\"><div class=\"what\">{}</div>{}</div>\n", what, figures);
}

std::optional<double> median_of(const RunRecord& record, std::string_view metric) {
  for (const NamedMetric& named : record.metrics) {
    if (named.name == metric && !named.metric.samples.empty()) return named.metric.median;
  }
  return std::nullopt;
}

}  // namespace

void add_runs(HtmlBody& body, Runs runs, Lang lang) {
  std::string html = "<div class=\"runs\">\n";
  for (const RunView& run : runs) {
    const RunRecord& r = *run.record;
    const std::string letter = side_letter(run);
    std::string line = r.model.weights;
    const auto add = [&line](const std::string& part) {
      if (!part.empty()) line += (line.empty() ? "" : " · ") + part;
    };
    if (r.model.n_parameters > 0)
      add(trf(lang, "{} parameters", "{} 参数", parameters_text(r.model.n_parameters)));
    add(r.device.name);
    add(r.device.n_threads > 0 ? trf(lang, "{} threads", "{} 线程", r.device.n_threads) : std::string());
    add(r.summary.started_at);
    html +=
        fmt::format("<div class=\"run {}\"><b>{}{}</b>{}</div>\n", run.side,
                    letter.empty() ? "" : fmt::format("<span class=\"side {}\">{}</span> ", run.side, letter),
                    clipped(run.name, 400), clipped(line, 1000));
  }
  body.add(html + "</div>\n");
}

std::string tiles_html(Runs runs, const std::optional<ScorerChoice>& scorer, Lang lang) {
  using Value = std::optional<double>;
  std::string tiles;
  if (scorer) {
    const bool is_points = scorer->kind == ScoreKind::kPoints;
    std::string what(is_points ? tr(lang, "mean score", "平均得分") : tr(lang, "right answers", "正确率"));
    if (scorer->questions) {
      what += trf(lang, ", {} common questions", "（共同的 {} 题）", scorer->questions->size());
    }
    tiles += tile(runs, what, is_points ? tr(lang, "of 5", "/ 5") : "%", [&](const RunRecord& r) -> Value {
      const std::vector<TypeScore> scores = scores_by_type(r, *scorer);
      if (scores.empty()) return std::nullopt;
      return scores[0].mean * (is_points ? 1 : 100);
    });
  }
  // A mean is of what the run was asked: beside another's it misleads where that was something else.
  const bool is_alike = answered_alike(runs);
  const std::string own(is_alike ? "" : tr(lang, " of its own questions", "，各自的题目"));
  tiles += tile(runs, trf(lang, "per question, mean{}", "每题（平均{}）", own), tr(lang, "s", "秒"),
                [](const RunRecord& r) { return r.items.empty() ? std::nullopt : r.summary.mean_s; });
  tiles += tile(runs, tr(lang, "prefill, median", "预填充（中位数）"), tr(lang, "tokens/s", "词元/秒"),
                [](const RunRecord& r) { return median_of(r, "prefill_tokens_per_s"); });
  // Answers have a mean over all of them, benches the median of their repeats: never one beside the other.
  const bool is_bench =
      std::all_of(runs.begin(), runs.end(), [](const RunView& run) { return run.record->items.empty(); });
  const auto either = [&](std::string_view metric, std::optional<double> RunSummary::*mean) {
    return [=](const RunRecord& r) { return is_bench ? median_of(r, metric) : r.summary.*mean; };
  };
  tiles +=
      tile(runs,
           is_bench ? std::string(tr(lang, "decode, median", "解码（中位数）"))
                    : trf(lang, "decode, mean{}", "解码（平均{}）", own),
           tr(lang, "tokens/s", "词元/秒"), either("decode_tokens_per_s", &RunSummary::decode_tokens_per_s));
  tiles += tile(runs,
                is_bench ? std::string(tr(lang, "first token after, median", "首词元延迟（中位数）"))
                         : trf(lang, "first token after, mean{}", "首词元延迟（平均{}）", own),
                tr(lang, "s", "秒"), either("ttft_s", &RunSummary::mean_ttft_s));
  tiles += tile(runs, tr(lang, "memory allotted", "分配的内存"), "GB", [](const RunRecord& r) -> Value {
    const int64_t bytes = memory_of(r).allotted_bytes();
    return bytes > 0 ? Value(static_cast<double>(bytes) / 1e9) : std::nullopt;
  });
  return tiles.empty() ? "" : fmt::format("<div class=\"tiles\">\n{}</div>\n", tiles);
}

void add_charts(HtmlBody& body, const std::vector<Drawing>& drawings, Lang lang) {
  if (drawings.empty()) return;
  body.open_section("charts", tr(lang, "Charts", "图表"));
  std::string html = "<div class=\"charts\">\n";
  for (const Drawing& drawing : drawings) {
    html += fmt::format("<figure><figcaption>{}</figcaption>\n{}</figure>\n", html_text(drawing.title),
                        inline_svg(drawing));
  }
  body.add(html + "</div>\n");
  body.close_section();
}

std::string warning_boxes(const std::vector<std::string>& warnings) {
  if (warnings.empty()) return "";
  std::string html = "<ul class=\"warns\">\n";
  for (size_t i = 0; i < std::min(warnings.size(), kMostWarnings); ++i) {
    html += fmt::format("<li class=\"warn\">{}</li>\n", clipped(warnings[i], 4000));
  }
  return html + "</ul>\n";
}

std::string notes_html(const std::vector<std::string>& notes) {
  std::string html;
  for (const std::string& note : notes)
    html += fmt::format("<p class=\"note\">{}</p>\n", clipped(note, 4000));
  return html;
}

void add_failures(HtmlBody& body, Runs runs, Lang lang) {
  Table table{"failures",
              {},
              {std::string(tr(lang, "question", "题目")), std::string(tr(lang, "sample", "采样")),
               std::string(tr(lang, "error", "错误"))},
              "lrl",
              {},
              {},
              {}};
  size_t n_all = 0;
  for (const RunView& run : runs) {
    n_all += run.record->failures.size();
    for (const FailureRecord& f : run.record->failures) {
      if (table.rows.size() == kMostFailures) break;
      const std::string letter = side_letter(run);
      table.add({letter.empty() ? f.id : fmt::format("{} {}", letter, f.id), fmt::format("{}", f.sample + 1),
                 f.message});
    }
  }
  if (table.empty()) return;
  if (n_all > table.rows.size()) {
    table.notes.push_back(
        trf(lang, "{} of {} are shown.", "共 {1} 项，显示 {0} 项。", table.rows.size(), n_all));
  }
  body.open_section("failures", tr(lang, "Failures", "失败"));
  body.add(table, lang);
  body.close_section();
}

std::string footer_html(std::string_view command, Lang lang) {
  return fmt::format(
      "<footer><p>{}</p></footer>\n",
      html_text(trf(lang,
                    "Made by chaski from the run records alone: {}. This page has no script and loads "
                    "nothing from elsewhere.",
                    "由 chaski 仅根据运行记录生成：{}。本页不含脚本，也不加载任何外部内容。",
                    std::string(clip_utf8(command, 1000)))));
}

}  // namespace chaski
