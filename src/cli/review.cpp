// chaski review MODEL_A MODEL_B: the whole review as one command. Looks at the computer, asks both models a
// suite's questions by turns, benches both by turns, compares, and leaves one folder with everything. With
// --templates one model is asked twice: by its own template and by another family's.
#include <algorithm>
#include <exception>
#include <memory>

#include "base/error.h"
#include "cli/bench_run.h"
#include "cli/commands.h"
#include "cli/eval_folders.h"
#include "cli/eval_run.h"
#include "cli/eval_screen.h"
#include "cli/eval_suites.h"
#include "cli/run_arguments.h"
#include "cli/run_folders.h"
#include "cli/scoring.h"
#include "cli/terminal.h"
#include "lab/bench_plan.h"
#include "lab/bench_report.h"
#include "lab/run_folder.h"
#include "machine/machine_info.h"
#include "report/compare_html.h"
#include "report/compare_markdown.h"
#include "report/figures.h"
#include "report/text_safety.h"
#include "report/warnings.h"

namespace chaski::cli {
namespace {

namespace fs = std::filesystem;

/// Llama 2's template, which the review wrapped its questions in. Source: docs/sources.md#review.
constexpr std::string_view kReviewTemplate = "raw:<s>[INST] {prompt} [/INST]";

struct ReviewOptions {
  std::vector<std::string> models;
  ScoringOptions scoring;
  JobOptions job;
  bool compares_templates = false;
  bool skips_bench = false;
  BenchJob bench;  ///< without models and where
};

/// One of the two that are compared.
struct Side {
  std::string letter, model;
  fs::path folder;
  EvalJob job;
  std::unique_ptr<EvalRun> run;
};

std::vector<Side> sides_of(const ReviewOptions& options, const fs::path& out) {
  const size_t n_wanted = options.compares_templates ? 1 : 2;
  if (options.models.size() != n_wanted) {
    throw Error(
        ErrorCode::kUsage, "review",
        fmt::format("expected {}, found {}", n_wanted == 1 ? "one model with --templates" : "two models",
                    options.models.size()),
        n_wanted == 1 ? "leave --templates out to compare two models"
                      : "one model is compared with itself, by two templates, with --templates");
  }
  std::vector<Side> sides(2);
  const std::vector<fs::path> folders =
      options.compares_templates ? std::vector<fs::path>{out / "own-template", out / "review-template"}
                                 : folders_in(out, options.models);
  for (size_t i = 0; i < sides.size(); ++i) {
    sides[i].letter = i == 0 ? "A" : "B";
    sides[i].model = options.models[options.compares_templates ? 0 : i];
    sides[i].folder = folders[i];
    sides[i].job = job_of(options.job);
    sides[i].job.out = out;
  }
  if (options.compares_templates) sides[1].job.prompts.template_choice = kReviewTemplate;
  return sides;
}

bool wants_bench(const ReviewOptions& options) { return !options.compares_templates && !options.skips_bench; }

/// What is wrong with a model, or does not fit the bench, is said before anything is asked.
std::vector<FoundModel> check_models(const std::vector<Side>& sides, const ReviewOptions& options) {
  std::vector<FoundModel> models = find_models({sides[0].model, sides[1].model});
  if (!wants_bench(options)) return models;
  options.bench.plan.validate();
  for (const FoundModel& model : models) check_fits(options.bench.plan, model.max_context);
  return models;
}

/// What an earlier review left in `out` is kept in a folder in it; all of it, or, where its runs go on, what
/// is measured anew.
void keep_earlier(const fs::path& out, const std::vector<Side>& sides, bool resumes, Lang lang) {
  const auto is_there = [&](const fs::path& path) {
    std::error_code ignored;
    return fs::exists(path, ignored);
  };
  std::vector<std::string> files{"bench.html", "bench.md", "bench.json"}, folders{"bench"};
  bool is_unfinished = false;
  if (!resumes) {
    files.insert(files.end(), {"index.md", "compare.html", "compare.md"});
    std::vector<fs::path> runs = reviewed_folders_in(out);  // of whatever models
    for (const Side& side : sides) {
      const bool is_named = std::any_of(runs.begin(), runs.end(), [&](const fs::path& run) {
        return run.filename() == side.folder.filename();
      });
      if (!is_named && is_there(side.folder)) runs.push_back(side.folder);
    }
    for (const fs::path& run : runs) {
      const FolderLock nobody_writes_into_it(run);
      folders.push_back(run.filename().string());
      is_unfinished = is_unfinished || is_there(run / "run.partial.json");
    }
    is_unfinished = is_unfinished || (folders.size() > 1 && !is_there(out / "index.md"));
  }
  const fs::path older = move_aside(out, files, folders);
  if (older.empty()) return;
  note(trf(lang, "note: the review that was in {} is now in {}\n", "注意：{} 中原有的评测已移至 {}\n",
           out.string(), older.string()));
  if (is_unfinished) note_resumable(older, lang);
}

std::string machine_text(const CodeRunner& code_runner, Lang lang) {
  const MachineFacts m = machine_facts();
  std::string text = trf(lang, "computer: {}, {} cores, {}, {}\n", "计算机：{}，{} 核，{}，{}\n", m.cpu,
                         m.n_cores, bytes_text(m.memory_bytes), m.os);
  if (!m.governor.empty() && m.governor != "performance") {
    text +=
        trf(lang, "  note: the clock's governor is \"{}\"; times may vary more than with \"performance\"\n",
            "  注意：CPU 调频策略为“{}”，用时波动可能大于“performance”\n", m.governor);
  }
  const FoundMeters meters = find_energy_meters();
  for (const auto& meter : meters.meters) {
    text += trf(lang, "  energy: {}\n", "  能耗：{}\n", meter->source());
  }
  if (meters.meters.empty()) {
    text += trf(lang, "  energy: not available ({})\n", "  能耗：无法测量（{}）\n",
                fmt::join(meters.why_not, "; "));
  }
  text += trf(lang, "  sandbox for generated code: {}{}\n", "  生成代码的沙箱：{}{}\n", code_runner.tier(),
              code_runner.why_not().empty() ? "" : fmt::format(" ({})", code_runner.why_not()));
  return text + "\n";
}

/// Both at once, question by question; who is asked first changes from one to the next.
void ask_by_turns(std::vector<Side>& sides, Screen& screen, const Context& context) {
  std::vector<EvalEvents> events;
  for (const Side& side : sides) {
    const EvalView view{
        screen,       side.run->record(), side.run->journal(), side.job.plan.n_answers(side.job.suite),
        context.lang, side.letter};
    events.push_back(events_on_screen(view, side.job.plan.batch > 1));
  }
  const std::span<const SuiteItem> items = sides[0].job.suite.items;
  const auto n_at_once = static_cast<size_t>(sides[0].job.plan.batch);
  for (size_t first = 0, turn = 0; first < items.size(); first += n_at_once, ++turn) {
    const auto some = items.subspan(first, std::min(n_at_once, items.size() - first));
    for (size_t i = 0; i < sides.size(); ++i) {
      const size_t side = turn % 2 == 0 ? i : sides.size() - 1 - i;
      sides[side].run->ask(some, events[side]);
    }
  }
}

/// Score and write what `side` answered; its model goes.
RunRecord finished(Side& side, RunScorer& scorer, bool by_turns, const Context& context) {
  const bool was_finished = side.run->is_finished();
  RunRecord record = side.run->finish();
  if (!was_finished) {
    record.warnings.push_back(make_warning(by_turns ? "memory_peak_of_all" : "models_by_turns_not_possible"));
  }
  side.run->write(record);
  if (!scorer.has_scored(record)) scorer.score(record);
  side.run->write(record);
  remember_run(record, side.folder, context);
  side.run.reset();
  return record;
}

std::vector<RunRecord> evaluate(std::vector<Side>& sides, bool by_turns, RunScorer& scorer, Screen& screen,
                                const Context& context) {
  std::vector<RunRecord> records;
  const auto load = [&](Side& side) {
    side.run = std::make_unique<EvalRun>(side.model, side.folder, side.job, context);
    screen.show(trf(context.lang, "{}: {}, loaded in {:.2f} s\n", "{}：{}，加载用时 {:.2f} 秒\n", side.letter,
                    printable(side.model, 200), side.run->record().summary.load_s));
  };
  if (by_turns) {
    restart_peak_rss();
    for (Side& side : sides) load(side);
    screen.show("\n");
    ask_by_turns(sides, screen, context);
    for (Side& side : sides) records.push_back(finished(side, scorer, by_turns, context));
    return records;
  }
  for (Side& side : sides) {
    restart_peak_rss();
    load(side);
    screen.show("\n");
    const EvalView view{
        screen,       side.run->record(), side.run->journal(), side.job.plan.n_answers(side.job.suite),
        context.lang, side.letter};
    side.run->ask(side.job.suite.items, events_on_screen(view, side.job.plan.batch > 1));
    records.push_back(finished(side, scorer, by_turns, context));
  }
  return records;
}

/// compare.html and compare.md, or the same of another name.
std::string write_comparison(const fs::path& out, const std::string& name,
                             const std::vector<RunRecord>& records, const std::vector<fs::path>& folders,
                             Lang lang) {
  const Comparison comparison = compare(records.at(0), records.at(1), folders.at(0).filename().string(),
                                        folders.at(1).filename().string(), lang);
  write_file_atomic(out / (name + ".html"), compare_html(comparison, lang));
  write_file_atomic(out / (name + ".md"), compare_markdown(comparison, lang));
  return compare_terminal(comparison, lang);
}

/// bench.json, a record of each below bench/, and both compared.
void bench_both(const ReviewOptions& options, const fs::path& out, Screen& screen, const Context& context) {
  BenchJob job = options.bench;
  job.models = options.models;
  job.where = options.job.where;
  std::vector<RunRecord> records;
  run_bench_job(job, context, [&](RunRecord record, bool) { records.push_back(std::move(record)); });
  const std::vector<fs::path> folders = folders_in(out / "bench", options.models);
  OrderedJson json = OrderedJson::array();
  for (size_t i = 0; i < records.size(); ++i) {
    make_folders(folders[i]);
    write_file_atomic(folders[i] / "run.json", to_json_text(to_json(records[i]), 2) + "\n");
    remember_run(records[i], folders[i], context);
    json.push_back(bench_json(records[i]));
  }
  write_file_atomic(out / "bench.json", to_json_text(json, 2) + "\n");
  screen.show(bench_table(records, BenchFormat::kTable, context.lang) + "\n");
  write_comparison(out, "bench", records, folders, context.lang);
}

/// index.md: what is where, and the computer that it was made on.
void write_index(const fs::path& out, const std::vector<Side>& sides, bool has_bench,
                 const std::string& machine, Lang lang) {
  std::string text = fmt::format("# {}\n\n", tr(lang, "Review", "评测"));
  const auto line = [&](const std::string& file, std::string_view en, std::string_view zh) {
    text += fmt::format("- [{}]({}): {}\n", file, file, tr(lang, en, zh));
  };
  for (const Side& side : sides) {
    text += fmt::format("- **{}**: {} ({}: {})\n", side.letter, markdown_inline(side.model),
                        tr(lang, "template", "对话模板"), markdown_inline(side.job.prompts.template_choice));
  }
  text += "\n";
  line("compare.html", "the comparison, with what the data support", "比较结果，以及数据支持哪些结论");
  line("compare.md", "the same as Markdown", "同上，Markdown 格式");
  for (const Side& side : sides) {
    const std::string folder = side.folder.filename().string();
    line(folder + "/run.json", "record: every answer, score, setting", "记录：每个回答、得分与设置");
    line(folder + "/report.md", "the same as a page", "同上，网页文本");
    line(folder + "/items.jsonl", "the answers, one a line", "全部回答，每行一个");
  }
  if (has_bench) {
    line("bench.html", "the benches compared", "测速比较");
    line("bench.md", "the same as Markdown", "同上，Markdown 格式");
    line("bench.json", "the figures of both benches", "两个模型的测速数据");
    for (const Side& side : sides) {
      line(fmt::format("bench/{}/run.json", side.folder.filename().string()), "record of the bench",
           "测速的完整记录");
    }
  }
  text += fmt::format("\n{}", markdown_fence(machine));
  write_file_atomic(out / "index.md", text);
}

void review_into(const fs::path& out, const ReviewOptions& options, const Context& context) {
  const FolderLock lock(out);
  std::vector<Side> sides = sides_of(options, out);
  const std::vector<FoundModel> models = check_models(sides, options);
  RunScorer scorer(sides[0].job.suite, options.scoring, context);
  keep_earlier(out, sides, options.job.resumes, context.lang);
  Screen screen;
  const std::string machine = machine_text(scorer.code_runner(), context.lang);
  screen.show(machine);
  const std::vector<RunRecord> records = evaluate(sides, fit_together(models), scorer, screen, context);
  screen.show(write_comparison(out, "compare", records, {sides[0].folder, sides[1].folder}, context.lang));
  write_index(out, sides, false, machine, context.lang);
  // What was compared stands, whatever becomes of the bench.
  std::exception_ptr bench_failure;
  if (wants_bench(options)) {
    try {
      bench_both(options, out, screen, context);
      write_index(out, sides, true, machine, context.lang);
    } catch (...) {
      bench_failure = std::current_exception();
    }
  }
  screen.show(trf(context.lang, "\n  everything is in {}; begin with {}\n", "\n  全部文件在 {}，请先看 {}\n",
                  out.string(), (out / "compare.html").string()));
  if (bench_failure) std::rethrow_exception(bench_failure);
  screen.throw_if_failed();
  throw_failures(records, context.lang);
}

void review(const ReviewOptions& options, const Context& context) {
  check_models(sides_of(options, "."), options);  // what is wrong is said before a folder is made
  if (!options.job.out.empty()) {
    make_folders(options.job.out);
    review_into(options.job.out, options, context);
    return;
  }
  const fs::path claimed = claim_folder("review");
  try {
    review_into(claimed, options, context);
  } catch (...) {
    std::error_code ignored;
    fs::remove(claimed, ignored);  // only where nothing was written into it
    throw;
  }
}

}  // namespace

void add_review(CLI::App& app, Context& context) {
  const auto options = std::make_shared<ReviewOptions>();
  options->job.suite = "review-zh";
  const Lang lang = context.lang;
  CLI::App* command =
      add_command(app, context, "review", "evaluate and bench two models by turns and compare them",
                  "两个模型轮流评测与测速，并作比较");
  const auto add = [&](const std::string& flags, auto& value, std::string_view en, std::string_view zh) {
    return command->add_option(flags, value, std::string(tr(lang, en, zh)));
  };
  const auto add_flag = [&](const std::string& flags, bool& value, std::string_view en, std::string_view zh) {
    command->add_flag(flags, value, std::string(tr(lang, en, zh)));
  };
  add("MODEL", options->models, "two models, or one with --templates", "两个模型；使用 --templates 时为一个")
      ->required()
      ->expected(1, 2);
  add("--suite", options->job.suite, "a suite's name or folder; by default review-zh",
      "题集名称或目录；默认 review-zh");
  add_part_options(*command, lang, options->job.part);
  add("--samples", options->job.n_samples, "answers per question", "每题回答次数");
  add("--out", options->job.out, "folder for everything", "输出目录");
  add_scoring_options(*command, lang, options->scoring);
  add_flag("--templates", options->compares_templates,
           "one model, asked by its own template and by <s>[INST] {prompt} [/INST]",
           "同一模型，分别用自带模板与 <s>[INST] {prompt} [/INST] 提问");
  add_flag("--no-bench", options->skips_bench, "evaluate and compare alone", "只评测与比较，不测速");
  add_flag("--resume", options->job.resumes, "go on with the review in --out that was broken off",
           "继续 --out 目录中曾中断的评测");
  add("-p,--n-prompt", options->bench.plan.n_prompt, "tokens of the bench's prompts", "测速的提示词长度")
      ->delimiter(',')
      ->allow_extra_args(false);
  add("-n,--n-gen", options->bench.plan.n_gen, "tokens that the bench generates", "测速生成的词元数")
      ->delimiter(',')
      ->allow_extra_args(false);
  add_generation_options(*command, context, options->job.settings);
  add_model_options(*command, context, options->job.where);
  command->callback(
      [options, &context] { context.action = [options, &context] { review(*options, context); }; });
}

}  // namespace chaski::cli
