// One conversation with a loaded model: what was said, how answers are drawn, and the file that keeps both.
// What the person typed is taken apart in chat.cpp.
#pragma once

#include <filesystem>
#include <string>

#include "cli/models.h"

namespace chaski::cli {

class Conversation {
 public:
  /// `model_id` is the model as the user named it; it stands in saved files.
  Conversation(LoadedModel& model, const PromptMaker& prompts, std::string model_id,
               GenerationSettings settings, Context& context);

  void clear();
  /// Begins anew; an empty text takes the system message away.
  void set_system(const std::string& text);
  /// Set a setting by name from what was typed. Throws Error(kUsage).
  void set(const std::string& name, const std::string& value);
  const GenerationSettings& settings() const { return settings_; }

  /// Ask, stream the answer, keep both; what Ctrl-C stopped is kept as far as it came, if it came. A turn
  /// that fails is said and forgotten, unless the device is lost or nothing can be said any more.
  void turn(const std::string& text);
  /// Draw the last answer anew with the next seed. Throws Error(kUsage) where there is none.
  void regenerate();

  /// What was said and the settings, as JSON, whole or not at all. Throws Error(kIo), Error(kNotFound), and
  /// Error(kUsage) where it would replace a file that is no saved conversation.
  void save(const std::filesystem::path& file) const;
  /// Take over what `save` wrote, and show it. Throws Error and leaves the conversation as it was.
  void load(const std::filesystem::path& file);

  /// Tokens, speeds, reuse and memory so far, for the reader.
  std::string stats() const;

 private:
  bool answer(OrderedJson messages);
  void say_failed(const Error& error) const;
  void print_figures(const Answer& answer) const;

  LoadedModel& model_;
  const PromptMaker& prompts_;
  std::string model_id_;
  GenerationSettings settings_;
  Context& context_;
  OrderedJson messages_;
  int64_t n_answers_ = 0, n_prompt_ = 0, n_reused_ = 0;  ///< over all answers; tokens
  int64_t n_context_ = 0;                                ///< tokens of the conversation as it stands
  std::optional<double> last_ttft_s_, last_tpot_s_;
};

}  // namespace chaski::cli
