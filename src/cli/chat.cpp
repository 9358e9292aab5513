// chaski chat MODEL: a conversation. The whole of it is rendered again for each turn, as the model was
// trained to see it; the engine reuses what it has computed. Asking and keeping is in conversation.cpp,
// reading lines in line_reader.cpp; here are the commands.
#include "cli/commands.h"
#include "cli/conversation.h"
#include "cli/line_reader.h"
#include "cli/models.h"
#include "cli/pull_offer.h"
#include "cli/terminal.h"

namespace chaski::cli {
namespace {

struct ChatOptions {
  std::string model;
  ModelOptions where;
  GenerationSettings settings;
  PromptOptions prompts;
};

constexpr size_t kMaxMessageBytes = 4u << 20;

const char* const kCommands[] = {"/help",  "/clear", "/system", "/set", "/regenerate",
                                 "/stats", "/save",  "/load",   "/exit"};

void print_help(Lang lang) {
  print(tr(lang,
           "/help             these commands\n"
           "/clear            forget the conversation\n"
           "/system TEXT      set the system text and begin anew; without TEXT, take it away\n"
           "/set NAME VALUE   change a setting, as temperature; without VALUE, unset it; alone, list all\n"
           "/regenerate       draw the last answer anew, with the next seed\n"
           "/stats            tokens, speeds, context and memory\n"
           "/save FILE        keep conversation and settings in FILE\n"
           "/load FILE        go on with what /save kept\n"
           "/exit             leave (also Ctrl-D)\n"
           "\"\"\" begins and ends a text of several lines; a \\ at the end of a line goes on in the next.\n"
           "Ctrl-C stops the answer; twice at the prompt, it leaves.\n",
           "/help             显示这些命令\n"
           "/clear            清空对话\n"
           "/system 文本      设置系统提示并重新开始；不写文本则去掉\n"
           "/set 名称 值      修改设置，如 temperature；不写值则取消该设置；单独使用则列出全部\n"
           "/regenerate       用下一个种子重新生成上一个回答\n"
           "/stats            词元数、速度、上下文与内存\n"
           "/save 文件        把对话与设置保存到文件\n"
           "/load 文件        继续 /save 保存的对话\n"
           "/exit             退出（或 Ctrl-D）\n"
           "多行文本以 \"\"\" 开始和结束；行末的 \\ 表示下一行继续。\n"
           "Ctrl-C 停止当前回答；在提示符处连按两次退出。\n"));
}

void show_settings(const GenerationSettings& settings) {
  const OrderedJson json = to_json(settings);
  for (const auto& [name, value] : json.items()) {
    print(fmt::format("{} {}\n", name, to_json_text(value)));
  }
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t"), last = text.find_last_not_of(" \t");
  return first == text.npos ? std::string_view() : text.substr(first, last + 1 - first);
}

/// The first word, and what follows it.
std::pair<std::string, std::string> split_word(std::string_view text) {
  const size_t space = text.find_first_of(" \t\n");
  if (space == text.npos) return {std::string(text), ""};
  return {std::string(text.substr(0, space)), std::string(trimmed(text.substr(space + 1)))};
}

std::string require_file(const std::string& command, const std::string& rest) {
  if (rest.empty()) throw Error(ErrorCode::kUsage, "chat", command + ": expected the name of a file");
  return rest;
}

void save(const Conversation& conversation, const std::string& file, Lang lang) {
  try {
    conversation.save(file);
    note(trf(lang, "[saved in {}]\n", "[已保存到 {}]\n", printable(file, 300)));
  } catch (const Error& error) {  // a full disk is no reason to lose the conversation
    note(describe(error, name_of(lang)) + "\n");
  }
}

/// False where the command was to leave. Throws Error where it could not be done.
bool obey(const std::string& line, Conversation& conversation, Lang lang) {
  const auto [command, rest] = split_word(line);
  if (command == "/exit" || command == "/quit") return false;
  if (command == "/clear") {
    conversation.clear();
    note(tr(lang, "[a new conversation]\n", "[新的对话]\n"));
  } else if (command == "/system") {
    conversation.set_system(rest);
    note(rest.empty() ? tr(lang, "[no system text, a new conversation]\n", "[无系统提示，新的对话]\n")
                      : tr(lang, "[system text set, a new conversation]\n", "[已设置系统提示，新的对话]\n"));
  } else if (command == "/set") {
    const auto [name, value] = split_word(rest);
    if (name.empty()) {
      show_settings(conversation.settings());
    } else {
      conversation.set(name, value);
      note(fmt::format("[{} {}]\n", name, to_json_text(to_json(conversation.settings())[name])));
    }
  } else if (command == "/regenerate") {
    conversation.regenerate();
  } else if (command == "/stats") {
    print(conversation.stats());
  } else if (command == "/save") {
    save(conversation, require_file(command, rest), lang);
  } else if (command == "/load") {
    conversation.load(require_file(command, rest));
    note(trf(lang, "[loaded from {}]\n", "[已从 {} 载入]\n", printable(rest, 300)));
  } else {
    if (command != "/help") note(trf(lang, "no command {}\n", "没有命令 {}\n", printable(command)));
    print_help(lang);
  }
  return true;
}

/// One message: a line, the lines between two \"\"\", or lines that end in a backslash and the one after
/// them. `is_text` says that it is a message even where it begins like a command. One that is too long is
/// read to its end before Error(kUsage): what is left of it is no message of its own.
LineReader::Outcome read_message(LineReader& reader, std::string& message, bool& is_text,
                                 const CancelToken& cancel) {
  constexpr std::string_view kQuotes = "\"\"\"";
  std::string line;
  LineReader::Outcome outcome = reader.read("> ", line, cancel);
  message.clear();
  const bool is_quoted = line.compare(0, kQuotes.size(), kQuotes) == 0;
  is_text = is_quoted;
  if (is_quoted) line.erase(0, kQuotes.size());
  bool is_too_long = false;
  while (outcome == LineReader::Outcome::kLine) {
    const size_t n = line.size();
    const bool ends_quote =
        is_quoted && n >= kQuotes.size() && line.compare(n - kQuotes.size(), n, kQuotes) == 0;
    const bool goes_on = is_quoted ? !ends_quote : n > 0 && line.back() == '\\';
    if (ends_quote) line.erase(n - kQuotes.size());
    if (goes_on && !is_quoted) line.pop_back();
    is_too_long = is_too_long || message.size() + line.size() > kMaxMessageBytes;
    if (!is_too_long) message += line;
    if (!goes_on) break;
    if (!is_too_long) message += '\n';
    outcome = reader.read(". ", line, cancel);
  }
  if (is_too_long && outcome != LineReader::Outcome::kInterrupted) {
    throw Error(ErrorCode::kUsage, "chat", fmt::format("a message of more than {} bytes", kMaxMessageBytes));
  }
  // The end of input ends a message; Ctrl-C drops it.
  return outcome == LineReader::Outcome::kEnd && !message.empty() ? LineReader::Outcome::kLine : outcome;
}

/// Errors that end a conversation, also that nothing can be said any more; others are said, and it goes on.
bool ends_chat(const Error& error) {
  return error.code() == ErrorCode::kDevice || error.code() == ErrorCode::kIo ||
         error.code() == ErrorCode::kInternal || error.code() == ErrorCode::kCancelled;
}

void talk(Conversation& conversation, Context& context) {
  LineReader reader(chaski_home() / "chat_history", {std::begin(kCommands), std::end(kCommands)});
  bool was_interrupted = false;
  std::string message;
  bool is_text = false;
  while (true) {
    try {
      const LineReader::Outcome outcome = read_message(reader, message, is_text, context.cancel);
      if (outcome == LineReader::Outcome::kEnd) return;
      if (outcome == LineReader::Outcome::kInterrupted) {
        if (was_interrupted || !stdin_is_terminal())
          throw Error(ErrorCode::kCancelled, "chat", "left by Ctrl-C");
        was_interrupted = true;
        context.cancel.reset();
        note(tr(context.lang, "(Ctrl-C again or Ctrl-D leaves)\n", "（再按一次 Ctrl-C 或按 Ctrl-D 退出）\n"));
        continue;
      }
      was_interrupted = false;
      if (message.empty()) continue;
      if (is_text || message[0] != '/') {
        conversation.turn(message);
      } else if (!obey(message, conversation, context.lang)) {
        return;
      }
    } catch (const Error& error) {
      if (ends_chat(error)) throw;
      note(describe(error, name_of(context.lang)) + "\n");
    }
  }
}

void chat(const ChatOptions& options, Context& context) {
  constexpr bool kReusePrefixes = true;
  offer_pull(options.model, context);
  ModelText text = open_model_text(options.model);
  const PromptMaker prompts = prompt_maker(text, options.prompts);
  if (prompts.kind() != PromptMaker::Kind::kModel) {
    throw Error(ErrorCode::kUsage, "chat", "a conversation needs the model's own chat template",
                prompts.kind() == PromptMaker::Kind::kPlain
                    ? "this model has none; `chaski run MODEL -p TEXT` continues plain text"
                    : "leave out --template raw:…, or use `chaski run`");
  }
  const GenerationSettings settings = settings_for(*text.checkpoint, options.settings);
  const auto model =
      load_model(std::move(text), options.where, context, settings.max_length.value_or(0), kReusePrefixes);
  cancel_on_interrupt(context.cancel, false);
  note(trf(context.lang, "{}, loaded in {:.2f} s, seed {}. /help lists the commands.\n",
           "{}，加载用时 {:.2f} 秒，种子 {}。输入 /help 查看命令。\n", printable(options.model, 200),
           model->load_s, *settings.seed));
  note_oddities(*model, context.lang);
  Conversation conversation(*model, prompts, options.model, settings, context);
  talk(conversation, context);
}

}  // namespace

void add_chat(CLI::App& app, Context& context) {
  const auto options = std::make_shared<ChatOptions>();
  CLI::App* command = add_command(app, context, "chat", "hold a conversation", "多轮对话");
  add_model(*command, context, options->model);
  add_generation_options(*command, context, options->settings);
  add_prompt_options(*command, context, options->prompts);
  add_model_options(*command, context, options->where);
  command->callback(
      [options, &context] { context.action = [options, &context] { chat(*options, context); }; });
}

}  // namespace chaski::cli
