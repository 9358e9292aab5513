// From a MODEL argument to a loaded model, the same for all commands.
#pragma once

#include <exception>
#include <filesystem>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "engine/engine.h"
#include "format/checkpoint.h"
#include "lab/load_times.h"
#include "ops/fallback_ops.h"
#include "report/warnings.h"
#include "text/chat_template.h"
#include "text/prompt.h"
#include "text/tokenizer.h"

namespace chaski::cli {

/// The path that Checkpoint::open takes: an existing file or folder, `synthetic:…`, or a name below
/// CHASKI_HOME/models. Throws Error(kNotFound) saying where it looked.
std::string resolve_model(const std::string& name);

/// A model of a command that names several, before any of them is loaded.
struct FoundModel {
  std::string name;  ///< as the user gave it
  std::string path;  ///< as resolve_model gives it
  uint64_t weight_bytes = 0;
  int64_t max_context = 0;
};
/// Looks at all of them, reading no weight, so that what is wrong with the last is said before the first is
/// loaded. Throws Error(kNotFound) naming all that are not here, else what Checkpoint::open throws.
std::vector<FoundModel> find_models(const std::vector<std::string>& names);
/// Whether all of them can be in memory at once, packed and with their caches.
bool fit_together(const std::vector<FoundModel>& models);

/// The files' side of a model: no weight is read.
struct ModelText {
  struct Language {
    Tokenizer tokenizer;
    std::unique_ptr<ChatTemplate> chat_template;  ///< null where the model has none
    double seconds = 0;                           ///< that making it took
  };
  std::shared_ptr<const Checkpoint> checkpoint;
  std::shared_future<Language>
      language;  ///< made on a thread of its own, for a large vocabulary takes a while
  double open_s = 0;

  /// Waits until it is made; throws what was wrong with it.
  const Tokenizer& tokenizer() const { return language.get().tokenizer; }
};
ModelText open_model_text(const std::string& name);

/// What --allow-nonfinite let through: one text for each weight.
class NonfiniteWeights {
 public:
  void add(const std::string& what);
  std::vector<std::string> all() const;

 private:
  mutable std::mutex mutex_;  // weights are read by several threads
  std::vector<std::string> all_;
};

/// Waits, when it goes and nothing was thrown, until the weights are kept for the next start: the user is
/// told after a second, and Ctrl-C ends it.
class WeightsKeeper {
 public:
  /// Both must outlive this.
  WeightsKeeper(Device& device, const Context& context) : device_(device), context_(context) {}
  ~WeightsKeeper();
  WeightsKeeper(const WeightsKeeper&) = delete;
  WeightsKeeper& operator=(const WeightsKeeper&) = delete;

 private:
  Device& device_;
  const Context& context_;
  int n_exceptions_ = std::uncaught_exceptions();
};

/// A model ready for questions. Members are in the order that their lives depend on.
struct LoadedModel {
  ModelText text;
  std::unique_ptr<Device> device;
  std::unique_ptr<Ops> host;              ///< only where the device is not the CPU itself
  std::unique_ptr<FallbackOps> fallback;  ///< the same
  LlamaModel model;
  std::unique_ptr<LlamaModel> draft;  ///< its weights are beside the model's; null: none
  std::unique_ptr<Engine> engine;
  std::string lora;  ///< folder of the adapter that was merged in; empty: none
  std::shared_ptr<NonfiniteWeights> nonfinite = std::make_shared<NonfiniteWeights>();
  double load_s = 0;     ///< from opening the files to the engine standing ready
  LoadParts load_parts;  ///< of load_s; its first token is whoever's asks for one
  std::unique_ptr<WeightsKeeper> keeper;

  bool is_synthetic() const { return text.checkpoint->is_synthetic(); }
};

/// How `options` want prompts made, with `date_string` where they name none. Stays good when `text` is moved.
PromptMaker prompt_maker(const ModelText& text, const PromptOptions& options, std::string date_string = {});

/// Load the weights, with progress on a terminal. `min_context`: positions wanted where --ctx does not say;
/// `reuse_prefixes` as in EngineOptions. Ctrl-C ends it with Error(kCancelled).
std::unique_ptr<LoadedModel> load_model(ModelText text, const ModelOptions& options, const Context& context,
                                        int64_t min_context = 0, bool reuse_prefixes = false);

/// The settings of `run` and `chat`: what the model's makers advise, then the command line; and a seed, drawn
/// where none was given. Throws Error(kUsage) naming the setting that is out of range.
GenerationSettings settings_for(const Checkpoint& checkpoint, const GenerationSettings& from_user);

/// The warnings that loading it gave cause to, for records.
std::vector<RunWarning> warnings_of(const LoadedModel& model);

/// Say on standard error what must be said about this model: random weights, numbers that are not finite.
void note_oddities(const LoadedModel& model, Lang lang);

}  // namespace chaski::cli
