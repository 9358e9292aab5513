// chaski convert IN OUT: a GGUF file as a Hugging Face folder, or such a folder as a GGUF file.
#include <filesystem>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/models.h"
#include "cli/output_report.h"
#include "cli/terminal.h"
#include "convert/gguf_output.h"
#include "convert/hf_output.h"

namespace chaski::cli {
namespace {

struct ConvertOptions {
  std::string model, target, dtype;
  WriteModelOptions write;
};

/// f32, f16 or bf16, where one is asked for.
std::optional<DType> dtype_of(const std::string& name) {
  if (name.empty()) return std::nullopt;
  const auto dtype = dtype_named(name);
  if (dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16) return dtype;
  throw Error(ErrorCode::kUsage, "convert",
              fmt::format("--dtype {}: expected f32, f16 or bf16", printable(name)),
              "`chaski quantize` writes the smaller formats");
}

void check_direction(const Checkpoint& checkpoint, const ConvertOptions& options, bool is_to_gguf) {
  if (is_to_gguf && checkpoint.kind() == "gguf") {
    throw Error(
        ErrorCode::kUsage, "convert", fmt::format("{}: the model is GGUF already", checkpoint.path()),
        "`chaski quantize` gives it another format; name a folder as OUT to get a Hugging Face model");
  }
  if (!is_to_gguf && checkpoint.kind() == "safetensors" && options.write.adapter.empty()) {
    throw Error(ErrorCode::kUsage, "convert",
                fmt::format("{}: the model is a Hugging Face folder already", checkpoint.path()),
                fmt::format("to get a GGUF file, name it {}.gguf; --lora merges an adapter into a new folder",
                            options.target));
  }
}

void convert(const ConvertOptions& options, const Context& context) {
  const std::optional<DType> dtype = dtype_of(options.dtype);
  const auto checkpoint = open_to_write(options.model, options.write, dtype.value_or(DType::kBF16), context);
  const bool is_to_gguf = std::filesystem::path(options.target).extension() == ".gguf";
  check_direction(*checkpoint, options, is_to_gguf);
  Progress progress(std::string(tr(context.lang, "converting", "转换")));
  const OutputOptions output = output_options(options.write, context, progress);
  const ModelFormat* format = dtype ? &model_format_named(name_of(*dtype)) : nullptr;
  const OutputReport report = is_to_gguf
                                  ? write_gguf(*checkpoint, options.target, format, output)
                                  : write_hf_folder(*checkpoint, options.target, {.dtype = dtype}, output);
  progress.clear();
  print_report(
      report,
      {options.model, options.target, is_to_gguf ? "gguf" : "safetensors", checkpoint->is_synthetic()},
      options.write.wants_json, context.lang);
}

}  // namespace

void add_convert(CLI::App& app, Context& context) {
  const auto options = std::make_shared<ConvertOptions>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "convert", "GGUF to a Hugging Face folder, or back",
                                  "GGUF 与 Hugging Face 目录互转");
  command
      ->add_option("IN", options->model,
                   std::string(tr(lang, "the model: a folder, a .gguf file, or a name",
                                  "模型：目录、.gguf 文件或名称")))
      ->required();
  command
      ->add_option("OUT", options->target,
                   std::string(tr(lang, "a name that ends in .gguf, or the folder to make",
                                  "以 .gguf 结尾的文件名，或要建立的目录")))
      ->required();
  command->add_option(
      "--dtype", options->dtype,
      std::string(tr(lang, "f32, f16 or bf16 for all weights; by default as they are, quantised ones as bf16",
                     "全部权重的类型：f32、f16 或 bf16；默认保持原样，量化权重变为 bf16")));
  add_write_options(*command, context, options->write);
  command->callback(
      [options, &context] { context.action = [options, &context] { convert(*options, context); }; });
}

}  // namespace chaski::cli
