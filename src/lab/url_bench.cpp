#include "lab/url_bench.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/rng.h"
#include "net/http_client.h"

namespace chaski {
namespace {

constexpr int64_t kMaxTokens = 1'000'000;
constexpr int64_t kMaxLanes = 1024;
constexpr int64_t kMaxRequests = 1'000'000;
constexpr std::string_view kChat = "/chat/completions";
constexpr std::string_view kCompletions = "/completions";

/// Plain words, which tokenizers of English have whole.
constexpr std::array<std::string_view, 32> kWords{
    "water",  "light",  "house",   "river",   "music",  "table",  "winter", "garden",
    "letter", "island", "market",  "window",  "summer", "doctor", "school", "bridge",
    "number", "yellow", "morning", "country", "story",  "paper",  "stone",  "horse",
    "night",  "green",  "money",   "voice",   "earth",  "world",  "heart",  "clock"};

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

std::vector<std::pair<std::string, std::string>> headers_of(const UrlBenchPlan& plan) {
  std::vector<std::pair<std::string, std::string>> headers{{"Accept", "text/event-stream"},
                                                           {"Content-Type", "application/json"}};
  if (!plan.api_key.empty()) headers.emplace_back("Authorization", "Bearer " + plan.api_key);
  return headers;
}

/// The first model that the server lists.
std::string first_model(const UrlBenchPlan& plan, const std::string& endpoint, const CancelToken& cancel) {
  HttpRequest request;
  request.url =
      endpoint.substr(0, endpoint.size() - (ends_with(endpoint, kChat) ? kChat : kCompletions).size());
  request.url += "/models";
  request.headers = headers_of(plan);
  request.max_body_bytes = int64_t{8} << 20;
  request.stall_timeout_s = 30;
  const HttpResponse response = HttpClient().send(request, cancel);
  const std::string_view hint = "name the model with --model";
  if (response.status != 200) {
    throw Error(
        ErrorCode::kNetwork, "ask for the models",
        fmt::format("{}: HTTP {}: {}", request.url, response.status, server_error_text(response.body)),
        std::string(hint));
  }
  const Json json = parse_json(response.body, request.url);
  const Json data = json.is_object() ? json.value("data", Json::array()) : Json::array();
  if (data.is_array() && !data.empty() && data.front().is_object()) {
    const std::string name = get_string(data.front(), "id", "", request.url);
    if (!name.empty()) return name;
  }
  throw Error(ErrorCode::kNotFound, "ask for the models", request.url + " lists none", std::string(hint));
}

StreamedAnswer ask(HttpClient& client, const UrlBenchPlan& plan, const UrlBenchRun& run, int64_t index,
                   const CancelToken& cancel) {
  HttpRequest request;
  request.method = "POST";
  request.url = run.endpoint;
  request.headers = headers_of(plan);
  request.body = url_bench_body(plan, run, index);
  request.stall_timeout_s = plan.stall_timeout_s;
  request.max_body_bytes = int64_t{256} << 20;
  SseParser parser;
  AnswerStream stream;
  std::optional<RequestFailure> broken;
  const Stopwatch clock;
  try {
    const HttpResponse response = client.send(request, cancel, [&](std::string_view piece) {
      const double at_s = clock.seconds();  // of arrival, before anything is made of it
      parser.feed(piece, [&](const SseEvent& event) { stream.take(event, at_s); });
      return true;
    });
    if (response.status >= 300) {
      broken = RequestFailure{ErrorCode::kNetwork,
                              fmt::format("HTTP {}: {}", response.status, server_error_text(response.body))};
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled || error.code() == ErrorCode::kUsage) throw;
    // What breaks after the answer was whole is no matter of the answer.
    if (!stream.is_done()) broken = RequestFailure{error.code(), error.what()};
  }
  StreamedAnswer answer = stream.finish(clock.seconds());
  if (broken) answer.failure = std::move(broken);
  return answer;
}

/// Lanes that send their requests one after the other, each on a thread with a connection of its own.
class Lanes {
 public:
  Lanes(const UrlBenchPlan& plan, const UrlBenchRun& run, const CancelToken& cancel)
      : plan_(plan), run_(run), cancel_(cancel), clients_(static_cast<size_t>(plan.concurrency)) {
    for (auto& client : clients_) client = std::make_unique<HttpClient>();
  }

  /// One request of each lane, which opens its connection: −1 of the first, −2 of the second …
  std::vector<UrlRequest> warm_up(const std::function<void()>& on_done) {
    return on_all([&](size_t lane) {
      if (!ends_) send(lane, -1 - static_cast<int64_t>(lane), on_done);
    });
  }

  /// Requests 0 … `n` − 1, each lane the next one that is left; those that ended, by index.
  std::vector<UrlRequest> send_all(int64_t n, const std::function<void()>& on_done) {
    std::atomic<int64_t> next{0};
    return on_all([&](size_t lane) {
      for (int64_t index; !ends_ && (index = next.fetch_add(1)) < n;) send(lane, index, on_done);
    });
  }
  double seconds() const { return clock_.seconds(); }

 private:
  /// `work` of each lane on a thread of its own; what they sent, by index.
  std::vector<UrlRequest> on_all(const std::function<void(size_t lane)>& work) {
    clock_.restart();
    std::vector<std::thread> threads;
    try {
      for (size_t lane = 0; lane < clients_.size(); ++lane) {
        threads.emplace_back([&, lane] { guarded([&] { work(lane); }); });
      }
    } catch (const std::system_error& error) {
      ends_ = true;
      const std::lock_guard lock(mutex_);
      thrown_ = std::make_exception_ptr(Error(ErrorCode::kOutOfMemory, "start the bench's threads",
                                              error.what(), "take a smaller --concurrency"));
    }
    for (std::thread& thread : threads) thread.join();
    if (thrown_) std::rethrow_exception(thrown_);
    std::sort(done_.begin(), done_.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
    return std::exchange(done_, {});
  }

  void send(size_t lane, int64_t index, const std::function<void()>& on_done) {
    UrlRequest request;
    request.index = index;
    request.begin_s = clock_.seconds();
    request.answer = ask(*clients_[lane], plan_, run_, index, cancel_);
    const std::lock_guard lock(mutex_);
    done_.push_back(std::move(request));
    if (on_done) on_done();
  }

  /// What is thrown on one lane ends all.
  template <typename F>
  void guarded(const F& work) {
    try {
      work();
    } catch (const Error& error) {
      ends_ = true;
      const std::lock_guard lock(mutex_);
      if (error.code() != ErrorCode::kCancelled) thrown_ = std::current_exception();
    } catch (...) {
      ends_ = true;
      const std::lock_guard lock(mutex_);
      thrown_ = std::current_exception();
    }
  }

  const UrlBenchPlan& plan_;
  const UrlBenchRun& run_;
  const CancelToken& cancel_;
  std::vector<std::unique_ptr<HttpClient>> clients_;
  Stopwatch clock_;
  std::atomic<bool> ends_{false};
  std::mutex mutex_;  // of what follows
  std::vector<UrlRequest> done_;
  std::exception_ptr thrown_;
};

}  // namespace

void UrlBenchPlan::validate() const {
  const auto check = [](std::string_view name, int64_t value, int64_t most) {
    if (value < 1 || value > most) {
      throw Error(ErrorCode::kUsage, "bench",
                  fmt::format("{}: expected 1 … {}, found {}", name, most, value));
    }
  };
  if (prompt.empty()) check("--n-prompt", n_prompt, kMaxTokens);
  check("--n-gen", n_gen, kMaxTokens);
  check("--repeat", n_repeats, kMaxRequests);
  check("--concurrency", concurrency, kMaxLanes);
  check("--repeat times --concurrency", n_requests(), kMaxRequests);
}

std::string url_bench_endpoint(const std::string& url) {
  std::string base = url;
  while (!base.empty() && base.back() == '/') base.pop_back();
  if (base.find_first_of("?#") != std::string::npos) {
    throw Error(ErrorCode::kUsage, "bench",
                "--url: expected a URL without ? and #, found " + printable(url, 200));
  }
  if (ends_with(base, kCompletions)) return base;  // both kinds end so
  if (!ends_with(base, "/v1")) base += "/v1";
  return base.append(kChat);
}

std::string url_bench_prompt(const UrlBenchPlan& plan, int64_t index) {
  if (!plan.prompt.empty()) return plan.prompt;
  // What differs comes first: no server can have the beginning from another request.
  std::string text =
      fmt::format("Task {}. Write a long story in which all of these words occur:", index + kMaxLanes);
  constexpr int64_t kWordsBefore = 13;
  for (int64_t i = kWordsBefore; i < plan.n_prompt; ++i) {
    const double draw = uniform01(0, static_cast<uint64_t>(index + kMaxLanes), static_cast<uint64_t>(i));
    text += ' ';
    text += kWords[static_cast<size_t>(draw * static_cast<double>(kWords.size()))];
  }
  return text;
}

std::string url_bench_body(const UrlBenchPlan& plan, const UrlBenchRun& run, int64_t index) {
  OrderedJson json;
  json["model"] = run.model;
  if (run.is_chat) {
    json["messages"] = {{{"role", "user"}, {"content", url_bench_prompt(plan, index)}}};
  } else {
    json["prompt"] = url_bench_prompt(plan, index);
  }
  json["max_tokens"] = plan.n_gen;
  json["temperature"] = 0;
  json["stream"] = true;
  json["stream_options"] = {{"include_usage", true}};
  if (plan.asks_chunk_usage) json["stream_options"]["continuous_usage_stats"] = true;
  return to_json_text(json);
}

UrlBenchRun run_url_bench(const UrlBenchPlan& plan, const CancelToken& cancel,
                          const std::function<void(int64_t done, int64_t total)>& on_progress) {
  plan.validate();
  UrlBenchRun run;
  run.endpoint = url_bench_endpoint(plan.url);
  run.is_chat = ends_with(run.endpoint, kChat);
  run.model = plan.model.empty() ? first_model(plan, run.endpoint, cancel) : plan.model;
  int64_t n_done = 0;
  const int64_t total = plan.n_requests() + plan.concurrency;
  const auto on_done = [&] {
    if (on_progress) on_progress(++n_done, total);
  };
  Lanes lanes(plan, run, cancel);
  run.warmups = lanes.warm_up(on_done);
  if (!cancel.is_cancelled()) {
    run.requests = lanes.send_all(plan.n_requests(), on_done);
    run.seconds = lanes.seconds();
  }
  run.was_cancelled = cancel.is_cancelled();
  return run;
}

}  // namespace chaski
