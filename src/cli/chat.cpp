// chaski chat MODEL: a conversation. The whole of it is rendered again for each turn, as the model was
// trained to see it; the engine reuses what it has computed. Reading lines is in line_reader.cpp.
#include "cli/commands.h"
#include "cli/line_reader.h"
#include "cli/models.h"
#include "cli/terminal.h"

namespace chaski::cli {
namespace {

struct ChatOptions {
  std::string model;
  ModelOptions where;
  GenerationSettings settings;
  PromptOptions prompts;
};

class Conversation {
 public:
  Conversation(LoadedModel& model, const PromptMaker& prompts, GenerationSettings settings, Context& context)
      : model_(model), prompts_(prompts), settings_(std::move(settings)), context_(context) {
    clear();
  }

  void clear() {
    messages_ = OrderedJson::array();
    if (settings_.system) messages_.push_back({{"role", "system"}, {"content", *settings_.system}});
  }
  /// An empty text takes the system message away.
  void set_system(const std::string& text) {
    settings_.system = text.empty() ? std::nullopt : std::optional(text);
    clear();
  }

  /// Ask, stream the answer, keep both; what Ctrl-C stopped is kept as far as it came. A turn that fails is
  /// said and forgotten, unless the device is lost or nothing can be said any more.
  void turn(const std::string& text) {
    OrderedJson with_question = messages_;
    with_question.push_back({{"role", "user"}, {"content", text}});
    try {
      const Answer answer = ask(prompts_.conversation(with_question).ids);
      if (answer.finish_reason == FinishReason::kError) {
        say_failed(Error(answer.error_code, "chat", answer.error));
        return;
      }
      with_question.push_back({{"role", "assistant"}, {"content", answer.text}});
      messages_ = std::move(with_question);
      print_figures(answer);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kDevice || error.code() == ErrorCode::kIo) throw;
      say_failed(error);
    }
  }

 private:
  Answer ask(std::vector<int32_t> ids) {
    Answer answer = model_.engine->generate(
        request_of(settings_, model_.text.checkpoint->config().eos, std::move(ids)),
        [](std::string_view piece) { print(piece); }, &context_.cancel);
    context_.cancel.reset();
    print("\n");
    return answer;
  }

  void say_failed(const Error& error) const {
    note(describe(error, name_of(context_.lang)) + "\n");
    note(tr(context_.lang, "This turn was not kept; /clear begins a new conversation.\n",
            "这一轮未保留；/clear 可开始新的对话。\n"));
  }

  void print_figures(const Answer& answer) const {
    const std::optional<double> gap_s = tpot_s(answer);
    const std::string speed = gap_s ? fmt::format("{:.1f}", 1 / *gap_s) : "–";
    std::string_view end;
    if (answer.finish_reason == FinishReason::kCancelled) end = tr(context_.lang, ", stopped", "，已停止");
    if (answer.finish_reason == FinishReason::kLength)
      end = tr(context_.lang, ", cut by the length limit", "，达到长度上限");
    note(trf(context_.lang, "[{} tokens, {} tok/s, TTFT {:.2f} s, prompt {} tokens{}]\n",
             "[{} 词元，{} 词元/秒，首词元 {:.2f} 秒，提示词 {} 词元{}]\n", answer.ids.size(), speed,
             answer.timings.ttft_s, answer.n_prompt, end));
  }

  LoadedModel& model_;
  const PromptMaker& prompts_;
  GenerationSettings settings_;
  Context& context_;
  OrderedJson messages_;
};

void print_help(Lang lang) {
  print(tr(lang,
           "/help           these commands\n"
           "/clear          forget the conversation\n"
           "/system TEXT    set the system text and begin anew; without TEXT, take it away\n"
           "/exit           leave (also Ctrl-D)\n"
           "Ctrl-C stops the answer; twice at the prompt, it leaves.\n",
           "/help           显示这些命令\n"
           "/clear          清空对话\n"
           "/system 文本    设置系统提示并重新开始；不写文本则去掉\n"
           "/exit           退出（或 Ctrl-D）\n"
           "Ctrl-C 停止当前回答；在提示符处连按两次退出。\n"));
}

/// False where the command was to leave.
bool obey(const std::string& line, Conversation& conversation, Lang lang) {
  const size_t space = line.find(' ');
  const std::string command = line.substr(0, space);
  const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
  if (command == "/exit" || command == "/quit") return false;
  if (command == "/clear") {
    conversation.clear();
    note(tr(lang, "[a new conversation]\n", "[新的对话]\n"));
  } else if (command == "/system") {
    conversation.set_system(rest);
    note(rest.empty() ? tr(lang, "[no system text, a new conversation]\n", "[无系统提示，新的对话]\n")
                      : tr(lang, "[system text set, a new conversation]\n", "[已设置系统提示，新的对话]\n"));
  } else {
    if (command != "/help") note(trf(lang, "no command {}\n", "没有命令 {}\n", printable(command)));
    print_help(lang);
  }
  return true;
}

void talk(Conversation& conversation, Context& context) {
  LineReader reader("> ");
  bool was_interrupted = false;
  std::string line;
  while (true) {
    const LineReader::Outcome outcome = reader.read(line, context.cancel);
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
    if (line.empty()) continue;
    if (line[0] != '/') {
      conversation.turn(line);
    } else if (!obey(line, conversation, context.lang)) {
      return;
    }
  }
}

void chat(const ChatOptions& options, Context& context) {
  constexpr bool kReusePrefixes = true;
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
  Conversation conversation(*model, prompts, settings, context);
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
