// See engine.h. A step: schedule (scheduler.cpp), run (model/llama.cpp by way of the runner), choose tokens
// (sampler.cpp), apply them to text, limits and timings (here).
#include "engine/engine.h"

#include <algorithm>
#include <exception>
#include <map>
#include <utility>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/draft_speculator.h"
#include "engine/kv_cache.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/speculation.h"
#include "engine/speculator.h"
#include "text/text_stream.h"

namespace chaski {
namespace {

/// Rows whose logits score() takes at once, or as many as a step of guesses may have where those are more;
/// never more than a step has rows.
constexpr int32_t kScoreRows = 32;
/// The most guesses of a step. Beside up to eight sequences they need no more room for logits than score()
/// does.
constexpr int32_t kMaxGuesses = 24;

/// More than any context has; keeps sums with it from overflowing.
constexpr int64_t kMostNewTokens = int64_t{1} << 40;

/// A request from submit to take: what the scheduler sees of it, and all the rest.
struct Active : Sequence {
  Active(Request wanted, OnText callback, const Tokenizer& tokenizer)
      : request(std::move(wanted)), on_text(std::move(callback)), stream(tokenizer, request.stop) {
    tokens = request.prompt;
    n_prompt = n_tokens();
    if (request.max_length) max_tokens = *request.max_length;
    if (request.max_new_tokens) {
      max_tokens = std::min(max_tokens, n_prompt + std::min(*request.max_new_tokens, kMostNewTokens));
    }
    wants_logits = !request.sampling.is_plain_greedy();
    if (wants_logits) counts.add_prompt(tokens);
    answer.n_prompt = n_prompt;
  }
  bool is_finished() const { return answer.finish_reason != FinishReason::kNone; }

  Request request;
  OnText on_text;
  TextStream stream;
  TokenCounts counts;
  Stopwatch since_admission;
  bool has_begun = false;
  Answer answer;
};

/// What ended an answer.
struct Failure {
  std::string text;
  ErrorCode code = ErrorCode::kInternal;
};

/// Of the exception being handled.
Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.what(), error.code()};
  } catch (const std::exception& error) {
    return {error.what()};
  } catch (...) {
    return {"something unknown was thrown"};
  }
}

EngineOptions fitted(EngineOptions options, const LlamaModel& model, const KvLayout& layout) {
  if (options.context < 1 || options.max_sequences < 1 || options.max_step_rows < 1 || options.n_pages < 0 ||
      options.n_guesses < 0) {
    throw Error(
        ErrorCode::kUsage, "engine",
        fmt::format("context {}, {} sequences, {} rows a step, {} pages and {} guesses: the first three "
                    "must be at least 1, the others at least 0",
                    options.context, options.max_sequences, options.max_step_rows, options.n_pages,
                    options.n_guesses));
  }
  options.context = std::min(options.context, model.context);
  options.max_step_rows = std::max(options.max_step_rows, options.max_sequences);
  const int64_t page_bytes = 2 * model.config.n_layers * layout.page_bytes();
  options.n_pages = n_cache_pages({options.context, options.max_sequences, layout.page_tokens, page_bytes},
                                  options.n_pages);
  options.context = std::min(options.context, int64_t{options.n_pages} * layout.page_tokens);
  return options;
}

int32_t max_guesses(const EngineOptions& options) {
  return options.speculation == SpeculationKind::kOff ? 0 : kMaxGuesses;
}

RunnerLimits limits_for(const EngineOptions& options, int32_t page_tokens) {
  RunnerLimits limits;
  limits.max_rows = options.max_step_rows + max_guesses(options);
  limits.max_sequences = options.max_sequences;
  limits.max_outputs =
      std::max(options.max_sequences + max_guesses(options), std::min(kScoreRows, options.max_step_rows));
  limits.pages_per_sequence = static_cast<int32_t>(pages_for(options.context, page_tokens));
  return limits;
}

SchedulerLimits scheduler_limits(const EngineOptions& options, const RunnerLimits& limits) {
  return {options.max_sequences, options.max_step_rows, limits.pages_per_sequence, max_guesses(options)};
}

/// Null where it is off. Throws Error(kUsage) where the draft model's tokens cannot be the model's.
std::unique_ptr<Speculation> make_speculation(Device& device, Ops& ops, const LlamaModel& model,
                                              const EngineOptions& options) {
  if (options.speculation == SpeculationKind::kOff) return nullptr;
  SpeculationLimits limits;
  limits.max_guesses = kMaxGuesses;
  limits.fixed_guesses = options.n_guesses;
  std::unique_ptr<Speculator> speculator;
  if (options.speculation == SpeculationKind::kNgram) {
    speculator = std::make_unique<NgramSpeculator>();
  } else {
    CHECK(options.draft != nullptr, "speculation with a draft model, and there is none");
    if (options.draft->config.vocab != model.config.vocab) {
      throw Error(ErrorCode::kUsage, "draft model",
                  fmt::format("its vocabulary has {} tokens, the model's has {}: its guesses mean other text",
                              options.draft->config.vocab, model.config.vocab),
                  "a draft model needs the model's own tokenizer");
    }
    const DraftLimits draft{std::min(options.context, options.draft->context), options.max_sequences,
                            options.max_step_rows};
    speculator = std::make_unique<DraftSpeculator>(device, ops, *options.draft, draft);
  }
  return std::make_unique<Speculation>(std::move(speculator), limits);
}

}  // namespace

std::string_view name_of(SpeculationKind kind) {
  switch (kind) {
    case SpeculationKind::kOff:
      return "off";
    case SpeculationKind::kNgram:
      return "ngram";
    case SpeculationKind::kDraft:
      return "draft";
  }
  return "?";
}

struct Engine::State {
  State(Device& device, Ops& ops, const LlamaModel& llama, const Tokenizer& text, const EngineOptions& asked)
      : model(llama),
        tokenizer(text),
        layout(device.kv_layout(llama.config)),
        options(fitted(asked, llama, layout)),
        limits(limits_for(options, layout.page_tokens)),
        cache(options.n_pages, layout.page_tokens, options.reuse_prefixes),
        kv(ops.memory(), layout, llama.config.n_layers, options.n_pages),
        scheduler(cache, scheduler_limits(options, limits)),
        runner(device.make_runner(ops, llama, kv, limits)),
        speculation(make_speculation(device, ops, llama, options)) {
    stats.kv_bytes = kv.bytes() + (speculation ? speculation->kv_bytes() : 0);
  }

  Active& find(RequestId id) {
    const auto it = requests.find(id);
    CHECK(it != requests.end(), "request {} is unknown or was taken", id);
    return *it->second;
  }
  void check(const Request& request) const;
  void check_ids(const std::vector<int32_t>& ids, std::string_view operation) const;
  void plan_guesses();
  void run_batch();
  std::exception_ptr apply(const std::vector<StepPart>& parts);
  void apply_part(const StepPart& part, Active& active, const float* logits);
  void apply_token(Active& active, std::optional<int32_t> token);
  /// End the request; gives the text that was still held back.
  std::string finish(Active& active, FinishReason reason, Failure failure = {});

  const LlamaModel& model;
  const Tokenizer& tokenizer;
  KvLayout layout;
  EngineOptions options;
  RunnerLimits limits;
  KvCache cache;
  KvStorage kv;
  Scheduler scheduler;
  std::unique_ptr<Runner> runner;
  std::unique_ptr<Speculation> speculation;  ///< null where it is off
  std::map<RequestId, std::unique_ptr<Active>> requests;
  RequestId last_id = 0;
  Batch batch;
  StepOutput output;
  EngineStats stats;
  bool is_stepping = false;  ///< a callback of on_text may submit and cancel, but not step or take
};

void Engine::State::check_ids(const std::vector<int32_t>& ids, std::string_view operation) const {
  if (ids.empty()) throw Error(ErrorCode::kUsage, operation, "there are no tokens, at least one is needed");
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < model.config.vocab) continue;
    throw Error(ErrorCode::kUsage, operation,
                fmt::format("token {} at position {} is outside the vocabulary of {}", ids[i], i,
                            model.config.vocab));
  }
}

void Engine::State::check(const Request& request) const {
  constexpr std::string_view kOperation = "submit";
  check_ids(request.prompt, kOperation);
  request.sampling.validate();
  const auto n = static_cast<int64_t>(request.prompt.size());
  if (n >= options.context) {
    throw Error(ErrorCode::kUsage, kOperation,
                fmt::format("the prompt has {} tokens and the context has {}: no room for an answer", n,
                            options.context),
                "shorten the prompt or ask for a longer context");
  }
  if (request.max_length && *request.max_length <= n) {
    throw Error(ErrorCode::kUsage, kOperation,
                fmt::format("max_length is {}, prompt included, and the prompt has {} tokens: no room for an "
                            "answer",
                            *request.max_length, n),
                "raise max_length or set max_new_tokens");
  }
  if (request.max_new_tokens && *request.max_new_tokens < 1) {
    throw Error(ErrorCode::kUsage, kOperation,
                fmt::format("max_new_tokens must be at least 1, found {}", *request.max_new_tokens));
  }
}

std::string Engine::State::finish(Active& active, FinishReason reason, Failure failure) {
  scheduler.remove(active);
  if (speculation) speculation->forget(active);
  std::string rest = active.stream.finish();
  active.answer.text = active.stream.text();
  active.answer.finish_reason = reason;
  active.answer.error = std::move(failure.text);
  active.answer.error_code = failure.code;
  active.answer.timings.total_s = active.since_admission.seconds();
  return rest;
}

void Engine::State::apply_token(Active& active, std::optional<int32_t> token) {
  if (!token) {
    active.answer.is_nonfinite = true;
    finish(active, FinishReason::kError,
           {fmt::format("[sample] the logits for position {} are not finite", active.n_tokens()),
            ErrorCode::kDevice});
    return;
  }
  const double now = active.since_admission.seconds();
  RequestTimings& timings = active.answer.timings;
  if (active.n_tokens() == active.n_prompt) timings.ttft_s = now;
  ++stats.n_generated_tokens;

  std::string piece;
  const std::vector<int32_t>& eos = active.request.eos;
  if (std::find(eos.begin(), eos.end(), *token) != eos.end()) {
    piece = finish(active, FinishReason::kStop);
  } else {
    active.tokens.push_back(*token);
    if (active.wants_logits) active.counts.add_output(*token);
    active.answer.ids.push_back(*token);
    timings.token_s.push_back(now);
    piece = active.stream.push(*token);
    if (active.stream.is_stopped()) {
      piece += finish(active, FinishReason::kStop);
    } else if (active.n_tokens() >= active.max_tokens) {
      piece += finish(active, FinishReason::kLength);
    }
  }
  if (active.on_text) active.on_text(piece);
}

/// Guesses are worth no answer: where they cannot be had, there are none from here on.
void Engine::State::plan_guesses() {
  if (!speculation) return;
  try {
    speculation->plan(scheduler.running());
  } catch (...) {
    stats.speculation_fault = current_failure().text;
    for (Sequence* sequence : scheduler.running()) sequence->guesses.clear();
    speculation.reset();
    stats.kv_bytes = kv.bytes();
  }
}

void Engine::State::run_batch() {
  try {
    const Stopwatch stopwatch;
    runner->run(batch, output);
    const bool has_prompts = batch.phase == Phase::kPrefill || batch.phase == Phase::kMixed;
    if (speculation && !has_prompts) speculation->step_took(batch.n_rows(), stopwatch.seconds());
  } catch (...) {
    const Failure failure = current_failure();
    const std::vector<Sequence*> running = scheduler.running();
    for (Sequence* sequence : running) {
      finish(static_cast<Active&>(*sequence), FinishReason::kError, failure);
    }
    throw;
  }
}

/// The first exception of a callback, whose request then ends with kError; the others go on.
std::exception_ptr Engine::State::apply(const std::vector<StepPart>& parts) {
  struct Stepping {
    bool& flag;
    explicit Stepping(bool& is_stepping) : flag(is_stepping) { flag = true; }
    ~Stepping() { flag = false; }
  } const stepping(is_stepping);
  std::exception_ptr failure;
  const float* next_logits = output.logits.data();
  for (const StepPart& part : parts) {
    auto& active = static_cast<Active&>(*part.sequence);
    const float* logits = next_logits;
    if (active.wants_logits) next_logits += part.n_outputs() * model.config.vocab;
    if (active.is_finished()) continue;  // cancelled by a callback of this step
    try {
      apply_part(part, active, logits);
    } catch (...) {
      if (!active.is_finished()) finish(active, FinishReason::kError, current_failure());
      if (!failure) failure = std::current_exception();
    }
  }
  return failure;
}

/// Token by token as without guesses: each is chosen by the settings from its own row, and the next row
/// counts only where the guess that it was computed from is what was chosen.
void Engine::State::apply_part(const StepPart& part, Active& active, const float* logits) {
  const auto vocab = static_cast<size_t>(model.config.vocab);
  const std::vector<int32_t> guesses = active.guesses;
  for (int32_t i = 0; i < part.n_outputs(); ++i) {
    std::optional<int32_t> token;
    if (active.wants_logits) {
      token = sample({logits + static_cast<size_t>(i) * vocab, vocab}, active.request.sampling, active.counts,
                     static_cast<uint64_t>(active.n_tokens()));
    } else if (const int32_t best = output.best[static_cast<size_t>(part.output + i)]; best >= 0) {
      token = best;
    }
    const bool is_guessed = i < part.n_guesses && token == guesses[static_cast<size_t>(i)];
    if (token && speculation) speculation->came(active, static_cast<size_t>(i), *token);
    if (is_guessed) ++stats.n_accepted_tokens, ++active.answer.n_accepted;
    apply_token(active, token);
    if (active.is_finished() || !is_guessed) return;
    scheduler.accept(active);
  }
}

Engine::Engine(Device& device, Ops& ops, const LlamaModel& model, const Tokenizer& tokenizer,
               const EngineOptions& options)
    : state_(std::make_unique<State>(device, ops, model, tokenizer, options)) {}

Engine::~Engine() = default;

RequestId Engine::submit(Request request, OnText on_text) {
  state_->check(request);
  const RequestId id = ++state_->last_id;
  auto active = std::make_unique<Active>(std::move(request), std::move(on_text), state_->tokenizer);
  active->max_tokens = std::min(active->max_tokens, state_->options.context);
  state_->scheduler.add(*active);
  state_->requests.emplace(id, std::move(active));
  return id;
}

bool Engine::step() {
  State& s = *state_;
  CHECK(!s.is_stepping, "a callback asked for a step inside a step");
  const Stopwatch stopwatch;
  s.plan_guesses();
  const double planned_s = stopwatch.seconds();
  const std::vector<StepPart> parts = s.scheduler.schedule(s.batch);
  s.stats.n_preemptions = s.scheduler.n_preemptions();
  if (parts.empty()) return false;
  for (const StepPart& part : parts) {
    auto& active = static_cast<Active&>(*part.sequence);
    if (!part.sequence->is_decoding()) s.stats.n_prompt_tokens += part.n_rows;
    s.stats.n_drafted_tokens += part.n_guesses;
    active.answer.n_drafted += part.n_guesses;
    if (std::exchange(active.has_begun, true)) continue;
    active.answer.timings.queued_s = active.since_admission.seconds();
    active.answer.n_reused = active.n_computed;
  }
  s.run_batch();
  s.scheduler.complete(parts);
  const std::exception_ptr failure = s.apply(parts);
  ++s.stats.n_steps;
  const double seconds = stopwatch.seconds();
  (s.batch.phase == Phase::kPrefill ? s.stats.prefill_s : s.stats.decode_s) += seconds;
  if (s.batch.phase == Phase::kDecode) {
    s.stats.n_plain_tokens += static_cast<int64_t>(parts.size());
    s.stats.plain_s += seconds - planned_s;
  }
  if (failure) std::rethrow_exception(failure);
  return true;
}

void Engine::cancel(RequestId id) {
  Active& active = state_->find(id);
  if (active.is_finished()) return;
  const std::string rest = state_->finish(active, FinishReason::kCancelled);
  if (active.on_text && !rest.empty()) active.on_text(rest);
}

bool Engine::is_finished(RequestId id) const { return state_->find(id).is_finished(); }

Answer Engine::take(RequestId id) {
  CHECK(!state_->is_stepping, "a callback took request {} inside a step", id);
  Active& active = state_->find(id);
  CHECK(active.is_finished(), "request {} is not finished", id);
  Answer answer = std::move(active.answer);
  state_->requests.erase(id);
  return answer;
}

Answer Engine::generate(Request request, OnText on_text, const CancelToken* cancel_token) {
  const RequestId id = submit(std::move(request), std::move(on_text));
  try {
    while (!is_finished(id)) {
      if (cancel_token != nullptr && cancel_token->is_cancelled()) {
        cancel(id);
      } else {
        CHECK(step(), "request {} is not finished and there is nothing to do", id);
      }
    }
  } catch (...) {
    if (!is_finished(id)) state_->finish(state_->find(id), FinishReason::kError);
    state_->requests.erase(id);
    throw;
  }
  return take(id);
}

void Engine::score_from(const std::vector<int32_t>& ids, int64_t first_wanted, const OnLogits& on_rows) {
  State& s = *state_;
  CHECK(!s.is_stepping, "a callback asked for scores inside a step");
  s.check_ids(ids, "score");
  const auto n = static_cast<int64_t>(ids.size());
  CHECK(first_wanted >= 0 && first_wanted < n, "scores from {} of {} tokens", first_wanted, n);
  if (n > s.options.context) {
    throw Error(ErrorCode::kUsage, "score",
                fmt::format("{} tokens, the context has {}", n, s.options.context),
                "ask for a longer context");
  }
  // Pages are given back however this ends.
  struct Pages {
    KvCache& cache;
    std::vector<int32_t> list;
    ~Pages() {
      for (const int32_t page : list) cache.release(page);
    }
  } pages{s.cache, s.cache.match(std::span(ids).first(static_cast<size_t>(first_wanted)))};
  const int64_t page_tokens = s.layout.page_tokens;
  int64_t first = static_cast<int64_t>(pages.list.size()) * page_tokens;
  const int64_t n_pages = pages_for(n, s.layout.page_tokens) - static_cast<int64_t>(pages.list.size());
  if (n_pages > s.cache.n_available()) {
    throw Error(ErrorCode::kUsage, "score",
                fmt::format("{} pages of the cache are needed, requests that run leave {}", n_pages,
                            s.cache.n_available()));
  }
  for (int64_t i = 0; i < n_pages; ++i) pages.list.push_back(s.cache.allocate());

  while (first < n) {
    const int64_t first_output = std::max(first, first_wanted);
    const int64_t end =
        std::min({n, first + s.options.max_step_rows, first_output + int64_t{s.limits.max_outputs}});
    s.batch.clear();
    s.batch.phase = Phase::kPrefill;
    s.batch.pages_per_sequence = s.limits.pages_per_sequence;
    for (int64_t position = first; position < end; ++position) {
      if (position >= first_wanted) s.batch.outputs.push_back({s.batch.n_rows(), true});
      s.batch.token_ids.push_back(ids[static_cast<size_t>(position)]);
    }
    append_places(s.batch, pages.list, s.layout.page_tokens, first, end - first);
    const Stopwatch stopwatch;
    s.runner->run(s.batch, s.output);
    s.stats.prefill_s += stopwatch.seconds();
    ++s.stats.n_steps;
    s.stats.n_prompt_tokens += end - first;
    for (int64_t page = first / page_tokens; page < end / page_tokens; ++page) {
      s.cache.keep(pages.list, static_cast<size_t>(page), ids);
    }
    first = end;
    if (end > first_output) on_rows(first_output, end - first_output, s.output.logits.data());
  }
}

const EngineStats& Engine::stats() const { return state_->stats; }
const EngineOptions& Engine::options() const { return state_->options; }
int64_t Engine::vocab() const { return state_->model.config.vocab; }
Runner& Engine::runner() { return *state_->runner; }
void Engine::check_integrity() const { state_->scheduler.check_integrity(); }

}  // namespace chaski
