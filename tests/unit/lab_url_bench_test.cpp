// A server's bench: what one stream's events and times say, and whole runs against a server of sockets.
#include "lab/url_bench.h"

#include <gmock/gmock.h>

#include "lab/bench_metrics.h"
#include "lab/url_bench_record.h"
#include "support/error_of.h"
#include "support/socket_server.h"

namespace chaski {
namespace {

using test::Connection;
using test::error_of;
using test::SocketServer;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

// ---- one stream ----

struct Arrival {
  double at_s;
  std::string data;
};

StreamedAnswer answer_of(const std::vector<Arrival>& arrivals, double end_s) {
  AnswerStream stream;
  for (const Arrival& arrival : arrivals) stream.take({"message", arrival.data}, arrival.at_s);
  return stream.finish(end_s);
}

std::string chat(const std::string& text) {
  return R"({"choices":[{"index":0,"delta":{"content":")" + text +
         R"("},"finish_reason":null}],"usage":null})";
}
const std::string kRole = R"({"choices":[{"delta":{"role":"assistant","content":""}}]})";
const std::string kStop = R"({"choices":[{"delta":{},"finish_reason":"stop"}]})";
std::string usage(int n_prompt, int n_tokens) {
  return fmt::format(R"({{"choices":[],"usage":{{"prompt_tokens":{},"completion_tokens":{}}}}})", n_prompt,
                     n_tokens);
}

TEST(AnswerStream, TimesAreThoseOfChunksWithTextAndTokensThoseOfUsage) {
  const StreamedAnswer answer = answer_of({{0.1, kRole},
                                           {0.5, chat("one ")},
                                           {0.6, chat("two ")},
                                           {0.8, chat("six ")},
                                           {0.8, kStop},
                                           {0.9, usage(11, 3)},
                                           {1.0, "[DONE]"}},
                                          1.1);
  EXPECT_FALSE(answer.failure.has_value());
  EXPECT_EQ(answer.chunk_s, (std::vector<double>{0.5, 0.6, 0.8}));
  EXPECT_DOUBLE_EQ(answer.end_s, 1.0);
  EXPECT_DOUBLE_EQ(*answer.ttft_s(), 0.5);
  EXPECT_DOUBLE_EQ(*answer.tpot_s(), 0.15);
  EXPECT_EQ(answer.n_prompt_tokens, 11);
  EXPECT_EQ(answer.n_tokens, 3);
  EXPECT_EQ(answer.n_first_chunk_tokens, 1);
  EXPECT_FALSE(answer.is_first_chunk_estimated);
  EXPECT_EQ(answer.n_characters, 12);
  EXPECT_EQ(answer.finish_reason, "stop");
}

TEST(AnswerStream, TokensOfTheFirstChunkAreTakenOutOfTheTimePerToken) {
  // Four tokens come at once, eight follow one by one.
  std::vector<Arrival> arrivals{{1.0, chat("aa bb cc dd ")}};
  for (int i = 1; i <= 8; ++i) arrivals.push_back({1.0 + 0.1 * i, chat("ee ")});
  arrivals.push_back({1.8, usage(5, 12)});
  arrivals.push_back({1.8, "[DONE]"});
  const StreamedAnswer estimated = answer_of(arrivals, 1.8);
  EXPECT_EQ(estimated.n_first_chunk_tokens, 4);
  EXPECT_TRUE(estimated.is_first_chunk_estimated);
  EXPECT_NEAR(*estimated.tpot_s(), 0.1, 1e-12);
  // The server's own word counts more than the length.
  arrivals[0].data =
      R"({"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":5,"completion_tokens":4}})";
  const StreamedAnswer named = answer_of(arrivals, 1.8);
  EXPECT_EQ(named.n_first_chunk_tokens, 4);
  EXPECT_FALSE(named.is_first_chunk_estimated);
  EXPECT_EQ(named.n_tokens, 12);
  arrivals[0].data = R"({"choices":[{"text":"x","logprobs":{"tokens":["a","b","c","d"]}}]})";
  EXPECT_EQ(answer_of(arrivals, 1.8).n_first_chunk_tokens, 4);
}

TEST(AnswerStream, AnEstimateLeavesATokenForEachLaterChunk) {
  const StreamedAnswer answer = answer_of(
      {{1, chat("a very long beginning")}, {2, chat("b")}, {3, chat("c")}, {3, usage(1, 3)}, {3, "[DONE]"}},
      3);
  EXPECT_EQ(answer.n_first_chunk_tokens, 1);
  EXPECT_DOUBLE_EQ(*answer.tpot_s(), 1);
}

TEST(AnswerStream, WithoutUsageChunksAreTokens) {
  const StreamedAnswer answer = answer_of({{1, chat("你好")}, {2, chat("吗")}, {3, "[DONE]"}}, 3);
  EXPECT_FALSE(answer.has_usage);
  EXPECT_EQ(answer.n_tokens, 2);
  EXPECT_EQ(answer.n_characters, 3);
  EXPECT_DOUBLE_EQ(*answer.tpot_s(), 1);
}

TEST(AnswerStream, CompletionsAndReasoningAreTextToo) {
  EXPECT_EQ(answer_of({{1, R"({"choices":[{"text":"a"}]})"}, {2, "[DONE]"}}, 2).chunk_s.size(), 1u);
  EXPECT_EQ(answer_of({{1, R"({"choices":[{"delta":{"reasoning_content":"a"}}]})"}, {2, "[DONE]"}}, 2)
                .chunk_s.size(),
            1u);
  // Servers that give reasoning by both its names say it once.
  const StreamedAnswer both = answer_of(
      {{1, R"({"choices":[{"delta":{"reasoning_content":"abc","reasoning":"abc"}}]})"}, {2, "[DONE]"}}, 2);
  EXPECT_EQ(both.n_characters, 3);
  const StreamedAnswer second =
      answer_of({{1, R"({"choices":[{"delta":{"reasoning_content":"","reasoning":"abcd","content":"e"}}]})"},
                 {2, "[DONE]"}},
                2);
  EXPECT_EQ(second.n_characters, 5);
}

TEST(AnswerStream, AllInOneChunkHasNoTimePerToken) {
  const StreamedAnswer answer = answer_of({{1, chat("all of it")}, {1, usage(1, 3)}, {1, "[DONE]"}}, 1);
  EXPECT_FALSE(answer.failure.has_value());
  EXPECT_EQ(answer.n_first_chunk_tokens, 3);
  EXPECT_FALSE(answer.tpot_s().has_value());
}

TEST(AnswerStream, AReasonOfFinishingIsAnEndWithoutDone) {
  EXPECT_FALSE(answer_of({{1, chat("a")}, {2, kStop}}, 3).failure.has_value());
  EXPECT_DOUBLE_EQ(answer_of({{1, chat("a")}, {2, kStop}}, 3).end_s, 3);
}

TEST(AnswerStream, WhatWentWrongIsAFailureWithItsReason) {
  const auto failure_of = [](const std::vector<Arrival>& arrivals) {
    const StreamedAnswer answer = answer_of(arrivals, 9);
    return answer.failure ? answer.failure->message : "none";
  };
  EXPECT_THAT(failure_of({}), HasSubstr("no stream of events"));
  EXPECT_THAT(failure_of({{1, chat("a")}}), HasSubstr("cut"));
  EXPECT_THAT(failure_of({{1, kRole}, {2, kStop}, {3, "[DONE]"}}), HasSubstr("no text"));
  EXPECT_THAT(failure_of({{1, chat("a")}, {2, R"({"error":{"message":"out of \u001b memory"}})"}}),
              AllOf(HasSubstr("out of \\x1b memory")));
  EXPECT_THAT(failure_of({{1, chat("a")}, {2, R"({"error":"busy"})"}}), HasSubstr("busy"));
  EXPECT_THAT(failure_of({{1, "not json"}}), HasSubstr("event"));
  EXPECT_THAT(failure_of({{1, chat("a")}, {2, usage(3, 0)}, {3, "[DONE]"}}), HasSubstr("0 tokens"));
}

TEST(AnswerStream, WhateverAServerSendsIsNeverACrash) {
  for (const char* data :
       {"[]", "7", "null", "{}", R"({"choices":7})", R"({"choices":[7]})", R"({"choices":[{"delta":7}]})",
        R"({"choices":[{"delta":{"content":7}}]})", R"({"usage":7})", R"({"usage":{"completion_tokens":-1}})",
        R"({"usage":{"completion_tokens":1e300}})", R"({"usage":{"completion_tokens":18446744073709551615}})",
        R"({"error":null})", R"({"error":[]})", R"({"choices":[{"text":"","logprobs":{"content":7}}]})"}) {
    const StreamedAnswer answer = answer_of({{1, data}, {2, "[DONE]"}}, 3);
    EXPECT_TRUE(answer.failure.has_value()) << data;
  }
  EXPECT_EQ(server_error_text(R"({"error":{"message":"no such model"}})"), "no such model");
  EXPECT_EQ(server_error_text("<html>"), "<html>");
}

// ---- the plan ----

TEST(UrlBench, TheEndpointFollowsFromTheUrl) {
  EXPECT_EQ(url_bench_endpoint("http://h:1"), "http://h:1/v1/chat/completions");
  EXPECT_EQ(url_bench_endpoint("http://h:1/"), "http://h:1/v1/chat/completions");
  EXPECT_EQ(url_bench_endpoint("http://h:1/v1/"), "http://h:1/v1/chat/completions");
  EXPECT_EQ(url_bench_endpoint("http://h:1/api/v1"), "http://h:1/api/v1/chat/completions");
  EXPECT_EQ(url_bench_endpoint("http://h:1/v1/completions"), "http://h:1/v1/completions");
  EXPECT_EQ(url_bench_endpoint("http://h:1/v1/chat/completions"), "http://h:1/v1/chat/completions");
  EXPECT_EQ(error_of([] { url_bench_endpoint("http://h/?a=b"); }).code(), ErrorCode::kUsage);
}

TEST(UrlBench, PromptsDifferFromTheirBeginningOnAndHaveTheirLength) {
  UrlBenchPlan plan;
  plan.n_prompt = 100;
  const std::string a = url_bench_prompt(plan, 0), b = url_bench_prompt(plan, 1);
  EXPECT_NE(a.substr(0, 10), b.substr(0, 10));
  EXPECT_EQ(std::count(a.begin(), a.end(), ' ') + 1, 100);
  EXPECT_EQ(url_bench_prompt(plan, 0), a);
  plan.prompt = "given";
  EXPECT_EQ(url_bench_prompt(plan, 5), "given");
}

TEST(UrlBench, NumbersOutOfRangeAreUsageErrors) {
  const auto code_of = [](const std::function<void(UrlBenchPlan&)>& change) {
    UrlBenchPlan plan;
    change(plan);
    return error_of([&] { plan.validate(); }).code();
  };
  EXPECT_EQ(code_of([](UrlBenchPlan& plan) { plan.n_gen = 0; }), ErrorCode::kUsage);
  EXPECT_EQ(code_of([](UrlBenchPlan& plan) { plan.concurrency = 5000; }), ErrorCode::kUsage);
  EXPECT_EQ(code_of([](UrlBenchPlan& plan) { plan.n_repeats = -1; }), ErrorCode::kUsage);
  EXPECT_EQ(code_of([](UrlBenchPlan& plan) { plan.n_repeats = 1'000'000, plan.concurrency = 1000; }),
            ErrorCode::kUsage);
}

// ---- whole runs ----

void send_stream(Connection& connection, const std::vector<std::string>& events) {
  connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (const std::string& data : events) connection.send_chunk("data: " + data + "\n\n");
  connection.send("0\r\n\r\n");
}

UrlBenchPlan small_plan(const std::string& url) {
  UrlBenchPlan plan;
  plan.url = url;
  plan.n_prompt = 20;
  plan.n_gen = 8;
  plan.n_repeats = 4;
  plan.stall_timeout_s = 20;
  return plan;
}

TEST(UrlBench, EveryRequestIsAskedOnceAndFailuresStandInTheRecord) {
  std::atomic<int> n_asked{0};
  std::mutex mutex;
  std::string a_request, models_request;
  const SocketServer server([&](Connection& connection) {
    for (std::string request; !(request = connection.read_request()).empty();) {
      const std::lock_guard lock(mutex);
      if (request.rfind("GET /v1/models ", 0) == 0) {
        models_request = request;
        connection.send_answer("200 OK", "", R"({"data":[{"id":"tiny"},{"id":"other"}]})");
        continue;
      }
      a_request = request;
      const int n = n_asked++;
      if (n == 4) {
        connection.send_answer("500 Oops", "", R"({"error":{"message":"broken on purpose"}})");
      } else if (n == 5) {
        send_stream(connection, {chat("half")});
      } else {
        send_stream(connection, {kRole, chat("a "), chat("b "), kStop, usage(21, 2), "[DONE]"});
      }
    }
  });
  UrlBenchPlan plan = small_plan(server.url());
  plan.concurrency = 2;
  plan.api_key = "k3y";
  int64_t n_done = 0, n_total = 0;
  const UrlBenchRun run = run_url_bench(plan, CancelToken(), [&](int64_t done, int64_t total) {
    n_done = done;
    n_total = total;
  });
  EXPECT_EQ(n_asked, 10);  // two warm-ups, four of each lane
  EXPECT_EQ(n_done, 10);
  EXPECT_EQ(n_total, 10);
  EXPECT_EQ(run.model, "tiny");
  EXPECT_THAT(models_request, HasSubstr("Authorization: Bearer k3y"));
  EXPECT_THAT(
      a_request,
      AllOf(HasSubstr("POST /v1/chat/completions "), HasSubstr("Authorization: Bearer k3y"),
            HasSubstr(R"("model":"tiny")"), HasSubstr(R"("max_tokens":8)"), HasSubstr(R"("stream":true)"),
            HasSubstr(R"("stream_options":{"include_usage":true})"), HasSubstr(R"("role":"user")")));
  const RunRecord record = url_bench_record(plan, run);
  EXPECT_EQ(record.kind, "bench");
  EXPECT_EQ(record.device.device_kind, "url");
  EXPECT_EQ(record.settings["n_requests"], 8);
  EXPECT_EQ(record.settings["n_failed"], 2);
  EXPECT_EQ(record.settings["token_counts"], "usage");
  ASSERT_EQ(record.failures.size(), 2u);
  EXPECT_THAT(record.failures[0].message + record.failures[1].message,
              AllOf(HasSubstr("HTTP 500: broken on purpose"), HasSubstr("cut")));
  EXPECT_EQ(record.warnings.at(0).code, "failed_requests");
  ASSERT_NE(find_metric(record, "ttft_s"), nullptr);
  EXPECT_EQ(find_metric(record, "ttft_s")->metric.samples.size(), 6u);
  EXPECT_EQ(find_metric(record, "ttft_s")->n_warmup, 2);
  EXPECT_EQ(record.summary.n_tokens, 12);
  EXPECT_NEAR(find_metric(record, "throughput_tokens_per_s")->metric.median, 12 / run.seconds, 1e-9);
  EXPECT_THAT(to_json_text(to_json(record)), Not(HasSubstr("k3y")));
  // A reader of records takes it.
  const RunRecord again = run_record_of(to_json(record), "test");
  EXPECT_EQ(again.metrics.size(), record.metrics.size());
  EXPECT_EQ(url_bench_json(again)["decode_tokens_per_s"], url_bench_json(record)["decode_tokens_per_s"]);
  EXPECT_THAT(url_bench_table(record, false, Lang::kEn),
              HasSubstr("8 requests, 2 at a time: 6 answered, 2 failed"));
  EXPECT_THAT(url_bench_table(record, true, Lang::kZh), HasSubstr("2 个失败"));
  // The names are the server's, and no spreadsheet takes one for a formula.
  RunRecord named = record;
  named.model.id = "=1+1";
  EXPECT_THAT(url_bench_csv(named), HasSubstr("\n\"'=1+1\",\"http"));
}

TEST(UrlBench, EachConnectionIsWarmedUpByExactlyOneRequest) {
  // One connection is answered so slowly that the others, had they the choice, would send its warm-up too.
  constexpr int64_t kLanes = 4;
  std::atomic<int> n_opened{0}, n_warmed{0};
  std::atomic<bool> is_early{false};
  const SocketServer server([&](Connection& connection) {
    const bool is_slow = n_opened++ == 0;
    for (int n = 0; !connection.read_request().empty(); ++n) {
      if (n == 0) {
        if (is_slow) std::this_thread::sleep_for(200ms);
        ++n_warmed;
      } else if (n_warmed < kLanes) {
        is_early = true;
      }
      send_stream(connection, {chat("a"), chat("b"), "[DONE]"});
    }
  });
  UrlBenchPlan plan = small_plan(server.url());
  plan.model = "m";
  plan.concurrency = kLanes;
  const UrlBenchRun run = run_url_bench(plan, CancelToken());
  EXPECT_EQ(n_warmed, kLanes);
  EXPECT_FALSE(is_early);
  EXPECT_EQ(run.warmups.size(), static_cast<size_t>(kLanes));
  EXPECT_EQ(run.requests.size(), static_cast<size_t>(plan.n_requests()));
}

TEST(UrlBench, AnAnswerThatIsNoStreamIsAFailure) {
  const SocketServer server([&](Connection& connection) {
    while (!connection.read_request().empty()) {
      connection.send_answer("200 OK", "Content-Type: application/json\r\n",
                             R"({"choices":[{"message":{"content":"all"}}]})");
    }
  });
  UrlBenchPlan plan = small_plan(server.url("/v1/completions"));
  plan.model = "m";
  plan.n_repeats = 1;
  const UrlBenchRun run = run_url_bench(plan, CancelToken());
  EXPECT_FALSE(run.is_chat);
  ASSERT_EQ(run.requests.size(), 1u);
  EXPECT_THAT(run.requests[0].answer.failure.value().message, HasSubstr("no stream of events"));
  const RunRecord record = url_bench_record(plan, run);
  EXPECT_TRUE(record.metrics.empty());
  EXPECT_THAT(url_bench_table(record, false, Lang::kEn), HasSubstr("failed ×2"));
}

TEST(UrlBench, WithoutAModelAndAListOneMustBeNamed) {
  for (const char* body : {R"({"data":[]})", R"({"data":7})", "[]", R"({"data":[{"id":""}]})"}) {
    const SocketServer server([&](Connection& connection) {
      while (!connection.read_request().empty()) connection.send_answer("200 OK", "", body);
    });
    const Error error = error_of([&] { run_url_bench(small_plan(server.url()), CancelToken()); });
    EXPECT_EQ(error.code(), ErrorCode::kNotFound) << body;
    EXPECT_THAT(error.hint(), HasSubstr("--model"));
  }
}

TEST(UrlBench, CancellingLeavesWhatWasMeasured) {
  CancelToken cancel;
  std::atomic<int> n_asked{0};
  const SocketServer server([&](Connection& connection) {
    while (!connection.read_request().empty()) {
      if (++n_asked == 4) {
        cancel.cancel();
        connection.wait_for_end();
        return;
      }
      send_stream(connection, {chat("a"), chat("b"), "[DONE]"});
    }
  });
  UrlBenchPlan plan = small_plan(server.url());
  plan.model = "m";
  const UrlBenchRun run = run_url_bench(plan, cancel);
  EXPECT_TRUE(run.was_cancelled);
  EXPECT_EQ(run.requests.size(), 2u);  // one warm-up and two, then the one that was stopped
  const RunRecord record = url_bench_record(plan, run);
  EXPECT_TRUE(record.failures.empty());
  EXPECT_EQ(record.settings["token_counts"], "chunks");
  EXPECT_EQ(record.warnings.at(0).code, "chunks_counted");
}

}  // namespace
}  // namespace chaski
