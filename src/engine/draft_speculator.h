// Guesses of a smaller model with the same vocabulary, which runs beside the large one on the same device
// with a cache and a runner of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"
#include "engine/kv_cache.h"
#include "engine/speculator.h"

namespace chaski {

struct DraftLimits {
  int64_t context = 0;        ///< positions a sequence may have; at most the draft model's
  int32_t max_sequences = 1;  ///< that its cache has room for, where n_cache_pages does not say fewer
  int32_t max_rows = 256;     ///< of a step: prompts are taken in chunks
};

/// Always greedy: the likeliest token is the guess most often right, at any temperature. Sequences that its
/// cache has no room for get no guesses.
class DraftSpeculator : public Speculator {
 public:
  /// `draft` has its weights in `ops`. All must outlive this.
  DraftSpeculator(Device& device, Ops& ops, const LlamaModel& draft, const DraftLimits& limits);
  void propose(const Sequence& sequence, int32_t max, std::vector<Guess>& guesses) override;
  void forget(const Sequence& sequence) override;
  bool is_free() const override { return false; }
  double first_estimate(int32_t) const override { return 0.7; }
  int64_t kv_bytes() const override { return kv_.bytes(); }

 private:
  /// What of a sequence is in the draft model's cache.
  struct Record {
    std::vector<int32_t> tokens;
    std::vector<int32_t> pages;
  };
  bool reserve(Record& record, int64_t n_tokens);
  int32_t run(Record& record, std::span<const int32_t> tokens, bool wants_best);

  DraftLimits limits_;
  KvLayout layout_;
  KvCache cache_;
  int32_t pages_per_sequence_;
  KvStorage kv_;
  std::unique_ptr<Runner> runner_;
  std::unordered_map<const Sequence*, Record> records_;
  Batch batch_;
  StepOutput output_;
};

}  // namespace chaski
