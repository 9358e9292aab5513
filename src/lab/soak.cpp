#include "lab/soak.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/files.h"
#include "lab/bench_prompts.h"
#include "lab/own_process.h"
#include "machine/machine_info.h"

namespace chaski {

OrderedJson to_json(const SoakRepeat& repeat) {
  return {{"digest", repeat.digest}, {"is_nonfinite", repeat.is_nonfinite}, {"has_loop", repeat.has_loop},
          {"error", repeat.error},   {"rss_bytes", repeat.rss_bytes},       {"seconds", repeat.seconds}};
}

SoakRepeat soak_repeat_of(std::string_view text) {
  constexpr std::string_view kWhere = "a repeat's output";
  const Json json = parse_json(text, kWhere);
  SoakRepeat repeat;
  repeat.digest = require_string(json, "digest", kWhere);
  repeat.is_nonfinite = get_bool(json, "is_nonfinite", false, kWhere);
  repeat.has_loop = get_bool(json, "has_loop", false, kWhere);
  repeat.error = get_string(json, "error", "", kWhere);
  repeat.rss_bytes = require_int(json, "rss_bytes", kWhere);
  repeat.seconds = require_number(json, "seconds", kWhere);
  return repeat;
}

SoakRepeat soak_once(Engine& engine, const Tokenizer& tokenizer, int64_t n_tokens) {
  Request request;
  request.prompt = prose_prompt(tokenizer);
  request.sampling.temperature = 0;
  request.max_new_tokens = n_tokens;
  const Answer answer = engine.generate(std::move(request));
  SoakRepeat repeat;
  repeat.digest = sha256_of(fmt::format("{}", fmt::join(answer.ids, ",")));
  repeat.seconds = answer.timings.total_s;
  if (answer.finish_reason == FinishReason::kError) {
    repeat.is_nonfinite = answer.is_nonfinite;
    repeat.error = answer.error;
  }
  repeat.has_loop = ends_in_cycle(answer.ids);
  repeat.rss_bytes = rss_bytes();
  return repeat;
}

bool ends_in_cycle(const std::vector<int32_t>& ids) {
  constexpr size_t kTimes = 4, kLeast = 16;
  for (size_t period = 1; period * kTimes <= ids.size(); ++period) {
    const size_t n = std::max(period * kTimes, kLeast);
    if (n > ids.size()) continue;
    const auto begin = ids.end() - static_cast<std::ptrdiff_t>(n);
    if (std::equal(begin + static_cast<std::ptrdiff_t>(period), ids.end(), begin)) return true;
  }
  return false;
}

int64_t growth_of(const std::vector<int64_t>& rss) {
  if (rss.size() < 4) return 0;
  const auto n = static_cast<double>(rss.size() - 1);
  double mean_x = 0, mean_y = 0;
  for (size_t i = 1; i < rss.size(); ++i) {
    mean_x += static_cast<double>(i) / n;
    mean_y += static_cast<double>(rss[i]) / n;
  }
  double covariance = 0, variance = 0;
  for (size_t i = 1; i < rss.size(); ++i) {
    const double x = static_cast<double>(i) - mean_x;
    covariance += x * (static_cast<double>(rss[i]) - mean_y);
    variance += x * x;
  }
  return std::max(int64_t{0}, static_cast<int64_t>(covariance / variance * n));
}

StabilityRecord stability_of(const std::vector<SoakRepeat>& repeats,
                             const std::vector<std::vector<int64_t>>& rss_of_starts, int64_t n_crashes) {
  StabilityRecord stability;
  stability.n_repeats = static_cast<int64_t>(repeats.size()) + n_crashes;
  stability.n_crashes = n_crashes;
  const SoakRepeat* first = nullptr;  // whose text the others should have
  for (const SoakRepeat& repeat : repeats) {
    const bool is_good = repeat.error.empty();
    if (is_good && first == nullptr) first = &repeat;
    stability.n_same_text += is_good && repeat.digest == first->digest ? 1 : 0;
    stability.n_nonfinite += repeat.is_nonfinite ? 1 : 0;
    stability.n_errors += !is_good && !repeat.is_nonfinite ? 1 : 0;
    stability.n_loops += repeat.has_loop ? 1 : 0;
    stability.seconds += repeat.seconds;
  }
  for (const auto& rss : rss_of_starts) {
    stability.rss_growth_bytes = std::max(stability.rss_growth_bytes, growth_of(rss));
  }
  return stability;
}

StabilityRecord soak(const std::function<std::vector<std::string>(int64_t)>& arguments_for, int64_t n_repeats,
                     const CancelToken& cancel, const std::function<void(int64_t, int64_t)>& on_progress) {
  std::vector<SoakRepeat> repeats;
  std::vector<std::vector<int64_t>> rss_of_starts;
  int64_t n_crashes = 0, n_idle_ends = 0;
  const auto n_done = [&] { return static_cast<int64_t>(repeats.size()) + n_crashes; };
  while (n_done() < n_repeats) {
    std::vector<int64_t> rss;
    const ChildEnd end = run_own_process(
        arguments_for(n_repeats - n_done()),
        [&](std::string_view line) {
          repeats.push_back(soak_repeat_of(line));
          rss.push_back(repeats.back().rss_bytes);
          if (on_progress) on_progress(n_done(), n_repeats);
        },
        cancel);
    if (end.signal != 0) ++n_crashes;
    n_idle_ends = rss.empty() && end.signal == 0 ? n_idle_ends + 1 : 0;
    constexpr int64_t kMostIdleEnds = 3;
    if (n_idle_ends == kMostIdleEnds || (end.is_good() && rss.empty())) {
      throw Error(ErrorCode::kDevice, "soak",
                  fmt::format("the process that repeats ended with status {}: {}", end.exit_status,
                              printable(end.errors, 600)));
    }
    if (!end.is_good() && end.signal == 0) {  // an error that it could not go on after
      SoakRepeat failed;
      failed.error = fmt::format("status {}: {}", end.exit_status, printable(end.errors, 600));
      repeats.push_back(std::move(failed));
    }
    rss_of_starts.push_back(std::move(rss));
  }
  return stability_of(repeats, rss_of_starts, n_crashes);
}

}  // namespace chaski
