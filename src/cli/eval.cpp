// chaski eval MODEL… --suite NAME: a suite's questions to each model, answers and times on screen, and for
// each model run.json, items.jsonl and report.md. The asking itself is in lab/eval.cpp.
#include <algorithm>
#include <exception>

#include "base/clock.h"
#include "base/error.h"
#include "base/files.h"
#include "cli/build_info.h"
#include "cli/commands.h"
#include "cli/draft.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "lab/eval.h"
#include "lab/suite.h"
#include "report/eval_report.h"
#include "report/text_safety.h"
#include "report/warnings.h"

namespace chaski::cli {
namespace {

namespace fs = std::filesystem;

/// The date that Llama 3.2's template itself falls back to: the same prompt on every day.
constexpr std::string_view kPinnedDate = "26 Jul 2024";

struct EvalOptions {
  std::vector<std::string> models;
  std::string suite;
  std::string out;
  int64_t n_samples = 1;
  bool wants_json = false;
  ModelOptions where;
  GenerationSettings settings;
  PromptOptions prompts;
};

std::vector<fs::path> suite_folders() {
  std::vector<fs::path> folders{chaski_home() / "suites"};
  std::error_code fault;
  const fs::path program = fs::read_symlink("/proc/self/exe", fault);
  if (!fault) folders.push_back(program.parent_path().parent_path() / "share/chaski/suites");
  return folders;
}

/// A folder name from a model's name: letters, digits, dot, dash and underscore stay.
std::string folder_name(const std::string& model) {
  std::string name;
  for (const char c : model) {
    const bool stays = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '-' || c == '_';
    name += stays ? c : '-';
  }
  const size_t first = name.find_first_not_of(".-");
  name.erase(0, first == std::string::npos ? name.size() : first);
  return name.empty() ? "model" : name.substr(name.size() > 100 ? name.size() - 100 : 0);
}

void make_folders(const fs::path& folder) {
  std::error_code fault;
  fs::create_directories(folder, fault);
  if (fault) {
    throw Error(ErrorCode::kIo, "make folder", fmt::format("{}: {}", folder.string(), fault.message()),
                "give a folder that may be written: --out DIR");
  }
}

/// A new folder below CHASKI_HOME/runs that no other run has.
fs::path claim_folder(const Suite& suite) {
  std::string stamp = utc_timestamp();
  stamp.erase(std::remove_if(stamp.begin(), stamp.end(), [](char c) { return c == ':' || c == '-'; }),
              stamp.end());
  const fs::path base = chaski_home() / "runs" / fmt::format("{}-{}", stamp, folder_name(suite.name));
  make_folders(base.parent_path());
  fs::path folder = base;
  for (int n = 2;; ++n) {
    std::error_code fault;
    if (fs::create_directory(folder, fault)) return folder;
    if (fault) {
      throw Error(ErrorCode::kIo, "make folder", fmt::format("{}: {}", folder.string(), fault.message()),
                  "give a folder that may be written: --out DIR");
    }
    folder = fmt::format("{}-{}", base.string(), n);
  }
}

/// One folder per model: `out` itself where there is one model, else named folders in it.
std::vector<fs::path> folders_in(const fs::path& out, const std::vector<std::string>& models) {
  if (models.size() == 1) return {out};
  std::vector<fs::path> folders;
  for (const std::string& model : models) {
    const std::string name = folder_name(model);
    fs::path folder = out / name;
    for (int n = 2; std::find(folders.begin(), folders.end(), folder) != folders.end(); ++n) {
      folder = out / fmt::format("{}-{}", name, n);
    }
    folders.push_back(folder);
  }
  return folders;
}

/// Standard output of an eval. Its product is the files: where nobody reads what is printed, it goes on
/// without printing.
class Screen {
 public:
  void show(std::string_view text) { try_to(print, text); }
  void show_exactly(std::string_view text) { try_to(print_exactly, text); }
  /// Throws what kept the output from being written, unless its reader just went away.
  void throw_if_failed() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void try_to(void (*write)(std::string_view), std::string_view text) {
    if (is_off_) return;
    try {
      write(text);
    } catch (const OutputClosed&) {
      is_off_ = true;
    } catch (const Error&) {
      is_off_ = true;
      failure_ = std::current_exception();
    }
  }

  bool is_off_ = false;
  std::exception_ptr failure_;
};

/// What a person sees while questions are asked.
EvalEvents events_on_screen(Screen& screen, int64_t n_all, const RunRecord& record, Lang lang) {
  EvalEvents events;
  events.on_question = [&screen, &record, n_all, lang](const SuiteItem& item, int64_t) {
    screen.show(fmt::format("[{}/{}] {} · {}\n", record.items.size() + 1, n_all,
                            strip_controls(type_title(record, item.type, lang)),
                            strip_controls(item.prompt)));
  };
  events.on_text = [&screen](std::string_view piece) { screen.show(strip_controls(piece)); };
  events.on_answer = [&screen, lang](const AnswerRecord& answer, const std::string& error) {
    if (!error.empty()) screen.show(fmt::format("{}: {}", tr(lang, "failed", "失败"), printable(error, 400)));
    screen.show(fmt::format("\n    → {}\n\n", answer_figures(answer, lang)));
  };
  return events;
}

EvalEvents quiet_events(int64_t n_all, const RunRecord& record) {
  const auto progress = std::make_shared<Progress>("eval");
  EvalEvents events;
  events.on_question = [progress, n_all, &record](const SuiteItem&, int64_t) {
    progress->show(static_cast<int64_t>(record.items.size()), n_all);
  };
  return events;
}

void fill_device(const LoadedModel& model, RunRecord& record) {
  const DeviceInfo& info = model.device->info();
  record.device = {info.name, info.device_kind, info.path, model.device->n_threads(),
                   model.device->weight_bytes()};
  record.runner = {std::string(model.engine->runner().name()), model.engine->runner().why_not_faster()};
}

void fill_fallbacks(const LoadedModel& model, RunRecord& record) {
  if (!model.fallback) return;
  for (const FallbackCount& count : model.fallback->counts()) {
    record.fallbacks.push_back(
        {std::string(name_of(count.op)), count.reason, count.calls, count.bytes, count.seconds});
  }
}

void show_outcome(Screen& screen, const RunRecord& record, const fs::path& folder, Lang lang) {
  screen.show(eval_table(record, lang));
  if (!record.warnings.empty()) screen.show("\n");
  for (const RunWarning& warning : record.warnings) {
    screen.show(
        fmt::format("  {} {}\n", tr(lang, "note:", "注意："), strip_controls(warning_text(warning, lang))));
  }
  screen.show(fmt::format("\n  {} {}\n  {} {}\n", tr(lang, "record:", "记录："),
                          (folder / "run.json").string(), tr(lang, "report:", "报告："),
                          (folder / "report.md").string()));
}

/// What the record says of the model before a question is asked. Reads all weights for their hash.
void describe_run(const std::string& name, const LoadedModel& model, const PromptMaker& prompts,
                  const Context& context, RunRecord& record) {
  record.summary.load_s = model.load_s;
  record.machine = machine_facts();
  record.build = build_facts();
  const Checkpoint& checkpoint = *model.text.checkpoint;
  Progress progress(std::string(tr(context.lang, "hashing the weights", "计算权重校验和")));
  int64_t n_hashed = 0;
  record.model = model_facts(name, checkpoint, prompts, [&](uint64_t n_bytes) {
    context.cancel.throw_if_cancelled("hash weights");
    const auto n_all = static_cast<int64_t>(checkpoint.weight_bytes());
    progress.show(std::min(n_all, n_hashed += static_cast<int64_t>(n_bytes)), n_all);
  });
  record.model.lora = model.lora;
  fill_device(model, record);
}

/// The questions of one run, the same for every model.
struct EvalJob {
  const EvalOptions& options;
  const Suite& suite;
  EvalPlan plan;  ///< without eos, which is the model's

  int64_t n_answers() const { return static_cast<int64_t>(suite.items.size()) * plan.n_samples; }
};

/// Load one model, ask it all questions, write its three files.
RunRecord eval_one(const std::string& name, const fs::path& folder, const EvalJob& job, Screen& screen,
                   Context& context) {
  const EvalOptions& options = job.options;
  EvalPlan plan = job.plan;
  RunRecord record;
  record.summary.started_at = utc_timestamp();
  ModelText text = open_model_text(name);
  plan.eos = text.checkpoint->config().eos;
  const PromptMaker prompts = prompt_maker(text, options.prompts, std::string(kPinnedDate));
  const auto model =
      load_model(std::move(text), options.where, context, plan.settings.max_length.value_or(0));
  describe_run(name, *model, prompts, context, record);
  record.settings = settings_json(job.suite, plan);
  record.settings["precision"] = name_of(model->device->precision());
  record.settings["kv_dtype"] = name_of(model->device->kv_layout(model->model.config).dtype);
  record.settings["context"] = model->engine->options().context;
  record.settings["template"] =
      prompts.kind() == PromptMaker::Kind::kPlain ? "none" : options.prompts.template_choice;

  make_folders(folder);
  // An older run's record must never stand beside newer answers.
  std::error_code ignored;
  for (const char* older : {"run.json", "report.md"}) fs::remove(folder / older, ignored);
  ItemJournal journal(folder / "items.jsonl");
  if (!options.wants_json) {
    screen.show(trf(context.lang, "{}: loaded in {:.2f} s ({}, {}, {} threads)\n\n",
                    "{}：加载用时 {:.2f} 秒（{}，{}，{} 线程）\n\n", printable(name, 200), model->load_s,
                    record.model.weights, record.device.path, record.device.n_threads));
  }
  const EvalEvents events = options.wants_json
                                ? quiet_events(job.n_answers(), record)
                                : events_on_screen(screen, job.n_answers(), record, context.lang);
  if (!ask_all(*model->engine, prompts, job.suite, plan, record, journal, events, context.cancel)) {
    if (!options.wants_json) screen.show("\n");
    throw Error(ErrorCode::kCancelled, "eval",
                trf(context.lang, "{} of {} answers are kept in {}; no record was written",
                    "已完成 {}/{} 个回答，保存在 {}；未写出记录", record.items.size(), job.n_answers(),
                    (folder / "items.jsonl").string()));
  }
  fill_fallbacks(*model, record);
  record.warnings = warnings_for(record, prompts.kind());
  for (RunWarning& warning : warnings_of(*model)) record.warnings.push_back(std::move(warning));
  if (auto warning = speculation_warning(*model)) record.warnings.push_back(std::move(*warning));
  write_record(folder, record, context.lang);
  return record;
}

void eval_into(const fs::path& out, const EvalJob& job, Context& context) {
  const std::vector<std::string>& models = job.options.models;
  const std::vector<fs::path> folders = folders_in(out, models);
  Screen screen;
  std::vector<FailureRecord> failures;
  for (size_t i = 0; i < models.size(); ++i) {
    const RunRecord record = eval_one(models[i], folders[i], job, screen, context);
    failures.insert(failures.end(), record.failures.begin(), record.failures.end());
    if (!job.options.wants_json) {
      show_outcome(screen, record, folders[i], context.lang);
      if (i + 1 < models.size()) screen.show("\n");
      continue;
    }
    screen.show_exactly(to_json_text(to_json(record)) + "\n");
    if (job.options.out.empty()) {
      note(fmt::format("{} {}\n", tr(context.lang, "record:", "记录："), (folders[i] / "run.json").string()));
    }
  }
  screen.throw_if_failed();
  if (failures.empty()) return;
  throw Error(
      failures[0].code, "eval",
      trf(context.lang, "{} questions failed; the record says which. The first: {}",
          "{} 个问题运行失败，详见记录。第一个：{}", failures.size(), printable(failures[0].message, 400)));
}

void eval(const EvalOptions& options, Context& context) {
  if (options.n_samples < 1 || options.n_samples > 10'000) {
    throw Error(ErrorCode::kUsage, "eval",
                fmt::format("--samples {}: expected 1 to 10000", options.n_samples));
  }
  const Suite suite = find_suite(options.suite, suite_folders());
  EvalJob job{options, suite, {}};
  job.plan.n_samples = options.n_samples;
  job.plan.settings = suite.settings;
  overlay(job.plan.settings, options.settings);
  if (!job.plan.settings.seed) job.plan.settings.seed = 0;
  sampling_of(job.plan.settings);
  for (const std::string& model : options.models)
    resolve_model(model);  // a misspelt second name is said at once
  if (!options.out.empty()) {
    make_folders(options.out);
    eval_into(options.out, job, context);
    return;
  }
  const fs::path claimed = claim_folder(suite);
  try {
    eval_into(claimed, job, context);
  } catch (...) {
    std::error_code ignored;
    fs::remove(claimed, ignored);  // only where nothing was written into it
    throw;
  }
}

}  // namespace

void add_eval(CLI::App& app, Context& context) {
  const auto options = std::make_shared<EvalOptions>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "eval", "ask a suite's questions and write a record",
                                  "运行评测题集并写出记录");
  command
      ->add_option("MODEL", options->models, std::string(tr(lang, "one model or several", "一个或多个模型")))
      ->required();
  command
      ->add_option("--suite", options->suite,
                   std::string(tr(lang, "a suite's name or folder", "题集名称或目录")))
      ->required();
  command->add_option("--samples", options->n_samples,
                      std::string(tr(lang, "answers per question", "每题回答次数")));
  command->add_option("--out", options->out,
                      std::string(tr(lang, "folder for run.json, items.jsonl and report.md", "输出目录")));
  command->add_flag("--json", options->wants_json,
                    std::string(tr(lang, "print the record, one line per model, and nothing else",
                                   "只输出记录，每个模型一行")));
  add_generation_options(*command, context, options->settings);
  add_prompt_options(*command, context, options->prompts);
  add_model_options(*command, context, options->where);
  command->callback(
      [options, &context] { context.action = [options, &context] { eval(*options, context); }; });
}

}  // namespace chaski::cli
