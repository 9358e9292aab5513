// chaski compare RUN_A RUN_B: two records side by side, on screen or as one file. All that is said is
// computed in report/comparison.cpp and report/claims.cpp.
#include "cli/commands.h"
#include "cli/compare_judge.h"
#include "cli/report_file.h"
#include "cli/run_arguments.h"
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

void run_compare(const CompareOptions& options, const Context& context) {
  const Lang lang = context.lang;
  if (!options.out.empty()) check_report_name(options.out);
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
  const std::string run(tr(lang, "a run.json, its folder, or an id of `chaski history`",
                           "run.json、其所在目录，或 `chaski history` 中的编号"));
  command->add_option("RUN_A", options->a, run)->required();
  command->add_option("RUN_B", options->b, run)->required();
  command->add_option("--out", options->out,
                      std::string(tr(lang, "file to write: .html, .md, .json, .csv, .svg or .png",
                                     "输出文件：.html、.md、.json、.csv、.svg 或 .png")));
  add_judge_options(*command, lang, options->judging);
  command->callback(
      [options, &context] { context.action = [options, &context] { run_compare(*options, context); }; });
}

}  // namespace chaski::cli
