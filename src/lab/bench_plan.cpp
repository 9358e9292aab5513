#include "lab/bench_plan.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "engine/engine.h"

namespace chaski {
namespace {

constexpr int64_t kMaxTokens = 1 << 20;
constexpr int64_t kMaxRepeats = 10'000;
constexpr int32_t kMaxSequences = 1024;
constexpr size_t kMaxLengths = 64;

/// Tokens that the first of `n` sequences gets after its own first one, before the last of them is through
/// its prompt of `n_prompt`. Prompts go through oldest first, in steps of which whoever is through takes a
/// row.
int64_t most_waiting_tokens(int64_t n, int64_t n_prompt) {
  const int64_t most_rows = std::max<int64_t>(step_rows(), n);
  int64_t n_through = 0, n_left = n_prompt, n_waiting = 0;  // n_left: of the oldest prompt not through
  while (n_through < n) {
    if (n_through > 0) ++n_waiting;
    int64_t n_rows = most_rows - n_through;
    for (; n_through < n && n_rows >= n_left; ++n_through) n_rows -= std::exchange(n_left, n_prompt);
    n_left -= n_rows;
  }
  return n_waiting;
}

/// Without zeros, which ask for nothing.
std::vector<int64_t> asked(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> all;
  std::copy_if(lengths.begin(), lengths.end(), std::back_inserter(all), [](int64_t n) { return n > 0; });
  return all;
}

template <typename T>
std::string list_text(const std::vector<T>& values) {
  return fmt::format("{}", fmt::join(values, ","));
}

}  // namespace

std::string_view name_of(TestKind kind) {
  switch (kind) {
    case TestKind::kPrefill:
      return "prefill";
    case TestKind::kDecode:
      return "decode";
    case TestKind::kRequest:
      return "request";
    case TestKind::kSpeculative:
      return "speculative";
  }
  return "?";
}

int64_t step_rows() { return EngineOptions().max_step_rows; }

int64_t BenchTest::context() const {
  switch (kind) {
    case TestKind::kPrefill:
      return depth + n_prompt + 1;
    case TestKind::kRequest:
      return n_prompt + n_gen;
    case TestKind::kDecode: {
      // At least one token must stand before; a prompt's own step gives the first token, which is not timed.
      const int64_t before = std::max<int64_t>(1, depth);
      return before + most_waiting_tokens(n_sequences, before) + 1 + n_gen;
    }
    case TestKind::kSpeculative:
      return kProseTokens + 1 + n_gen;
  }
  return 0;
}

void BenchPlan::validate() const {
  const auto check = [](std::string_view what, int64_t found, int64_t least, int64_t most) {
    if (found >= least && found <= most) return;
    throw Error(ErrorCode::kUsage, "bench",
                fmt::format("{}: expected {} to {}, found {}", what, least, most, found));
  };
  const auto check_all = [&](std::string_view what, const auto& list, int64_t least, int64_t most) {
    if (list.size() > kMaxLengths) {
      throw Error(ErrorCode::kUsage, "bench",
                  fmt::format("{}: at most {} values, found {}", what, kMaxLengths, list.size()));
    }
    std::set<int64_t> seen;
    for (const int64_t n : list) {
      check(what, n, least, most);
      if (!seen.insert(n).second) {
        throw Error(ErrorCode::kUsage, "bench", fmt::format("{}: {} is there twice", what, n));
      }
    }
  };
  check_all("prompt tokens", n_prompt, 0, kMaxTokens);
  check_all("generated tokens", n_gen, 0, kMaxTokens);
  check_all("depth", depth, 0, kMaxTokens);
  check_all("sequences at once", sequences, 1, kMaxSequences);
  check("repeats", n_repeats, 1, kMaxRepeats);
  if (depth.empty() || (asked(n_prompt).empty() && asked(n_gen).empty())) {
    throw Error(ErrorCode::kUsage, "bench",
                "neither prompt nor generated tokens: there is nothing to measure");
  }
}

std::vector<BenchTest> BenchPlan::tests() const {
  const std::vector<int64_t> prompts = asked(n_prompt), lengths = asked(n_gen);
  std::vector<BenchTest> all;
  const auto add = [&](BenchTest test, const std::string& at) {
    const bool is_first =
        std::none_of(all.begin(), all.end(), [&](const BenchTest& other) { return other.kind == test.kind; });
    if (!is_first) test.at = at;
    all.push_back(std::move(test));
  };
  for (const int64_t d : depth) {
    for (const int64_t p : prompts) {
      add({TestKind::kPrefill, p, 0, d, 1, {}}, fmt::format("[p={},d={}]", p, d));
    }
    for (const int64_t n : lengths) {
      add({TestKind::kDecode, 0, n, d, 1, {}}, fmt::format("[n={},d={}]", n, d));
    }
  }
  if (lengths.empty()) return all;
  if (!prompts.empty()) add({TestKind::kRequest, prompts[0], lengths[0], 0, 1, {}}, {});
  if (speculates) add({TestKind::kSpeculative, 0, lengths[0], 0, 1, {}}, {});
  for (const int32_t b : sequences) {
    add({TestKind::kDecode, 0, lengths[0], depth[0], b, {}},
        fmt::format("[n={},d={},b={}]", lengths[0], depth[0], b));
  }
  return all;
}

int64_t BenchPlan::context() const {
  int64_t most = 0;
  for (const BenchTest& test : tests()) most = std::max(most, test.context());
  return most;
}

void check_fits(const BenchPlan& plan, int64_t context) {
  if (plan.context() <= context) return;
  throw Error(
      ErrorCode::kUsage, "bench",
      fmt::format("{} prompt tokens (-p), {} generated (-n) and a depth of {} (-d) need a context of {}"
                  ", the model has {}",
                  list_text(plan.n_prompt), list_text(plan.n_gen), list_text(plan.depth), plan.context(),
                  context),
      "ask for fewer tokens, a smaller depth, or fewer sequences at once");
}

}  // namespace chaski
