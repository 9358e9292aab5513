// chaski report RUN: one record as a page, a table or data.
#include "cli/commands.h"
#include "cli/report_file.h"
#include "cli/run_arguments.h"
#include "cli/terminal.h"
#include "report/eval_report.h"
#include "report/report_html.h"

namespace chaski::cli {
namespace {

struct ReportOptions {
  std::string run, out;
};

void run_report(const ReportOptions& options, Lang lang) {
  if (!options.out.empty()) check_report_name(options.out);
  const RunRecord record = find_run(options.run);
  if (options.out.empty()) {
    print(report_terminal(record, lang));
    return;
  }
  ReportMakers makers;
  makers.html = [&] { return report_html(record, options.run, lang); };
  makers.markdown = [&] { return eval_markdown(record, lang); };
  makers.json = [&] { return to_json_text(to_json(record), 2) + "\n"; };
  makers.csv = [&] { return report_csv(record); };
  makers.picture = [&] { return report_picture(record, lang); };
  write_report(options.out, makers);
  print(options.out + "\n");
}

}  // namespace

void add_report(CLI::App& app, Context& context) {
  const auto options = std::make_shared<ReportOptions>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "report", "one run as a page, a table or data",
                                  "把一次运行输出为网页、表格或数据");
  command
      ->add_option("RUN", options->run,
                   std::string(tr(lang, "a run.json, its folder, or an id of `chaski history`",
                                  "run.json、其所在目录，或 `chaski history` 中的编号")))
      ->required();
  command->add_option("--out", options->out,
                      std::string(tr(lang, "file to write: .html, .md, .json, .csv, .svg or .png",
                                     "输出文件：.html、.md、.json、.csv、.svg 或 .png")));
  command->callback(
      [options, &context] { context.action = [options, &context] { run_report(*options, context.lang); }; });
}

}  // namespace chaski::cli
