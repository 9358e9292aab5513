#include "cli/bench_url.h"

#include <cstdlib>

#include "base/clock.h"
#include "base/files.h"
#include "base/utf8.h"
#include "cli/build_info.h"
#include "cli/run_arguments.h"
#include "cli/terminal.h"
#include "lab/model_facts.h"
#include "lab/url_bench_record.h"

namespace chaski::cli {
namespace {

constexpr uint64_t kMaxPromptBytes = uint64_t{4} << 20;

/// The key that the named variable holds.
std::string api_key_from(const std::string& variable) {
  if (variable.empty()) return {};
  const char* key = std::getenv(variable.c_str());
  if (key == nullptr || *key == '\0') {
    throw Error(ErrorCode::kUsage, "bench",
                fmt::format("--api-key-env: the environment variable {} is not set", printable(variable)));
  }
  return key;
}

void print_record(const RunRecord& record, const std::string& output, Lang lang) {
  if (output == "json") {
    OrderedJson list = OrderedJson::array();
    list.push_back(url_bench_json(record));
    print_exactly(to_json_text(list, 2) + "\n");
  } else if (output == "jsonl") {
    print_exactly(to_json_text(url_bench_json(record)) + "\n");
  } else if (output == "csv") {
    print_exactly(url_bench_csv(record));
  } else {
    print(url_bench_table(record, output == "md", lang));
  }
}

}  // namespace

void add_url_options(CLI::App& command, const Context& context, UrlBenchOptions& options) {
  const auto add = [&](const std::string& flags, auto& value, std::string_view en, std::string_view zh) {
    return command.add_option(flags, value, std::string(tr(context.lang, en, zh)));
  };
  CLI::Option* url =
      add("--url", options.plan.url,
          "instead of a model here: a server with OpenAI's API, as http://127.0.0.1:8000; one whose "
          "path ends in /v1/completions is asked there",
          "不测本机模型，改测提供 OpenAI 接口的服务器，如 http://127.0.0.1:8000；路径以 /v1/completions "
          "结尾则使用该接口");
  url->excludes("MODEL");
  add("--model", options.plan.model, "the model's name at the server; by default the first that it lists",
      "服务器上的模型名；默认取其列出的第一个")
      ->needs(url);
  add("--concurrency", options.plan.concurrency,
      "requests at a time; each lane sends as many as --repeat says", "并发请求数；每一路各发送 --repeat 次")
      ->needs(url);
  add("--api-key-env", options.api_key_env, "name of the environment variable that holds the server's key",
      "存放服务器密钥的环境变量名")
      ->needs(url);
  CLI::Option* prompt =
      add("--prompt", options.plan.prompt, "what every request asks; by default words, other ones for each",
          "每个请求的提示词；默认为单词，各请求不同");
  prompt->needs(url);
  add("--prompt-file", options.prompt_file, "the same, from a file", "同上，从文件读取")
      ->needs(url)
      ->excludes(prompt);
  command
      .add_flag("--per-chunk-usage", options.plan.asks_chunk_usage,
                std::string(tr(context.lang,
                               "ask the server to say how many tokens each chunk holds; some refuse that",
                               "要求服务器说明每个数据块的词元数；有的服务器会拒绝")))
      ->needs(url);
}

void bench_url(UrlBenchOptions options, const Context& context) {
  UrlBenchPlan& plan = options.plan;
  plan.api_key = api_key_from(options.api_key_env);
  if (!options.prompt_file.empty()) {
    plan.prompt = replace_invalid_utf8(read_text_file(options.prompt_file, kMaxPromptBytes));
    if (plan.prompt.empty()) throw Error(ErrorCode::kUsage, "bench", "--prompt-file: the file is empty");
  }
  const std::string started_at = utc_timestamp();
  Progress progress(std::string(tr(context.lang, "measuring", "测量")));
  const UrlBenchRun run =
      run_url_bench(plan, context.cancel, [&](int64_t done, int64_t total) { progress.show(done, total); });
  progress.clear();
  RunRecord record = url_bench_record(plan, run);
  record.machine = machine_facts();
  record.build = build_facts();
  record.summary.started_at = started_at;
  record.summary.ended_at = utc_timestamp();
  if (!run.was_cancelled) remember_run(record, {}, context);
  if (!run.requests.empty()) print_record(record, options.output, context.lang);
  context.cancel.throw_if_cancelled("bench");
  if (record.summary.n_answers == 0) {
    const FailureRecord& first = record.failures.front();
    throw Error(first.code, "bench", fmt::format("every request failed; the first: {}", first.message));
  }
}

}  // namespace chaski::cli
