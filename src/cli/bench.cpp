// chaski bench MODEL…: how fast models run here. How it is done: cli/bench_run.h; what is measured:
// lab/bench_plan.h; what the figures mean: docs/en/metrics.md.
#include "base/error.h"
#include "cli/bench_modelled.h"
#include "cli/bench_run.h"
#include "cli/bench_url.h"
#include "cli/commands.h"
#include "cli/run_arguments.h"
#include "cli/terminal.h"
#include "lab/bench_report.h"

namespace chaski::cli {
namespace {

constexpr int64_t kMostRuns = 1'000'000;

struct BenchOptions {
  BenchJob job;
  UrlBenchOptions url;
  std::string output = "table";
};

void print_records(const std::vector<RunRecord>& records, const std::string& output, const Context& context) {
  if (output == "json") {
    OrderedJson json = OrderedJson::array();
    for (const RunRecord& record : records) json.push_back(bench_json(record));
    print_exactly(to_json_text(json, 2) + "\n");
  } else if (output == "csv") {
    print_exactly(bench_csv(records));
  } else if (output != "jsonl") {
    const BenchFormat format = output == "md" ? BenchFormat::kMarkdown : BenchFormat::kTable;
    print(bench_table(records, format, context.lang));
  }
}

void bench(const BenchOptions& options, const Context& context) {
  std::vector<RunRecord> records;
  const auto on_record = [&](RunRecord record, bool is_whole) {
    if (is_whole) remember_run(record, {}, context);
    if (options.output == "jsonl") print_exactly(bench_jsonl(record));
    records.push_back(std::move(record));
  };
  try {
    if (is_modelled_device(options.job.where.device)) {
      run_modelled_job(options.job, on_record);
    } else {
      run_bench_job(options.job, context, on_record);
    }
  } catch (...) {  // what is measured is said, however the rest ended
    if (!records.empty()) print_records(records, options.output, context);
    throw;
  }
  print_records(records, options.output, context);
}

/// The server that --url names.
void bench_server(const BenchOptions& options, const Context& context) {
  UrlBenchOptions url = options.url;
  const BenchPlan& plan = options.job.plan;
  if (plan.n_prompt.size() != 1 || plan.n_gen.size() != 1) {
    throw Error(ErrorCode::kUsage, "bench", "--url: expected one length of prompts and one of answers");
  }
  url.plan.n_prompt = plan.n_prompt.front();
  url.plan.n_gen = plan.n_gen.front();
  url.plan.n_repeats = plan.n_repeats;
  url.output = options.output;
  bench_url(std::move(url), context);
}

}  // namespace

void add_bench(CLI::App& app, Context& context) {
  const auto options = std::make_shared<BenchOptions>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "bench", "how fast models run here", "测量模型在本机的速度");
  BenchJob& job = options->job;
  const auto add = [&](const std::string& flags, auto& value, std::string_view en, std::string_view zh) {
    return command->add_option(flags, value, std::string(tr(lang, en, zh)));
  };
  const auto add_list = [&](const std::string& flags, auto& value, std::string_view en, std::string_view zh) {
    add(flags, value, en, zh)->delimiter(',')->allow_extra_args(false);
  };
  add("MODEL", job.models, "models, measured by turns: folders, .gguf files, names or synthetic:SHAPE@FORMAT",
      "待测模型（轮流测量）：目录、.gguf 文件、名称或 synthetic:形状@格式");
  add_list("-p,--n-prompt", job.plan.n_prompt,
           "tokens of the prompt, or several lengths, as 128,512; 0: no prefill is measured; by default 512",
           "提示词的词元数，可给出多个，如 128,512；0 表示不测预填充；默认 512");
  add_list("-n,--n-gen", job.plan.n_gen,
           "tokens to generate, or several lengths; 0: no decode is measured; by default 128",
           "生成的词元数，可给出多个；0 表示不测解码；默认 128");
  add_list("-d,--depth", job.plan.depth,
           "tokens in the context before, or several depths, as 0,4096, at each of which all is measured",
           "开始前上下文中已有的词元数，可给出多个，如 0,4096，逐一测量");
  add("-r,--repeat", job.plan.n_repeats,
      "samples of each figure; by default 6, the fewest that make a 95 % interval",
      "每项测量的次数；默认 6，即构成 95% 区间的最少次数");
  add_list("-b,--sequences", job.plan.sequences, "numbers of sequences to decode at once, as 8,32",
           "同时解码的序列数，如 8,32");
  command->add_flag("--speculate", job.plan.speculates,
                    std::string(tr(lang, "decode with n-gram speculation as well, after a piece of prose",
                                   "另测 n-gram 推测解码（接一段散文）")));
  add("--loads", job.n_loads,
      "also time so many cold loads and as many warm ones, each in a fresh process, part by part",
      "另测冷加载与热加载各若干次，每次用新进程，并分阶段计时")
      ->check(CLI::Range(int64_t{0}, kMostRuns));
  add("--soak", job.n_soak,
      "also repeat one greedy request so many times: same text, finite numbers, no loops, no growing memory, "
      "no crash",
      "另将同一贪心请求重复若干次，检查文本一致、数值有限、无循环、内存不增长、不崩溃")
      ->check(CLI::Range(int64_t{0}, kMostRuns));
  command->add_flag("--profile", job.profiles,
                    std::string(tr(lang, "also trace one prefill and one decode op by op",
                                   "另逐个算子跟踪一次预填充与一次解码")));
  add("-o,--output", options->output, "table, md, csv, json or jsonl",
      "输出格式：table、md、csv、json 或 jsonl")
      ->check(CLI::IsMember({"table", "md", "csv", "json", "jsonl"}));
  add_url_options(*command, context, options->url);
  for (const char* name : {"--depth", "--sequences", "--speculate", "--loads", "--soak", "--profile"}) {
    command->get_option("--url")->excludes(name);
  }
  add_model_options(*command, context, job.where, false);
  command->get_option("--ctx")->group("");  // -p, -n and -d say what is needed
  command->callback([options, &context] {
    if (options->url.plan.url.empty() && options->job.models.empty())
      throw CLI::RequiredError("MODEL, or --url,");
    context.action = [options, &context] {
      options->url.plan.url.empty() ? bench(*options, context) : bench_server(*options, context);
    };
  });
}

}  // namespace chaski::cli
