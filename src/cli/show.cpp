// chaski show MODEL: what a model's files hold. Reads no weight.
#include "cli/commands.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "format/describe.h"
#include "report/text_safety.h"

namespace chaski::cli {
namespace {

struct ShowOptions {
  std::string model;
  bool wants_json = false;
};

struct Label {
  std::string_view key, zh;
};

constexpr std::array<Label, 8> kLabels{{{"kind", "类型"},
                                        {"path", "位置"},
                                        {"parameters", "参数量"},
                                        {"bytes", "权重字节数"},
                                        {"formats", "权重格式（个数）"},
                                        {"config", "配置"},
                                        {"tokenizer", "分词器"},
                                        {"chat_template", "对话模板"}}};

std::string label_of(const std::string& key, Lang lang) {
  for (const Label& label : kLabels) {
    if (lang == Lang::kZh && label.key == key) return std::string(label.zh);
  }
  return key;
}

std::string value_of(const OrderedJson& value) {
  if (value.is_null()) return "–";
  return value.is_string() ? value.get<std::string>() : to_json_text(value);
}

/// One line per fact, the parts of a fact below it.
std::string lines_of(const OrderedJson& facts, Lang lang) {
  std::string text;
  for (const auto& [key, value] : facts.items()) {
    const std::string label = pad_right(label_of(key, lang), 18);
    if (!value.is_object()) {
      text += fmt::format("{} {}\n", label, value_of(value));
      continue;
    }
    text += label_of(key, lang) + "\n";
    for (const auto& [name, part] : value.items())
      text += fmt::format("  {} {}\n", pad_right(name, 16), value_of(part));
  }
  return text;
}

void show(const ShowOptions& options, Lang lang) {
  const auto checkpoint = Checkpoint::open(resolve_model(options.model));
  const OrderedJson facts = describe_checkpoint(*checkpoint);
  if (options.wants_json) {
    print_exactly(to_json_text(facts, 2) + "\n");
  } else {
    print(strip_controls(lines_of(facts, lang)));
    if (checkpoint->is_synthetic()) {
      print(tr(lang, "Random weights: for speed only.\n", "权重为随机数，仅供测速。\n"));
    }
  }
}

}  // namespace

void add_show(CLI::App& app, Context& context) {
  const auto options = std::make_shared<ShowOptions>();
  CLI::App* command = add_command(app, context, "show", "what a model's files hold", "显示模型文件的内容");
  add_model(*command, context, options->model);
  command->add_flag("--json", options->wants_json, std::string(tr(context.lang, "as JSON", "以 JSON 输出")));
  command->callback(
      [options, &context] { context.action = [options, &context] { show(*options, context.lang); }; });
}

}  // namespace chaski::cli
