#include "report/eval_report.h"

#include <algorithm>

#include "report/text_safety.h"
#include "report/warnings.h"

namespace chaski {
namespace {

std::string rate(const std::optional<double>& tpot_s) {
  return tpot_s && *tpot_s > 0 ? fmt::format("{:.1f}", 1 / *tpot_s) : "–";
}

std::string seconds_or_dash(const std::optional<double>& seconds) {
  return seconds ? fmt::format("{:.2f}", *seconds) : "–";
}

bool has_failed(const AnswerRecord& item) { return item.finish_reason == "error"; }

std::string count_of_parameters(int64_t n) {
  if (n >= 1'000'000'000) return fmt::format("{:.3f} B", static_cast<double>(n) / 1e9);
  if (n >= 1'000'000) return fmt::format("{:.1f} M", static_cast<double>(n) / 1e6);
  return std::to_string(n);
}

std::string gigabytes(int64_t bytes) { return fmt::format("{:.3f} GB", static_cast<double>(bytes) / 1e9); }

std::string_view finish_title(const std::string& reason, Lang lang) {
  if (reason == "stop") return tr(lang, "ended by itself", "自行结束");
  if (reason == "length") return tr(lang, "cut by the length limit", "达到长度上限被截断");
  if (reason == "error") return tr(lang, "failed", "失败");
  return reason;
}

/// "2" for the second question, "2.1" for its first of several samples.
std::string number_of(const std::string& id, int64_t sample, bool has_samples) {
  return has_samples ? fmt::format("{}.{}", id, sample + 1) : id;
}

bool has_samples(const RunRecord& record) {
  return std::any_of(record.items.begin(), record.items.end(),
                     [](const AnswerRecord& item) { return item.sample > 0; });
}

/// A setting's value as a person writes it.
std::string value_text(const OrderedJson& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "–";
  return to_json_text(value);
}

class Facts {
 public:
  explicit Facts(Lang lang) : lang_(lang) {}
  void add(std::string_view en, std::string_view zh, std::string_view value) {
    if (!value.empty()) text_ += fmt::format("| {} | {} |\n", tr(lang_, en, zh), markdown_inline(value));
  }
  std::string table() const {
    return fmt::format("| {} | {} |\n| --- | --- |\n{}", tr(lang_, "what", "项目"),
                       tr(lang_, "value", "内容"), text_);
  }

 private:
  Lang lang_;
  std::string text_;
};

std::string facts_section(const RunRecord& r, Lang lang) {
  Facts facts(lang);
  facts.add("model", "模型", r.model.id);
  facts.add("found at", "位置", r.model.path);
  facts.add("parameters", "参数量", count_of_parameters(r.model.n_parameters));
  facts.add("weights", "权重",
            fmt::format("{}, {}, {}", r.model.format, r.model.weights, gigabytes(r.model.weight_bytes)));
  facts.add("SHA-256 of the weights", "权重 SHA-256", r.model.hash);
  facts.add("SHA-256 of the chat template", "对话模板 SHA-256", r.model.template_hash);
  facts.add("date told to the template", "告知模板的日期", r.model.date_string);
  facts.add("computer", "计算机",
            fmt::format("{}, {} {}, {}", r.machine.cpu, r.machine.n_cores, tr(lang, "cores", "核"),
                        gigabytes(r.machine.memory_bytes)));
  facts.add("system", "操作系统", fmt::format("{}, {} ({})", r.machine.os, r.machine.kernel, r.machine.arch));
  facts.add("device", "设备",
            fmt::format("{} ({}, {}), {} {}", r.device.name, r.device.device_kind, r.device.path,
                        r.device.n_threads, tr(lang, "threads", "线程")));
  facts.add("runner", "执行方式",
            r.runner.why_not_faster.empty() ? r.runner.name
                                            : fmt::format("{} ({})", r.runner.name, r.runner.why_not_faster));
  facts.add("program", "程序",
            fmt::format("chaski {}, {}, {}", r.build.version, r.build.compiler, r.build.build_type));
  facts.add("began", "开始时间", r.summary.started_at);
  facts.add("peak memory of the process", "进程内存峰值", gigabytes(r.summary.peak_rss_bytes));
  facts.add("KV cache", "KV 缓存", gigabytes(r.summary.kv_bytes));
  return facts.table();
}

std::string settings_section(const RunRecord& r, Lang lang) {
  std::string text =
      fmt::format("| {} | {} |\n| --- | --- |\n", tr(lang, "setting", "设置"), tr(lang, "value", "值"));
  for (const auto& [name, value] : r.settings.items()) {
    if (value.is_object()) {
      if (!value.contains("name")) continue;
      text += fmt::format("| `{}` | {} |\n", name,
                          markdown_inline(fmt::format("{} ({}, SHA-256 {})", value_text(value["name"]),
                                                      value_text(value.value("source", OrderedJson())),
                                                      value_text(value.value("sha256", OrderedJson())))));
    } else {
      text += fmt::format("| `{}` | {} |\n", name, markdown_inline(value_text(value)));
    }
  }
  return text;
}

std::string results_section(const RunRecord& r, Lang lang) {
  const bool sampled = has_samples(r);
  std::string text = std::string(
      tr(lang, "| # | task type | seconds | TTFT s | prompt tokens | answer tokens | decode tok/s | end |\n",
         "| # |任务类型 | 用时（秒） | 首词元（秒） | 提示词元 | 回答词元 | 解码 词元/秒 | 结束 |\n"));
  text += "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |\n";
  text += fmt::format("| | {} | {:.2f} | | | | | |\n", tr(lang, "load", "模型加载"), r.summary.load_s);
  for (const AnswerRecord& item : r.items) {
    text += fmt::format("| {} | {} | {:.2f} | {} | {} | {} | {} | {} |\n",
                        markdown_inline(number_of(item.id, item.sample, sampled)),
                        markdown_inline(type_title(r, item.type, lang)), item.seconds,
                        seconds_or_dash(item.ttft_s), item.n_prompt_tokens, item.n_tokens(),
                        rate(item.tpot_s), markdown_inline(finish_title(item.finish_reason, lang)));
  }
  text += fmt::format("| | **{}** | **{:.2f}** | | {} | {} | | |\n", tr(lang, "total", "总计"),
                      r.summary.total_s, r.summary.n_prompt_tokens, r.summary.n_tokens);
  text += fmt::format("| | **{}** | **{:.2f}** | {} | | | {} | |\n", tr(lang, "mean", "平均"),
                      r.summary.mean_s, seconds_or_dash(r.summary.mean_ttft_s), rate(r.summary.tpot_s));
  return text;
}

std::string_view definitions(Lang lang) {
  return tr(lang,
            "- **seconds**: from handing the question over until the answer was complete: prompt rendering, "
            "tokenising, "
            "prefill, decode. The load is not part of it.\n"
            "- **TTFT**: from the moment the engine admitted the request until the first token was known.\n"
            "- **decode tok/s**: 1 / TPOT, TPOT being (time of the last token − time of the first) / (tokens "
            "− 1). Only "
            "this figure, not the seconds, compares models whose answers differ in length.\n"
            "- **mean**: of seconds and TTFT over the answers that have a first token; of decode tok/s over "
            "all gaps between tokens.\n"
            "- One question at a time (batch 1). The quality of the answers is not scored here.\n",
            "- **用时**：从交出问题到回答完成，含提示词渲染、分词、预填充与解码；不含模型加载。\n"
            "- **首词元（TTFT）**：从引擎接纳请求到得到第一个词元。\n"
            "- **解码 词元/秒**：1 / TPOT，TPOT =（最后一个词元的时刻 − 第一个词元的时刻）/（词元数 − 1）。"
            "回答长短不同的模型只能用此项比较速度，不能用秒数。\n"
            "- **平均**：用时与 TTFT 按得到首词元的回答平均；解码速度按全部词元间隔平均。\n"
            "- 逐题运行（batch 1）。此处不对回答质量评分。\n");
}

std::string answers_section(const RunRecord& r, Lang lang) {
  const bool sampled = has_samples(r);
  std::string text;
  for (const AnswerRecord& item : r.items) {
    text += fmt::format("### {} · {}\n\n{}\n", markdown_inline(number_of(item.id, item.sample, sampled)),
                        markdown_inline(type_title(r, item.type, lang)), markdown_fence(item.prompt));
    text += markdown_inline(answer_figures(item, lang));
    if (!has_failed(item)) {
      text += fmt::format(" ({})", markdown_inline(finish_title(item.finish_reason, lang)));
    }
    text += "\n\n";
    text += item.answer.empty() ? fmt::format("*{}*\n\n", tr(lang, "no text", "没有文字"))
                                : markdown_fence(item.answer) + "\n";
  }
  return text;
}

std::string failures_section(const RunRecord& r, Lang lang) {
  const bool sampled = has_samples(r);
  std::string text;
  for (const FailureRecord& f : r.failures) {
    text += fmt::format("- {}: {}\n", markdown_inline(number_of(f.id, f.sample, sampled)),
                        markdown_inline(f.message));
  }
  return text.empty() ? fmt::format("{}\n", tr(lang, "None.", "无。")) : text;
}

std::string fallbacks_section(const RunRecord& r, Lang lang) {
  if (r.fallbacks.empty()) {
    return fmt::format("{}\n",
                       tr(lang, "None: every operation ran on the device.", "无：所有算子都在设备上执行。"));
  }
  std::string text = std::string(
      tr(lang, "| op | calls | bytes | seconds | reason |\n", "| 算子 | 次数 | 字节 | 秒 | 原因 |\n"));
  text += "| --- | ---: | ---: | ---: | --- |\n";
  for (const FallbackRecord& f : r.fallbacks) {
    text += fmt::format("| {} | {} | {} | {:.3f} | {} |\n", markdown_inline(f.op), f.calls, f.bytes,
                        f.seconds, markdown_inline(f.reason));
  }
  return text;
}

std::string suite_title(const RunRecord& r, Lang lang) {
  const auto suite = r.settings.find("suite");
  if (suite == r.settings.end() || !suite->is_object()) return r.kind;
  const auto title = suite->find("title");
  const std::string key(name_of(lang));
  if (title != suite->end() && title->is_object() && title->contains(key)) return value_text((*title)[key]);
  return suite->contains("name") ? value_text((*suite)["name"]) : r.kind;
}

}  // namespace

std::string type_title(const RunRecord& record, const std::string& type, Lang lang) {
  const OrderedJson::json_pointer where =
      OrderedJson::json_pointer("/suite/types") / type / std::string(name_of(lang));
  return record.settings.contains(where) ? value_text(record.settings.at(where)) : type;
}

std::string answer_figures(const AnswerRecord& item, Lang lang) {
  if (has_failed(item)) return trf(lang, "{:.2f} s · failed", "{:.2f} 秒 · 失败", item.seconds);
  return trf(lang, "{:.2f} s · TTFT {} s · {} tokens · {} tok/s",
             "{:.2f} 秒 · 首词元 {} 秒 · {} 词元 · {} 词元/秒", item.seconds, seconds_or_dash(item.ttft_s),
             item.n_tokens(), rate(item.tpot_s));
}

std::string eval_table(const RunRecord& r, Lang lang) {
  const bool sampled = has_samples(r);
  const std::string_view mean_label =
      sampled ? tr(lang, "per answer", "平均每答") : tr(lang, "per question", "平均每题");
  int first = display_width(mean_label);
  std::vector<std::string> labels;
  for (const AnswerRecord& item : r.items) {
    labels.push_back(strip_controls(
        fmt::format("{} {}", number_of(item.id, item.sample, sampled), type_title(r, item.type, lang))));
    first = std::max(first, std::min(40, display_width(labels.back())));
  }
  const auto row = [&](std::string_view label, double seconds, const std::string& ttft,
                       const std::string& tokens, const std::string& speed) {
    return fmt::format("  {} {} {} {} {}\n", pad_right(label, first),
                       pad_left(fmt::format("{:.2f}", seconds), 10), pad_left(ttft, 10), pad_left(tokens, 8),
                       pad_left(speed, 10));
  };
  std::string text =
      fmt::format("  {} {} {} {} {}\n", pad_right("", first), pad_left(tr(lang, "seconds", "用时/秒"), 10),
                  pad_left(tr(lang, "TTFT s", "首词元/秒"), 10), pad_left(tr(lang, "tokens", "词元"), 8),
                  pad_left(tr(lang, "tok/s", "词元/秒"), 10));
  text += row(tr(lang, "load", "模型加载"), r.summary.load_s, "", "", "");
  for (size_t i = 0; i < r.items.size(); ++i) {
    const AnswerRecord& item = r.items[i];
    text += row(labels[i], item.seconds, seconds_or_dash(item.ttft_s), std::to_string(item.n_tokens()),
                has_failed(item) ? std::string(tr(lang, "failed", "失败")) : rate(item.tpot_s));
  }
  text += row(tr(lang, "total", "总计"), r.summary.total_s, "", std::to_string(r.summary.n_tokens), "");
  text +=
      row(mean_label, r.summary.mean_s, seconds_or_dash(r.summary.mean_ttft_s), "", rate(r.summary.tpot_s));
  return text;
}

std::string eval_markdown(const RunRecord& r, Lang lang) {
  std::string text =
      fmt::format("# {}: {}\n\n", markdown_inline(suite_title(r, lang)), markdown_inline(r.model.id));
  if (!r.warnings.empty()) {
    text += fmt::format("{}\n\n", tr(lang, "Read this first:", "阅读前请注意："));
    for (const RunWarning& w : r.warnings)
      text += fmt::format("- {}\n", markdown_inline(warning_text(w, lang)));
    text += "\n";
  }
  const auto section = [&](std::string_view en, std::string_view zh, const std::string& body) {
    text += fmt::format("## {}\n\n{}\n", tr(lang, en, zh), body);
  };
  section("Results", "结果", results_section(r, lang));
  section("What the figures mean", "各项含义", std::string(definitions(lang)));
  section("What was measured", "测量对象", facts_section(r, lang));
  section("Settings", "设置", settings_section(r, lang));
  section("Operations that fell back to the CPU", "回退到 CPU 的算子", fallbacks_section(r, lang));
  section("Failures", "失败", failures_section(r, lang));
  section("Answers", "回答", answers_section(r, lang));
  while (text.size() > 1 && text[text.size() - 2] == '\n') text.pop_back();
  return text;
}

}  // namespace chaski
