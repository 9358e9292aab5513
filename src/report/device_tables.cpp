// Tables of run_tables.h that are about what a run took and how it held: memory, energy, stability.
#include <algorithm>

#include "report/figures.h"
#include "report/names.h"
#include "report/per_run_table.h"

namespace chaski {
namespace {

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
  if (energy.busy_percent) text += trf(lang, " · {} % busy", " · 利用率 {} %", figure(*energy.busy_percent));
  if (energy.temperature_c)
    text += trf(lang, " · up to {} °C", " · 最高 {} °C", figure(*energy.temperature_c));
  if (energy.idle_watts) {
    text += trf(lang, " (idle {} W, not subtracted)", "（空闲 {} W，未扣除）", figure(*energy.idle_watts));
  }
  return text;
}

}  // namespace

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
      [lang](const EnergyRecord& e) {
        const std::string phase = phase_words(e.phase, lang);
        return e.source.empty() ? phase : fmt::format("{} · {}", phase, e.source);
      },
      [lang](const EnergyRecord& e) { return energy_cell(e, lang); });
  for (const std::string& why :
       keys_of<EnergyRecord>(runs, &RunRecord::energy, [](const EnergyRecord& e) { return e.why_not; })) {
    if (!why.empty()) table.note(remark_words(why, lang));
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
      [lang](const FallbackRecord& f) { return fmt::format("{}: {}", f.op, remark_words(f.reason, lang)); },
      [lang](const FallbackRecord& f) {
        return trf(lang, "{} calls · {} · {} s", "{} 次 · {} · {} 秒", f.calls, bytes_text(f.bytes),
                   figure(f.seconds));
      });
  rows_by_key<CountRecord>(
      table, runs, &RunRecord::counts,
      [lang](const CountRecord& c) { return words_for(NameOf::kCount, c.name, lang); },
      [](const CountRecord& c) { return fmt::format("{}", c.n); });
  return table.take();
}

}  // namespace chaski
