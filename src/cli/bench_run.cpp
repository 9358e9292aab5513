#include "cli/bench_run.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/threads.h"
#include "cli/models_record.h"
#include "cli/terminal.h"
#include "lab/bench.h"
#include "lab/bench_metrics.h"
#include "lab/eval.h"
#include "lab/load_times.h"
#include "lab/run_energy.h"
#include "lab/soak.h"
#include "machine/cpu_clock.h"
#include "machine/machine_info.h"
#include "ops/trace_ops.h"
#include "report/warnings.h"

namespace chaski::cli {
namespace {

/// How long the machine's draw is measured while nothing runs.
constexpr double kIdleSeconds = 1;
/// Tokens of a soak's answers where the plan generates none.
constexpr int64_t kSoakTokens = 64;

/// One model of the job.
struct Subject {
  std::string name;
  std::string path;
  std::optional<LoadTimes> loads;
  std::optional<PeakRates> peaks;
  std::unique_ptr<LoadedModel> model;  ///< null: not loaded, or no more
  std::optional<BenchBasis> basis;
  RunRecord record;
  std::exception_ptr failure;

  Ops& ops() const { return model->fallback ? static_cast<Ops&>(*model->fallback) : model->device->ops(); }
  BenchSubject bench_subject(Ops& through) const {
    return {*model->device, through, model->model, model->text.tokenizer()};
  }
  void warn(std::string_view code) { record.warnings.push_back(make_warning(code)); }
};

/// Models that are loaded together.
class BenchGroup {
 public:
  BenchGroup(const BenchJob& job, std::vector<Subject> subjects, const Context& context)
      : job_(job), context_(context), subjects_(std::move(subjects)), energy_(find_energy_meters(), "bench") {
    where_ = job.where;
    where_.draft = "none";
    where_.n_sequences = 1;
    if (where_.context == 0) where_.context = job.plan.context();
    if (job.n_soak > 0) where_.context = std::max(where_.context, kProseTokens + soak_tokens());
  }

  /// The first failure of a model; null: none.
  std::exception_ptr run(const OnBenchRecord& on_record) {
    try {
      for (Subject& subject : subjects_) guarded(subject, [&] { measure_before(subject); });
      restart_peak_rss();
      for (Subject& subject : subjects_) guarded(subject, [&] { load(subject); });
      measure();
      for (Subject& subject : subjects_) guarded(subject, [&] { measure_after(subject); });
    } catch (...) {
      hand_over(on_record, false);
      throw;
    }
    return hand_over(on_record, true);
  }

 private:
  /// What fails for one model ends that one alone, but being stopped ends all.
  template <typename F>
  void guarded(Subject& subject, const F& work) {
    if (subject.failure) return;
    try {
      work();
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled) throw;
      subject.failure = std::current_exception();
    } catch (const std::bad_alloc&) {
      subject.failure = std::current_exception();
    }
    if (subject.failure) subject.model.reset();
  }

  /// Fresh processes, and what the machine reaches: while no model lies in this one's memory.
  void measure_before(Subject& subject) {
    subject.record.summary.started_at = utc_timestamp();
    if (job_.n_loads > 0) {
      Progress progress(std::string(tr(context_.lang, "timing loads", "测量加载时间")));
      subject.loads = measure_load_times(arguments("load-probe", {}, subject.name),
                                         files_of_model(subject.path, chaski_home() / "cache" / "weights"),
                                         job_.n_loads, context_.cancel,
                                         [&](int64_t done, int64_t total) { progress.show(done, total); });
    }
    const auto checkpoint = Checkpoint::open(subject.path);
    subject.peaks = measure_peaks(*checkpoint, where_.n_threads > 0 ? where_.n_threads : available_cores());
  }

  /// This program's own, for a process that loads the model as this one does.
  std::vector<std::string> arguments(const std::string& command, const std::vector<std::string>& own,
                                     const std::string& name) const {
    std::vector<std::string> all{command, "--lang", std::string(name_of(context_.lang))};
    all.insert(all.end(), own.begin(), own.end());
    for (std::string& argument : arguments_of(where_)) all.push_back(std::move(argument));
    all.insert(all.end(), {"--", name});
    return all;
  }

  void load(Subject& subject) {
    subject.model = load_model(open_model_text(subject.name), where_, context_);
    LoadedModel& model = *subject.model;
    note_oddities(model, context_.lang);
    model.engine.reset();  // the bench makes engines of its own
    subject.basis = bench_basis(subject.bench_subject(subject.ops()), subject.peaks);
    describe(subject);
  }

  /// What the record says before anything is timed. Reads all weights for their hash.
  void describe(Subject& subject) {
    const LoadedModel& model = *subject.model;
    RunRecord& record = subject.record;
    record.kind = "bench";
    record.settings["device"] = model.device->info().id;
    describe_model(subject.name, model, prompt_maker(model.text, {}, "–"), context_, record);
    record.model.date_string.clear();  // no template is used
    record.settings["seed"] = 0;
    record.settings["temperature"] = 0.0;
    record.settings["n_models_at_once"] = subjects_.size();
    record.warnings = warnings_of(model);
    warn_of_device(record);
    if (job_.plan.speculates && model.is_synthetic()) {
      subject.warn("speculation_random_weights");
      note(fmt::format("{} {}\n", tr(context_.lang, "note:", "注意："),
                       warning_text(record.warnings.back(), context_.lang)));
    }
    if (record.build.build_type == "Debug") subject.warn("not_optimised");
    if (subjects_.size() == 1 && job_.models.size() > 1) subject.warn("models_by_turns_not_possible");
    if (subjects_.size() > 1) subject.warn("memory_peak_of_all");
  }

  void measure() {
    std::vector<size_t> loaded;  // indices of those that can be measured
    std::vector<BenchSubject> all;
    for (size_t i = 0; i < subjects_.size(); ++i) {
      if (subjects_[i].failure) continue;
      loaded.push_back(i);
      all.push_back(subjects_[i].bench_subject(subjects_[i].ops()));
    }
    if (all.empty()) return;
    energy_.measure_idle(kIdleSeconds);
    Progress progress(std::string(tr(context_.lang, "measuring", "测量")));
    BenchHooks hooks;
    hooks.on_progress = [&](int64_t done, int64_t total) { progress.show(done, total); };
    hooks.on_begin = [&](size_t, const BenchTest&, bool is_warmup) {
      if (!is_warmup) energy_.begin();
    };
    hooks.on_end = [&](size_t i, const BenchTest& test, const BenchSample& sample, bool is_warmup) {
      if (!is_warmup) energy_.end(i, std::string(name_of(test.kind)) + test.at, sample.n_tokens);
    };
    const ClockState before = clock_state();
    std::vector<BenchRun> runs;
    const auto take = [&] {
      const ClockState after = clock_state();
      for (size_t i = 0; i < runs.size(); ++i) take_run(subjects_[loaded[i]], runs[i], i, before, after);
    };
    try {
      run_bench(all, job_.plan, context_.cancel, hooks, runs);
    } catch (...) {
      take();
      throw;
    }
    take();
  }

  void take_run(Subject& subject, const BenchRun& run, size_t index, const ClockState& before,
                const ClockState& after) {
    RunRecord& record = subject.record;
    MemoryRecord memory;
    memory.peak_rss_bytes = peak_rss_bytes();
    memory.device_bytes = device_memory_bytes();
    record.memory = memory;
    record.summary.peak_rss_bytes = memory.peak_rss_bytes;
    fill_bench_record(run, job_.plan, *subject.basis, record);
    for (NamedMetric& metric : load_metrics(subject.model->load_parts))
      record.metrics.push_back(std::move(metric));
    if (subject.loads) {
      for (NamedMetric& metric : load_metrics(*subject.loads)) record.metrics.push_back(std::move(metric));
      if (!subject.loads->is_cold) subject.warn("load_not_cold");
    }
    record.energy = energy_.records(index);
    const std::string decode(name_of(TestKind::kDecode));  // the first such test
    if (auto metric = energy_.joules_per_token(index, decode)) record.metrics.push_back(std::move(*metric));
    fill_fallbacks(*subject.model, run.busy_s, record);
    if (after.n_throttled.value_or(0) > before.n_throttled.value_or(0)) subject.warn("throttled");
    if (after.mhz && before.mhz && *after.mhz < 0.95 * *before.mhz) subject.warn("clock_fell");
    if (before.mhz) record.settings["clock_mhz"] = {*before.mhz, after.mhz.value_or(*before.mhz)};
    if (run.failure) subject.failure = run.failure;
    record.summary.ended_at = utc_timestamp();
  }

  int64_t soak_tokens() const {
    const std::vector<int64_t>& n_gen = job_.plan.n_gen;
    return n_gen.empty() || n_gen[0] == 0 ? kSoakTokens : n_gen[0];
  }

  /// What is not timed: traced ops, with the model still loaded; the soak, when all of them are gone.
  void measure_after(Subject& subject) {
    if (job_.profiles) trace(subject);
    if (job_.n_soak == 0) return;
    for (Subject& other : subjects_) other.model.reset();
    Progress progress(std::string(tr(context_.lang, "repeating", "重复运行")));
    subject.record.stability = soak(
        [&](int64_t n) {
          return arguments("soak-worker",
                           {"--repeats", std::to_string(n), "--tokens", std::to_string(soak_tokens())},
                           subject.name);
        },
        job_.n_soak, context_.cancel, [&](int64_t done, int64_t total) { progress.show(done, total); });
    subject.record.summary.ended_at = utc_timestamp();
  }

  void trace(Subject& subject) {
    TraceOps ops(subject.ops());
    BenchHooks hooks;
    hooks.on_begin = [&](size_t, const BenchTest& test, bool is_warmup) {
      ops.begin_phase(is_warmup ? "" : std::string(name_of(test.kind)));
    };
    OrderedJson& traced_s = subject.record.settings["traced_s"] = OrderedJson::object();
    hooks.on_end = [&](size_t, const BenchTest& test, const BenchSample& sample, bool is_warmup) {
      if (!is_warmup) traced_s[std::string(name_of(test.kind))] = sample.seconds;
      ops.begin_phase("");
    };
    const BenchSubject traced = subject.bench_subject(ops);
    BenchPlan prefill = job_.plan, decode;
    prefill.n_repeats = 1;
    prefill.depth.resize(1);
    prefill.sequences.clear();
    prefill.speculates = false;
    decode = prefill;
    prefill.n_prompt.resize(std::min<size_t>(1, prefill.n_prompt.size()));
    prefill.n_gen.clear();
    decode.n_prompt.clear();
    decode.n_gen.resize(std::min<size_t>(1, decode.n_gen.size()));
    for (const BenchPlan& plan : {prefill, decode}) {
      if (plan.tests().empty()) continue;
      std::vector<BenchRun> runs;
      run_bench({&traced, 1}, plan, context_.cancel, hooks, runs);
      if (runs[0].failure) std::rethrow_exception(runs[0].failure);
    }
    for (const TraceRow& row : ops.rows()) {
      if (row.phase.empty()) continue;
      const std::string shape =
          row.weight == DType::kF32 ? row.shape : fmt::format("{} {}", row.shape, name_of(row.weight));
      subject.record.ops.push_back(
          {std::string(name_of(row.op)), row.phase, shape, row.calls, row.bytes, row.seconds});
    }
  }

  std::exception_ptr hand_over(const OnBenchRecord& on_record, bool is_over) {
    std::exception_ptr failure;
    for (Subject& subject : subjects_) {
      if (subject.failure && !failure) failure = subject.failure;
      if (subject.record.metrics.empty()) continue;
      on_record(std::move(subject.record), is_over && !subject.failure);
    }
    return failure;
  }

  const BenchJob& job_;
  const Context& context_;
  ModelOptions where_;
  std::vector<Subject> subjects_;
  RunEnergy energy_;
};

}  // namespace

void run_bench_job(const BenchJob& job, const Context& context, const OnBenchRecord& on_record) {
  job.plan.validate();
  const std::vector<FoundModel> models = find_models(job.models);
  const bool is_together = fit_together(models);
  std::vector<std::vector<Subject>> groups;
  for (const FoundModel& model : models) {
    check_fits(job.plan, model.max_context);
    if (groups.empty() || !is_together) groups.emplace_back();
    groups.back().emplace_back();
    groups.back().back().name = model.name;
    groups.back().back().path = model.path;
  }
  std::exception_ptr failure;
  for (std::vector<Subject>& group : groups) {
    const std::exception_ptr of_group = BenchGroup(job, std::move(group), context).run(on_record);
    if (!failure) failure = of_group;
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace chaski::cli
