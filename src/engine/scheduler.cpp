// See scheduler.h.
#include "engine/scheduler.h"

#include <algorithm>

#include "base/error.h"

namespace chaski {

Scheduler::Scheduler(KvCache& cache, const SchedulerLimits& limits) : cache_(cache), limits_(limits) {
  CHECK(limits.max_sequences > 0 && limits.max_rows >= limits.max_sequences, "{} rows for {} sequences",
        limits.max_rows, limits.max_sequences);
}

void Scheduler::add(Sequence& sequence) {
  CHECK(sequence.n_pending() > 0 && sequence.n_computed == 0 && sequence.pages.empty(),
        "a sequence to add has {} of {} tokens computed", sequence.n_computed, sequence.n_tokens());
  waiting_.push_back(&sequence);
}

void Scheduler::remove(Sequence& sequence) {
  release_pages(sequence);
  std::erase(running_, &sequence);
  std::erase(waiting_, &sequence);
}

int64_t Scheduler::n_missing_pages(const Sequence& sequence) const {
  const int64_t n_needed = pages_for(sequence.n_tokens(), cache_.page_tokens());
  CHECK(n_needed <= limits_.pages_per_sequence && n_needed <= cache_.n_pages(),
        "a sequence of {} tokens needs {} pages, at most {} of {}", sequence.n_tokens(), n_needed,
        limits_.pages_per_sequence, cache_.n_pages());
  return n_needed - static_cast<int64_t>(sequence.pages.size());
}

void Scheduler::release_pages(Sequence& sequence) {
  // Last page first: a kept page is of use only as long as those before it are kept.
  for (auto page = sequence.pages.rbegin(); page != sequence.pages.rend(); ++page) cache_.release(*page);
  sequence.pages.clear();
  sequence.guesses.clear();
  sequence.n_computed = 0;
}

bool Scheduler::reserve_by_preempting(size_t index) {
  Sequence& sequence = *running_[index];
  for (int64_t n = n_missing_pages(sequence); n > 0; --n) {
    while (cache_.n_available() == 0) {
      Sequence* newest = running_.back();
      running_.pop_back();
      release_pages(*newest);
      waiting_.push_front(newest);
      ++n_preemptions_;
      if (newest == &sequence) return false;
    }
    sequence.pages.push_back(cache_.allocate());
  }
  return true;
}

bool Scheduler::admit_next() {
  Sequence& sequence = *waiting_.front();
  // The last token is always computed, since its logits are wanted.
  sequence.pages = cache_.match(std::span(sequence.tokens).first(sequence.tokens.size() - 1));
  const int64_t n_missing = n_missing_pages(sequence);
  if (n_missing > cache_.n_available()) {
    CHECK(!running_.empty(), "nothing runs, and {} pages of {} are available where {} are needed",
          cache_.n_available(), cache_.n_pages(), n_missing);
    release_pages(sequence);
    return false;
  }
  sequence.n_computed = static_cast<int64_t>(sequence.pages.size()) * cache_.page_tokens();
  for (int64_t n = n_missing; n > 0; --n) sequence.pages.push_back(cache_.allocate());
  waiting_.pop_front();
  running_.push_back(&sequence);
  return true;
}

/// Pages of guesses that were wrong: before any sequence asks for pages, nobody holds more than its tokens
/// need.
void Scheduler::release_spare_pages() {
  for (Sequence* sequence : running_) {
    const auto n_needed = static_cast<size_t>(pages_for(sequence->n_tokens(), cache_.page_tokens()));
    while (sequence->pages.size() > n_needed) {
      cache_.release(sequence->pages.back());
      sequence->pages.pop_back();
    }
  }
}

std::vector<StepPart> Scheduler::schedule(Batch& batch) {
  release_spare_pages();
  std::vector<StepPart> decoding;
  std::vector<StepPart> prompts;
  const auto n_decoding = std::count_if(running_.begin(), running_.end(),
                                        [](const Sequence* sequence) { return sequence->is_decoding(); });
  int64_t n_rows_left = limits_.max_rows - n_decoding;
  const auto take = [&](Sequence& sequence) {
    if (sequence.is_decoding()) {
      decoding.push_back({&sequence, 1});
    } else if (const int64_t n = std::min(n_rows_left, sequence.n_pending()); n > 0) {
      prompts.push_back({&sequence, static_cast<int32_t>(n)});
      n_rows_left -= n;
    }
  };
  for (size_t i = 0; i < running_.size(); ++i) {
    // Who is preempted is the newest, so never one that already has rows in this step.
    if (!reserve_by_preempting(i)) break;
    take(*running_[i]);
  }
  while (n_rows_left > 0 && !waiting_.empty() &&
         running_.size() < static_cast<size_t>(limits_.max_sequences) && admit_next()) {
    Sequence& sequence = *running_.back();
    if (sequence.is_decoding()) --n_rows_left;
    take(sequence);
  }

  int32_t n_guesses = 0;
  for (StepPart& part : decoding) {
    part.n_guesses = reserve_for_guesses(*part.sequence, limits_.max_guesses - n_guesses);
    part.n_rows += part.n_guesses;
    n_guesses += part.n_guesses;
  }

  batch.clear();
  batch.pages_per_sequence = limits_.pages_per_sequence;
  batch.phase = decoding.empty()   ? Phase::kPrefill
                : !prompts.empty() ? Phase::kMixed
                : n_guesses > 0    ? Phase::kVerify
                                   : Phase::kDecode;
  std::vector<StepPart> parts = std::move(decoding);
  parts.insert(parts.end(), prompts.begin(), prompts.end());
  for (StepPart& part : parts) append(batch, part);
  CHECK(!parts.empty() || is_idle(), "{} sequences run and {} wait, and none can go on", running_.size(),
        waiting_.size());
  return parts;
}

/// How many of its guesses the sequence can have rows for, with pages that nobody needs.
int32_t Scheduler::reserve_for_guesses(Sequence& sequence, int32_t n_left) {
  const int64_t page_tokens = cache_.page_tokens();
  const int64_t most = std::min(sequence.max_tokens - 1, limits_.pages_per_sequence * page_tokens);
  const int64_t n_wanted = std::min<int64_t>(n_left, static_cast<int64_t>(sequence.guesses.size()));
  const int64_t end = std::min(sequence.n_tokens() + n_wanted, most);
  const auto room = [&] { return static_cast<int64_t>(sequence.pages.size()) * page_tokens; };
  while (room() < end && cache_.n_available() > 0) sequence.pages.push_back(cache_.allocate());
  return static_cast<int32_t>(std::max<int64_t>(0, std::min(end, room()) - sequence.n_tokens()));
}

void append_places(Batch& batch, const std::vector<int32_t>& pages, int32_t page_tokens, int64_t first,
                   int64_t n_rows) {
  for (int64_t position = first; position < first + n_rows; ++position) {
    const int64_t page = pages[static_cast<size_t>(position / page_tokens)];
    batch.positions.push_back(static_cast<int32_t>(position));
    batch.sequence_of_row.push_back(batch.n_sequences);
    batch.slots.push_back(static_cast<int32_t>(page * page_tokens + position % page_tokens));
  }
  batch.page_table.insert(batch.page_table.end(), pages.begin(), pages.end());
  ++batch.n_sequences;
  batch.page_table.resize(static_cast<size_t>(batch.n_sequences) *
                          static_cast<size_t>(batch.pages_per_sequence));
}

void Scheduler::append(Batch& batch, StepPart& part) const {
  const Sequence& sequence = *part.sequence;
  const int64_t end = sequence.n_computed + part.n_rows;
  for (int64_t position = sequence.n_computed; position < end; ++position) {
    const int64_t n_after = position - sequence.n_tokens();
    batch.token_ids.push_back(n_after < 0 ? sequence.tokens[static_cast<size_t>(position)]
                                          : sequence.guesses[static_cast<size_t>(n_after)]);
  }
  append_places(batch, sequence.pages, cache_.page_tokens(), sequence.n_computed, part.n_rows);
  if (end < sequence.n_tokens()) return;
  part.output = batch.n_outputs();
  for (int32_t i = part.n_guesses; i >= 0; --i) {
    batch.outputs.push_back({batch.n_rows() - 1 - i, sequence.wants_logits});
  }
}

void Scheduler::complete(const std::vector<StepPart>& parts) {
  for (const StepPart& part : parts) advance(*part.sequence, part.n_rows - part.n_guesses);
}

/// So many rows more are in the cache: full pages are known by their tokens from here on.
void Scheduler::advance(Sequence& sequence, int64_t n_rows) {
  const int64_t page_tokens = cache_.page_tokens();
  const int64_t first_page = sequence.n_computed / page_tokens;
  sequence.n_computed += n_rows;
  CHECK(sequence.n_computed <= sequence.n_tokens() &&
            sequence.n_computed <= static_cast<int64_t>(sequence.pages.size()) * page_tokens,
        "{} of {} tokens computed in {} pages", sequence.n_computed, sequence.n_tokens(),
        sequence.pages.size());
  for (int64_t i = first_page; i < sequence.n_computed / page_tokens; ++i) {
    cache_.keep(sequence.pages, static_cast<size_t>(i), sequence.tokens);
  }
}

void Scheduler::check_integrity() const {
  std::vector<const std::vector<int32_t>*> users;
  for (const Sequence* sequence : running_) {
    const int64_t room = static_cast<int64_t>(sequence->pages.size()) * cache_.page_tokens();
    CHECK(sequence->n_computed <= room && sequence->n_pending() >= 0,
          "a sequence of {} tokens has {} computed in room for {}", sequence->n_tokens(),
          sequence->n_computed, room);
    users.push_back(&sequence->pages);
  }
  for (const Sequence* sequence : waiting_) {
    CHECK(sequence->pages.empty() && sequence->n_computed == 0, "a waiting sequence holds {} pages",
          sequence->pages.size());
  }
  CHECK(running_.size() <= static_cast<size_t>(limits_.max_sequences), "{} sequences run, at most {}",
        running_.size(), limits_.max_sequences);
  cache_.check_integrity(users);
}

}  // namespace chaski
