#include "report/names.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/json.h"

namespace chaski {
namespace {

struct Name {
  NameOf what;
  std::string_view name, en, zh;
};

using enum NameOf;
constexpr Name kNames[] = {
    // Components.
    {kScorePart, "final", "final number", "最终数值"},
    {kScorePart, "steps", "equations", "计算步骤"},
    {kScorePart, "stated_last", "answer stated as such", "明确给出答案"},
    {kScorePart, "syntax", "syntax", "语法"},
    {kScorePart, "tests", "tests passed", "通过的测试"},
    {kScorePart, "signature", "signature", "函数签名"},
    {kScorePart, "behaviour", "behaviour", "运行行为"},
    {kScorePart, "match", "accepted answer", "命中答案"},
    {kScorePart, "consistent", "no contradiction", "没有矛盾"},
    {kScorePart, "keywords", "key terms", "关键词"},
    {kScorePart, "relations", "relations", "关系"},
    {kScorePart, "length", "length", "长度"},
    {kScorePart, "structure", "structure", "结构"},
    {kScorePart, "no_false_statement", "no false statement", "没有错误陈述"},
    {kScorePart, "states_ai", "says that it is an AI", "说明自己是 AI"},
    {kScorePart, "identity", "identity", "身份"},
    {kScorePart, "abilities", "abilities", "能力"},
    {kScorePart, "language", "language", "语言"},
    // Caps.
    {kScorePart, "wrong_final", "wrong final number", "最终数值错误"},
    {kScorePart, "no_number", "no number", "没有数值"},
    {kScorePart, "other_language", "in another language", "使用了其他语言"},
    {kScorePart, "empty", "empty answer", "空回答"},
    {kScorePart, "no_code", "no code", "没有代码"},
    {kScorePart, "syntax_error", "syntax error", "语法错误"},
    {kScorePart, "no_test_passed", "no test passed", "没有通过任何测试"},
    {kScorePart, "timed_out", "timed out", "超时"},
    {kScorePart, "contradiction", "contradiction", "与答案矛盾"},
    {kScorePart, "refusal", "refusal", "拒绝回答"},
    {kScorePart, "low_coverage", "few key terms", "关键词太少"},
    {kScorePart, "no_coverage", "no key term", "没有关键词"},
    {kScorePart, "false_identity", "false identity", "身份不实"},
    // Penalties.
    {kScorePart, "wrong_language", "partly in another language", "夹杂其他语言"},
    {kScorePart, "markup_noise", "markup noise", "标记杂质"},
    {kScorePart, "markup_page", "a page of markup", "整页标记"},
    {kScorePart, "needless_heading", "needless heading", "多余的标题"},
    {kScorePart, "repetition", "repetition", "重复"},
    {kScorePart, "heavy_repetition", "heavy repetition", "严重重复"},
    {kScorePart, "truncated", "cut off", "被截断"},
    // Of judges and public protocols.
    {kScorePart, "correct", "correct", "正确性"},
    {kScorePart, "complete", "complete", "完整性"},
    {kScorePart, "clear", "clear", "清晰程度"},
    {kScorePart, "fitting", "fitting", "切题程度"},
    {kScorePart, "acc", "acc", "准确率（acc）"},
    {kScorePart, "acc_norm", "acc_norm", "按长度归一的准确率（acc_norm）"},
    {kScorePart, "strict-match", "strict-match", "严格匹配（strict-match）"},
    {kScorePart, "flexible-extract", "flexible-extract", "宽松提取（flexible-extract）"},

    {kScorer, "rubric", "rubric", "评分规则"},
    {kScorer, "exact", "reference answer", "标准答案"},
    {kScorer, "code", "hidden tests", "隐藏测试"},

    {kStatus, "scored", "scored", "已评分"},
    {kStatus, "not_run", "not run", "未运行"},
    {kStatus, "no_rule", "no rule", "无评分规则"},
    {kStatus, "failed", "scoring failed", "评分失败"},

    {kMetric, "ttft_s", "first token (TTFT)", "首词元延迟（TTFT）"},
    {kMetric, "tpot_s", "each later token (TPOT)", "后续每词元时间（TPOT）"},
    {kMetric, "itl_s", "gap between tokens (ITL)", "词元间隔（ITL）"},
    {kMetric, "inter_chunk_s", "gap between chunks", "数据块间隔"},
    {kMetric, "e2e_s", "whole request", "整个请求"},
    {kMetric, "prefill_tokens_per_s", "prefill rate", "预填充速度"},
    {kMetric, "decode_tokens_per_s", "decode rate", "解码速度"},
    {kMetric, "speculative_decode_tokens_per_s", "decode rate with speculation", "推测解码速度"},
    {kMetric, "overall_tokens_per_s", "rate of a whole request", "整个请求的速度"},
    {kMetric, "throughput_tokens_per_s", "rate of all requests together", "全部请求合计速度"},
    {kMetric, "requests_per_s", "requests", "请求数"},
    {kMetric, "characters_per_s", "decode rate in characters", "按字符计的解码速度"},
    {kMetric, "decode_chars_per_s_en", "decode rate, English prose", "解码速度（英文散文）"},
    {kMetric, "decode_chars_per_s_zh", "decode rate, Chinese prose", "解码速度（中文散文）"},
    {kMetric, "prompt_tokens", "tokens of the prompt", "提示词词元数"},
    {kMetric, "answer_tokens", "tokens of the answer", "回答词元数"},
    {kMetric, "first_chunk_tokens", "tokens in the first chunk", "首个数据块的词元数"},
    {kMetric, "bandwidth_share", "share of memory bandwidth", "内存带宽占比"},
    {kMetric, "arithmetic_share", "share of arithmetic", "算力占比"},
    {kMetric, "read_bandwidth_gb_per_s", "read bandwidth of the machine", "本机读带宽"},
    {kMetric, "arithmetic_gop_per_s", "arithmetic of the machine", "本机算力"},
    {kMetric, "joules_per_token", "energy", "能耗"},
    {kMetric, "exact_match", "exact_match", "完全匹配率（exact_match）"},
    {kMetric, "acc", "acc", "准确率（acc）"},
    {kMetric, "acc_norm", "acc_norm", "按长度归一的准确率（acc_norm）"},
    // The loads: "load_", then how, then the part.
    {kMetric, "load_", "load", "加载"},
    {kMetric, "load_cold_", "cold load", "冷加载"},
    {kMetric, "load_warm_", "warm load", "热加载"},
    {kMetric, "load_*s", "", ""},
    {kMetric, "load_*open_s", "opening files", "打开文件"},
    {kMetric, "load_*packed_s", "kept weights checked", "校验已打包权重"},
    {kMetric, "load_*weights_s", "weights", "权重"},
    {kMetric, "load_*engine_s", "engine", "引擎"},
    {kMetric, "load_*tokenizer_s", "tokenizer", "分词器"},
    {kMetric, "load_*first_token_s", "first token after it", "之后的首词元"},
    {kMetric, "load_*start_s", "program start to first token", "从启动程序到首词元"},
    {kMetric, "load_*peak_rss_bytes", "peak of memory", "内存峰值"},

    {kSetting, "n_samples", "answers per question", "每题回答次数"},
    {kSetting, "n_repeats", "repeats", "重复次数"},
    {kSetting, "batch", "answers at once", "同时作答数"},
    {kSetting, "seed", "seed", "随机种子"},
    {kSetting, "temperature", "temperature", "采样温度"},
    {kSetting, "top_k", "top_k", "top_k"},
    {kSetting, "top_p", "top_p", "top_p"},
    {kSetting, "min_p", "min_p", "min_p"},
    {kSetting, "repetition_penalty", "repetition penalty", "重复惩罚"},
    {kSetting, "presence_penalty", "presence penalty", "存在惩罚"},
    {kSetting, "frequency_penalty", "frequency penalty", "频率惩罚"},
    {kSetting, "max_length", "max_length", "总长度上限"},
    {kSetting, "max_new_tokens", "max_new_tokens", "回答长度上限"},
    {kSetting, "system", "system prompt", "系统提示"},
    {kSetting, "stop", "stop texts", "停止文本"},
    {kSetting, "ignore_eos", "goes on after eos", "忽略结束词元"},
    {kSetting, "precision", "precision", "精度"},
    {kSetting, "kv_dtype", "KV cache type", "KV 缓存类型"},
    {kSetting, "activations", "activation type", "激活值类型"},
    {kSetting, "context", "context", "上下文长度"},
    {kSetting, "speculation", "speculation", "推测解码"},
    {kSetting, "draft", "draft model", "草稿模型"},
    {kSetting, "device", "device asked for", "指定的设备"},
    {kSetting, "n_models_at_once", "models loaded at once", "同时加载的模型数"},
    {kSetting, "tests", "tests", "测试"},
    {kSetting, "chars_per_token", "characters per token", "每词元字符数"},
    {kSetting, "peaks", "limits of the machine", "本机上限"},
    {kSetting, "time_model", "time model", "时间模型"},
    {kSetting, "time_model_error", "error of the time model", "时间模型的误差"},
    {kSetting, "clock_mhz", "clock before and after, MHz", "前后时钟频率（MHz）"},
    {kSetting, "url", "server", "服务器"},
    {kSetting, "api", "API", "接口"},
    {kSetting, "n_prompt", "prompt length", "提示词长度"},
    {kSetting, "n_gen", "answer length", "回答长度"},
    {kSetting, "concurrency", "requests at once", "并发请求数"},
    {kSetting, "n_requests", "requests", "请求数"},
    {kSetting, "n_failed", "requests that failed", "失败的请求数"},
    {kSetting, "per_chunk_usage", "usage asked for each chunk", "逐块用量"},
    {kSetting, "prompt", "prompt", "提示词"},
    {kSetting, "prompt_sha256", "SHA-256 of the prompt", "提示词 SHA-256"},
    {kSetting, "token_counts", "tokens counted by", "词元计数依据"},
    {kSetting, "rubric", "rubric", "评分规则"},
    {kSetting, "protocol", "protocol", "评测协议"},
    {kSetting, "sandbox", "sandbox", "沙箱"},
    {kSetting, "sandbox_note", "sandbox, note", "沙箱说明"},
    {kSetting, "judge", "judge", "裁判"},

    {kSettingValue, "precision=fast", "fast", "快速（fast）"},
    {kSettingValue, "precision=exact", "exact", "精确（exact）"},
    {kSettingValue, "template=model", "model", "模型自带"},
    {kSettingValue, "template=none", "none", "无"},
    {kSettingValue, "speculation=off", "off", "关闭"},
    {kSettingValue, "speculation=ngram", "n-gram", "n-gram"},
    {kSettingValue, "speculation=draft", "draft model", "草稿模型"},
    {kSettingValue, "sandbox=none", "none", "无"},
    {kSettingValue, "prompt=words", "pseudo-random words", "伪随机单词"},
    {kSettingValue, "prompt=given", "given", "指定文本"},
    {kSettingValue, "token_counts=usage", "the server's usage", "服务器用量"},
    {kSettingValue, "token_counts=chunks", "chunks", "数据块"},
    {kSettingValue, "token_counts=mixed", "usage and chunks", "用量与数据块"},
    {kSettingValue, "device=url", "a server", "服务器"},

    {kPhase, "prefill", "prefill", "预填充"},
    {kPhase, "decode", "decode", "解码"},
    {kPhase, "request", "request", "请求"},
    {kPhase, "speculative", "decode with speculation", "推测解码"},
    {kPhase, "eval", "eval", "评测"},
    {kPhase, "bench", "bench", "性能测试"},

    {kRunner, "eager", "eager", "逐个算子执行（eager）"},
    {kRunner, "captured", "captured", "图捕获执行（captured）"},

    {kCount, "launches", "operators launched", "下发的算子"},
    {kCount, "plans", "operators planned anew (first phase)", "重新规划的算子（第一段）"},
    {kCount, "executor_hits", "launches that reused a plan", "复用规划的下发"},
    {kCount, "graph_replays", "captured steps replayed", "重放的捕获步"},
    {kCount, "ai_cpu_launches", "launches predicted to run on the NPU's own CPU (AI CPU)",
     "预计在 NPU 自带 CPU（AI CPU）上执行的下发"},
    {kCount, "hidden_copies", "inputs that an operator copies first", "算子内部先拷贝的输入"},
    {kCount, "device_copies", "copies within the device", "设备内拷贝"},
    {kCount, "copies_in", "copies to the device", "拷入设备次数"},
    {kCount, "copies_out", "copies from the device", "拷出设备次数"},
    {kCount, "bytes_in", "bytes to the device", "拷入设备字节数"},
    {kCount, "bytes_out", "bytes from the device", "拷出设备字节数"},
    {kCount, "host_waits", "waits of the host for the device", "主机等待设备次数"},

    {kDeviceKind, "modelled", "modelled", "模型推算"},
    {kDeviceKind, "emulated", "emulated", "模拟器"},
};

const Name* find(NameOf what, std::string_view name) {
  for (const Name& row : kNames) {
    if (row.what == what && row.name == name) return &row;
  }
  return nullptr;
}

struct Unit {
  std::string_view unit, zh;
};
constexpr Unit kUnits[] = {{"s", "秒"},           {"tokens", "词元"},          {"tokens/s", "词元/秒"},
                           {"bytes", "字节"},     {"characters/s", "字符/秒"}, {"requests/s", "请求/秒"},
                           {"J/token", "焦/词元"}};

std::string unit_words(const std::string& unit, Lang lang) {
  for (const Unit& row : kUnits) {
    if (lang == Lang::kZh && row.unit == unit) return std::string(row.zh);
  }
  return unit;
}

/// "load_cold_weights_s" is "cold load, weights".
std::optional<std::string> load_words(std::string_view name, Lang lang) {
  for (const std::string_view how : {"load_cold_", "load_warm_", "load_"}) {
    if (!name.starts_with(how)) continue;
    const Name* part = find(kMetric, "load_*" + std::string(name.substr(how.size())));
    if (part == nullptr) return std::nullopt;
    const std::string load = words_for(kMetric, how, lang);
    return part->en.empty() ? load
                            : fmt::format("{}{}{}", load, tr(lang, ", ", "："), tr(lang, part->en, part->zh));
  }
  return std::nullopt;
}

/// "decode[n=128,d=512]" is of a test "n=128, d=512".
struct OfTest {
  std::string_view name;
  std::string test;
};
OfTest of_test(std::string_view name) {
  const size_t bare = std::min(name.find('['), name.size());
  std::string test(name.substr(bare));
  if (test.size() > 2 && test.back() == ']') test = test.substr(1, test.size() - 2);
  for (size_t at = test.find(','); at != std::string::npos; at = test.find(',', at + 2)) {
    test.replace(at, 1, ", ");
  }
  return {name.substr(0, bare), std::move(test)};
}

std::string with_test(std::string words, const std::string& test, Lang lang) {
  return test.empty() ? words : fmt::format("{}{}{}", words, tr(lang, ", ", "，"), test);
}

/// Sentences with "{}" for what differs.
struct Remark {
  std::string_view en, zh;
  bool begins_with_figure = false;  ///< else a program's own message may pass for it
};
constexpr Remark kRemarks[] = {
    {"no number, expected {}", "没有数值，应为 {}"},
    {"{}, expected {}", "{}，应为 {}", true},
    {"{} / {}, without {}", "{} / {}，缺少 {}", true},
    {"sentences: {}, longest paragraph: {}", "句数 {}，最长段落 {}"},
    {"distinct 4-grams: {}", "不重复的 4-gram：{}"},
    {"zh: {} %", "中文占 {} %"},
    {"en: {} %", "英文占 {} %"},
    {"per character", "按字符"},
    {"passed", "通过"},
    {"passed: {}", "通过：{}"},
    {"failed", "未通过"},
    {"failed: {}", "未通过：{}"},
    {"syntax_error", "语法错误"},
    {"syntax_error: {}", "语法错误：{}"},
    {"timed_out", "超时"},
    {"timed_out: {}", "超时：{}"},
    {"memory", "内存超限"},
    {"memory: {}", "内存超限：{}"},
    {"limit", "超出限制"},
    {"limit: {}", "超出限制：{}"},
    {"not_run", "未运行"},
    {"not_run: {}", "未运行：{}"},
    {"the question failed: there is no answer", "该题运行失败，没有回答"},
    {"the answer is longer than what is read of it", "回答过长，只读取了前一部分"},
    {"the answer has no log-likelihoods of A, B, C and D", "回答没有 A、B、C、D 的对数似然"},
    {"the rubric has no rules for the type \"{}\"", "评分规则中没有类型“{}”"},
    {"the item lacks `answer`: a text of one number", "题目缺少 `answer`（内容为一个数值的文本）"},
    {"the item lacks `tests`: a list of Python texts", "题目缺少 `tests`（Python 测试文本的列表）"},
    {"the item lacks `accepts`: a list of texts", "题目缺少 `accepts`（文本列表）"},
    {"the item lacks `keywords`: {}", "题目缺少 `keywords`（同义词组的列表），或 `relations` 格式不对"},
    {"there is nothing to run code in", "没有可运行代码的沙箱"},
    {"these ops run at once and record nothing", "这些算子立即执行，无法录制"},
    {"{} copies and waits inside a step", "{} 在一步之内有拷贝与等待"},
    {"rapl: no energy counters of the processor in {}; {}",
     "rapl：{} 中没有处理器能耗计数器；虚拟机通常不提供，实体机可尝试以 root 执行 `modprobe intel_rapl_msr`"},
    {"nvml: no NVIDIA driver here ({})", "nvml：本机没有 NVIDIA 驱动（{}）"},
    {"dcmi: no Ascend driver here ({})", "dcmi：本机没有昇腾驱动（{}）"},
    {"Its error: on {} published figures of captured decoding it was off by {} to {}, median {}; on {} "
     "published figures of prefill it was off by {} to {}, median {}",
     "误差：与 {} 项公开的图捕获解码实测值相比为 {} 至 {}，中位数 {}；与 {} 项公开的预填充实测值相比为 {} 至 "
     "{}，中位数 {}"},
    {"Its error: on {} published figures of eager decoding it was off by {} to {}, median {}; on {} "
     "published "
     "figures of prefill it was off by {} to {}, median {}",
     "误差：与 {} 项公开的逐算子解码实测值相比为 {} 至 {}，中位数 {}；与 {} 项公开的预填充实测值相比为 {} 至 "
     "{}，中位数 {}"},
};

/// What stands at each "{}" where `text` is such a sentence.
std::optional<std::vector<std::string_view>> holes_of(std::string_view pattern, std::string_view text) {
  std::vector<std::string_view> holes;
  size_t hole = pattern.find("{}");
  if (!text.starts_with(pattern.substr(0, hole))) return std::nullopt;
  if (hole == std::string_view::npos) {
    return text == pattern ? std::optional(holes) : std::nullopt;
  }
  text.remove_prefix(hole);
  while (true) {
    pattern.remove_prefix(hole + 2);
    hole = pattern.find("{}");
    const std::string_view after = pattern.substr(0, hole);
    if (hole == std::string_view::npos) {
      if (!text.ends_with(after)) return std::nullopt;
      holes.push_back(text.substr(0, text.size() - after.size()));
      return holes;
    }
    const size_t at = text.find(after);
    if (at == std::string_view::npos) return std::nullopt;
    holes.push_back(text.substr(0, at));
    text.remove_prefix(at + after.size());
  }
}

/// The pattern with what stands in its holes; holes that it lacks are left out.
std::string filled(std::string_view pattern, const std::vector<std::string_view>& holes) {
  std::string text;
  for (const std::string_view hole : holes) {
    const size_t at = pattern.find("{}");
    if (at == std::string_view::npos) break;
    text.append(pattern.substr(0, at)).append(hole);
    pattern.remove_prefix(at + 2);
  }
  return text.append(pattern);
}

}  // namespace

std::string words_for(NameOf what, std::string_view name, Lang lang) {
  constexpr std::string_view kJudge = "judge:";
  if (what == kScorer && name.starts_with(kJudge)) {
    return trf(lang, "judge {}", "裁判 {}", name.substr(kJudge.size()));
  }
  const Name* row = find(what, name);
  return std::string(row == nullptr ? name : tr(lang, row->en, row->zh));
}

std::string setting_words(std::string_view name, const OrderedJson& value, Lang lang) {
  if (value.is_null()) return "–";
  if (value.is_boolean()) {
    return std::string(value.get<bool>() ? tr(lang, "yes", "是") : tr(lang, "no", "否"));
  }
  if (!value.is_string()) return to_json_text(value);
  const std::string& text = value.get_ref<const std::string&>();
  const Name* row = find(kSettingValue, fmt::format("{}={}", name, text));
  return row == nullptr ? text : std::string(tr(lang, row->en, row->zh));
}

std::string device_mark(const RunRecord& record, Lang lang) {
  const Name* row = find(kDeviceKind, record.device.device_kind);
  return row == nullptr ? std::string() : std::string(tr(lang, row->en, row->zh));
}

std::string metric_words(const NamedMetric& named, Lang lang) {
  const OfTest of = of_test(named.name);
  std::string words = load_words(of.name, lang).value_or(words_for(kMetric, of.name, lang));
  if (!named.unit.empty()) words += trf(lang, ", {}", "，{}", unit_words(named.unit, lang));
  return with_test(std::move(words), of.test, lang);
}

std::string phase_words(std::string_view phase, Lang lang) {
  const OfTest of = of_test(phase);
  return with_test(words_for(kPhase, of.name, lang), of.test, lang);
}

std::string remark_words(std::string_view english, Lang lang) {
  if (lang == Lang::kEn) return std::string(english);
  for (const Remark& remark : kRemarks) {
    const auto holes = holes_of(remark.en, english);
    if (!holes) continue;
    const bool is_figure = !holes->empty() && !holes->front().empty() &&
                           holes->front().find_first_not_of("0123456789.,-+/%eE ") == std::string_view::npos;
    if (is_figure || !remark.begins_with_figure) return filled(remark.zh, *holes);
  }
  return std::string(english);
}

}  // namespace chaski
