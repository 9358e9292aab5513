// The events of a server's streamed answer, of any bytes: an answer whose counts and times agree with each
// other, or one that failed and says why. What a body that is no stream says is read from the same bytes.
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/utf8.h"
#include "fuzz/fuzz_input.h"
#include "lab/url_bench_stream.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  const std::string stream = fuzz::text_of(data, size);
  SseParser parser({size_t{64} << 10, size_t{64} << 10});
  AnswerStream answers;
  double now_s = 0;
  fuzz::expect_error_at_most(
      [&] { parser.feed(stream, [&](const SseEvent& event) { answers.take(event, now_s += 0.25); }); });
  const StreamedAnswer answer = answers.finish(now_s += 0.25);
  CHECK(answer.n_tokens >= 0 && answer.n_prompt_tokens >= 0 && answer.n_characters >= 0,
        "a count below zero");
  CHECK(answer.n_first_chunk_tokens >= 0 && answer.n_first_chunk_characters <= answer.n_characters,
        "a first chunk larger than all");
  CHECK(answer.end_s > 0 && answer.end_s <= now_s, "an answer that ended at {} s", answer.end_s);
  double last_s = 0;
  for (const double chunk_s : answer.chunk_s) {
    CHECK(chunk_s > last_s && chunk_s <= answer.end_s, "a chunk out of order");
    last_s = chunk_s;
  }
  if (const auto tpot_s = answer.tpot_s()) CHECK(*tpot_s > 0, "a TPOT of {} s", *tpot_s);
  CHECK(answer.failure || !answer.chunk_s.empty(), "an answer of nothing that did not fail");
  if (answer.failure) CHECK(is_valid_utf8(answer.failure->message), "a failure that is no text");
  CHECK(is_valid_utf8(answer.finish_reason), "a reason of finishing that is no text");
  const std::string said = server_error_text(stream);
  CHECK(said.size() < 2000 && is_valid_utf8(said), "an error of {} bytes", said.size());
  return 0;
}
