// chaski history: the runs that were kept, newest first; and their export for other programs.
#include <functional>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "cli/commands.h"
#include "cli/run_arguments.h"
#include "cli/terminal.h"
#include "report/exports.h"
#include "report/table.h"
#include "report/text_safety.h"
#include "store/run_store.h"

namespace chaski::cli {
namespace {

namespace fs = std::filesystem;

struct HistoryOptions {
  std::vector<std::string> runs;
  RunFilter filter;
  std::string file;  ///< to export to; empty: list
  bool wants_json = false;
};

/// The store, where a run was ever kept.
std::unique_ptr<RunStore> open_store() {
  std::error_code ignored;
  if (!fs::exists(run_store_path(), ignored)) return nullptr;
  return std::make_unique<RunStore>(run_store_path());
}

OrderedJson json_of(const StoredRun& run) {
  return {{"id", run.id},
          {"kind", run.kind},
          {"model", run.model},
          {"suite", run.suite.empty() ? OrderedJson(nullptr) : OrderedJson(run.suite)},
          {"started_at", run.started_at},
          {"folder", run.folder.empty() ? OrderedJson(nullptr) : OrderedJson(run.folder)},
          {"sha256", run.sha256}};
}

void list(const HistoryOptions& options, const Context& context) {
  const auto store = open_store();
  const std::vector<StoredRun> runs = store ? store->list(options.filter) : std::vector<StoredRun>();
  const Lang lang = context.lang;
  if (options.wants_json) {
    OrderedJson json = OrderedJson::array();
    for (const StoredRun& run : runs) json.push_back(json_of(run));
    print_exactly(to_json_text(json, 2) + "\n");
    return;
  }
  if (runs.empty()) {
    print(store && store->size() > 0
              ? tr(lang, "No run is like that.\n", "没有符合条件的运行。\n")
              : tr(lang, "No runs are kept yet; `chaski eval` and `chaski bench` keep theirs.\n",
                   "尚无运行记录；`chaski eval` 与 `chaski bench` 会保存各自的运行。\n"));
    return;
  }
  Table table;
  for (const auto& [en, zh] :
       {std::pair("run", "编号"), std::pair("started", "开始时间"), std::pair("kind", "类别"),
        std::pair("model", "模型"), std::pair("suite", "题集"), std::pair("folder", "目录")}) {
    table.columns.emplace_back(tr(lang, en, zh));
  }
  table.align = "rlllll";
  for (const StoredRun& run : runs) {
    table.add({std::to_string(run.id), run.started_at, run.kind, run.model, run.suite, run.folder});
  }
  print(terminal_table(table, 80));
}

/// A run to export, and how its record is read.
struct ChosenRun {
  std::string name;
  std::function<RunRecord()> read;
};

/// The runs named, or all that the filter lets through; `store`, which may be null, must live on.
std::vector<ChosenRun> chosen_runs(const HistoryOptions& options, const RunStore* store) {
  std::vector<ChosenRun> runs;
  for (const std::string& name : options.runs) runs.push_back({name, [name] { return find_run(name); }});
  if (!runs.empty() || store == nullptr) return runs;
  for (const StoredRun& run : store->list(options.filter)) {
    runs.push_back({std::to_string(run.id), [store, id = run.id] { return store->get(id).value(); }});
  }
  return runs;
}

void export_runs(const HistoryOptions& options, const Context& context) {
  const ExportFormat* format = find_export_format(fs::path(options.file).extension().string());
  if (format == nullptr) {
    throw Error(ErrorCode::kUsage, "export",
                fmt::format("--export {}: expected a file whose name ends in .json, .csv or .sql",
                            printable(options.file, 200)));
  }
  const auto store = options.runs.empty() ? open_store() : nullptr;
  const std::vector<ChosenRun> runs = chosen_runs(options, store.get());
  if (runs.empty()) {
    throw Error(ErrorCode::kNotFound, "export", "there is no run to export",
                "`chaski history` lists what is kept");
  }
  write_file_atomic(options.file, [&](const Append& append) {
    append(format->begin());
    for (const ChosenRun& run : runs) {  // one in memory at a time
      context.cancel.throw_if_cancelled("export");
      append(format->run({run.name, run.read()}, &run == runs.data()));
    }
    append(format->end);
  });
  note(trf(context.lang, "{}: {} runs\n", "{}：{} 个运行\n", printable(options.file, 400), runs.size()));
}

void history(const HistoryOptions& options, const Context& context) {
  if (options.filter.limit < 0) {
    throw Error(ErrorCode::kUsage, "history",
                fmt::format("--limit {}: expected 1 or more, or 0 for all", options.filter.limit));
  }
  if (!options.file.empty()) return export_runs(options, context);
  if (!options.runs.empty()) {
    throw Error(ErrorCode::kUsage, "history", "runs are named for --export FILE alone",
                "`chaski report RUN` shows one run");
  }
  list(options, context);
}

}  // namespace

void add_history(CLI::App& app, Context& context) {
  const auto options = std::make_shared<HistoryOptions>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "history", "list or export the runs that were kept",
                                  "列出或导出已保存的运行");
  const auto add = [&](const std::string& flags, auto& value, std::string_view en, std::string_view zh) {
    command->add_option(flags, value, std::string(tr(lang, en, zh)));
  };
  add("RUN", options->runs, "runs to export: ids, folders or run.json files; by default all that are listed",
      "要导出的运行：编号、目录或 run.json 文件；默认为列出的全部");
  add("--kind", options->filter.kind, "only of this kind: eval or bench", "仅此类别：eval 或 bench");
  add("--model", options->filter.model, "only of models with this in their name", "仅名称含此内容的模型");
  add("--suite", options->filter.suite, "only of suites with this in their name", "仅名称含此内容的题集");
  add("--limit", options->filter.limit, "the newest so many", "仅最新的若干个");
  add("--export", options->file, "write them to a file: .json, .csv or .sql",
      "导出为文件：.json、.csv 或 .sql");
  command->add_flag("--json", options->wants_json, std::string(tr(lang, "as JSON", "以 JSON 输出")));
  command->callback(
      [options, &context] { context.action = [options, &context] { history(*options, context); }; });
}

}  // namespace chaski::cli
