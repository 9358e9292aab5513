#include "lab/bench.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "lab/bench_prompts.h"

namespace chaski {
namespace {

/// Tokens that a test generates when it is run unmeasured.
constexpr int64_t kWarmupTokens = 4;

Request greedy(std::vector<int32_t> prompt) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  return request;
}

void throw_if_failed(const Answer& answer) {
  if (answer.finish_reason == FinishReason::kError) throw Error(answer.error_code, "bench", answer.error);
}

std::vector<double> gaps_of(const Answer& answer, size_t n) {
  const std::vector<double>& times = answer.timings.token_s;
  std::vector<double> gaps;
  for (size_t i = 1; i < times.size() && gaps.size() < n; ++i) gaps.push_back(times[i] - times[i - 1]);
  return gaps;
}

/// Called where the timed part of a run begins.
using OnBegin = std::function<void()>;

/// One engine and the test that it is for.
class TimedTest {
 public:
  TimedTest(const BenchSubject& subject, const BenchTest& test, const CancelToken& cancel)
      : tokenizer_(subject.tokenizer),
        test_(test),
        cancel_(cancel),
        engine_(subject.device, subject.ops, subject.model, subject.tokenizer, options_for(subject, test)) {}

  Engine& engine() { return engine_; }

  /// Once, with `n_gen` generated tokens.
  BenchSample run(int64_t n_gen, const OnBegin& on_begin) {
    switch (test_.kind) {
      case TestKind::kPrefill:
        return prefill(on_begin);
      case TestKind::kRequest:
        return request(n_gen, on_begin);
      case TestKind::kDecode:
      case TestKind::kSpeculative:
        return decode(n_gen, on_begin);
    }
    return {};
  }

 private:
  /// From the beginning of the step in which the depth ends to the first token: at depths of whole steps that
  /// is the prompt alone.
  BenchSample prefill(const OnBegin& on_begin) {
    const int64_t n_before = test_.depth / step_rows() * step_rows();
    const int64_t n_computed = engine_.stats().n_prompt_tokens;
    Request asked = greedy(bench_prompt(tokenizer_, test_.depth + test_.n_prompt, 0));
    asked.max_new_tokens = 1;
    if (n_before == 0) on_begin();
    Stopwatch watch;
    const RequestId id = engine_.submit(std::move(asked));
    while (engine_.stats().n_prompt_tokens - n_computed < n_before && step()) {
    }
    if (n_before > 0) {
      on_begin();
      watch.restart();
    }
    while (!engine_.is_finished(id) && step()) {
    }
    BenchSample sample{watch.seconds(), test_.depth + test_.n_prompt - n_before, {}, {}};
    const Answer answer = engine_.take(id);
    throw_if_failed(answer);
    if (test_.depth == 0) sample.ttft_s = answer.timings.ttft_s;
    return sample;
  }

  BenchSample request(int64_t n_gen, const OnBegin& on_begin) {
    Request asked = greedy(bench_prompt(tokenizer_, test_.n_prompt, 0));
    asked.max_new_tokens = n_gen;
    on_begin();
    const Answer answer = engine_.generate(std::move(asked), {}, &cancel_);
    cancel_.throw_if_cancelled("bench");
    throw_if_failed(answer);
    return {answer.timings.total_s, n_gen, answer.timings.ttft_s, gaps_of(answer, answer.ids.size())};
  }

  /// All sequences first get through their prompts; then `n_gen` tokens of each are timed.
  BenchSample decode(int64_t n_gen, const OnBegin& on_begin) {
    const auto n_sequences = static_cast<size_t>(test_.n_sequences);
    std::vector<RequestId> ids;
    std::vector<int64_t> counts(n_sequences);
    int64_t n_known = 0;
    for (size_t i = 0; i < n_sequences; ++i) {
      ids.push_back(engine_.submit(greedy(prompt_before(i)),
                                   [&counts, &n_known, i](std::string_view) { ++counts[i], ++n_known; }));
    }
    while (std::find(counts.begin(), counts.end(), 0) != counts.end() && step()) {
    }
    const int64_t n_before = n_known, n_wanted = n_gen * test_.n_sequences;
    const std::vector<int64_t> counts_before = counts;
    on_begin();
    const Stopwatch watch;
    while (n_known - n_before < n_wanted && step()) {
    }
    BenchSample sample{watch.seconds(), n_known - n_before, {}, {}};
    const std::vector<int64_t> counts_timed = counts;  // a cancelled request may still give text
    for (const RequestId id : ids) {
      engine_.cancel(id);
      const Answer answer = engine_.take(id);
      throw_if_failed(answer);
      if (n_sequences == 1 && test_.kind == TestKind::kDecode) {
        sample.itl_s = gaps_of(answer, static_cast<size_t>(sample.n_tokens));
      }
    }
    for (size_t i = 0; i < n_sequences; ++i) {
      const int64_t n = counts_timed[i] - counts_before[i];
      CHECK(n >= n_gen, "sequence {} of {} gave {} of {} tokens", i, n_sequences, n, n_gen);
    }
    return sample;
  }

  /// Of sequence `i`: at least one token must stand before what is generated.
  std::vector<int32_t> prompt_before(size_t i) const {
    if (test_.kind == TestKind::kSpeculative) return prose_prompt(tokenizer_);
    return bench_prompt(tokenizer_, std::max<int64_t>(1, test_.depth), i);
  }

  static EngineOptions options_for(const BenchSubject& subject, const BenchTest& test) {
    EngineOptions options;
    options.context = test.context();
    options.max_sequences = test.n_sequences;
    if (test.kind == TestKind::kSpeculative) options.speculation = SpeculationKind::kNgram;
    const int64_t page = subject.device.kv_layout(subject.model.config).page_tokens;
    options.n_pages =
        static_cast<int32_t>((options.context + page - 1) / page * test.n_sequences);  // none preempted
    return options;
  }
  bool step() {
    cancel_.throw_if_cancelled("bench");
    return engine_.step();
  }

  const Tokenizer& tokenizer_;
  const BenchTest& test_;
  const CancelToken& cancel_;
  Engine engine_;
};

/// One test on all subjects.
class Round {
 public:
  Round(std::span<const BenchSubject> subjects, const BenchTest& test, const CancelToken& cancel,
        const BenchHooks& hooks, std::vector<BenchRun>& runs)
      : test_(test), hooks_(hooks), runs_(runs), timed_(subjects.size()) {
    for (size_t i = 0; i < subjects.size(); ++i) {
      runs_[i].tests.push_back({test, 1, {}});
      guarded(i, [&] {
        timed_[i] = std::make_unique<TimedTest>(subjects[i], test, cancel);
        describe(subjects[i], i);
      });
    }
  }
  ~Round() {
    for (size_t i = 0; i < timed_.size(); ++i) {
      if (!timed_[i]) continue;
      const EngineStats& stats = timed_[i]->engine().stats();
      runs_[i].busy_s += stats.prefill_s + stats.decode_s;
    }
  }
  Round(const Round&) = delete;
  Round& operator=(const Round&) = delete;

  void run(size_t subject, bool is_warmup) {
    guarded(subject, [&] {
      const int64_t n_gen = is_warmup ? std::min(kWarmupTokens, test_.n_gen) : test_.n_gen;
      BenchSample sample = timed_[subject]->run(n_gen, [&] {
        if (hooks_.on_begin) hooks_.on_begin(subject, test_, is_warmup);
      });
      if (hooks_.on_end) hooks_.on_end(subject, test_, sample, is_warmup);
      if (!is_warmup) runs_[subject].tests.back().samples.push_back(std::move(sample));
    });
  }

 private:
  /// What fails for one subject ends that one; being stopped ends all.
  template <typename F>
  void guarded(size_t subject, const F& work) {
    if (runs_[subject].failure) return;
    try {
      work();
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled || error.code() == ErrorCode::kInternal) throw;
      runs_[subject].failure = std::current_exception();
    } catch (const std::bad_alloc&) {
      runs_[subject].failure = std::current_exception();
    }
  }

  void describe(const BenchSubject& subject, size_t i) {
    if (test_.n_sequences > 1 || test_.kind == TestKind::kSpeculative) return;
    Engine& engine = timed_[i]->engine();
    BenchRun& run = runs_[i];
    run.kv_bytes = std::max(run.kv_bytes, engine.stats().kv_bytes);
    run.scratch_bytes =
        std::max(run.scratch_bytes, scratch_bytes(subject.model.config, engine.runner().limits()));
    run.runner = engine.runner().name();
    run.why_not_faster = engine.runner().why_not_faster();
  }

  const BenchTest& test_;
  const BenchHooks& hooks_;
  std::vector<BenchRun>& runs_;
  std::vector<std::unique_ptr<TimedTest>> timed_;
};

}  // namespace

int64_t scratch_bytes(const ModelConfig& config, const RunnerLimits& limits) {
  const int64_t ints = 4 * int64_t{limits.max_rows} + limits.max_outputs +
                       int64_t{limits.max_sequences} * limits.pages_per_sequence;
  return static_cast<int64_t>(llama_workspace_bytes(config, limits.max_rows, limits.max_outputs)) +
         4 * (ints + limits.max_outputs * (config.vocab + 1));
}

void run_bench(std::span<const BenchSubject> subjects, const BenchPlan& plan, const CancelToken& cancel,
               const BenchHooks& hooks, std::vector<BenchRun>& runs) {
  plan.validate();
  for (const BenchSubject& subject : subjects) check_fits(plan, subject.model.context);
  const std::vector<BenchTest> tests = plan.tests();
  const auto n_subjects = static_cast<int64_t>(subjects.size());
  const int64_t n_all = static_cast<int64_t>(tests.size()) * plan.n_repeats * n_subjects;
  int64_t n_done = 0;
  runs.assign(subjects.size(), {});
  for (const BenchTest& test : tests) {
    Round round(subjects, test, cancel, hooks, runs);
    for (size_t i = 0; i < subjects.size(); ++i) round.run(i, true);
    for (int64_t r = 0; r < plan.n_repeats; ++r) {
      for (size_t k = 0; k < subjects.size(); ++k) {
        round.run(r % 2 == 0 ? k : subjects.size() - 1 - k, false);
        if (hooks.on_progress) hooks.on_progress(++n_done, n_all);
      }
    }
  }
}

}  // namespace chaski
