#include "cli/options.h"

#include "base/error.h"

namespace chaski::cli {
namespace {

/// Registers options with help in the reader's language.
class Registrar {
 public:
  Registrar(CLI::App& command, const Context& context) : command_(command), lang_(context.lang) {}

  template <typename T>
  CLI::Option* option(const std::string& flags, T& value, std::string_view en, std::string_view zh) {
    return command_.add_option(flags, value, std::string(tr(lang_, en, zh)));
  }
  CLI::Option* flag(const std::string& flags, bool& value, std::string_view en, std::string_view zh) {
    return command_.add_flag(flags, value, std::string(tr(lang_, en, zh)));
  }

 private:
  CLI::App& command_;
  Lang lang_;
};

}  // namespace

Precision ModelOptions::precision_value() const {
  if (precision == "exact") return Precision::kExact;
  if (precision == "fast") return Precision::kFast;
  throw Error(ErrorCode::kUsage, "precision",
              fmt::format("expected exact or fast, found \"{}\"", printable(precision)));
}

std::vector<std::string> arguments_of(const ModelOptions& o) {
  std::vector<std::string> all{"--device",    o.device,
                               "--precision", o.precision,
                               "--threads",   std::to_string(o.n_threads),
                               "--ctx",       std::to_string(o.context)};
  const auto add = [&](const char* flag, const std::string& value) {
    if (!value.empty()) all.insert(all.end(), {flag, value});
  };
  add("--kv-dtype", o.kv_dtype);
  add("--activations", o.activations);
  add("--isa", o.isa);
  add("--lora", o.lora);
  if (o.goes_without_cache) all.emplace_back("--no-cache");
  if (o.allows_nonfinite) all.emplace_back("--allow-nonfinite");
  if (o.is_strict) all.emplace_back("--strict");
  return all;
}

CLI::App* add_command(CLI::App& app, Context& context, const std::string& name, std::string_view en,
                      std::string_view zh) {
  CLI::App* command = app.add_subcommand(name, std::string(tr(context.lang, en, zh)));
  command->group(std::string(tr(context.lang, "Commands", "命令")));
  command->get_help_ptr()->group(std::string(tr(context.lang, "Options", "选项")));
  add_lang(*command, context);
  return command;
}

void add_lang(CLI::App& command, Context& context) {
  command.add_option("--lang", context.lang_name,
                     std::string(tr(context.lang, "zh or en; by default the locale's",
                                    "界面语言：zh 或 en，默认取自系统区域设置")));
}

void add_model(CLI::App& command, const Context& context, std::string& model) {
  command
      .add_option(
          "MODEL", model,
          std::string(tr(context.lang, "a folder, a .gguf file, a name such as default, or synthetic:SHAPE",
                         "模型：目录、.gguf 文件、名称（如 default）或 synthetic:形状")))
      ->required();
}

void add_model_options(CLI::App& command, const Context& context, ModelOptions& o, bool answers) {
  Registrar add(command, context);
  add.option("--device", o.device,
             "auto, cpu or ascend[:N]; auto is an Ascend NPU where one opens, else the CPU",
             "设备：auto、cpu 或 ascend[:N]；auto 优先用可打开的昇腾 NPU，否则用 CPU");
  add.option("--precision", o.precision, "exact (f32 throughout) or fast (default)",
             "精度：exact（全程 f32）或 fast（默认）");
  add.option("--kv-dtype", o.kv_dtype,
             "type of the KV cache: f32, f16, bf16, q8_0; by default bf16 in fast, f32 in exact",
             "KV 缓存类型：f32、f16、bf16、q8_0；默认 fast 为 bf16，exact 为 f32");
  add.option(
      "--activations", o.activations,
      "type in which an NPU computes, and its KV cache: f16 or bf16; by default bf16 where the model is",
      "NPU 的计算类型，也是其 KV 缓存类型：f16 或 bf16；默认 bf16 模型用 bf16，其余用 f16");
  add.option("--isa", o.isa,
             "code path to use: scalar, avx2 and so on, on an NPU eager or captured; by default the best",
             "强制使用的代码路径：scalar、avx2 等，NPU 上为 eager 或 captured；默认取最优");
  add.option("-t,--threads", o.n_threads, "threads; 0: one per core", "线程数；0 表示每核一个");
  add.option("--ctx", o.context,
             "positions of context; by default 4096, more where --max-length needs it, at most the model's",
             "上下文长度；默认 4096，--max-length 需要时更长，且不超过模型上限");
  if (answers) {
    add.option("--draft", o.draft,
               "a smaller model with the same tokens that guesses ahead, or none; by default the text so far "
               "does; the answer is the same either way",
               "用于猜测后续词元的小模型（词表须相同），或 none；默认用已有文本猜测；回答不受影响");
  }
  add.option("--lora", o.lora, "folder of a LoRA adapter as PEFT saves it, merged into the weights at load",
             "PEFT 保存的 LoRA 适配器目录，加载时合并到权重");
  add.flag("--no-cache", o.goes_without_cache,
           "neither use packed weights kept by an earlier start nor keep them for the next",
           "不使用也不保存打包好的权重缓存");
  add.flag("--allow-nonfinite", o.allows_nonfinite, "load weights that hold NaN or infinity",
           "允许加载含 NaN 或无穷大的权重");
  add.flag("--strict", o.is_strict, "an operation that the device lacks is an error",
           "设备缺少的算子视为错误，不回退到 CPU");
}

void add_generation_options(CLI::App& command, const Context& context, GenerationSettings& s) {
  Registrar add(command, context);
  add.option("--temperature", s.temperature, "randomness of sampling; 0 is greedy", "采样温度；0 为贪心");
  add.option("--top-p", s.top_p, "keep the likeliest tokens up to this probability together", "核采样概率");
  add.option("--top-k", s.top_k, "keep this many of the likeliest tokens; 0: all",
             "只保留最可能的 K 个词元；0 为不限");
  add.option("--min-p", s.min_p, "drop tokens below this share of the best one's probability",
             "丢弃概率低于最大概率该比例的词元");
  add.option("--repetition-penalty", s.repetition_penalty, "against repeating prompt and answer; 1: off",
             "重复惩罚（含提示词与回答）；1 为关闭");
  add.option("--presence-penalty", s.presence_penalty, "taken off once from tokens of the answer",
             "存在惩罚");
  add.option("--frequency-penalty", s.frequency_penalty, "taken off for each occurrence in the answer",
             "频率惩罚");
  add.option("--max-length", s.max_length,
             "most tokens of prompt and answer together; without effect beside --max-new-tokens",
             "提示词与回答合计的最大词元数；给出 --max-new-tokens 时不起作用");
  add.option("--max-new-tokens", s.max_new_tokens, "most tokens of the answer", "回答的最大词元数");
  add.option("--seed", s.seed, "seed of the random numbers, 0 to 2^53 − 1", "随机种子，0 到 2^53 − 1")
      ->check([](const std::string& text) {
        return parse_seed(text) ? std::string()
                                : fmt::format("expected a whole number from 0 to {} (2^53 − 1)", kMaxSeed);
      });
  add.option("--system", s.system, "system text of the conversation", "系统提示");
  add.option("--stop", s.stop, "text that ends the answer; may be given several times",
             "停止文本；可多次给出")
      ->allow_extra_args(false);
  add.flag("--ignore-eos", s.ignores_eos, "answers go on to the length limit",
           "忽略结束词元，回答直到长度上限");
}

void add_prompt_options(CLI::App& command, const Context& context, PromptOptions& o) {
  Registrar add(command, context);
  add.option("--template", o.template_choice, "model (the model's own) or raw:TEXT with {prompt} in TEXT",
             "提示模板：model（模型自带）或 raw:含 {prompt} 的文本");
  add.option("--date-string", o.date_string, "the date that the template sees, as \"26 Jul 2024\"",
             "模板看到的日期，如 \"26 Jul 2024\"");
}

}  // namespace chaski::cli
