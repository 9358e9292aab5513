// chaski perplexity MODEL FILE: how well the model predicts a text. The definition is in the output itself.
#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "base/error.h"
#include "base/files.h"
#include "cli/commands.h"
#include "cli/models.h"
#include "cli/terminal.h"

namespace chaski::cli {
namespace {

constexpr std::string_view kDefinition =
    "the text's tokens, after bos where the tokenizer adds it, are read in windows of n_ctx that advance by "
    "stride; each "
    "token but the first is scored once, in the first window that holds it, given all tokens before it in "
    "that window; "
    "nll is the mean of -ln p in nats, perplexity is exp(nll)";
constexpr uint64_t kMaxTextBytes = 1u << 30;
constexpr int64_t kDefaultWindow = 1024;

struct PerplexityOptions {
  std::string model;
  std::string file;
  int64_t stride = 0;
  bool wants_json = false;  ///< which it prints anyway
  ModelOptions where;
};

/// −ln p of `target` under the softmax of `logits`, summed in float64.
double nll_of(const float* logits, int64_t vocab, int32_t target) {
  const double largest = *std::max_element(logits, logits + vocab);
  double sum = 0;
  for (int64_t i = 0; i < vocab; ++i) sum += std::exp(static_cast<double>(logits[i]) - largest);
  return std::log(sum) + largest - static_cast<double>(logits[target]);
}

struct Score {
  double nll_sum = 0;
  int64_t n_scored = 0;
};

Score score_windows(LoadedModel& model, const std::vector<int32_t>& ids, int64_t window, int64_t stride,
                    const Context& context) {
  const auto n = static_cast<int64_t>(ids.size());
  const int64_t vocab = model.model.config.vocab;
  Score score;
  Progress progress("perplexity");
  int64_t next = 1;  // the first token that no window has scored
  for (int64_t begin = 0; next < n; begin += stride) {
    const int64_t end = std::min(n, begin + window);
    model.engine->score(
        {ids.begin() + begin, ids.begin() + end}, [&](int64_t first, int64_t n_rows, const float* rows) {
          context.cancel.throw_if_cancelled("perplexity");
          for (int64_t row = 0; row < n_rows; ++row) {
            const int64_t target = begin + first + row + 1;
            if (target < next || target >= end) continue;
            score.nll_sum += nll_of(rows + row * vocab, vocab, ids[static_cast<size_t>(target)]);
            ++score.n_scored;
          }
          progress.show(std::min(n, begin + first + n_rows), n);
        });
    next = end;
  }
  return score;
}

void perplexity(const PerplexityOptions& options, Context& context) {
  const std::string text = read_text_file(options.file, kMaxTextBytes);
  ModelText model_text = open_model_text(options.model);
  const int64_t max_context = model_text.checkpoint->config().max_context;
  ModelOptions where = options.where;
  if (where.context == 0) where.context = std::min(kDefaultWindow, max_context);
  const int64_t window = where.context;
  const int64_t stride = options.stride == 0 ? std::max<int64_t>(1, window / 2) : options.stride;
  // A window's first token has nothing before it: with a longer stride, tokens would go unscored.
  if (window < 2 || window > max_context || stride < 1 || stride > window - 1) {
    throw Error(ErrorCode::kUsage, "perplexity",
                fmt::format("--ctx {} and --stride {}: expected a window of 2 to {} and a stride of 1 to the "
                            "window less 1",
                            window, stride, max_context));
  }
  EncodeOptions encoding;
  encoding.add_bos = model_text.tokenizer().add_bos();
  const bool has_bos = encoding.add_bos && model_text.tokenizer().bos().has_value();
  const std::vector<int32_t> ids = model_text.tokenizer().encode(text, encoding);
  if (ids.size() < 2) {
    throw Error(
        ErrorCode::kUsage, "perplexity",
        fmt::format("{}: {} tokens, at least 2 are needed", printable(options.file, 200), ids.size()));
  }
  const auto model = load_model(std::move(model_text), where, context);
  CHECK(model->engine->options().context == window, "a window of {} where {} was asked for",
        model->engine->options().context, window);
  const Stopwatch since_start;
  const Score score = score_windows(*model, ids, window, stride, context);
  const double nll = score.nll_sum / static_cast<double>(score.n_scored);
  if (!std::isfinite(nll)) {
    throw Error(ErrorCode::kDevice, "perplexity", fmt::format("the nll is {}: logits are not finite", nll),
                "run `chaski show` on the model; its weights may be damaged");
  }

  OrderedJson json;
  json["model"] = options.model;
  json["file"] = options.file;
  json["tokens"] = score.n_scored;
  json["nll"] = nll;
  json["perplexity"] = std::exp(nll);
  json["seconds"] = since_start.seconds();
  json["precision"] = name_of(model->device->precision());
  json["n_ctx"] = window;
  json["stride"] = stride;
  json["has_bos"] = has_bos;
  json["device_kind"] = model->device->info().device_kind;
  json["is_synthetic"] = model->is_synthetic();
  json["lora"] = model->lora.empty() ? OrderedJson(nullptr) : OrderedJson(model->lora);
  json["warnings"] = to_json(warnings_of(*model));
  json["definition"] = kDefinition;
  print_exactly(to_json_text(json) + "\n");
}

}  // namespace

void add_perplexity(CLI::App& app, Context& context) {
  const auto options = std::make_shared<PerplexityOptions>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "perplexity", "how well a model predicts a text; prints JSON",
                                  "模型对文本的困惑度；输出 JSON");
  add_model(*command, context, options->model);
  command->add_option("FILE", options->file, std::string(tr(lang, "a text file", "文本文件")))->required();
  command->add_option(
      "--stride", options->stride,
      std::string(tr(lang, "tokens from one window to the next, less than --ctx; by default half of it",
                     "窗口步长（词元），小于 --ctx；默认为其一半")));
  command->add_flag("--json", options->wants_json,
                    std::string(tr(lang, "JSON is what it prints anyway", "输出本来就是 JSON")));
  add_model_options(*command, context, options->where, false);
  command->get_option("--ctx")->description(
      std::string(tr(lang, "tokens of a window, at least 2; by default 1024 or the model's, if fewer",
                     "窗口长度（词元），至少 2；默认 1024，且不超过模型上限")));
  command->callback(
      [options, &context] { context.action = [options, &context] { perplexity(*options, context); }; });
}

}  // namespace chaski::cli
