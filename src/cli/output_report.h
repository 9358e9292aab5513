// What the commands that write models share: their options, and what they print at the end.
#pragma once

#include <memory>
#include <string>

#include "cli/options.h"
#include "cli/terminal.h"
#include "convert/output.h"

namespace chaski::cli {

struct WriteModelOptions {
  int n_threads = 0;
  bool replaces = false;
  bool allow_nonfinite = false;
  bool wants_json = false;
  std::string adapter;  ///< folder of a LoRA adapter to merge
};

void add_write_options(CLI::App& command, const Context& context, WriteModelOptions& options);

/// The model to write from, with the adapter merged where one is named: adapted weights as `merged`. Says on
/// standard error where its weights are random.
std::shared_ptr<const Checkpoint> open_to_write(const std::string& model, const WriteModelOptions& options,
                                                DType merged, const Context& context);

/// As the writers want them; `progress` must live on.
OutputOptions output_options(const WriteModelOptions& options, const Context& context, Progress& progress);

/// What was made of what.
struct WrittenModel {
  std::string model, target, format;
  bool is_synthetic = false;
};

/// On standard output: lines for a person, or one JSON object.
void print_report(const OutputReport& report, const WrittenModel& written, bool wants_json, Lang lang);

}  // namespace chaski::cli
