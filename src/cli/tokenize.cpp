// chaski tokenize MODEL: the ids of standard input, without bos, special-token text taken as plain text.
#include "cli/commands.h"
#include "cli/models.h"
#include "cli/terminal.h"

namespace chaski::cli {
namespace {

constexpr size_t kMaxTextBytes = 64u << 20;

/// A bare tokenizer file (tokenizer.json, rank file), or a model's own.
Tokenizer tokenizer_named(const std::string& name) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path path(name);
  const std::string type = path.extension().string();
  if (fs::is_regular_file(path, ignored) && type != ".gguf" && type != ".safetensors")
    return Tokenizer::open(path);
  return open_model_text(name).tokenizer();
}

void tokenize(const std::string& model, Context& context) {
  const Tokenizer tokenizer = tokenizer_named(model);
  const std::vector<int32_t> ids = tokenizer.encode(read_stdin(kMaxTextBytes, context.cancel));
  print_exactly(fmt::format("[{}]\n", fmt::join(ids, ", ")));
}

}  // namespace

void add_tokenize(CLI::App& app, Context& context) {
  const auto model = std::make_shared<std::string>();
  CLI::App* command = add_command(app, context, "tokenize", "token ids of standard input, as a JSON list",
                                  "标准输入的词元编号，输出为 JSON 列表");
  command
      ->add_option("MODEL", *model,
                   std::string(tr(context.lang, "a model, a tokenizer.json or a rank file",
                                  "模型、tokenizer.json 或词表文件")))
      ->required();
  command->callback([model, &context] { context.action = [model, &context] { tokenize(*model, context); }; });
}

}  // namespace chaski::cli
