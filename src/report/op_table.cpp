// The table of run_tables.h that is about single ops: where the time of traced steps went.
#include <algorithm>
#include <map>

#include "report/figures.h"
#include "report/names.h"
#include "report/run_tables.h"

namespace chaski {
namespace {

constexpr size_t kMostOps = 30;

/// Seconds by phase.
using Seconds = std::map<std::string, double>;

Seconds in_ops(const RunRecord& record) {
  Seconds seconds;
  for (const OpRecord& op : record.ops) seconds[op.phase] += op.seconds;
  return seconds;
}

/// How long the traced steps took as a whole; phases of which the record does not say it are left out.
Seconds in_steps(const RunRecord& record) {
  Seconds seconds;
  const auto traced = record.settings.find("traced_s");
  if (traced == record.settings.end() || !traced->is_object()) return seconds;
  for (const auto& [phase, value] : traced->items()) {
    if (value.is_number() && value.get<double>() > 0) seconds[phase] = value.get<double>();
  }
  return seconds;
}

}  // namespace

Table ops_table(const RunRecord& record, Lang lang) {
  Table table{"ops",
              std::string(tr(lang, "Time by op", "各算子用时")),
              {std::string(tr(lang, "op", "算子")), std::string(tr(lang, "phase", "阶段")),
               std::string(tr(lang, "shape", "形状")), std::string(tr(lang, "calls", "次数")),
               std::string(tr(lang, "seconds", "秒")), std::string(tr(lang, "share of phase", "占该阶段")),
               std::string(tr(lang, "moved", "数据量")), "GB/s"},
              "lllrrrrr",
              {},
              {},
              {}};
  std::vector<const OpRecord*> ops;
  for (const OpRecord& op : record.ops) ops.push_back(&op);
  if (ops.empty()) return table;
  std::stable_sort(ops.begin(), ops.end(),
                   [](const OpRecord* x, const OpRecord* y) { return x->seconds > y->seconds; });
  const size_t n_shown = std::min(ops.size(), kMostOps);
  const Seconds of_ops = in_ops(record), of_steps = in_steps(record);
  const auto share = [&](const std::string& phase, double seconds) {
    const auto whole = of_steps.find(phase);
    const double all = whole == of_steps.end() ? of_ops.at(phase) : std::max(whole->second, of_ops.at(phase));
    return all > 0 ? percent(seconds / all) : std::string("–");
  };
  Seconds left_out;
  for (size_t i = 0; i < ops.size(); ++i) {
    const OpRecord& op = *ops[i];
    if (i >= n_shown) {
      left_out[op.phase] += op.seconds;
      continue;
    }
    const std::optional<double> rate =
        op.seconds > 0 ? std::optional(static_cast<double>(op.bytes) / op.seconds / 1e9) : std::nullopt;
    table.add({op.op, phase_words(op.phase, lang), op.shape, std::to_string(op.calls), figure(op.seconds),
               share(op.phase, op.seconds), bytes_text(op.bytes), figure(rate)});
  }
  const auto add_rest = [&](std::string_view en, std::string_view zh, const std::string& phase,
                            double seconds) {
    table.add({std::string(tr(lang, en, zh)), phase_words(phase, lang), "", "", figure(seconds),
               share(phase, seconds), "", "–"});
  };
  for (const auto& [phase, seconds] : left_out) add_rest("other ops", "其他算子", phase, seconds);
  for (const auto& [phase, seconds] : of_ops) {
    const auto whole = of_steps.find(phase);
    if (whole != of_steps.end())
      add_rest("between ops", "算子之间", phase, std::max(0.0, whole->second - seconds));
  }
  if (record.device.device_kind == "modelled") {
    table.notes.emplace_back(tr(lang,
                                "Of one step of each phase, as the time model has it; what launches cost the "
                                "host is not in it.",
                                "每个阶段一步的用时，由时间模型推算；不含主机下发的开销。"));
    return table;
  }
  table.notes.emplace_back(
      of_steps.empty()
          ? tr(lang,
               "Shares are of the time in ops. What lies between them (scheduling, sampling, text) is not "
               "counted. Bytes of weights are those of the file.",
               "占比以算子内的时间为准；算子之间（调度、采样、文本）不计入。权重字节数按文件计。")
          : tr(lang,
               "Shares are of the traced steps of a phase, and add up to 100 %. Between ops lie scheduling, "
               "sampling, text, and the tracing itself, which waits before and after each op: traced steps "
               "are slower than those timed above. Bytes of weights are those of the file.",
               "占比以该阶段被跟踪的各步总时间为准，合计 100 "
               "%。“算子之间”包括调度、采样、文本处理，以及跟踪本身：它在每个算子前后都要等待，"
               "因此比上面计时的各步慢。权重字节数按文件计。"));
  return table;
}

}  // namespace chaski
