// One function per command: registers its options and leaves in the context what it does.
#pragma once

#include "cli/options.h"

namespace chaski::cli {

void add_pull(CLI::App& app, Context& context);
void add_list(CLI::App& app, Context& context);
void add_verify(CLI::App& app, Context& context);
void add_rm(CLI::App& app, Context& context);
void add_doctor(CLI::App& app, Context& context);
void add_run(CLI::App& app, Context& context);
void add_chat(CLI::App& app, Context& context);
void add_eval(CLI::App& app, Context& context);
void add_score(CLI::App& app, Context& context);
void add_review(CLI::App& app, Context& context);
void add_perplexity(CLI::App& app, Context& context);
void add_tokenize(CLI::App& app, Context& context);
void add_render(CLI::App& app, Context& context);
void add_show(CLI::App& app, Context& context);
void add_bench(CLI::App& app, Context& context);
void add_bench_children(CLI::App& app, Context& context);
void add_compare(CLI::App& app, Context& context);
void add_report(CLI::App& app, Context& context);
void add_history(CLI::App& app, Context& context);
void add_quantize(CLI::App& app, Context& context);
void add_convert(CLI::App& app, Context& context);

}  // namespace chaski::cli
