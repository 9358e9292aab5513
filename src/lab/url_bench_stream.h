// One streamed answer of an OpenAI-compatible server, from its events and the times of their arrival. Pure:
// the asking is url_bench.h's. docs/sources.md#openai-stream
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "net/sse.h"

namespace chaski {

struct RequestFailure {
  ErrorCode code = ErrorCode::kNetwork;
  std::string message;
};

/// Times are seconds since the request was sent.
struct StreamedAnswer {
  std::vector<double> chunk_s;  ///< arrival of each chunk that carried text
  double end_s = 0;             ///< [DONE], or the last byte where none came
  int64_t n_prompt_tokens = 0;  ///< by the server's usage; 0 where it sent none
  int64_t n_tokens = 0;         ///< by usage; chunks where the server sent none
  bool has_usage = false;
  int64_t n_first_chunk_tokens = 0;
  bool is_first_chunk_estimated = false;
  int64_t n_characters = 0, n_first_chunk_characters = 0;
  std::string finish_reason;
  std::optional<RequestFailure> failure;  ///< then only what came before it is there

  /// Until the first chunk of text.
  std::optional<double> ttft_s() const;
  /// Mean time of the tokens after those of the first chunk; nothing where there are none.
  std::optional<double> tpot_s() const;
};

/// Takes the events of one stream.
class AnswerStream {
 public:
  /// What arrived `at_s`. What a server may send and means nothing here is passed over; what cannot be read
  /// is a failure of the answer.
  void take(const SseEvent& event, double at_s);
  bool is_done() const { return is_done_ || answer_.failure.has_value(); }
  /// The answer, whose connection ended `at_s`. One that was cut, was empty or held an error has a failure.
  StreamedAnswer finish(double at_s);

 private:
  void take_json(const Json& json, double at_s);
  void take_text(const Json& choice, const Json& chunk, double at_s);
  void count_first_chunk();
  void fail(ErrorCode code, std::string message);

  StreamedAnswer answer_;
  int64_t n_bytes_ = 0, n_first_chunk_bytes_ = 0;
  bool is_done_ = false, has_events_ = false;
};

/// What an error object of such a server says, or the beginning of a body that is none.
std::string server_error_text(std::string_view body);

}  // namespace chaski
