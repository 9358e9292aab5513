// The options that several commands share, registered once, with their help in both languages.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/cancel.h"
#include "lab/generation_settings.h"
#include "report/lang.h"

namespace chaski::cli {

/// What every command gets: the reader's language, Ctrl-C, and the place to leave what it will do. main.cpp
/// runs `action` after the whole command line was read.
struct Context {
  Lang lang = Lang::kEn;
  CancelToken cancel;
  std::function<void()> action;
  std::string lang_name;  ///< --lang as given; `lang` was taken from it before the options were registered
  bool wants_version = false;
};

/// Where and how a model runs.
struct ModelOptions {
  std::string device = "auto";
  std::string precision = "fast";
  std::string kv_dtype;
  std::string activations;
  std::string isa;  ///< code path to force; empty: the best there is
  int n_threads = 0;
  int64_t context = 0;  ///< 0: 4096, or what max_length needs; at most the model's
  bool is_strict = false;
  std::string draft;  ///< model that guesses tokens ahead; empty: n-grams do; "none": nobody
  std::string lora;   ///< folder of an adapter to merge in; empty: none
  bool allows_nonfinite = false;
  bool goes_without_cache = false;
  int32_t n_sequences = 1;  ///< answers at once that the engine has room for; a command's to set, no option

  Precision precision_value() const;
};

/// The command line that gives these, but for a draft model's: for a process that shall load as this one
/// does.
std::vector<std::string> arguments_of(const ModelOptions& options);

/// How questions become prompts.
struct PromptOptions {
  std::string template_choice = "model";
  std::string date_string;
};

/// A subcommand with --lang. The description is in the reader's language.
CLI::App* add_command(CLI::App& app, Context& context, const std::string& name, std::string_view en,
                      std::string_view zh);
void add_lang(CLI::App& command, Context& context);
void add_model(CLI::App& command, const Context& context, std::string& model);
/// `answers`: the command generates text, which a draft model may speed up.
void add_model_options(CLI::App& command, const Context& context, ModelOptions& options, bool answers = true);
void add_generation_options(CLI::App& command, const Context& context, GenerationSettings& settings);
void add_prompt_options(CLI::App& command, const Context& context, PromptOptions& options);

}  // namespace chaski::cli
