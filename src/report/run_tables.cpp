#include "report/run_tables.h"

#include <algorithm>

#include "base/utf8.h"
#include "report/figures.h"
#include "report/names.h"
#include "report/per_run_table.h"
#include "report/warnings.h"

namespace chaski {
namespace {

std::vector<double> seconds_of(const RunRecord& record) {
  std::vector<double> seconds;
  for (const AnswerRecord& item : record.items) {
    if (item.finish_reason != "error") seconds.push_back(item.seconds);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

/// Characters of all answers for each second spent on them.
/// All that was written over all the time it took, prompts and waiting included.
std::string rate_of_all(const RunRecord& record, int64_t n) {
  const double seconds = answers_s(record).value_or(0);
  return seconds > 0 ? figure(static_cast<double>(n) / seconds) : "";
}

int64_t n_characters(const RunRecord& record) {
  int64_t n = 0;
  for (const AnswerRecord& item : record.items) n += static_cast<int64_t>(count_code_points(item.answer));
  return n;
}

/// A percentile is said only where a sample lies beyond it.
bool has_beyond(size_t n, double p) { return static_cast<double>(n) * (1 - p) >= 1 - 1e-9; }

std::string_view own_questions_note(Lang lang) {
  return tr(lang,
            "The runs did not answer the same questions: each figure is of the run's own, and lengths differ "
            "with them.",
            "两次运行回答的题目不同：各项数值只对应各自的题目，长短也随之不同。");
}

std::string metric_cell(const NamedMetric& named, bool is_alone) {
  const Metric& m = named.metric;
  std::string text = figure(m.median, m.ci95);
  for (const auto& [p, value] : {std::pair{90, m.p90}, {99, m.p99}}) {
    if (is_alone && has_beyond(m.samples.size(), p / 100.0))
      text += fmt::format(" · p{} {}", p, figure(value));
  }
  return text + fmt::format(" · n = {}", m.samples.size());
}

}  // namespace

Table speed_table(Runs runs, const Published* published, Lang lang) {
  PerRun table("speed", tr(lang, "Speed and latency", "速度与延迟"), runs, published, lang);
  const auto label = [lang](std::string_view en, std::string_view zh) {
    return std::string(tr(lang, en, zh));
  };
  const auto has_items = [](const RunRecord& r) { return !r.items.empty(); };
  table.row(
      label("load, s", "模型加载（秒）"),
      [](const RunRecord& r) { return r.summary.load_s > 0 ? fixed(r.summary.load_s) : ""; },
      [](const PublishedRun& p) { return fixed(p.load_s); });
  table.row(
      label("all answers, s", "全部回答（秒）"),
      [&](const RunRecord& r) { return has_items(r) ? fixed(answers_s(r)) : ""; },
      [](const PublishedRun& p) { return fixed(p.total_s); });
  table.row(
      label("mean per question, s", "平均每题（秒）"),
      [&](const RunRecord& r) { return has_items(r) ? fixed(r.summary.mean_s) : ""; },
      [](const PublishedRun& p) { return fixed(p.mean_s); });
  for (const double p : {0.5, 0.9, 0.99}) {
    const std::string title =
        p == 0.5 ? label("median per question, s", "每题中位数（秒）")
                 : trf(lang, "{:.0f}th percentile per question, s", "每题第 {:.0f} 百分位（秒）", p * 100);
    table.row(title, [p](const RunRecord& r) {
      const std::vector<double> seconds = seconds_of(r);
      return has_beyond(seconds.size(), p) ? fixed(percentile(seconds, p)) : std::string();
    });
  }
  table.row(label("mean TTFT, s", "平均首词元延迟（秒）"), [](const RunRecord& r) {
    return r.summary.mean_ttft_s ? figure(*r.summary.mean_ttft_s) : std::string();
  });
  table.row(label("mean time per token, ms", "平均每词元时间（毫秒）"), [](const RunRecord& r) {
    return r.summary.tpot_s ? figure(*r.summary.tpot_s * 1e3) : std::string();
  });
  table.row(label("mean decode rate, tokens/s", "平均解码速度（词元/秒）"), [](const RunRecord& r) {
    return r.summary.decode_tokens_per_s ? figure(*r.summary.decode_tokens_per_s) : std::string();
  });
  table.row(label("all answers together, tokens/s", "全部回答合计（词元/秒）"), [&](const RunRecord& r) {
    return has_items(r) ? rate_of_all(r, r.summary.n_tokens) : std::string();
  });
  table.row(label("all answers together, characters/s", "全部回答合计（字符/秒）"), [&](const RunRecord& r) {
    return has_items(r) ? rate_of_all(r, n_characters(r)) : std::string();
  });
  table.row(label("prompt tokens", "提示词元数"), [&](const RunRecord& r) {
    return has_items(r) ? fmt::format("{}", r.summary.n_prompt_tokens) : "";
  });
  table.row(label("answer tokens", "回答词元数"),
            [&](const RunRecord& r) { return has_items(r) ? fmt::format("{}", r.summary.n_tokens) : ""; });
  if (!answered_alike(runs)) table.note(std::string(own_questions_note(lang)));
  if (published != nullptr) {
    table.note(fmt::format("{}{}{}", in_language(published->title, lang), tr(lang, ": ", "："),
                           in_language(published->setting, lang)));
  }
  return table.take();
}

Table metrics_table(Runs runs, Lang lang) {
  PerRun table("metrics", tr(lang, "Metrics", "性能指标"), runs, nullptr, lang);
  const bool is_alone = runs.size() == 1;
  rows_by_key<NamedMetric>(
      table, runs, &RunRecord::metrics, [lang](const NamedMetric& m) { return metric_words(m, lang); },
      [is_alone](const NamedMetric& m) { return m.metric.samples.empty() ? "" : metric_cell(m, is_alone); });
  table.note(std::string(
      tr(lang, "Median, its 95 % bootstrap interval in brackets (from six samples on), number of samples.",
         "中位数；括号内为其自助法 95 % 区间（至少六个样本）；样本数。")));
  return table.take();
}

std::vector<Table> measured_tables(Runs runs, const std::optional<ScorerChoice>& scorer,
                                   const Published* published, Lang lang) {
  std::vector<Table> tables;
  const auto add = [&tables](Table table) {
    if (!table.empty()) tables.push_back(std::move(table));
  };
  if (scorer) add(scores_table(runs, *scorer, lang));
  add(results_table(runs, lang));
  add(speed_table(runs, published, lang));
  add(metrics_table(runs, lang));
  add(memory_table(runs, lang));
  add(energy_table(runs, lang));
  add(stability_table(runs, published, lang));
  add(fallback_table(runs, published, lang));
  if (runs.size() == 1) add(ops_table(*runs[0].record, lang));
  return tables;
}

std::vector<std::string> record_warnings(Runs runs, Lang lang) {
  std::vector<std::string> texts;
  std::map<std::string, std::string> sides;
  for (const RunView& run : runs) {
    std::vector<std::string> of_run;
    for (const RunWarning& warning : run.record->warnings) of_run.push_back(warning_text(warning, lang));
    if (std::string why = why_unscored(*run.record, lang); !why.empty()) of_run.push_back(std::move(why));
    for (const std::string& text : of_run) {
      std::string& letters = sides[text];
      if (letters.empty()) texts.push_back(text);
      const std::string letter = side_letter(run);
      if (letters.find(letter + "|") == std::string::npos) letters += letter + "|";
    }
  }
  for (std::string& text : texts) {
    const std::string& letters = sides[text];
    const std::string_view who = letters == "A|B|" ? "A, B"
                                 : letters == "A|" ? "A"
                                 : letters == "B|" ? "B"
                                                   : "";
    if (!who.empty()) text = fmt::format("{}{}{}", who, tr(lang, ": ", "："), text);
  }
  return texts;
}

std::vector<std::string> definitions(Lang lang) {
  return {
      std::string(
          tr(lang,
             "Seconds: from handing the question over until the answer was complete, prompt rendering, "
             "tokenising, prefill and decode included; the load is not part of it.",
             "用时：从交出问题到回答完成，含提示词渲染、分词、预填充与解码；不含模型加载。")),
      std::string(tr(lang,
                     "TTFT: from the moment the engine admitted the request until the first token was known.",
                     "首词元延迟（TTFT）：从引擎接纳请求到得到第一个词元。")),
      std::string(tr(
          lang,
          "Time per token (TPOT): (time of the last token − time of the first) / (tokens − 1); decode rate "
          "is 1 / TPOT. Models whose answers differ in length can be compared by this figure, not by "
          "seconds.",
          "每词元时间（TPOT）：（最后一个词元的时刻 − 第一个词元的时刻）/（词元数 − 1）；解码速度为 1 / "
          "TPOT。"
          "回答长短不同的模型应比较此项，而非秒数。")),
      std::string(tr(lang, "Bytes: 1 MB is 10⁶, 1 GB is 10⁹.", "字节：1 MB 为 10⁶，1 GB 为 10⁹。")),
  };
}

}  // namespace chaski
