// What transformers does around a template: which variables it sees, how reasoning is passed; and the checks
// of messages.
#include "text/chat_template.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "base/error.h"
#include "base/files.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"

namespace chaski {

namespace {

using jinja::Value;

constexpr size_t kMaxMessages = 2048;
constexpr size_t kMaxParts = 512;
constexpr size_t kMaxRoleBytes = 64;
constexpr size_t kMaxTools = 128;

[[noreturn]] void usage(const std::string& message, std::string hint = {}) {
  throw Error(ErrorCode::kUsage, "template", message, std::move(hint));
}

void check_content(const OrderedJson& message, size_t index) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) {
    if (message["role"] == "assistant") return;  // an answer may be tool calls or reasoning alone
    usage(fmt::format("messages[{}].content is missing or null", index),
          "only an assistant message may lack content");
  }
  if (content->is_string() || content->is_object()) return;
  if (!content->is_array()) {
    usage(fmt::format("messages[{}].content is a {}, expected a string or a list of parts", index,
                      content->type_name()));
  }
  if (content->size() > kMaxParts) {
    usage(fmt::format("messages[{}].content has {} parts, expected at most {}", index, content->size(),
                      kMaxParts));
  }
  static constexpr std::array<std::string_view, 9> kPartTypes = {
      "text", "image", "image_url", "video", "video_url", "audio", "audio_url", "input_audio", "thinking"};
  for (const OrderedJson& part : *content) {
    const auto type = part.is_object() ? part.find("type") : part.end();
    if (!part.is_object() || type == part.end() || !type->is_string()) {
      usage(fmt::format("messages[{}].content has a part without a type", index));
    }
    const auto& name = type->get_ref<const std::string&>();
    if (std::find(kPartTypes.begin(), kPartTypes.end(), name) == kPartTypes.end()) {
      usage(fmt::format("messages[{}].content has a part of the unknown type '{}'", index, printable(name)));
    }
  }
}

void check_messages(const OrderedJson& messages) {
  if (!messages.is_array()) usage(fmt::format("messages is a {}, expected a list", messages.type_name()));
  if (messages.size() > kMaxMessages) {
    usage(fmt::format("{} messages, expected at most {}", messages.size(), kMaxMessages));
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    const OrderedJson& message = messages[i];
    if (!message.is_object())
      usage(fmt::format("messages[{}] is a {}, expected an object", i, message.type_name()));
    const auto role = message.find("role");
    if (role == message.end() || !role->is_string())
      usage(fmt::format("messages[{}].role is missing or no string", i));
    const auto& name = role->get_ref<const std::string&>();
    const bool is_name =
        !name.empty() && name.size() <= kMaxRoleBytes && std::all_of(name.begin(), name.end(), [](char c) {
          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                 c == '-';
        });
    if (!is_name) {
      usage(fmt::format("messages[{}].role is '{}', expected letters, digits, '_' and '-', at most {}", i,
                        printable(name), kMaxRoleBytes));
    }
    check_content(message, i);
  }
}

// Names that callers must not set through `extra`.
bool is_reserved(std::string_view name) {
  static constexpr std::array<std::string_view, 22> kNames = {"messages",
                                                              "tools",
                                                              "add_generation_prompt",
                                                              "bos_token",
                                                              "eos_token",
                                                              "loop",
                                                              "caller",
                                                              "varargs",
                                                              "kwargs",
                                                              "range",
                                                              "dict",
                                                              "namespace",
                                                              "raise_exception",
                                                              "strftime_now",
                                                              "chat_template",
                                                              "tokenize",
                                                              "return_dict",
                                                              "return_tensors",
                                                              "continue_final_message",
                                                              "padding",
                                                              "truncation",
                                                              "max_length"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

// Reasoning is passed under several names; transformers fills reasoning_content, which templates read, and
// thinking.
OrderedJson with_reasoning_aliases(const OrderedJson& message) {
  const OrderedJson* reasoning = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const auto found = message.find(name);
    if (found == message.end() || found->is_null()) continue;
    reasoning = &*found;
    break;
  }
  if (reasoning == nullptr) return message;
  OrderedJson aliased = OrderedJson::object();
  aliased["thinking"] = *reasoning;
  for (const auto& [key, value] : message.items()) aliased[key] = value;
  aliased["reasoning_content"] = *reasoning;
  return aliased;
}

std::optional<std::tm> parse_date(const std::string& text) {
  std::tm time{};
  const char* const end = strptime(text.c_str(), "%d %b %Y", &time);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return time;
}

}  // namespace

ChatTemplate::ChatTemplate(std::string source, std::string bos_token, std::string eos_token,
                           SpecialTokens special_tokens)
    : source_(std::move(source)),
      special_tokens_(std::move(special_tokens)),
      program_(jinja::parse_template(source_)) {
  special_tokens_.emplace_back("bos_token", std::move(bos_token));
  special_tokens_.emplace_back("eos_token", std::move(eos_token));
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

RenderedPrompt ChatTemplate::render(const OrderedJson& messages, const RenderOptions& options) const {
  check_messages(messages);
  if (!options.tools.is_null() && (!options.tools.is_array() || options.tools.size() > kMaxTools)) {
    usage(fmt::format("tools must be a list of at most {}", kMaxTools));
  }
  if (!options.extra.is_null() && !options.extra.is_object()) usage("template options must be an object");

  jinja::Interpreter interpreter(*program_, jinja::Limits{});
  for (const auto& [name, text] : special_tokens_) {
    if (!text.empty()) interpreter.define(name, interpreter.heap.text(text));
  }
  jinja::List* list = interpreter.heap.list();
  for (const OrderedJson& message : messages) {
    interpreter.heap.push(*list, interpreter.from_json(with_reasoning_aliases(message), true));
  }
  interpreter.define("messages", Value::of(list));
  interpreter.define("tools", interpreter.from_json(options.tools, true));
  interpreter.define("documents", Value::none());
  interpreter.define("add_generation_prompt", Value::of(options.add_generation_prompt));
  if (!options.date_string.empty()) {
    const Value date = interpreter.heap.text(options.date_string);
    interpreter.pinned_date = parse_date(options.date_string);
    interpreter.pinned_date_text = date.text_handle();
    interpreter.define("date_string", date);
  }
  if (options.extra.is_object()) {
    for (const auto& [name, value] : options.extra.items()) {
      if (is_reserved(name)) usage(fmt::format("the template option '{}' cannot be set", printable(name)));
      interpreter.define(name, interpreter.from_json(value, true));
    }
  }
  jinja::MarkedText text = interpreter.run();
  return {text.bytes(), text.marks()};
}

std::string ChatTemplate::sha256() const { return sha256_of(source_); }

std::string_view ChatTemplate::known_name() const {
  struct Known {
    std::string_view sha256;
    std::string_view name;
  };
  static constexpr Known kKnown[] = {
      {"5816fce10444e03c2e9ee1ef8a4a1ea61ae7e69e438613f3b17b69d0426223a4", "Llama 3.2 official"},
      {"e10ca381b1ccc5cf9db52e371f3b6651576caee0a630b452e2816b2d404d4b65", "Llama 3.1 official"},
  };
  const std::string sum = sha256();
  for (const Known& known : kKnown) {
    if (known.sha256 == sum) return known.name;
  }
  return {};
}

}  // namespace chaski
