// From a question or a conversation to the ids a model is given: by the model's own template, by a raw one
// that the user wrote, or as plain text to continue. User text never becomes a special token.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace chaski {

struct Prompt {
  std::string text;
  std::vector<int32_t> ids;
  std::vector<PlainSpan> user_spans;
};

class PromptMaker {
 public:
  enum class Kind {
    kModel,  ///< the model's template; its special tokens stand in the rendered text
    kRaw,    ///< text with {prompt}, encoded as a tokenizer call does: bos added where the tokenizer adds it
    kPlain   ///< the model has no template: the question is text to continue
  };

  /// `choice`: "model", or "raw:TEXT" with {prompt} in TEXT. `model_template` null where the model has none.
  /// Both pointees must outlive this. Throws Error(kUsage) for any other choice.
  PromptMaker(const Tokenizer& tokenizer, const ChatTemplate* model_template, std::string_view choice,
              std::string date_string);

  Kind kind() const { return kind_; }
  const std::string& date_string() const { return date_string_; }

  /// One question. Throws Error(kUsage) where a system text is given and there is no template to put it in.
  Prompt question(const std::string& text, const std::optional<std::string>& system) const;
  /// A conversation, a list of {role, content}. Throws Error(kUsage) where there is no model template.
  Prompt conversation(const OrderedJson& messages) const;
  Prompt conversation(const OrderedJson& messages, RenderOptions options) const;

 private:
  const Tokenizer& tokenizer_;
  const ChatTemplate* model_template_;
  Kind kind_ = Kind::kModel;
  std::string raw_;
  std::string date_string_;
};

}  // namespace chaski
