// Chat templates: from messages to the prompt's text, as transformers' apply_chat_template makes it, with the
// bytes marked that are the caller's. The language is in jinja_*; the tokens are the tokenizer's.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/plain_span.h"

namespace chaski {

namespace jinja {
struct Program;
}

/// The prompt, and the bytes of it that came from messages, tools and extra variables: sorted, merged.
struct RenderedPrompt {
  std::string text;
  std::vector<PlainSpan> user_spans;
};

/// Names and texts, such as {"pad_token", "<|finetune_right_pad_id|>"}.
using SpecialTokens = std::vector<std::pair<std::string, std::string>>;

struct RenderOptions {
  bool add_generation_prompt = true;
  /// The date that the template sees, as "26 Jul 2024": the variable date_string and strftime_now. Empty:
  /// today.
  std::string date_string;
  OrderedJson tools;  ///< null or a list of JSON schemas
  OrderedJson extra;  ///< null or an object of more variables; names that chaski sets itself are refused
};

/// One parsed template. Immutable: may render in several threads.
class ChatTemplate {
 public:
  /// `bos_token`, `eos_token`: their texts; `special_tokens`: more of them by name, as transformers passes
  /// pad_token and unk_token. An empty text stays undefined. Throws Error(kCorrupt) for what is no template
  /// and Error(kUnsupported) for what chaski does not know, naming the line.
  ChatTemplate(std::string source, std::string bos_token, std::string eos_token,
               SpecialTokens special_tokens = {});
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  /// `messages`: a list of {role, content, …}. Throws Error(kUsage): for messages out of form, and where the
  /// template raises, fails or goes past a limit, naming its line.
  RenderedPrompt render(const OrderedJson& messages, const RenderOptions& options = {}) const;

  const std::string& source() const { return source_; }
  std::string sha256() const;  ///< of the source
  /// "Llama 3.2 official" and the like where the sha256 is that of a known template, else empty.
  std::string_view known_name() const;

 private:
  std::string source_;
  SpecialTokens special_tokens_;
  std::unique_ptr<const jinja::Program> program_;
};

}  // namespace chaski
