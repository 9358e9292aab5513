// chaski compare RUN_A RUN_B: two records side by side, on screen or as one file. All that is said is
// computed in report/comparison.cpp and report/claims.cpp.
#include "base/error.h"
#include "cli/commands.h"
#include "cli/compare_judge.h"
#include "cli/report_file.h"
#include "cli/run_arguments.h"
#include "cli/run_folders.h"
#include "cli/terminal.h"
#include "report/compare_data.h"
#include "report/compare_html.h"
#include "report/compare_markdown.h"

namespace chaski::cli {
namespace {

struct CompareOptions {
  std::string a, b, out;
  ScoringOptions judging;
};

/// One argument is a folder of two runs, as a review leaves it.
CompareOptions with_both_runs(CompareOptions options) {
  if (!options.b.empty()) return options;
  const std::vector<std::filesystem::path> runs =
      holds_runs(options.a) ? run_folders_in(options.a) : std::vector<std::filesystem::path>();
  if (runs.size() != 2) {
    throw Error(ErrorCode::kUsage, "compare",
                runs.empty() ? "expected two runs, or a review's folder, found one run"
                             : fmt::format("{}: expected a folder of two runs, found {}",
                                           printable(options.a, 400), runs.size()),
                "chaski compare RUN_A RUN_B");
  }
  options.a = runs[0].string();
  options.b = runs[1].string();
  return options;
}

void run_compare(const CompareOptions& given, const Context& context) {
  const Lang lang = context.lang;
  if (!given.out.empty()) check_report_name(given.out);
  const CompareOptions options = with_both_runs(given);
  const RunRecord a = find_run(options.a);
  const RunRecord b = find_run(options.b);
  Comparison comparison = compare(a, b, options.a, options.b, lang);
  if (!options.judging.judge.empty()) judge_comparison(comparison, options.judging, context);
  if (options.out.empty()) {
    print(compare_terminal(comparison, lang));
    return;
  }
  ReportMakers makers;
  makers.html = [&] { return compare_html(comparison, lang); };
  makers.markdown = [&] { return compare_markdown(comparison, lang); };
  makers.json = [&] { return to_json_text(compare_json(comparison), 2) + "\n"; };
  makers.csv = [&] { return compare_csv(comparison); };
  makers.picture = [&] { return compare_picture(comparison, lang); };
  write_report(options.out, makers);
  print(trf(lang, "{}\n{}\n", "{}\n{}\n", verdict_summary(comparison, lang), options.out));
}

}  // namespace

void add_compare(CLI::App& app, Context& context) {
  const auto options = std::make_shared<CompareOptions>();
  const Lang lang = context.lang;
  CLI::App* command =
      add_command(app, context, "compare", "two runs side by side, with what the data support",
                  "对比两次运行，并说明数据支持哪些结论");
  command
      ->add_option(
          "RUN_A", options->a,
          std::string(tr(lang, "a run.json, its folder, or an id of `chaski history`; or a review's folder",
                         "run.json、其所在目录，或 `chaski history` 中的编号；也可为 review 的输出目录")))
      ->required();
  command->add_option(
      "RUN_B", options->b,
      std::string(tr(lang, "the other run, unless RUN_A is a review's folder, which holds both",
                     "另一次运行；RUN_A 为 review 的输出目录时不需要")));
  command->add_option("--out", options->out,
                      std::string(tr(lang, "file to write: .html, .md, .json, .csv, .svg or .png",
                                     "输出文件：.html、.md、.json、.csv、.svg 或 .png")));
  add_judge_options(*command, lang, options->judging);
  command->callback(
      [options, &context] { context.action = [options, &context] { run_compare(*options, context); }; });
}

}  // namespace chaski::cli
