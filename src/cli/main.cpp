// The command line: reads it, runs one command, and is the one place that turns what went wrong into words
// and an exit status. The commands are in their own files, one each.
#include <csignal>
#include <cstring>
#include <exception>
#include <new>

#include "base/error.h"
#include "cli/build_info.h"
#include "cli/commands.h"
#include "cli/help_page.h"
#include "cli/terminal.h"

namespace chaski::cli {
namespace {

/// --lang as given anywhere, else the locale's: needed before the options exist, since their help is in this
/// language.
Lang requested_lang(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg(argv[i]);
    std::string_view value;
    if (arg == "--lang" && i + 1 < argc) {
      value = argv[i + 1];
    } else if (arg.rfind("--lang=", 0) == 0) {
      value = arg.substr(7);
    } else {
      continue;
    }
    if (value == "zh") return Lang::kZh;
    if (value == "en") return Lang::kEn;
    throw Error(ErrorCode::kUsage, "command line",
                fmt::format("--lang: expected zh or en, found \"{}\"", printable(value)));
  }
  return lang_of_locale();
}

void add_help_and_version(CLI::App& app, Context& context) {
  const Lang lang = context.lang;
  app.add_flag("--version", context.wants_version, std::string(tr(lang, "print the version", "显示版本")));
  add_lang(app, context);
  CLI::App* version = add_command(app, context, "version", "print version and build", "显示版本与构建信息");
  const auto wants_json = std::make_shared<bool>(false);
  version->add_flag("--json", *wants_json, std::string(tr(lang, "as JSON", "以 JSON 输出")));
  version->callback([&context, wants_json] {
    context.action = [is_json = *wants_json] { print(is_json ? version_json() : version_text()); };
  });
  CLI::App* help =
      add_command(app, context, "help", "print this help, or a command's", "显示本帮助或某个命令的帮助");
  const auto path = std::make_shared<std::vector<std::string>>();
  help->add_option("COMMAND", *path, std::string(tr(lang, "whose help to print", "要显示帮助的命令")));
  help->callback([&app, &context, path] {
    context.action = [&app, &context, path] { print(help_page(app, *path, context.lang)); };
  });
}

void parse(CLI::App& app, Context& context, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const std::string text = app.help();
    context.action = [text] { print(text); };
  } catch (const CLI::ParseError& error) {
    if (const auto unknown = unknown_word(app, context.lang)) throw *unknown;
    throw Error(
        ErrorCode::kUsage, "command line", printable(error.what(), 400),
        std::string(tr(context.lang, "`chaski help` lists the commands, `chaski help COMMAND` its options",
                       "`chaski help` 列出命令，`chaski help 命令` 列出其选项")));
  }
  if (context.action) return;
  if (context.wants_version) {
    context.action = [] { print(version_text()); };
  } else {
    throw Error(ErrorCode::kUsage, "command line",
                std::string(tr(context.lang, "no command was given", "没有给出命令")),
                std::string(tr(context.lang, "`chaski help` lists the commands", "`chaski help` 列出命令")));
  }
}

void run_command_line(int argc, char** argv, Context& context) {
  context.lang = requested_lang(argc, argv);
  CLI::App app(
      std::string(tr(context.lang, "chaski runs, measures and compares Llama models on this computer.",
                     "chaski：在本机运行、测量、比较 Llama 系列模型。")),
      "chaski");
  app.formatter(make_help_formatter(context.lang));
  app.option_defaults()->group(std::string(tr(context.lang, "Options", "选项")));
  app.set_help_flag("-h,--help", std::string(tr(context.lang, "print this help", "显示本帮助")));
  app.require_subcommand(0, 1);
  add_doctor(app, context);
  add_pull(app, context);
  add_list(app, context);
  add_verify(app, context);
  add_rm(app, context);
  add_run(app, context);
  add_chat(app, context);
  add_eval(app, context);
  add_score(app, context);
  add_review(app, context);
  add_perplexity(app, context);
  add_tokenize(app, context);
  add_render(app, context);
  add_show(app, context);
  add_bench(app, context);
  add_bench_children(app, context);
  add_compare(app, context);
  add_report(app, context);
  add_history(app, context);
  add_quantize(app, context);
  add_convert(app, context);
  add_help_and_version(app, context);
  parse(app, context, argc, argv);
  context.action();
}

int report(const Error& error, Lang lang) {
  note(describe(error, name_of(lang)) + "\n");
  return traits_of(error.code()).exit_status;
}

int guarded_main(int argc, char** argv) {
  open_closed_streams();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on the size of files is then an error of the write
  static Context context;         // lives as long as a signal may come
  cancel_on_interrupt(context.cancel, true);
  try {
    run_command_line(argc, argv, context);
    return 0;
  } catch (const OutputClosed&) {
    return 0;
  } catch (const Error& error) {
    return report(error, context.lang);
  } catch (const std::bad_alloc&) {
    return report(Error(ErrorCode::kOutOfMemory, "run", "an allocation failed",
                        "close other programs, or take a smaller model or --ctx"),
                  context.lang);
  } catch (const std::exception& error) {
    return report(Error(ErrorCode::kInternal, "run", printable(error.what(), 400)), context.lang);
  }
}

}  // namespace
}  // namespace chaski::cli

int main(int argc, char** argv) { return chaski::cli::guarded_main(argc, argv); }
