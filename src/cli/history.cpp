// chaski history: the runs that were kept, newest first; their export for other programs; their removal.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "cli/commands.h"
#include "cli/run_arguments.h"
#include "cli/terminal.h"
#include "report/exports.h"
#include "report/names.h"
#include "report/run_facts.h"
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

struct RemovalOptions {
  std::vector<std::string> ids;
  bool is_confirmed = false;
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

/// By run, what tells it from other runs of the same kind, model and suite; empty for most.
std::vector<std::string> labels_of(const std::vector<StoredRun>& runs, const RunStore& store, Lang lang) {
  std::map<std::tuple<std::string, std::string, std::string>, std::vector<size_t>> alike;
  for (size_t i = 0; i < runs.size(); ++i) {
    alike[{runs[i].kind, runs[i].model, runs[i].suite}].push_back(i);
  }
  std::vector<std::string> labels(runs.size());
  for (const auto& [key, places] : alike) {
    std::vector<std::vector<Fact>> facts;
    std::vector<size_t> readable;
    for (const size_t place : places) {
      const auto record = store.head(runs[place].id);
      if (!record) continue;
      facts.push_back(facts_of(*record, lang));
      readable.push_back(place);
    }
    if (readable.size() < 2) continue;
    const std::vector<std::string> found = chaski::labels_of(facts);
    for (size_t i = 0; i < readable.size(); ++i) labels[readable[i]] = found[i];
  }
  return labels;
}

Table table_of(const std::vector<StoredRun>& runs, const RunStore& store, Lang lang) {
  const std::vector<std::string> labels = labels_of(runs, store, lang);
  const bool has_labels =
      std::any_of(labels.begin(), labels.end(), [](const auto& text) { return !text.empty(); });
  Table table;
  const auto column = [&](std::string_view en, std::string_view zh, char align) {
    table.columns.emplace_back(tr(lang, en, zh));
    table.align += align;
  };
  column("run", "编号", 'r');
  column("started", "开始时间", 'l');
  column("kind", "类别", 'l');
  column("model", "模型", 'l');
  column("suite", "题集", 'l');
  if (has_labels) column("differs in", "不同之处", 'l');
  column("folder", "目录", 'l');
  for (size_t i = 0; i < runs.size(); ++i) {
    const StoredRun& run = runs[i];
    const auto record = store.head(run.id);
    const std::string mark = record ? device_mark(*record, lang) : "";
    std::vector<std::string> row{std::to_string(run.id), run.started_at, run.kind,
                                 mark.empty() ? run.model : trf(lang, "{} ({})", "{}（{}）", run.model, mark),
                                 run.suite};
    if (has_labels) row.push_back(labels[i]);
    row.push_back(run.folder);
    table.add(std::move(row));
  }
  return table;
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
  print(terminal_table(table_of(runs, *store, lang), 60));
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

/// The record, or nothing where it is damaged, which is said and kept in `unread`.
std::optional<RunRecord> read_or_note(const ChosenRun& run, Lang lang,
                                      std::vector<std::pair<std::string, Error>>& unread) {
  try {
    return run.read();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorrupt && error.code() != ErrorCode::kUnsupported) throw;
    note(
        trf(lang, "run {} is left out: {}\n", "未导出运行 {}：{}\n", printable(run.name, 200), error.what()));
    unread.emplace_back(run.name, error);
    return std::nullopt;
  }
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
  // A record that is damaged keeps no other from being written.
  std::vector<std::pair<std::string, Error>> unread;
  size_t n_written = 0;
  write_file_atomic(options.file, [&](const Append& append) {
    append(format->begin());
    for (const ChosenRun& run : runs) {  // one in memory at a time
      context.cancel.throw_if_cancelled("export");
      const auto record = read_or_note(run, context.lang, unread);
      if (!record) continue;
      append(format->run({run.name, *record}, n_written == 0));
      ++n_written;
    }
    if (n_written == 0) throw unread.front().second;
    append(format->end);
  });
  note(trf(context.lang, "{}: {} runs\n", "{}：{} 个运行\n", printable(options.file, 400), n_written));
  if (unread.empty()) return;
  std::string names;
  for (const auto& [name, error] : unread) names += (names.empty() ? "" : ", ") + name;
  throw Error(unread.front().second.code(), "export",
              fmt::format("{} of {} runs could not be read and are not in {}: {}", unread.size(), runs.size(),
                          printable(options.file, 400), printable(names, 400)),
              "the others are in the file; `chaski history rm ID` removes a damaged run");
}

/// The ids in `texts`, each once. Throws Error(kUsage) for what is none.
std::vector<int64_t> ids_of(const std::vector<std::string>& texts) {
  std::vector<int64_t> ids;
  for (const std::string& text : texts) {
    const auto id = run_id_of(text);
    if (!id) {
      throw Error(ErrorCode::kUsage, "history rm",
                  fmt::format("expected ids, found \"{}\"", printable(text, 200)),
                  "`chaski history` lists the runs with their ids");
    }
    if (std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
  }
  return ids;
}

/// Ask the person at the terminal; throws Error(kUsage) where there is none.
bool is_wanted(const Context& context) {
  if (!stdin_is_terminal()) {
    throw Error(ErrorCode::kUsage, "history rm", "nobody is there to be asked", "--yes removes them unasked");
  }
  note(tr(context.lang, "Remove them from the history? [y/N] ", "从历史中删除以上运行？[y/N] "));
  std::string answer;
  std::getline(std::cin, answer);
  context.cancel.throw_if_cancelled("history rm");
  return answer == "y" || answer == "Y" || answer == "yes";
}

void remove_runs(const RemovalOptions& options, const Context& context) {
  const std::vector<int64_t> ids = ids_of(options.ids);
  const auto store = open_store();
  std::vector<StoredRun> runs;
  for (StoredRun& run : store ? store->list() : std::vector<StoredRun>()) {
    if (std::find(ids.begin(), ids.end(), run.id) != ids.end()) runs.push_back(std::move(run));
  }
  for (const int64_t id : ids) {
    const bool is_there =
        std::any_of(runs.begin(), runs.end(), [id](const StoredRun& run) { return run.id == id; });
    if (is_there) continue;
    throw Error(ErrorCode::kNotFound, "history rm", fmt::format("no run {}; nothing was removed", id),
                "`chaski history` lists the runs with their ids");
  }
  if (!options.is_confirmed) {
    note(terminal_table(table_of(runs, *store, context.lang), 60));
    if (!is_wanted(context)) {
      print(tr(context.lang, "nothing was removed\n", "没有删除任何运行\n"));
      return;
    }
  }
  store->remove(ids);
  for (const StoredRun& run : runs) {
    print(trf(context.lang, "removed run {} ({}, {})", "已删除运行 {}（{}，{}）", run.id, run.kind,
              printable(run.model, 200)));
    print(run.folder.empty() ? std::string("\n")
                             : trf(context.lang, "; its files stay in {}\n", "；其文件仍在 {}\n",
                                   printable(run.folder, 400)));
  }
}

void history(const HistoryOptions& options, const Context& context) {
  if (options.filter.limit < 0) {
    throw Error(ErrorCode::kUsage, "history",
                fmt::format("--limit {}: expected 1 or more, or 0 for all", options.filter.limit));
  }
  if (const std::string& kind = options.filter.kind; !kind.empty() && kind != "eval" && kind != "bench") {
    throw Error(ErrorCode::kUsage, "history",
                fmt::format("--kind {}: expected eval or bench", printable(kind, 100)));
  }
  if (!options.file.empty()) return export_runs(options, context);
  if (!options.runs.empty()) {
    throw Error(ErrorCode::kUsage, "history", "runs are named for --export FILE alone",
                "`chaski report RUN` shows one run");
  }
  list(options, context);
}

CLI::App* add_removal(CLI::App& history_command, Context& context) {
  const auto options = std::make_shared<RemovalOptions>();
  const Lang lang = context.lang;
  CLI::App* command =
      add_command(history_command, context, "rm", "remove runs from the history; their folders stay",
                  "从历史中删除运行；其目录保留");
  command->add_option("ID", options->ids, std::string(tr(lang, "ids that the list shows", "列表中的编号")))
      ->required();
  command->add_flag("--yes", options->is_confirmed, std::string(tr(lang, "do not ask", "不再询问")));
  command->callback(
      [options, &context] { context.action = [options, &context] { remove_runs(*options, context); }; });
  return command;
}

}  // namespace

void add_history(CLI::App& app, Context& context) {
  const auto options = std::make_shared<HistoryOptions>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "history", "list, export or remove the runs that were kept",
                                  "列出、导出或删除已保存的运行");
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
  CLI::App* removal = add_removal(*command, context);
  command->callback([options, removal, &context] {
    if (!removal->parsed()) context.action = [options, &context] { history(*options, context); };
  });
}

}  // namespace chaski::cli
