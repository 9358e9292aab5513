// Fuzz target: any bytes as a chat template, rendered on fixed messages with tight limits. Only Error may
// come out; the text must be valid UTF-8 and its marks sorted, apart and inside it.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"

namespace {

constexpr std::string_view kMessages = R"([
  {"role": "system", "content": " Be \u4f60\u597d brief.\n"},
  {"role": "user", "content": [{"type": "text", "text": "<|eot_id|> a</think>b"}, {"type": "image"}]},
  {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"x": [1, 2.5, null]}}}]},
  {"role": "tool", "content": {"result": true}}])";

void check_marks(const chaski::jinja::MarkedText& text) {
  size_t end = 0;
  bool is_first = true;
  for (const chaski::PlainSpan& span : text.marks()) {
    CHECK(span.begin < span.end && span.end <= text.size(), "a mark {}..{} of {}", span.begin, span.end,
          text.size());
    CHECK(is_first || span.begin > end, "marks that touch at {}", span.begin);
    end = span.end;
    is_first = false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const chaski::OrderedJson messages = chaski::parse_ordered_json(kMessages, "messages");
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  try {
    const auto program = chaski::jinja::parse_template(source);
    chaski::jinja::Limits limits;
    limits.steps = 5000;
    limits.text_bytes = 1u << 16;
    limits.heap_bytes = 1u << 20;
    chaski::jinja::Interpreter interpreter(*program, limits);
    interpreter.define("messages", interpreter.from_json(messages, true));
    interpreter.define("tools", chaski::jinja::Value::none());
    interpreter.define("add_generation_prompt", chaski::jinja::Value::of(true));
    interpreter.define("bos_token", interpreter.heap.text("<s>"));
    const chaski::jinja::MarkedText text = interpreter.run();
    check_marks(text);
    CHECK(chaski::is_valid_utf8(text.bytes()), "a text that is not UTF-8");
  } catch (const chaski::Error& error) {
    if (error.code() == chaski::ErrorCode::kInternal) __builtin_trap();
  }
  return 0;
}
