// How fast a server streams answers: requests to an OpenAI-compatible API, timed as a client sees them, the
// network included. What their times say is url_bench_record.h's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "lab/url_bench_stream.h"

namespace chaski {

struct UrlBenchPlan {
  /// Of the server, of its /v1, or whole: a path that ends in /completions is asked as it stands.
  std::string url;
  std::string model;       ///< as the server calls it; empty: the first that it lists
  std::string api_key;     ///< empty: none is sent; never recorded
  std::string prompt;      ///< the same for all requests; empty: words, others for each request
  int64_t n_prompt = 512;  ///< words, about as many tokens
  int64_t n_gen = 128;     ///< tokens of an answer, at most
  int64_t n_repeats = 6;   ///< requests of each lane, one after the other, and one before that is not counted
  int64_t concurrency = 1;  ///< lanes at once
  double stall_timeout_s = 120;
  bool asks_chunk_usage = false;  ///< for the tokens of each chunk, which some servers refuse

  /// Throws Error(kUsage) naming what is out of range.
  void validate() const;
  int64_t n_requests() const { return n_repeats * concurrency; }
};

struct UrlRequest {
  int64_t index = 0;   ///< from 0, in the order of sending
  double begin_s = 0;  ///< since the first was sent
  StreamedAnswer answer;
};

struct UrlBenchRun {
  std::string endpoint;  ///< the URL that was asked
  bool is_chat = true;
  std::string model;
  std::vector<UrlRequest> requests;  ///< by index; all that ended, failed ones too
  std::vector<UrlRequest> warmups;
  double seconds = 0;  ///< from sending the first to the end of the last
  bool was_cancelled = false;
};

/// Where `url` leads: …/v1/chat/completions unless it names one itself.
std::string url_bench_endpoint(const std::string& url);

/// The prompt of a request; a warm-up's index is negative.
std::string url_bench_prompt(const UrlBenchPlan& plan, int64_t index);
/// The body of a request as JSON text.
std::string url_bench_body(const UrlBenchPlan& plan, const UrlBenchRun& run, int64_t index);

/// Run the plan. A request that fails is counted with its failure, never asked again and never left out; one
/// that was stopped by `cancel` is none. Throws Error(kUsage), and where no model is named and the server
/// lists none, Error(kNetwork) or Error(kNotFound).
UrlBenchRun run_url_bench(const UrlBenchPlan& plan, const CancelToken& cancel,
                          const std::function<void(int64_t done, int64_t total)>& on_progress = {});

}  // namespace chaski
