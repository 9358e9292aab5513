#include "lab/bench.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/rng.h"

namespace chaski {
namespace {

constexpr int64_t kMaxTokens = 1 << 20;
constexpr int64_t kMaxRepeats = 10'000;
constexpr int32_t kMaxSequences = 1024;
/// Tokens that a decode generates unmeasured before its samples.
constexpr int64_t kWarmupTokens = 4;
/// Tokens that the prompt of speculation has at most.
constexpr int64_t kProseTokens = 64;
/// Plain narration, which neither repeats itself nor asks for its own words again.
constexpr std::string_view kProse =
    "The ferry left the island an hour late that morning, because the captain had waited for the doctor and "
    "her two heavy trunks. Nobody complained. Fog lay on the water, the engine coughed, and somewhere a bell "
    "answered the gulls. When the mainland came into view, a boy who had never left home asked his uncle "
    "whether people over there also kept goats. The uncle thought about it for a while and then";

Request greedy(std::vector<int32_t> prompt) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  return request;
}

void throw_if_failed(const Answer& answer) {
  if (answer.finish_reason == FinishReason::kError) throw Error(answer.error_code, "bench", answer.error);
}

/// Tokens of the prompt before a decode.
int64_t prompt_tokens(const BenchPlan& plan) { return std::max<int64_t>(1, plan.depth); }

/// Tokens that the first of `n` sequences gets after its own first one, before the last of them is through
/// its prompt of `n_prompt`. Prompts go through oldest first, in steps of which whoever is through takes a
/// row.
int64_t most_waiting_tokens(int64_t n, int64_t n_prompt) {
  const int64_t step_rows = std::max<int64_t>(EngineOptions().max_step_rows, n);
  int64_t n_through = 0, n_left = n_prompt, n_waiting = 0;  // n_left: of the oldest prompt not through
  while (n_through < n) {
    if (n_through > 0) ++n_waiting;
    int64_t n_rows = step_rows - n_through;
    for (; n_through < n && n_rows >= n_left; ++n_through) n_rows -= std::exchange(n_left, n_prompt);
    n_left -= n_rows;
  }
  return n_waiting;
}

/// One engine and its measurements.
class Timed {
 public:
  Timed(const BenchSubject& subject, const BenchPlan& plan, int32_t n_sequences, const CancelToken& cancel,
        SpeculationKind speculation = SpeculationKind::kOff)
      : tokenizer_(subject.tokenizer),
        plan_(plan),
        n_sequences_(n_sequences),
        cancel_(cancel),
        engine_(subject.device, subject.ops, subject.model, subject.tokenizer,
                options_for(subject, plan, n_sequences, speculation)) {}

  Engine& engine() { return engine_; }

  double prefill_rate() {
    Request request = greedy(bench_prompt(tokenizer_, plan_.n_prompt, 0));
    request.max_new_tokens = 1;
    const Answer answer = engine_.generate(std::move(request), {}, &cancel_);
    cancel_.throw_if_cancelled("bench");
    throw_if_failed(answer);
    return static_cast<double>(plan_.n_prompt) / answer.timings.ttft_s;
  }

  /// All sequences first get through their prompts; then `n_tokens` of each are timed. Without `prompt` each
  /// has pseudo-random tokens of its own, as many as the depth.
  double decode_rate(int64_t n_tokens, const std::vector<int32_t>& prompt = {}) {
    std::vector<RequestId> ids;
    std::vector<int64_t> counts(static_cast<size_t>(n_sequences_));
    int64_t n_known = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      ids.push_back(
          engine_.submit(greedy(prompt.empty() ? bench_prompt(tokenizer_, prompt_tokens(plan_), i) : prompt),
                         [&counts, &n_known, i](std::string_view) { ++counts[i], ++n_known; }));
    }
    while (std::find(counts.begin(), counts.end(), 0) != counts.end() && step()) {
    }
    const int64_t n_before = n_known;
    const std::vector<int64_t> counts_before = counts;
    const Stopwatch since_begin;
    while (n_known - n_before < n_tokens * n_sequences_ && step()) {
    }
    const double rate = static_cast<double>(n_known - n_before) / since_begin.seconds();
    const std::vector<int64_t> counts_timed = counts;  // a cancelled request may still give text
    for (const RequestId id : ids) {
      engine_.cancel(id);
      throw_if_failed(engine_.take(id));
    }
    for (size_t i = 0; i < counts.size(); ++i) {
      const int64_t n = counts_timed[i] - counts_before[i];
      CHECK(n >= n_tokens, "sequence {} of {} gave {} of {} tokens", i, n_sequences_, n, n_tokens);
    }
    return rate;
  }

 private:
  static EngineOptions options_for(const BenchSubject& subject, const BenchPlan& plan, int32_t n_sequences,
                                   SpeculationKind speculation) {
    EngineOptions options;
    options.context = plan.context();
    options.max_sequences = n_sequences;
    options.speculation = speculation;
    const int64_t page = subject.device.kv_layout(subject.model.config).page_tokens;
    options.n_pages =
        static_cast<int32_t>((options.context + page - 1) / page * n_sequences);  // none preempted
    return options;
  }
  bool step() {
    cancel_.throw_if_cancelled("bench");
    return engine_.step();
  }

  const Tokenizer& tokenizer_;
  const BenchPlan& plan_;
  int32_t n_sequences_;
  const CancelToken& cancel_;
  Engine engine_;
};

}  // namespace

void BenchPlan::validate() const {
  const auto check = [](std::string_view what, int64_t found, int64_t least, int64_t most) {
    if (found >= least && found <= most) return;
    throw Error(ErrorCode::kUsage, "bench",
                fmt::format("{}: expected {} to {}, found {}", what, least, most, found));
  };
  check("prompt tokens", n_prompt, 0, kMaxTokens);
  check("generated tokens", n_gen, 0, kMaxTokens);
  check("depth", depth, 0, kMaxTokens);
  check("repeats", n_repeats, 1, kMaxRepeats);
  for (const int32_t n : sequences) check("sequences at once", n, 1, kMaxSequences);
  if (n_prompt == 0 && n_gen == 0) {
    throw Error(ErrorCode::kUsage, "bench",
                "neither prompt nor generated tokens: there is nothing to measure");
  }
}

int64_t BenchPlan::context() const {
  if (n_gen == 0) return n_prompt + 1;
  int64_t n_waiting = 0;
  for (const int32_t n : sequences) {
    n_waiting = std::max(n_waiting, most_waiting_tokens(n, prompt_tokens(*this)));
  }
  // A prompt's own step gives the first token, which is not timed.
  const int64_t before = std::max(prompt_tokens(*this) + n_waiting, speculates ? kProseTokens : 0);
  return std::max(n_prompt + 1, before + 1 + n_gen);
}

std::vector<int32_t> bench_prompt(const Tokenizer& tokenizer, int64_t n, uint64_t stream) {
  std::vector<int32_t> ids;
  const auto vocab = static_cast<double>(tokenizer.vocab_size());
  // Special tokens and ids without a piece are passed over; a vocabulary is never made of them alone.
  for (uint64_t draw = 0; static_cast<int64_t>(ids.size()) < n; ++draw) {
    CHECK(draw < static_cast<uint64_t>(n) * 1000 + 100'000, "no ordinary tokens in the vocabulary");
    const auto id = static_cast<int32_t>(uniform01(0, stream, draw) * vocab);
    if (!tokenizer.is_special(id) && !tokenizer.piece(id).empty()) ids.push_back(id);
  }
  return ids;
}

std::vector<int32_t> speculation_prompt(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids = tokenizer.encode(kProse);
  if (ids.size() > kProseTokens) ids.resize(kProseTokens);
  return ids;
}

void check_fits(const BenchPlan& plan, int64_t context) {
  if (plan.context() <= context) return;
  throw Error(
      ErrorCode::kUsage, "bench",
      fmt::format("{} prompt tokens (-p), {} generated (-n) and a depth of {} (-d) need a context of {}"
                  ", the model has {}",
                  plan.n_prompt, plan.n_gen, plan.depth, plan.context(), context),
      "ask for fewer tokens, a smaller depth, or fewer sequences at once");
}

BenchFigures run_bench(const BenchSubject& subject, const BenchPlan& plan, const CancelToken& cancel,
                       const std::function<void(int64_t done, int64_t total)>& on_progress) {
  plan.validate();
  check_fits(plan, subject.model.context);
  const int64_t n_warmup = std::min(kWarmupTokens, plan.n_gen);
  const auto n_decodes = static_cast<int64_t>(1 + plan.sequences.size() + (plan.speculates ? 1 : 0));
  const int64_t n_metrics = (plan.n_prompt > 0 ? 1 : 0) + (plan.n_gen > 0 ? n_decodes : 0);
  int64_t n_done = 0;
  const auto sampled = [&](const std::function<double()>& rate) {
    std::vector<double> samples;
    for (int64_t i = 0; i < plan.n_repeats; ++i) {
      samples.push_back(rate());
      if (on_progress) on_progress(++n_done, n_metrics * plan.n_repeats);
    }
    return summarize(std::move(samples));
  };
  BenchFigures figures;
  {
    Timed alone(subject, plan, 1, cancel);
    figures.kv_bytes = alone.engine().stats().kv_bytes;
    figures.runner = alone.engine().runner().name();
    if (plan.n_prompt > 0) {
      alone.prefill_rate();
      figures.prefill_tokens_per_s = sampled([&] { return alone.prefill_rate(); });
    }
    if (plan.n_gen > 0) {
      alone.decode_rate(n_warmup);
      figures.decode_tokens_per_s = sampled([&] { return alone.decode_rate(plan.n_gen); });
    }
  }
  if (plan.n_gen == 0) return figures;
  if (plan.speculates) {
    Timed guessing(subject, plan, 1, cancel, SpeculationKind::kNgram);
    const std::vector<int32_t> prose = speculation_prompt(subject.tokenizer);
    guessing.decode_rate(n_warmup, prose);
    figures.speculative_decode_tokens_per_s =
        sampled([&] { return guessing.decode_rate(plan.n_gen, prose); });
  }
  for (const int32_t n_sequences : plan.sequences) {
    Timed together(subject, plan, n_sequences, cancel);
    together.decode_rate(n_warmup);
    figures.batched.push_back({n_sequences, sampled([&] { return together.decode_rate(plan.n_gen); })});
  }
  return figures;
}

}  // namespace chaski
