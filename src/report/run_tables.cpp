#include "report/run_tables.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <unordered_map>

#include "report/eval_report.h"
#include "report/figures.h"
#include "report/warnings.h"

namespace chaski {
namespace {


/// A table with a column per run, and one per published run where there are any.
class PerRun {
 public:
  PerRun(std::string id, std::string_view title, Runs runs, const Published* published, Lang lang)
      : runs_(runs), published_(published) {
    table_.id = std::move(id);
    table_.title = title;
    table_.columns = {""};
    table_.align = "l";
    table_.sides = {""};
    for (const RunView& run : runs) {
      add_column(runs.size() == 1 ? std::string(tr(lang, "value", "数值")) : side_letter(run), run.side);
    }
    if (published == nullptr) return;
    for (const PublishedRun& run : published->runs) {
      add_column(trf(lang, "published: {}", "已发表数据：{}", run.name), "p");
    }
  }

  using OfRecord = std::function<std::string(const RunRecord&)>;
  using OfPublished = std::function<std::string(const PublishedRun&)>;
  /// A row, unless no run has a value.
  void row(std::string label, const OfRecord& of_record, const OfPublished& of_published = {}) {
    std::vector<std::string> cells{std::move(label)};
    bool has_value = false;
    for (const RunView& run : runs_) {
      cells.push_back(of_record(*run.record));
      has_value = has_value || !cells.back().empty();
      if (cells.back().empty()) cells.back() = "–";
    }
    if (!has_value) return;
    for (size_t i = 0; published_ != nullptr && i < published_->runs.size(); ++i) {
      cells.push_back(of_published ? of_published(published_->runs[i]) : std::string());
      if (cells.back().empty()) cells.back() = "–";
    }
    table_.add(std::move(cells));
  }
  void note(std::string text) { table_.notes.push_back(std::move(text)); }
  Table take() { return std::move(table_); }

 private:
  void add_column(std::string title, std::string side) {
    table_.columns.push_back(std::move(title));
    table_.align += 'r';
    table_.sides.push_back(std::move(side));
  }

  Runs runs_;
  const Published* published_;
  Table table_;
};

std::string fixed(const std::optional<double>& value) { return value ? fmt::format("{:.2f}", *value) : ""; }

std::string in_language(const std::map<std::string, std::string>& texts, Lang lang) {
  const auto at = texts.find(std::string(name_of(lang)));
  return at == texts.end() ? "" : at->second;
}

std::vector<double> seconds_of(const RunRecord& record) {
  std::vector<double> seconds;
  for (const AnswerRecord& item : record.items) {
    if (item.finish_reason != "error") seconds.push_back(item.seconds);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

/// Characters of all answers for each second spent on them.
std::string characters_per_s(const RunRecord& record) {
  int64_t n = 0;
  for (const AnswerRecord& item : record.items) {
    n += std::count_if(item.answer.begin(), item.answer.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
  }
  return record.summary.total_s > 0 ? figure(static_cast<double>(n) / record.summary.total_s) : "";
}

/// The first of a question's answers and the means over its samples.
struct QuestionMeans {
  const AnswerRecord* first = nullptr;
  double seconds = 0, n_tokens = 0;
  int64_t n = 0;
};
std::unordered_map<std::string, QuestionMeans> question_means(const RunRecord& record) {
  std::unordered_map<std::string, QuestionMeans> means;
  for (const AnswerRecord& item : record.items) {
    QuestionMeans& of_question = means[question_key(item)];
    if (of_question.first == nullptr) of_question.first = &item;
    of_question.seconds += item.seconds;
    of_question.n_tokens += static_cast<double>(item.n_tokens());
    ++of_question.n;
  }
  for (auto& [id, of_question] : means) {
    of_question.seconds /= static_cast<double>(of_question.n);
    of_question.n_tokens /= static_cast<double>(of_question.n);
  }
  return means;
}

std::string column_of(const RunView& run, std::string_view what) {
  const std::string letter = side_letter(run);
  return letter.empty() ? std::string(what) : fmt::format("{}: {}", letter, what);
}

std::string type_label(Runs runs, const std::string& type, Lang lang) {
  return type.empty() ? std::string(tr(lang, "all", "全部")) : type_title(*runs[0].record, type, lang);
}

std::string count_of(const RunRecord& record, const std::function<bool(const AnswerRecord&)>& is_counted) {
  if (record.items.empty()) return "";
  return fmt::format("{} / {}", std::count_if(record.items.begin(), record.items.end(), is_counted),
                     record.items.size());
}

std::string energy_cell(const EnergyRecord& energy, Lang lang) {
  if (!energy.joules) return std::string(tr(lang, "not available", "不可用"));
  std::string text = fmt::format("{} J", figure(*energy.joules));
  if (energy.n_tokens > 0) {
    const double per_token = *energy.joules / static_cast<double>(energy.n_tokens);
    text += trf(lang, " · {} J/token", " · 每词元 {} J", figure(per_token));
    if (per_token > 0) text += trf(lang, " · {} tokens/kWh", " · {} 词元/kWh", figure(3.6e6 / per_token));
  }
  if (energy.seconds > 0) text += fmt::format(" · {} W", figure(*energy.joules / energy.seconds));
  if (energy.idle_watts) {
    text += trf(lang, " (idle {} W, not subtracted)", "（空闲 {} W，未扣除）", figure(*energy.idle_watts));
  }
  return text;
}

/// A percentile is said only where a sample lies beyond it.
bool has_beyond(size_t n, double p) { return static_cast<double>(n) * (1 - p) >= 1 - 1e-9; }

/// "decode_tokens_per_s, n=128, d=512": a metric's name with the test it is of, and with its unit where the
/// name does not end in it.
std::string metric_label(const NamedMetric& named) {
  std::string unit = named.unit;
  const size_t slash = unit.find('/');
  if (slash != std::string::npos) unit.replace(slash, 1, "_per_");
  const size_t bare = std::min(named.name.find('['), named.name.size());
  const std::string name = named.name.substr(0, bare);
  std::string test = named.name.substr(bare);
  if (test.size() > 2 && test.back() == ']') test = test.substr(1, test.size() - 2);
  for (size_t at = test.find(','); at != std::string::npos; at = test.find(',', at + 2)) {
    test.replace(at, 1, ", ");
  }
  const bool says_it = unit.empty() || (name.size() > unit.size() && name.ends_with("_" + unit));
  const std::string label = says_it ? name : fmt::format("{} ({})", name, named.unit);
  return test.empty() ? label : fmt::format("{}, {}", label, test);
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

/// The keys of a list of every run, each once, in the order in which they come.
template <typename Entry>
std::vector<std::string> keys_of(Runs runs, const std::vector<Entry> RunRecord::*list,
                                 const std::function<std::string(const Entry&)>& key) {
  std::vector<std::string> keys;
  std::set<std::string> seen;
  for (const RunView& run : runs) {
    for (const Entry& entry : run.record->*list) {
      if (seen.insert(key(entry)).second) keys.push_back(key(entry));
    }
  }
  return keys;
}

/// A row per key; the first entry of a run with that key is its cell.
template <typename Entry>
void rows_by_key(PerRun& table, Runs runs, const std::vector<Entry> RunRecord::*list,
                 const std::function<std::string(const Entry&)>& key,
                 const std::function<std::string(const Entry&)>& cell) {
  std::map<const RunRecord*, std::unordered_map<std::string, const Entry*>> entries;
  for (const RunView& run : runs) {
    for (const Entry& entry : run.record->*list) entries[run.record].emplace(key(entry), &entry);
  }
  for (const std::string& one : keys_of<Entry>(runs, list, key)) {
    table.row(one, [&](const RunRecord& record) {
      const auto at = entries[&record].find(one);
      return at == entries[&record].end() ? std::string() : cell(*at->second);
    });
  }
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
      [&](const RunRecord& r) { return has_items(r) ? fixed(r.summary.total_s) : ""; },
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
  table.row(label("mean answer characters/s", "平均每秒回答字符"), characters_per_s);
  table.row(label("prompt tokens", "提示词元数"), [&](const RunRecord& r) {
    return has_items(r) ? fmt::format("{}", r.summary.n_prompt_tokens) : "";
  });
  table.row(label("answer tokens", "回答词元数"),
            [&](const RunRecord& r) { return has_items(r) ? fmt::format("{}", r.summary.n_tokens) : ""; });
  if (published != nullptr) {
    table.note(fmt::format("{}{}{}", in_language(published->title, lang), tr(lang, ": ", "："),
                           in_language(published->setting, lang)));
  }
  return table.take();
}

Table questions_table(Runs runs, const std::optional<ScorerChoice>& scorer, const Published* published,
                      Lang lang) {
  Table table{"questions",
              std::string(tr(lang, "Question by question", "逐题结果")),
              {"#", std::string(tr(lang, "task type", "任务类型"))},
              "ll",
              {},
              {},
              {"", ""}};
  const auto column = [&](std::string title, std::string side) {
    table.columns.push_back(std::move(title));
    table.align += 'r';
    table.sides.push_back(std::move(side));
  };
  std::vector<std::unordered_map<std::string, QuestionMeans>> means;
  std::vector<std::map<std::string, double>> scores;
  std::vector<const AnswerRecord*> questions;
  std::set<std::string> seen;
  for (const RunView& run : runs) {
    means.push_back(question_means(*run.record));
    scores.push_back(scorer ? question_scores(*run.record, {scorer->scorer, scorer->kind})
                            : std::map<std::string, double>());
    for (const AnswerRecord& item : run.record->items) {
      if (seen.insert(question_key(item)).second) questions.push_back(&item);
    }
  }
  for (const RunView& run : runs) column(column_of(run, tr(lang, "seconds", "用时（秒）")), run.side);
  for (const RunView& run : runs) column(column_of(run, tr(lang, "tokens", "词元数")), run.side);
  if (scorer) {
    for (const RunView& run : runs) column(column_of(run, tr(lang, "score", "得分")), run.side);
  }
  if (published != nullptr) {
    for (const PublishedRun& run : published->runs) {
      column(trf(lang, "published, s: {}", "已发表（秒）：{}", run.name), "p");
    }
  }
  for (const AnswerRecord* question : questions) {
    std::vector<std::string> row{question->id, type_title(*runs[0].record, question->type, lang)};
    const auto add = [&](const std::function<std::string(size_t)>& cell) {
      for (size_t i = 0; i < runs.size(); ++i) row.push_back(cell(i));
    };
    const std::string key = question_key(*question);
    add([&](size_t i) { return means[i].count(key) > 0 ? fixed(means[i][key].seconds) : std::string("–"); });
    add([&](size_t i) {
      return means[i].count(key) > 0 ? figure(means[i][key].n_tokens) : std::string("–");
    });
    if (scorer) {
      add([&](size_t i) {
        const auto at = scores[i].find(question->id);
        return at == scores[i].end() || means[i].count(key) == 0 ? std::string("–") : figure(at->second);
      });
    }
    for (size_t i = 0; published != nullptr && i < published->runs.size(); ++i) {
      const auto at = published->runs[i].seconds.find(question->id);
      row.push_back(at == published->runs[i].seconds.end() ? std::string(tr(lang, "not given", "未给出"))
                                                           : fixed(at->second));
    }
    table.add(std::move(row));
  }
  return table;
}

Table scores_table(Runs runs, const ScorerChoice& scorer, Lang lang) {
  const bool is_points = scorer.kind == ScoreKind::kPoints;
  PerRun table("scores",
               is_points ? trf(lang, "Scores from 1 to 5 ({})", "得分 1–5（{}）", scorer.scorer)
                         : trf(lang, "Share of right answers ({})", "正确率（{}）", scorer.scorer),
               runs, nullptr, lang);
  std::map<const RunRecord*, std::map<std::string, TypeScore>> summaries;
  std::vector<std::string> types{""};
  std::set<std::string> seen{""};
  for (const RunView& run : runs) {
    for (const TypeScore& summary : scores_by_type(*run.record, scorer)) {
      summaries[run.record].emplace(summary.type, summary);
      if (seen.insert(summary.type).second) types.push_back(summary.type);
    }
  }
  for (const std::string& type : types) {
    table.row(type_label(runs, type, lang), [&](const RunRecord& record) {
      const auto at = summaries[&record].find(type);
      if (at == summaries[&record].end()) return std::string();
      const TypeScore& s = at->second;
      const std::string value =
          is_points
              ? fmt::format("{:.2f}{}", s.mean,
                            s.ci95 ? fmt::format(" ({:.2f} – {:.2f})", s.ci95->low, s.ci95->high) : "")
              : fmt::format(
                    "{}{}", percent(s.mean),
                    s.ci95 ? fmt::format(" ({} – {})", percent(s.ci95->low), percent(s.ci95->high)) : "");
      return value + fmt::format(" · n = {}", s.n);
    });
  }
  table.note(std::string(
      tr(lang,
         "Mean over questions, 95 % bootstrap interval over questions in brackets (from six questions on).",
         "按题平均；括号内为按题自助法 95 % 区间（至少六题）。")));
  if (scorer.questions) {
    table.note(std::string(
        tr(lang, "Of the questions that both runs have a score for; one that failed has the least.",
           "只计两次运行都有得分的题；失败的题得最低分。")));
  }
  return table.take();
}

Table results_table(Runs runs, Lang lang) {
  PerRun table("results", tr(lang, "Results by public protocols", "公开评测协议的结果"), runs, nullptr, lang);
  rows_by_key<TaskResult>(
      table, runs, &RunRecord::results,
      [](const TaskResult& r) { return fmt::format("{} · {}", r.task, r.metric); },
      [](const TaskResult& r) {
        return fmt::format("{:.4f}{} · n = {}", r.value,
                           r.standard_error ? fmt::format(" ± {:.4f}", *r.standard_error) : "", r.n);
      });
  return table.take();
}

Table metrics_table(Runs runs, Lang lang) {
  PerRun table("metrics", tr(lang, "Metrics", "性能指标"), runs, nullptr, lang);
  const bool is_alone = runs.size() == 1;
  rows_by_key<NamedMetric>(table, runs, &RunRecord::metrics, metric_label, [is_alone](const NamedMetric& m) {
    return m.metric.samples.empty() ? "" : metric_cell(m, is_alone);
  });
  table.note(std::string(
      tr(lang, "Median, its 95 % bootstrap interval in brackets (from six samples on), number of samples.",
         "中位数；括号内为其自助法 95 % 区间（至少六个样本）；样本数。")));
  return table.take();
}

Table memory_table(Runs runs, Lang lang) {
  PerRun table("memory", tr(lang, "Memory", "内存"), runs, nullptr, lang);
  const auto row = [&](std::string_view en, std::string_view zh,
                       const std::function<int64_t(const RunRecord&)>& of) {
    table.row(std::string(tr(lang, en, zh)), [&of](const RunRecord& r) {
      const int64_t bytes = of(r);
      return bytes > 0 ? bytes_text(bytes) : std::string();
    });
  };
  row("weights as stored", "权重（文件）", [](const RunRecord& r) { return r.model.weight_bytes; });
  row("weights on the device", "权重（设备上）",
      [](const RunRecord& r) { return memory_of(r).weight_bytes; });
  row("KV cache", "KV 缓存", [](const RunRecord& r) { return memory_of(r).kv_bytes; });
  row("scratch", "临时空间", [](const RunRecord& r) { return memory_of(r).scratch_bytes; });
  row("allotted: these three", "分配总量（以上三项）",
      [](const RunRecord& r) { return memory_of(r).allotted_bytes(); });
  row("peak of the process (RSS)", "进程峰值（RSS）",
      [](const RunRecord& r) { return memory_of(r).peak_rss_bytes; });
  row("device memory", "设备内存",
      [](const RunRecord& r) { return r.memory ? r.memory->device_bytes.value_or(0) : 0; });
  return table.take();
}

Table energy_table(Runs runs, Lang lang) {
  PerRun table("energy", tr(lang, "Energy", "能耗"), runs, nullptr, lang);
  rows_by_key<EnergyRecord>(
      table, runs, &RunRecord::energy,
      [](const EnergyRecord& e) {
        return e.source.empty() ? e.phase : fmt::format("{} · {}", e.phase, e.source);
      },
      [lang](const EnergyRecord& e) { return energy_cell(e, lang); });
  for (const std::string& why :
       keys_of<EnergyRecord>(runs, &RunRecord::energy, [](const EnergyRecord& e) { return e.why_not; })) {
    if (!why.empty()) table.note(why);
  }
  Table made = table.take();
  if (made.empty()) {
    made.add(std::vector<std::string>(made.columns.size(), std::string(tr(lang, "not measured", "未测量"))));
    made.rows[0][0] = tr(lang, "energy", "能耗");
  }
  return made;
}

Table stability_table(Runs runs, const Published* published, Lang lang) {
  PerRun table("stability", tr(lang, "Stability", "稳定性"), runs, published, lang);
  table.row(
      std::string(tr(lang, "failed answers", "失败的回答")),
      [](const RunRecord& r) {
        return r.items.empty() ? "" : fmt::format("{} / {}", r.failures.size(), r.items.size());
      },
      [lang](const PublishedRun& p) { return in_language(p.stability, lang); });
  table.row(std::string(tr(lang, "cut by the length limit", "因长度上限被截断")), [](const RunRecord& r) {
    return count_of(r, [](const AnswerRecord& item) { return item.finish_reason == "length"; });
  });
  table.row(std::string(tr(lang, "empty answers", "空回答")), [](const RunRecord& r) {
    return count_of(r, [](const AnswerRecord& item) {
      return item.finish_reason != "error" && item.answer.find_first_not_of(" \t\r\n") == std::string::npos;
    });
  });
  const auto repeats = [&](std::string_view en, std::string_view zh, int64_t StabilityRecord::*count) {
    table.row(std::string(tr(lang, en, zh)), [count](const RunRecord& r) {
      return r.stability ? fmt::format("{} / {}", (*r.stability).*count, r.stability->n_repeats)
                         : std::string();
    });
  };
  repeats("repeats with the same text", "重复运行文本相同", &StabilityRecord::n_same_text);
  repeats("repeats with NaN or infinity", "重复运行出现 NaN 或无穷", &StabilityRecord::n_nonfinite);
  repeats("repeats that loop", "重复运行陷入循环", &StabilityRecord::n_loops);
  repeats("repeats with an error", "重复运行出错", &StabilityRecord::n_errors);
  repeats("repeats that crashed", "重复运行崩溃", &StabilityRecord::n_crashes);
  table.row(std::string(tr(lang, "growth of memory over the repeats", "重复运行期间内存增长")),
            [](const RunRecord& r) {
              return r.stability ? bytes_text(r.stability->rss_growth_bytes) : std::string();
            });
  return table.take();
}

Table fallback_table(Runs runs, const Published* published, Lang lang) {
  PerRun table("fallback", tr(lang, "Operations that fell back to the CPU", "回退到 CPU 的算子"), runs,
               published, lang);
  const auto rate = [&](std::string_view en, std::string_view zh, double FallbackRate::*share) {
    table.row(std::string(tr(lang, en, zh)), [share](const RunRecord& r) {
      return r.fallback_rate ? percent((*r.fallback_rate).*share) : std::string();
    });
  };
  table.row(
      std::string(tr(lang, "calls that fell back", "回退的调用次数")),
      [](const RunRecord& r) {
        int64_t calls = 0;
        for (const FallbackRecord& fallback : r.fallbacks) calls += fallback.calls;
        return fmt::format("{}", calls);
      },
      [lang](const PublishedRun& p) { return in_language(p.fallback, lang); });
  rate("fallback rate by calls", "按调用次数的回退率", &FallbackRate::by_calls);
  rate("fallback rate by time", "按时间的回退率", &FallbackRate::by_time);
  rate("fallback rate by kinds of op", "按算子种类的回退率", &FallbackRate::by_ops);
  rows_by_key<FallbackRecord>(
      table, runs, &RunRecord::fallbacks,
      [](const FallbackRecord& f) { return fmt::format("{}: {}", f.op, f.reason); },
      [lang](const FallbackRecord& f) {
        return trf(lang, "{} calls · {} · {} s", "{} 次 · {} · {} 秒", f.calls, bytes_text(f.bytes),
                   figure(f.seconds));
      });
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
    for (const RunWarning& warning : run.record->warnings) {
      const std::string text = warning_text(warning, lang);
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
