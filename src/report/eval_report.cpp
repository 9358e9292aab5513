#include "report/eval_report.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "report/names.h"
#include "report/run_tables.h"
#include "report/text_safety.h"

namespace chaski {
namespace {

std::string rate(const std::optional<double>& tpot_s) {
  return tpot_s && *tpot_s > 0 ? fmt::format("{:.1f}", 1 / *tpot_s) : "–";
}

std::string seconds_or_dash(const std::optional<double>& seconds) {
  return seconds ? fmt::format("{:.2f}", *seconds) : "–";
}

/// What the seconds of all answers together are, and how many.
std::pair<std::string_view, double> all_seconds(const RunRecord& r, Lang lang) {
  if (const auto seconds = answers_s(r)) return {tr(lang, "total", "总计"), *seconds};
  return {tr(lang, "sum, shared time counted again", "累加（共用时间重复计）"), r.summary.total_s};
}

bool has_failed(const AnswerRecord& item) { return item.finish_reason == "error"; }

std::string_view finish_title(const std::string& reason, Lang lang) {
  if (reason == "stop") return tr(lang, "ended by itself", "自行结束");
  if (reason == "length") return tr(lang, "cut by the length limit", "达到长度上限被截断");
  if (reason == "error") return tr(lang, "failed", "失败");
  if (reason == "choice") return tr(lang, "the most probable choice", "概率最高的选项");
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
  const auto [all_label, all_s] = all_seconds(r, lang);
  text += fmt::format("| | **{}** | **{:.2f}** | | {} | {} | | |\n", all_label, all_s,
                      r.summary.n_prompt_tokens, r.summary.n_tokens);
  text += fmt::format("| | **{}** | **{}** | {} | | | {} | |\n", tr(lang, "mean", "平均"),
                      seconds_or_dash(r.summary.mean_s), seconds_or_dash(r.summary.mean_ttft_s),
                      rate(r.summary.tpot_s));
  return text;
}

std::string meanings(const RunRecord& r, Lang lang) {
  const int64_t batch = batch_of(r);
  std::string text(
      tr(lang,
         "- **seconds**: from handing the question over until the answer was complete: prompt rendering, "
         "tokenising, "
         "prefill, decode. The load is not part of it.\n"
         "- **TTFT**: from the moment the engine admitted the request until the first token was known.\n"
         "- **decode tok/s**: 1 / TPOT, TPOT being (time of the last token − time of the first) / (tokens "
         "− 1). Only "
         "this figure, not the seconds, compares models whose answers differ in length.\n"
         "- **mean**: of seconds and TTFT over the answers that have a first token; of decode tok/s over "
         "all gaps between tokens.\n",
         "- **用时**：从交出问题到回答完成，含提示词渲染、分词、预填充与解码；不含模型加载。\n"
         "- **首词元（TTFT）**：从引擎接纳请求到得到第一个词元。\n"
         "- **解码 词元/秒**：1 / TPOT，TPOT =（最后一个词元的时刻 − 第一个词元的时刻）/（词元数 − 1）。"
         "回答长短不同的模型只能用此项比较速度，不能用秒数。\n"
         "- **平均**：用时与 TTFT 按得到首词元的回答平均；解码速度按全部词元间隔平均。\n"));
  text += batch <= 1
              ? std::string(tr(lang, "- One question at a time (batch 1).\n", "- 逐题运行（batch 1）。\n"))
              : trf(lang,
                    "- Up to {} questions at once: the seconds, TTFT and speed of each contain the others' "
                    "work. The total is the wall time in which all were answered, not the sum of the "
                    "seconds, which would count shared time again.\n",
                    "- 最多 {} 题同时作答：每题的用时、TTFT 与速度包含其他问题的计算。"
                    "总计是全部作答的实际耗时，而非各题用时之和（后者会重复计入共用的时间）。\n",
                    batch);
  text +=
      r.scores.empty()
          ? tr(lang, "- The quality of the answers is not scored here.\n", "- 此处未对回答质量评分。\n")
          : tr(lang,
               "- **score**: from 1 to 5 by the rules named under \"What was measured\"; below each answer "
               "stand the components with their evidence.\n",
               "- **得分**：按“测量对象”中所列规则评 1 到 5 分；各组成项及依据列在每个回答之后。\n");
  return text;
}

std::string part_name(const std::string& name, Lang lang) {
  return markdown_inline(words_for(NameOf::kScorePart, name, lang));
}

/// What a scorer says of one answer: the score, its parts with evidence, caps and penalties.
std::string score_section(const ScoreRecord& score, Lang lang) {
  std::string text = fmt::format("**{}** ({})", tr(lang, "score", "得分"),
                                 markdown_inline(words_for(NameOf::kScorer, score.scorer, lang)));
  if (score.score) {
    text += fmt::format(": {} ({:.1f})\n\n", *score.score, score.raw);
  } else {
    text += fmt::format(": {} {}\n\n", markdown_inline(words_for(NameOf::kStatus, score.status, lang)),
                        markdown_inline(remark_words(score.note, lang)));
  }
  for (const ScoreComponent& part : score.components) {
    text += fmt::format("- {}: {:.2f} × {:.2f}. {}\n", part_name(part.name, lang), part.value, part.weight,
                        markdown_inline(remark_words(part.evidence, lang)));
  }
  for (const ScoreAdjustment& adjustment : score.adjustments) {
    text += fmt::format("- {}: {} {:g}. {}\n", part_name(adjustment.name, lang),
                        adjustment.is_cap ? tr(lang, "at most", "上限") : tr(lang, "taken off", "扣"),
                        adjustment.points, markdown_inline(remark_words(adjustment.evidence, lang)));
  }
  return text + "\n";
}

std::string answers_section(const RunRecord& r, Lang lang) {
  const bool sampled = has_samples(r);
  std::map<std::pair<std::string_view, int64_t>, std::vector<const ScoreRecord*>> scores;
  for (const ScoreRecord& score : r.scores) scores[{score.id, score.sample}].push_back(&score);
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
    for (const ScoreRecord* score : scores[{item.id, item.sample}]) text += score_section(*score, lang);
  }
  return text;
}

std::string measured_section(Runs runs, Lang lang) {
  std::string text;
  for (const Table& table : {metrics_table(runs, lang), memory_table(runs, lang), energy_table(runs, lang)}) {
    if (!table.empty())
      text += fmt::format("{}**{}**\n\n{}", text.empty() ? "" : "\n", markdown_inline(table.title),
                          markdown_table(table));
  }
  return text.empty() ? fmt::format("{}\n", tr(lang, "None.", "无。")) : text;
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
                        f.seconds, markdown_inline(remark_words(f.reason, lang)));
  }
  return text;
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
  const auto [all_label, all_s] = all_seconds(r, lang);
  int first = std::max(display_width(mean_label), display_width(all_label));
  std::vector<std::string> labels;
  for (const AnswerRecord& item : r.items) {
    labels.push_back(strip_controls(
        fmt::format("{} {}", number_of(item.id, item.sample, sampled), type_title(r, item.type, lang))));
    first = std::max(first, std::min(40, display_width(labels.back())));
  }
  const auto row = [&](std::string_view label, const std::optional<double>& seconds, const std::string& ttft,
                       const std::string& tokens, const std::string& speed) {
    return fmt::format("  {} {} {} {} {}\n", pad_right(label, first), pad_left(seconds_or_dash(seconds), 10),
                       pad_left(ttft, 10), pad_left(tokens, 8), pad_left(speed, 10));
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
  text += row(all_label, all_s, "", std::to_string(r.summary.n_tokens), "");
  text +=
      row(mean_label, r.summary.mean_s, seconds_or_dash(r.summary.mean_ttft_s), "", rate(r.summary.tpot_s));
  return text;
}

std::string eval_markdown(const RunRecord& r, Lang lang) {
  std::string text =
      fmt::format("# {}: {}\n\n", markdown_inline(run_title(r, lang)), markdown_inline(r.model.id));
  const RunView views[] = {{&r, "", model_name(r), ""}};
  const std::vector<std::string> warnings = record_warnings(views, lang);
  if (!warnings.empty()) {
    text += fmt::format("{}\n\n", tr(lang, "Read this first:", "阅读前请注意："));
    for (const std::string& warning : warnings) text += fmt::format("- {}\n", markdown_inline(warning));
    text += "\n";
  }
  const auto section = [&](std::string_view en, std::string_view zh, const std::string& body) {
    text += fmt::format("## {}\n\n{}\n", tr(lang, en, zh), body);
  };
  const RunRecord* const records[] = {&r};
  section("Results", "结果", results_section(r, lang));
  const auto scorer = main_scorer(records);
  if (scorer) section("Scores", "得分", markdown_table(scores_table(views, *scorer, lang)));
  if (!r.results.empty()) {
    section("Results by public protocols", "公开评测协议的结果", markdown_table(results_table(views, lang)));
  }
  section("What the figures mean", "各项含义", meanings(r, lang));
  section("Latency, memory, energy", "延迟、内存、能耗", measured_section(views, lang));
  section("What was measured", "测量对象", markdown_table(facts_table(views, lang)));
  section("Operations that fell back to the CPU", "回退到 CPU 的算子", fallbacks_section(r, lang));
  section("Failures", "失败", failures_section(r, lang));
  section("Answers", "回答", answers_section(r, lang));
  while (text.size() > 1 && text[text.size() - 2] == '\n') text.pop_back();
  return text;
}

}  // namespace chaski
