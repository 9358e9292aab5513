#include "text/prompt.h"

#include <utility>

#include "base/error.h"

namespace chaski {
namespace {

constexpr std::string_view kPlace = "{prompt}";
constexpr std::string_view kRawPrefix = "raw:";

}  // namespace

PromptMaker::PromptMaker(const Tokenizer& tokenizer, const ChatTemplate* model_template,
                         std::string_view choice, std::string date_string)
    : tokenizer_(tokenizer), model_template_(model_template), date_string_(std::move(date_string)) {
  if (choice.substr(0, kRawPrefix.size()) == kRawPrefix) {
    kind_ = Kind::kRaw;
    raw_ = choice.substr(kRawPrefix.size());
    if (raw_.find(kPlace) == std::string::npos) {
      throw Error(ErrorCode::kUsage, "template", fmt::format("raw:{} has no {{prompt}}", printable(raw_)),
                  "write {prompt} where the question goes, as in raw:'<s>[INST] {prompt} [/INST]'");
    }
  } else if (choice != "model") {
    throw Error(
        ErrorCode::kUsage, "template",
        fmt::format("expected \"model\" or \"raw:TEXT-with-{{prompt}}\", found \"{}\"", printable(choice)));
  } else if (model_template_ == nullptr) {
    kind_ = Kind::kPlain;
  }
}

Prompt PromptMaker::question(const std::string& text, const std::optional<std::string>& system) const {
  if (kind_ == Kind::kModel) {
    OrderedJson messages = OrderedJson::array();
    if (system) messages.push_back({{"role", "system"}, {"content", *system}});
    messages.push_back({{"role", "user"}, {"content", text}});
    return conversation(messages);
  }
  if (system) {
    throw Error(ErrorCode::kUsage, "template",
                "there is no place for a system text without the model's template",
                kind_ == Kind::kRaw ? "write it into the raw template" : "put it into the prompt itself");
  }
  Prompt prompt;
  const std::string_view frame = kind_ == Kind::kRaw ? std::string_view(raw_) : kPlace;
  for (size_t at = 0; at < frame.size();) {
    const size_t place = frame.find(kPlace, at);
    prompt.text += frame.substr(at, place - at);
    if (place == std::string_view::npos) break;
    if (!text.empty()) prompt.user_spans.push_back({prompt.text.size(), prompt.text.size() + text.size()});
    prompt.text += text;
    at = place + kPlace.size();
  }
  EncodeOptions options;
  options.parse_special = true;
  options.add_bos = tokenizer_.add_bos();
  prompt.ids = tokenizer_.encode_rendered(prompt.text, prompt.user_spans, options);
  return prompt;
}

Prompt PromptMaker::conversation(const OrderedJson& messages) const { return conversation(messages, {}); }

Prompt PromptMaker::conversation(const OrderedJson& messages, RenderOptions options) const {
  if (kind_ != Kind::kModel) {
    throw Error(ErrorCode::kUsage, "template", "a conversation needs the model's own chat template",
                model_template_ == nullptr ? "this model has none; `chaski run` continues plain text"
                                           : "leave out --template raw:…");
  }
  if (options.date_string.empty()) options.date_string = date_string_;
  RenderedPrompt rendered = model_template_->render(messages, options);
  EncodeOptions encoding;
  encoding.parse_special = true;
  Prompt prompt;
  prompt.ids = tokenizer_.encode_rendered(rendered.text, rendered.user_spans, encoding);
  prompt.text = std::move(rendered.text);
  prompt.user_spans = std::move(rendered.user_spans);
  return prompt;
}

}  // namespace chaski
