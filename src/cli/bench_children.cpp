// The hidden commands that `bench` starts this program with: one load, timed; one request again and again.
// What they print is read by lab/load_times.h and lab/soak.h.
#include "base/error.h"
#include "cli/commands.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "lab/own_process.h"
#include "lab/soak.h"
#include "machine/machine_info.h"

namespace chaski::cli {
namespace {

struct ChildOptions {
  std::string model;
  ModelOptions where;
  int64_t n_repeats = 1;
  int64_t n_tokens = 1;
};

/// With an engine for one sequence and without speculation, as the bench measures.
std::unique_ptr<LoadedModel> load(const ChildOptions& options, const Context& context) {
  end_with_parent();
  ModelOptions where = options.where;
  where.draft = "none";
  return load_model(open_model_text(options.model), where, context);
}

void probe_load(const ChildOptions& options, const Context& context) {
  const auto model = load(options, context);
  Request request;
  request.prompt = {0};
  request.sampling.temperature = 0;
  request.max_new_tokens = 1;
  const Answer answer = model->engine->generate(std::move(request), {}, &context.cancel);
  if (answer.finish_reason == FinishReason::kError) throw Error(answer.error_code, "load", answer.error);
  model->load_parts.first_token_s = answer.timings.ttft_s;
  LoadTimes::Load told;
  told.parts = model->load_parts;
  told.peak_rss_bytes = peak_rss_bytes();
  print_exactly(to_json_text(to_json(told)) + "\n");
}

void repeat(const ChildOptions& options, const Context& context) {
  const auto model = load(options, context);
  for (int64_t i = 0; i < options.n_repeats; ++i) {
    context.cancel.throw_if_cancelled("soak");
    print_exactly(
        to_json_text(to_json(soak_once(*model->engine, model->text.tokenizer(), options.n_tokens))) + "\n");
  }
}

std::pair<CLI::App*, std::shared_ptr<ChildOptions>> add_child(CLI::App& app, Context& context,
                                                              const std::string& name) {
  const auto options = std::make_shared<ChildOptions>();
  CLI::App* command = add_command(app, context, name, "started by bench", "由 bench 启动");
  command->group("");
  add_model(*command, context, options->model);
  add_model_options(*command, context, options->where, false);
  return {command, options};
}

}  // namespace

void add_bench_children(CLI::App& app, Context& context) {
  const auto [probe, probed] = add_child(app, context, "load-probe");
  probe->callback([options = probed, &context] {
    context.action = [options, &context] { probe_load(*options, context); };
  });
  const auto [worker, worked] = add_child(app, context, "soak-worker");
  worker->add_option("--repeats", worked->n_repeats);
  worker->add_option("--tokens", worked->n_tokens);
  worker->callback(
      [options = worked, &context] { context.action = [options, &context] { repeat(*options, context); }; });
}

}  // namespace chaski::cli
