// chaski pull REPO: a model from a hub onto this computer.
#include <CLI/CLI.hpp>
#include <memory>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/pull_screen.h"
#include "cli/terminal.h"
#include "hub/pull.h"

namespace chaski::cli {
namespace {

struct PullCommand {
  std::string repo, from, revision, endpoint, local_dir, max_size;
  SelectionRules rules;
  bool is_dry_run = false, is_offline = false, refuses_to_wait = false, ignores_caches = false;
  bool wants_json = false;
  int n_streams = 4;
};

/// "500MB", "2.5 GB" or a number of bytes.
uint64_t parse_size(const std::string& text) {
  if (text.empty()) return 0;
  size_t n_read = 0;
  double value = -1;
  try {
    value = std::stod(text, &n_read);
  } catch (const std::exception&) {
  }
  std::string unit = text.substr(n_read);
  unit.erase(0, unit.find_first_not_of(' '));
  double factor = unit.empty() || unit == "B" ? 1 : 0;
  if (unit == "kB" || unit == "k") factor = 1e3;
  if (unit == "MB" || unit == "M") factor = 1e6;
  if (unit == "GB" || unit == "G") factor = 1e9;
  if (!(value > 0) || factor == 0 || value * factor > 1e15) {
    throw Error(ErrorCode::kUsage, "command line",
                fmt::format("--max-size: expected bytes, or a number with kB, MB or GB, found \"{}\"",
                            printable(text)));
  }
  return static_cast<uint64_t>(value * factor);
}

/// What was pulled into `path`, as commands that take a MODEL know it.
std::string name_to_run(const PullCommand& command, const std::string& path) {
  if (!command.local_dir.empty()) return command.local_dir;
  if (command.revision.empty()) return command.repo;
  const bool is_url = command.repo.find("://") != std::string::npos;
  return is_url ? path : command.repo + "@" + command.revision;
}

void run_pull(const PullCommand& command, const Context& context) {
  PullOptions options;
  options.repo = parse_repo(command.repo, command.from, command.revision);
  options.access = access_from_environment(options.repo, command.endpoint);
  options.rules = command.rules;
  options.local_dir = command.local_dir;
  options.is_dry_run = command.is_dry_run;
  options.is_offline = command.is_offline || environment_is_offline();
  options.ignores_caches = command.ignores_caches;
  options.waits = !command.refuses_to_wait;
  options.max_bytes = parse_size(command.max_size);
  options.download.n_streams = command.n_streams;
  PullScreen screen(command.wants_json, command.is_dry_run, context.lang);
  const PullReport report = pull(
      options, [&](const PullEvent& event) { screen.show(event); }, context.cancel);
  screen.finish(report, name_to_run(command, report.path.string()));
}

void add_choice_of_files(CLI::App& command, PullCommand& options, Lang lang) {
  const auto text = [lang](std::string_view en, std::string_view zh) {
    return std::string(tr(lang, en, zh));
  };
  command.add_option("FILE", options.rules.names,
                     text("files to fetch; without any, what is needed to run the model",
                          "要下载的文件；不给出时下载运行模型所需的文件"));
  command
      .add_option("--include", options.rules.includes,
                  text("fetch the files of this pattern, as *.gguf; again for more",
                       "下载匹配此模式的文件，如 *.gguf；可多次给出"))
      ->expected(1);
  command
      .add_option("--exclude", options.rules.excludes,
                  text("leave out the files of this pattern", "略去匹配此模式的文件"))
      ->expected(1);
  command.add_flag("--skip-lfs", options.rules.skips_lfs,
                   text("leave out large files, as weights are", "略去大文件（如权重）"));
  command.add_option("--max-size", options.max_size,
                     text("refuse to fetch more than this, as 5GB", "拒绝下载超过此大小的内容，如 5GB"));
}

void add_place_and_manner(CLI::App& command, PullCommand& options, Lang lang) {
  const auto text = [lang](std::string_view en, std::string_view zh) {
    return std::string(tr(lang, en, zh));
  };
  command.add_option("--from", options.from,
                     text("modelscope (the default), huggingface, gitcode, openmind or ollama",
                          "modelscope（默认）、huggingface、gitcode、openmind 或 ollama"));
  command.add_option(
      "--revision", options.revision,
      text("branch, tag or commit; by default the hub's own", "分支、标签或提交；默认取站点的默认分支"));
  command.add_option("--endpoint", options.endpoint,
                     text("URL of the hub or of a mirror", "站点或镜像的网址"));
  command.add_option(
      "--local-dir", options.local_dir,
      text("folder to put it into, in place of CHASKI_HOME/models", "存放目录，代替 CHASKI_HOME/models"));
  command.add_flag("--dry-run", options.is_dry_run,
                   text("say what would be fetched", "只显示将要下载的内容"));
  command.add_flag("--offline", options.is_offline,
                   text("use no network: only say where it is", "不使用网络，只给出其所在位置"));
  command.add_flag("--no-wait", options.refuses_to_wait,
                   text("fail where another process fetches the same", "另一进程正在下载同一模型时直接报错"));
  command.add_flag("--ignore-caches", options.ignores_caches,
                   text("fetch it even where another program has it", "即使其他程序已下载过也重新下载"));
  command
      .add_option("--streams", options.n_streams,
                  text("parts that are fetched at once, 1 to 16", "同时下载的分块数，1 到 16"))
      ->check(CLI::Range(1, 16));
  command.add_flag("--json", options.wants_json, text("one JSON object a line", "每行输出一个 JSON 对象"));
}

}  // namespace

void add_pull(CLI::App& app, Context& context) {
  const auto options = std::make_shared<PullCommand>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "pull", "fetch a model from a hub", "从模型站点下载模型");
  command
      ->add_option(
          "REPO", options->repo,
          std::string(tr(lang,
                         "ORG/NAME, an alias (llama-3.2-1b, unichat-3b), or the URL of a file or of a "
                         "git repository",
                         "组织/名称、别名（llama-3.2-1b、unichat-3b），或文件、git 仓库的网址")))
      ->required();
  add_choice_of_files(*command, *options, lang);
  add_place_and_manner(*command, *options, lang);
  command->callback(
      [options, &context] { context.action = [options, &context] { run_pull(*options, context); }; });
}

}  // namespace chaski::cli
