// The same greedy request again and again, in a process of its own that is started anew where it crashes:
// whether the text stays the same, numbers stay finite, memory does not grow.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.h"
#include "base/json.h"
#include "engine/engine.h"
#include "report/run_record.h"

namespace chaski {

/// One repeat, as the process that ran it tells it on a line.
struct SoakRepeat {
  std::string digest;  ///< of the answer's tokens
  bool is_nonfinite = false;
  bool has_loop = false;
  std::string error;  ///< empty: none
  int64_t rss_bytes = 0;
  double seconds = 0;
};
OrderedJson to_json(const SoakRepeat& repeat);
/// Throws Error(kCorrupt).
SoakRepeat soak_repeat_of(std::string_view json);

/// Ask once: `n_tokens` after the prose prompt, greedy.
SoakRepeat soak_once(Engine& engine, const Tokenizer& tokenizer, int64_t n_tokens);

/// Whether the tokens end in a cycle: at least 16 tokens in all, the same 1 … n / 4 four times or more.
bool ends_in_cycle(const std::vector<int32_t>& ids);

/// Bytes by which memory grows from the first to the last repeat: the straight line through all but the
/// first, by least squares; 0 for fewer than four, and where it shrinks.
int64_t growth_of(const std::vector<int64_t>& rss_bytes);

/// What repeats say together. `rss_of_starts`: of each process, its repeats' memory.
StabilityRecord stability_of(const std::vector<SoakRepeat>& repeats,
                             const std::vector<std::vector<int64_t>>& rss_of_starts, int64_t n_crashes);

/// Run `n_repeats` in processes of this program. `arguments_for(n)`: its own arguments, for a process that
/// repeats n times and prints a line each time. A process that dies takes one repeat with it; the rest is run
/// by the next. Throws Error where three in a row end by themselves with nothing done, and kCancelled.
StabilityRecord soak(const std::function<std::vector<std::string>(int64_t n)>& arguments_for,
                     int64_t n_repeats, const CancelToken& cancel,
                     const std::function<void(int64_t done, int64_t total)>& on_progress = {});

}  // namespace chaski
