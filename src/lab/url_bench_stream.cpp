#include "lab/url_bench_stream.h"

#include <algorithm>
#include <cmath>

#include "base/utf8.h"

namespace chaski {
namespace {

constexpr size_t kMaxShownError = 300;

/// The member of that name; null where there is none or `object` is no object.
const Json* member(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(name);
  return it == object.end() ? nullptr : &*it;
}

std::string_view text_of(const Json* value) {
  return value != nullptr && value->is_string() ? std::string_view(value->get_ref<const std::string&>())
                                                : std::string_view();
}

/// A count from 0; nothing for what is none.
std::optional<int64_t> count_of(const Json* value) {
  if (value == nullptr || !value->is_number_integer()) return std::nullopt;
  if (value->is_number_unsigned() && value->get<uint64_t>() > (uint64_t{1} << 53)) return std::nullopt;
  const int64_t count = value->get<int64_t>();
  return count >= 0 ? std::optional(count) : std::nullopt;
}

std::string error_text(const Json& error) {
  const Json* message = member(error, "message");
  if (message == nullptr) message = member(error, "error");
  if (message != nullptr && message->is_string()) return printable(text_of(message), kMaxShownError);
  if (message != nullptr && message->is_object()) return error_text(*message);
  return printable(error.is_string() ? std::string(text_of(&error)) : to_json_text(error), kMaxShownError);
}

/// How many tokens a chunk itself says that it holds.
std::optional<int64_t> tokens_named_by(const Json& choice, const Json& chunk) {
  if (const Json* usage = member(chunk, "usage")) {
    const auto count = count_of(member(*usage, "completion_tokens"));
    if (count && *count > 0) return count;
  }
  if (const Json* logprobs = member(choice, "logprobs")) {
    for (const char* list : {"content", "tokens"}) {
      const Json* tokens = member(*logprobs, list);
      if (tokens != nullptr && tokens->is_array() && !tokens->empty())
        return static_cast<int64_t>(tokens->size());
    }
  }
  return std::nullopt;
}

}  // namespace

std::string server_error_text(std::string_view body) {
  try {
    return error_text(parse_json(body, "answer", {1u << 20, 16, 10'000}));
  } catch (const Error&) {
    return printable(body, kMaxShownError);
  }
}

std::optional<double> StreamedAnswer::ttft_s() const {
  return chunk_s.empty() ? std::nullopt : std::optional(chunk_s.front());
}

std::optional<double> StreamedAnswer::tpot_s() const {
  const int64_t n_later = n_tokens - n_first_chunk_tokens;
  if (chunk_s.size() < 2 || n_later <= 0) return std::nullopt;
  return (chunk_s.back() - chunk_s.front()) / static_cast<double>(n_later);
}

void AnswerStream::fail(ErrorCode code, std::string message) {
  if (!answer_.failure) answer_.failure = RequestFailure{code, std::move(message)};
}

void AnswerStream::take(const SseEvent& event, double at_s) {
  has_events_ = true;
  if (is_done()) return;
  if (event.data == "[DONE]") {
    is_done_ = true;
    answer_.end_s = at_s;
    return;
  }
  try {
    take_json(parse_json(event.data, "event", {4u << 20, 32, 200'000}), at_s);
  } catch (const Error& error) {
    fail(ErrorCode::kCorrupt, error.what());
  }
}

void AnswerStream::take_json(const Json& json, double at_s) {
  const Json* error = member(json, "error");
  if (error != nullptr && !error->is_null()) {
    fail(ErrorCode::kNetwork, "the server ended the stream with an error: " + error_text(*error));
    return;
  }
  if (const Json* usage = member(json, "usage")) {
    const auto n_tokens = count_of(member(*usage, "completion_tokens"));
    if (n_tokens) {  // the last is of the whole answer
      answer_.has_usage = true;
      answer_.n_tokens = *n_tokens;
      answer_.n_prompt_tokens = count_of(member(*usage, "prompt_tokens")).value_or(0);
    }
  }
  const Json* choices = member(json, "choices");
  if (choices == nullptr || !choices->is_array() || choices->empty()) return;
  take_text(choices->front(), json, at_s);
}

void AnswerStream::take_text(const Json& choice, const Json& chunk, double at_s) {
  std::string text(text_of(member(choice, "text")));
  if (const Json* delta = member(choice, "delta")) {
    // Some servers give the same reasoning by both of its names.
    const std::string_view reasoning = text_of(member(*delta, "reasoning_content"));
    text += reasoning.empty() ? text_of(member(*delta, "reasoning")) : reasoning;
    text += text_of(member(*delta, "content"));
  }
  const std::string_view finish_reason = text_of(member(choice, "finish_reason"));
  if (!finish_reason.empty()) answer_.finish_reason = printable(finish_reason, 40);
  if (text.empty()) return;
  answer_.chunk_s.push_back(at_s);
  answer_.n_characters += static_cast<int64_t>(count_code_points(text));
  n_bytes_ += static_cast<int64_t>(text.size());
  if (answer_.chunk_s.size() > 1) return;
  answer_.n_first_chunk_characters = answer_.n_characters;
  n_first_chunk_bytes_ = n_bytes_;
  answer_.n_first_chunk_tokens = tokens_named_by(choice, chunk).value_or(0);
}

/// Where the server does not say, the first chunk has its share of the tokens by its bytes, but leaves one
/// for each other chunk.
void AnswerStream::count_first_chunk() {
  const auto n_chunks = static_cast<int64_t>(answer_.chunk_s.size());
  if (answer_.n_first_chunk_tokens > 0 || n_chunks == 0) return;
  const int64_t most = std::max<int64_t>(1, answer_.n_tokens - (n_chunks - 1));
  const double share = static_cast<double>(n_first_chunk_bytes_) / static_cast<double>(n_bytes_);
  const auto guess = static_cast<int64_t>(std::llround(share * static_cast<double>(answer_.n_tokens)));
  answer_.n_first_chunk_tokens = std::clamp<int64_t>(guess, 1, most);
  answer_.is_first_chunk_estimated = most > 1;
}

StreamedAnswer AnswerStream::finish(double at_s) {
  if (!is_done_) answer_.end_s = at_s;
  if (!answer_.has_usage) answer_.n_tokens = static_cast<int64_t>(answer_.chunk_s.size());
  if (!has_events_) {
    fail(ErrorCode::kNetwork, "the answer was no stream of events");
  } else if (!is_done_ && answer_.finish_reason.empty()) {
    fail(ErrorCode::kNetwork, "the stream was cut: neither a reason of finishing nor [DONE] came");
  } else if (answer_.chunk_s.empty()) {
    fail(ErrorCode::kNetwork, "the answer had no text");
  } else if (answer_.n_tokens == 0) {
    fail(ErrorCode::kCorrupt, "the server's usage says 0 tokens for an answer that has text");
  }
  count_first_chunk();
  return answer_;
}

}  // namespace chaski
