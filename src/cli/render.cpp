// chaski render MODEL [FILE]: the prompt that a conversation becomes, as text or as ids.
#include "base/error.h"
#include "base/files.h"
#include "cli/commands.h"
#include "cli/models.h"
#include "cli/terminal.h"

namespace chaski::cli {
namespace {

constexpr size_t kMaxBytes = 64u << 20;

struct RenderCommand {
  std::string model;
  std::string file = "-";
  bool wants_ids = false;
  bool wants_json = false;
  bool is_closed = false;
  PromptOptions prompts;
};

void render(const RenderCommand& options, Context& context) {
  const bool is_piped = options.file == "-";
  const std::string where = is_piped ? "standard input" : options.file;
  const std::string text =
      is_piped ? read_stdin(kMaxBytes, context.cancel) : read_text_file(options.file, kMaxBytes);
  OrderedJson given = parse_ordered_json(text, where);
  RenderOptions rendering;
  rendering.add_generation_prompt = !options.is_closed;
  if (given.is_object()) {
    if (!given.contains("messages")) {
      throw Error(ErrorCode::kUsage, "render",
                  fmt::format("{}: expected a list of messages, or an object with \"messages\"", where));
    }
    if (given.contains("tools")) rendering.tools = given["tools"];
    given = OrderedJson(given["messages"]);
  }
  const ModelText model = open_model_text(options.model);
  const PromptMaker prompts = prompt_maker(model, options.prompts);
  const Prompt prompt = prompts.conversation(given, rendering);
  if (options.wants_json) {
    OrderedJson json;
    json["text"] = prompt.text;
    json["ids"] = prompt.ids;
    json["user_spans"] = OrderedJson::array();
    for (const PlainSpan& span : prompt.user_spans) json["user_spans"].push_back({span.begin, span.end});
    print_exactly(to_json_text(json) + "\n");
  } else if (options.wants_ids) {
    print_exactly(fmt::format("[{}]\n", fmt::join(prompt.ids, ", ")));
  } else {
    print(prompt.text);
  }
}

}  // namespace

void add_render(CLI::App& app, Context& context) {
  const auto options = std::make_shared<RenderCommand>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "render", "the prompt that a messages JSON becomes",
                                  "把消息 JSON 渲染为提示词");
  add_model(*command, context, options->model);
  command->add_option("FILE", options->file,
                      std::string(tr(lang, "messages as JSON; - or nothing reads standard input",
                                     "消息 JSON 文件；省略或 - 表示标准输入")));
  command->add_flag(
      "--ids", options->wants_ids,
      std::string(tr(lang, "print the ids instead, as a JSON list", "改为输出词元编号（JSON 列表）")));
  command->add_flag("--json", options->wants_json,
                    std::string(tr(lang, "print text, ids and the bytes that came from the messages",
                                   "输出文本、编号，以及来自消息的字节区间")));
  command->add_flag("--no-generation-prompt", options->is_closed,
                    std::string(tr(lang, "without the opening of an answer", "不添加回答的开头")));
  add_prompt_options(*command, context, options->prompts);
  command->callback(
      [options, &context] { context.action = [options, &context] { render(*options, context); }; });
}

}  // namespace chaski::cli
