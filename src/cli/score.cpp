// chaski score RUN…: scores the answers of finished runs anew. Needs no model: a run's record and the suite
// that it was asked are enough.
#include <filesystem>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/eval_folders.h"
#include "cli/eval_screen.h"
#include "cli/run_arguments.h"
#include "cli/scoring.h"
#include "cli/terminal.h"

namespace chaski::cli {
namespace {

namespace fs = std::filesystem;

struct ScoreOptions {
  std::vector<std::string> runs;
  std::string suite, out;
  ScoringOptions scoring;
  bool wants_json = false;
};

/// Where the scored record is written: `out`, else where the run is; empty for an id of the history.
fs::path folder_of(const std::string& run, const fs::path& out) {
  if (!out.empty()) return out;
  std::error_code ignored;
  if (fs::is_directory(run, ignored)) return run;
  return fs::exists(run, ignored) ? fs::absolute(run).parent_path() : fs::path();
}

/// Write the scored record, and say where.
std::string keep(const RunRecord& record, const fs::path& folder, const Context& context) {
  if (!folder.empty()) {
    make_folders(folder);
    write_record(folder, record, context.lang);
  }
  const std::optional<int64_t> id = remember_run(record, folder, context);
  if (!folder.empty()) {
    return fmt::format("  {} {}\n", tr(context.lang, "record:", "记录："), (folder / "run.json").string());
  }
  if (!id) throw Error(ErrorCode::kIo, "score", "the scores are nowhere", "name a folder with --out DIR");
  return trf(context.lang, "  the history has the run with these scores as {}; the one before stays\n",
             "  带有这些得分的运行已存入历史，编号 {}；原有记录保留\n", *id);
}

void score(const ScoreOptions& options, const Context& context) {
  std::vector<fs::path> outs(options.runs.size());
  if (!options.out.empty()) outs = folders_in(options.out, options.runs);
  Screen screen;
  for (size_t i = 0; i < options.runs.size(); ++i) {
    RunRecord record = find_run(options.runs[i]);
    const Suite suite = suite_of(record, options.suite, suite_folders());
    const fs::path folder = folder_of(options.runs[i], outs[i]);
    RunScorer scorer(suite, options.scoring, context, {record.model.id});
    const OrderedJson before = record.scoring;
    try {
      scorer.score(record);
    } catch (...) {
      if (record.scoring != before)
        keep(record, folder, context);  // the rubric's, where only the judge failed
      throw;
    }
    const std::string where = keep(record, folder, context);
    if (options.wants_json) {
      screen.show_exactly(to_json_text(to_json(record)) + "\n");
      if (folder.empty()) note(where);
      continue;
    }
    const std::string scores = score_text(record, context.lang);
    screen.show(scores.empty()
                    ? fmt::format("{}\n", tr(context.lang, "no answer has a score; the record says why",
                                             "没有可评分的回答，原因见记录"))
                    : scores);
    screen.show("\n" + where);
  }
  screen.throw_if_failed();
}

}  // namespace

void add_score(CLI::App& app, Context& context) {
  const auto options = std::make_shared<ScoreOptions>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "score", "score the answers of finished runs anew",
                                  "对已完成运行的回答重新评分");
  const auto add = [&](const std::string& flags, auto& value, std::string_view en, std::string_view zh) {
    return command->add_option(flags, value, std::string(tr(lang, en, zh)));
  };
  add("RUN", options->runs, "a run.json, a folder that has one, or an id of history",
      "run.json、其所在目录，或 history 中的编号")
      ->required();
  add("--suite", options->suite, "the questions, where they are no longer where the run found them",
      "题集位置（若已不在运行时的位置）");
  add_scoring_options(*command, lang, options->scoring);
  add_judge_options(*command, lang, options->scoring);
  add("--out", options->out, "folder for the scored record; by default the run's own, of an id the history",
      "输出目录；默认为运行所在目录，若以编号指定则存入历史");
  command->add_flag(
      "--json", options->wants_json,
      std::string(tr(lang, "print the records, one a line, and nothing else", "只输出记录，每个一行")));
  command->callback(
      [options, &context] { context.action = [options, &context] { score(*options, context); }; });
}

}  // namespace chaski::cli
