#include "report/run_charts.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <unordered_map>

#include "report/eval_report.h"
#include "report/figures.h"
#include "report/names.h"

namespace chaski {
namespace {

constexpr size_t kMostRows = 24;     // of a chart; a longer one goes by type of task
constexpr size_t kMostMarks = 3000;  // of a strip plot
constexpr size_t kLeastAxes = 3, kMostAxes = 12;

std::string look_of(const RunView& run) { return run.side.empty() ? "a" : run.side; }

Series series_of(const RunView& run) {
  const std::string letter = side_letter(run);
  return {letter.empty() ? run.name : fmt::format("{} {}", letter, run.name), look_of(run)};
}

std::vector<Series> series_of(Runs runs) {
  std::vector<Series> series;
  for (const RunView& run : runs) series.push_back(series_of(run));
  return series;
}

/// What a chart shows, in a sentence, for those who do not see it.
std::string described(const BarChart& chart, Lang lang) {
  std::string text;
  for (const BarGroup& group : chart.groups) {
    text += fmt::format("{}{}:", text.empty() ? "" : "; ", group.label);
    for (size_t i = 0; i < group.bars.size(); ++i) {
      text += fmt::format("{} {} {}", i == 0 ? "" : ",", chart.series[i].name,
                          group.bars[i].value ? group.bars[i].text : std::string(tr(lang, "none", "无")));
    }
  }
  return text;
}

using SummaryOf = std::map<std::string, TypeScore>;

std::vector<SummaryOf> summaries_of(Runs runs, const ScorerChoice& scorer, std::vector<std::string>& types) {
  std::vector<SummaryOf> all;
  std::set<std::string> seen;
  for (const RunView& run : runs) {
    SummaryOf& of_run = all.emplace_back();
    for (TypeScore& summary : scores_by_type(*run.record, scorer)) {
      if (seen.insert(summary.type).second) types.push_back(summary.type);
      of_run.emplace(summary.type, std::move(summary));
    }
  }
  return all;
}

void add_scores(Runs runs, const ScorerChoice& scorer, Lang lang, std::vector<Drawing>& drawings) {
  const bool is_points = scorer.kind == ScoreKind::kPoints;
  std::vector<std::string> types;
  std::vector<SummaryOf> summaries = summaries_of(runs, scorer, types);
  if (types.empty() || types.size() > kMostRows) return;
  BarChart bars;
  bars.title = tr(lang, "Scores by task type", "各任务类型得分");
  bars.axis = is_points
                  ? tr(lang, "mean score, 1 to 5; lines: 95 % interval", "平均得分（1–5）；细线为 95 % 区间")
                  : tr(lang, "right answers, %; lines: 95 % interval", "正确率（%）；细线为 95 % 区间");
  bars.most = is_points ? 5 : 100;
  bars.series = series_of(runs);
  const double scale = is_points ? 1 : 100;
  for (const std::string& type : types) {
    BarGroup group{
        type.empty() ? std::string(tr(lang, "all", "全部")) : type_title(*runs[0].record, type, lang), {}};
    for (SummaryOf& of_run : summaries) {
      const auto at = of_run.find(type);
      Bar bar;
      if (at != of_run.end()) {
        bar.value = at->second.mean * scale;
        if (at->second.ci95) bar.ci95 = Interval{at->second.ci95->low * scale, at->second.ci95->high * scale};
        bar.text = is_points ? fmt::format("{:.2f}", *bar.value) : fmt::format("{:.1f} %", *bar.value);
      }
      group.bars.push_back(std::move(bar));
    }
    bars.groups.push_back(std::move(group));
  }
  bars.description = described(bars, lang);
  RadarChart radar;
  radar.title = tr(lang, "Profile over task types", "任务类型雷达图");
  radar.description = bars.description;
  for (const RunView& run : runs) radar.shapes.push_back({series_of(run), {}});
  for (const std::string& type : types) {
    if (type.empty()) continue;
    radar.axes.push_back(type_title(*runs[0].record, type, lang));
    for (size_t i = 0; i < runs.size(); ++i) {
      const auto at = summaries[i].find(type);
      radar.shapes[i].values.push_back(at == summaries[i].end() ? std::nullopt
                                                                : std::optional(at->second.mean));
    }
  }
  if (is_points && radar.axes.size() >= kLeastAxes && radar.axes.size() <= kMostAxes) {
    drawings.push_back(draw_radar(radar));
  }
  drawings.push_back(draw_bars(bars));
}

/// Rows of a strip plot by question, or by type of task where there are many.
StripChart strips_of(Runs runs, const std::function<std::optional<double>(const AnswerRecord&)>& figure_of,
                     Lang lang) {
  StripChart chart;
  chart.series = series_of(runs);
  std::unordered_map<std::string, size_t> questions;
  for (const RunView& run : runs) {
    for (const AnswerRecord& item : run.record->items)
      questions.emplace(question_key(item), questions.size());
  }
  const bool is_by_question = questions.size() <= kMostRows;
  std::unordered_map<std::string, size_t> place;
  size_t n_marks = 0;
  for (size_t r = 0; r < runs.size(); ++r) {
    for (const AnswerRecord& item : runs[r].record->items) {
      const std::optional<double> value = figure_of(item);
      if (!value || item.finish_reason == "error") continue;
      const auto [at, is_new] =
          place.emplace(is_by_question ? question_key(item) : item.type, chart.rows.size());
      if (is_new) {
        if (chart.rows.size() == kMostRows) {
          place.erase(at);
          continue;
        }
        const std::string type = type_title(*runs[0].record, item.type, lang);
        chart.rows.push_back({is_by_question ? fmt::format("{} {}", item.id, type) : type, {}});
        chart.rows.back().samples.resize(runs.size());
      }
      if (++n_marks <= kMostMarks) chart.rows[at->second].samples[r].push_back(*value);
    }
  }
  return chart;
}

void add_strips(Runs runs, Lang lang, std::vector<Drawing>& drawings) {
  struct Plot {
    std::string_view title_en, title_zh, axis_en, axis_zh;
    std::function<std::optional<double>(const AnswerRecord&)> figure_of;
  };
  const Plot plots[] = {
      {"Seconds per answer", "每个回答的用时", "seconds; printed: the median", "秒；所标数字为中位数",
       [](const AnswerRecord& item) { return std::optional(item.seconds); }},
      {"Time per token", "每词元时间", "milliseconds (TPOT); printed: the median",
       "毫秒（TPOT）；所标数字为中位数",
       [](const AnswerRecord& item) {
         return item.tpot_s ? std::optional(*item.tpot_s * 1e3) : std::nullopt;
       }},
      {"Time to first token", "首词元延迟", "milliseconds (TTFT); printed: the median",
       "毫秒（TTFT）；所标数字为中位数",
       [](const AnswerRecord& item) {
         return item.ttft_s ? std::optional(*item.ttft_s * 1e3) : std::nullopt;
       }},
  };
  for (const Plot& plot : plots) {
    StripChart chart = strips_of(runs, plot.figure_of, lang);
    chart.title = tr(lang, plot.title_en, plot.title_zh);
    chart.axis = tr(lang, plot.axis_en, plot.axis_zh);
    chart.description =
        trf(lang, "{}: one mark per answer, by question.", "{}：每个回答一个标记，按题排列。", chart.title);
    if (!chart.rows.empty()) drawings.push_back(draw_strips(chart));
  }
}

/// Seconds of the runs beside those that were published.
void add_published(Runs runs, const Published* published, Lang lang, std::vector<Drawing>& drawings) {
  if (published == nullptr) return;
  BarChart chart;
  chart.title =
      tr(lang, "Mean seconds per question, with the published figures", "平均每题用时，并列已发表数据");
  chart.axis = tr(lang, "seconds; the published ones are of another machine", "秒；已发表数据来自另一台机器");
  chart.series = {{"", "a"}};
  const auto add = [&chart](std::string label, double value, std::string look) {
    chart.groups.push_back(
        {std::move(label), {{value, std::nullopt, fmt::format("{:.2f}", value), std::move(look)}}});
  };
  for (const RunView& run : runs) {
    if (run.record->summary.mean_s) add(series_of(run).name, *run.record->summary.mean_s, look_of(run));
  }
  for (const PublishedRun& run : published->runs) {
    if (run.mean_s) add(trf(lang, "published: {}", "已发表数据：{}", run.name), *run.mean_s, "p");
  }
  chart.description = described(chart, lang);
  drawings.push_back(draw_bars(chart));
}

void add_memory(Runs runs, Lang lang, std::vector<Drawing>& drawings) {
  BarChart chart;
  chart.title = tr(lang, "Memory", "内存");
  chart.axis = tr(lang, "GB (10⁹ bytes)", "GB（10⁹ 字节）");
  chart.series = series_of(runs);
  const auto add = [&](std::string_view en, std::string_view zh,
                       const std::function<int64_t(const RunRecord&)>& of) {
    BarGroup group{std::string(tr(lang, en, zh)), {}};
    bool has_value = false;
    for (const RunView& run : runs) {
      const int64_t bytes = of(*run.record);
      Bar bar;
      if (bytes > 0) bar = {static_cast<double>(bytes) / 1e9, std::nullopt, bytes_text(bytes), {}};
      has_value = has_value || bytes > 0;
      group.bars.push_back(std::move(bar));
    }
    if (has_value) chart.groups.push_back(std::move(group));
  };
  add("weights on the device", "权重（设备上）",
      [](const RunRecord& r) { return memory_of(r).weight_bytes; });
  add("KV cache", "KV 缓存", [](const RunRecord& r) { return memory_of(r).kv_bytes; });
  add("scratch", "临时空间", [](const RunRecord& r) { return memory_of(r).scratch_bytes; });
  add("all that was allotted", "分配总量", [](const RunRecord& r) { return memory_of(r).allotted_bytes(); });
  chart.description = described(chart, lang);
  if (!chart.groups.empty()) drawings.push_back(draw_bars(chart));
}

/// Rates of a bench, which has no questions.
void add_rates(Runs runs, Lang lang, std::vector<Drawing>& drawings) {
  BarChart chart;
  chart.title = tr(lang, "Tokens per second", "每秒词元数");
  chart.axis = tr(lang, "tokens/s, median; lines: 95 % interval", "词元/秒，中位数；细线为 95 % 区间");
  chart.series = series_of(runs);
  std::vector<std::string> names;
  for (const RunView& run : runs) {
    for (const NamedMetric& named : run.record->metrics) {
      const bool is_shown =
          named.unit == "tokens/s" && !named.metric.samples.empty() && names.size() < kMostRows;
      if (is_shown && std::find(names.begin(), names.end(), named.name) == names.end())
        names.push_back(named.name);
    }
  }
  for (const std::string& name : names) {
    NamedMetric unitless;  // the axis says the unit
    unitless.name = name;
    BarGroup group{metric_words(unitless, lang), {}};
    for (const RunView& run : runs) {
      Bar bar;
      for (const NamedMetric& named : run.record->metrics) {
        if (named.name != name || named.metric.samples.empty()) continue;
        bar = {named.metric.median, named.metric.ci95, figure(named.metric.median), {}};
      }
      group.bars.push_back(std::move(bar));
    }
    chart.groups.push_back(std::move(group));
  }
  chart.description = described(chart, lang);
  if (!chart.groups.empty()) drawings.push_back(draw_bars(chart));
}

}  // namespace

std::vector<Drawing> charts_of(Runs runs, const std::optional<ScorerChoice>& scorer,
                               const Published* published, Lang lang) {
  std::vector<Drawing> drawings;
  const bool has_answers =
      std::any_of(runs.begin(), runs.end(), [](const RunView& run) { return !run.record->items.empty(); });
  if (scorer) add_scores(runs, *scorer, lang, drawings);
  if (has_answers) {
    add_strips(runs, lang, drawings);
  } else {
    add_rates(runs, lang, drawings);
  }
  add_published(runs, published, lang, drawings);
  add_memory(runs, lang, drawings);
  return drawings;
}

}  // namespace chaski
