// See draft_speculator.h.
#include "engine/draft_speculator.h"

#include <algorithm>

#include "base/error.h"

namespace chaski {
namespace {

int32_t cache_pages(const DraftLimits& limits, const LlamaModel& draft, const KvLayout& layout) {
  return n_cache_pages({limits.context, limits.max_sequences, layout.page_tokens,
                        2 * draft.config.n_layers * layout.page_bytes()});
}

RunnerLimits runner_limits(const DraftLimits& limits, int32_t pages_per_sequence) {
  return {limits.max_rows, 1, 1, pages_per_sequence};
}

}  // namespace

DraftSpeculator::DraftSpeculator(Device& device, Ops& ops, const LlamaModel& draft, const DraftLimits& limits)
    : limits_(limits),
      layout_(device.kv_layout(draft.config)),
      cache_(cache_pages(limits, draft, layout_), layout_.page_tokens, false),
      pages_per_sequence_(static_cast<int32_t>(pages_for(limits.context, layout_.page_tokens))),
      kv_(ops.memory(), layout_, draft.config.n_layers, cache_.n_pages()),
      runner_(device.make_runner(ops, draft, kv_, runner_limits(limits, pages_per_sequence_))) {
  CHECK(limits.context <= draft.context, "{} positions for a draft model of {}", limits.context,
        draft.context);
}

void DraftSpeculator::forget(const Sequence& sequence) {
  const auto it = records_.find(&sequence);
  if (it == records_.end()) return;
  for (const int32_t page : it->second.pages) cache_.release(page);
  records_.erase(it);
}

bool DraftSpeculator::reserve(Record& record, int64_t n_tokens) {
  const int64_t n_needed = pages_for(n_tokens, layout_.page_tokens);
  const auto n_held = static_cast<int64_t>(record.pages.size());
  if (n_needed - n_held > cache_.n_available()) return false;
  for (int64_t i = n_held; i < n_needed; ++i) record.pages.push_back(cache_.allocate());
  return true;
}

/// Compute `tokens` after what the record holds; the best next token, or −1 where none is wanted or finite.
int32_t DraftSpeculator::run(Record& record, std::span<const int32_t> tokens, bool wants_best) {
  batch_.clear();
  batch_.phase = wants_best ? Phase::kDecode : Phase::kPrefill;
  batch_.pages_per_sequence = pages_per_sequence_;
  batch_.token_ids.assign(tokens.begin(), tokens.end());
  append_places(batch_, record.pages, layout_.page_tokens, static_cast<int64_t>(record.tokens.size()),
                static_cast<int64_t>(tokens.size()));
  if (wants_best) batch_.outputs.push_back({batch_.n_rows() - 1, false});
  runner_->run(batch_, output_);
  record.tokens.insert(record.tokens.end(), tokens.begin(), tokens.end());
  return wants_best ? output_.best.front() : -1;
}

void DraftSpeculator::propose(const Sequence& sequence, int32_t max, std::vector<Guess>& guesses) {
  guesses.clear();
  const std::vector<int32_t>& tokens = sequence.tokens;
  // The last guess is never a row here.
  max = static_cast<int32_t>(std::min<int64_t>(max, limits_.context - sequence.n_tokens() + 1));
  Record& record = records_[&sequence];
  if (max <= 0 || !reserve(record, sequence.n_tokens() + max - 1)) return;
  // Wrong guesses of the last time are forgotten; the last token is always computed for what follows it.
  const auto differs =
      std::mismatch(record.tokens.begin(), record.tokens.end(), tokens.begin(), tokens.end() - 1);
  record.tokens.erase(differs.first, record.tokens.end());
  int32_t best = -1;
  while (record.tokens.size() < tokens.size()) {
    const std::span<const int32_t> left = std::span(tokens).subspan(record.tokens.size());
    const auto n = std::min(left.size(), static_cast<size_t>(limits_.max_rows));
    best = run(record, left.first(n), n == left.size());
  }
  for (; best >= 0; best = run(record, std::span(&best, 1), true)) {
    guesses.push_back({best, 0});
    if (guesses.size() == static_cast<size_t>(max)) return;
  }
}

}  // namespace chaski
