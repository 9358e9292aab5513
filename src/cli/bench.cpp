// chaski bench MODEL…: how fast models run here. What is measured and how: lab/bench.h.
#include "base/error.h"
#include "cli/commands.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "lab/bench_report.h"
#include "lab/eval.h"
#include "machine/machine_info.h"

namespace chaski::cli {
namespace {

struct BenchOptions {
  std::vector<std::string> models;
  std::string output = "table";
  BenchPlan plan;
  ModelOptions where;
};

BenchRecord bench_model(const std::string& name, const BenchOptions& options, const Context& context) {
  restart_peak_rss();
  BenchRecord record;
  record.model = name;
  record.plan = options.plan;
  ModelOptions where = options.where;
  where.draft = "none";
  if (where.context == 0) where.context = options.plan.context();
  const auto model = load_model(open_model_text(name), where, context);
  note_oddities(*model, context.lang);
  model->engine.reset();  // the bench makes engines of its own
  const Device& device = *model->device;
  record.is_synthetic = model->is_synthetic();
  record.format = weight_types(*model->text.checkpoint);
  record.precision = name_of(device.precision());
  record.kv_dtype = name_of(device.kv_layout(model->model.config).dtype);
  record.device = device.info().id;
  record.device_kind = device.info().device_kind;
  record.device_name = device.info().name;
  record.isa = device.info().path;
  record.threads = device.n_threads();
  record.weight_bytes = device.weight_bytes();
  record.load_s = model->load_s;
  record.warnings = warnings_of(*model);
  if (options.plan.speculates && record.is_synthetic) {
    record.warnings.push_back(make_warning("speculation_random_weights"));
    note(fmt::format("{} {}\n", tr(context.lang, "note:", "注意："),
                     warning_text(record.warnings.back(), context.lang)));
  }
  Ops& ops = model->fallback ? static_cast<Ops&>(*model->fallback) : model->device->ops();
  Progress progress(std::string(tr(context.lang, "measuring", "测量")));
  record.figures =
      run_bench({*model->device, ops, model->model, model->text.tokenizer()}, options.plan, context.cancel,
                [&](int64_t done, int64_t total) { progress.show(done, total); });
  record.peak_rss_bytes = peak_rss_bytes();
  return record;
}

/// A wrong name, or a plan too long for a model, is found before minutes are spent on the others.
void check_models(const BenchOptions& options) {
  for (const std::string& name : options.models) {
    check_fits(options.plan, Checkpoint::open(resolve_model(name))->config().max_context);
  }
}

void print_records(const std::vector<BenchRecord>& records, const std::string& output,
                   const Context& context) {
  if (output == "json") {
    OrderedJson json = OrderedJson::array();
    for (const BenchRecord& record : records) json.push_back(to_json(record));
    print_exactly(to_json_text(json, 2) + "\n");
  } else if (output == "csv") {
    print_exactly(bench_table(records, BenchFormat::kCsv, context.lang));
  } else if (output != "jsonl") {
    print(bench_table(records, output == "md" ? BenchFormat::kMarkdown : BenchFormat::kTable, context.lang));
  }
}

void bench(const BenchOptions& options, const Context& context) {
  options.plan.validate();
  check_models(options);
  std::vector<BenchRecord> records;
  try {
    for (const std::string& name : options.models) {
      records.push_back(bench_model(name, options, context));
      if (options.output == "jsonl") print_exactly(to_json_text(to_json(records.back())) + "\n");
    }
  } catch (...) {  // what is measured is said, however the rest ended
    if (!records.empty()) print_records(records, options.output, context);
    throw;
  }
  print_records(records, options.output, context);
}

}  // namespace

void add_bench(CLI::App& app, Context& context) {
  const auto options = std::make_shared<BenchOptions>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "bench", "how fast models run here", "测量模型在本机的速度");
  const auto add = [&](const std::string& flags, auto& value, std::string_view en, std::string_view zh) {
    return command->add_option(flags, value, std::string(tr(lang, en, zh)));
  };
  add("MODEL", options->models,
      "models, one after the other: folders, .gguf files, names or synthetic:SHAPE@FORMAT",
      "依次测量的模型：目录、.gguf 文件、名称或 synthetic:形状@格式")
      ->required();
  add("-p,--n-prompt", options->plan.n_prompt,
      "tokens of the prompt; 0: no prefill is measured; by default 512",
      "提示词的词元数；0 表示不测预填充；默认 512");
  add("-n,--n-gen", options->plan.n_gen, "tokens to generate; 0: no decode is measured; by default 128",
      "生成的词元数；0 表示不测解码；默认 128");
  add("-d,--depth", options->plan.depth, "tokens in the context before a decode begins",
      "解码开始前上下文中已有的词元数");
  add("-r,--repeat", options->plan.n_repeats,
      "samples of each figure; by default 6, the fewest that make a 95 % interval",
      "每项测量的次数；默认 6，即构成 95% 区间的最少次数");
  add("-b,--sequences", options->plan.sequences, "numbers of sequences to decode at once, as 8,32",
      "同时解码的序列数，如 8,32")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_flag("--speculate", options->plan.speculates,
                    std::string(tr(lang, "decode with n-gram speculation as well, after a piece of prose",
                                   "另测 n-gram 推测解码（接一段散文）")));
  add("-o,--output", options->output, "table, md, csv, json or jsonl",
      "输出格式：table、md、csv、json 或 jsonl")
      ->check(CLI::IsMember({"table", "md", "csv", "json", "jsonl"}));
  add_model_options(*command, context, options->where, false);
  command->get_option("--ctx")->group("");  // -p, -n and -d say what is needed
  command->callback(
      [options, &context] { context.action = [options, &context] { bench(*options, context); }; });
}

}  // namespace chaski::cli
