// chaski quantize MODEL OUT --format F: a model's weights into blocks, in one GGUF file.
#include "cli/commands.h"
#include "cli/models.h"
#include "cli/output_report.h"
#include "cli/terminal.h"
#include "convert/gguf_output.h"

namespace chaski::cli {
namespace {

struct QuantizeOptions {
  std::string model, target, format;
  WriteModelOptions write;
};

std::string format_help(Lang lang) {
  std::string names;
  for (const ModelFormat& format : model_formats()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", format.name);
  }
  return trf(lang, "{}; q3_K, q4_K and q5_K mean the _M mixes", "{}；q3_K、q4_K、q5_K 即其 _M 混合", names);
}

void quantize(const QuantizeOptions& options, const Context& context) {
  const ModelFormat& format = model_format_named(options.format);
  const auto checkpoint = open_to_write(options.model, options.write, DType::kF32, context);
  Progress progress(std::string(tr(context.lang, "quantising", "量化")));
  const OutputReport report =
      write_gguf(*checkpoint, options.target, &format, output_options(options.write, context, progress));
  progress.clear();
  print_report(report, {options.model, options.target, std::string(format.name), checkpoint->is_synthetic()},
               options.write.wants_json, context.lang);
}

}  // namespace

void add_quantize(CLI::App& app, Context& context) {
  const auto options = std::make_shared<QuantizeOptions>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "quantize", "write a model as a GGUF file of smaller weights",
                                  "把模型量化为 GGUF 文件");
  add_model(*command, context, options->model);
  command
      ->add_option("OUT", options->target,
                   std::string(tr(lang, "the .gguf file to write", "输出的 .gguf 文件")))
      ->required();
  command->add_option("--format", options->format, format_help(lang))->required();
  add_write_options(*command, context, options->write);
  command->callback(
      [options, &context] { context.action = [options, &context] { quantize(*options, context); }; });
}

}  // namespace chaski::cli
