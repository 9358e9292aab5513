#include "lab/ascend_published.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/error.h"
#include "lab/csv.h"
#include "report/statistics.h"

namespace chaski {
namespace {

constexpr int64_t kMostCount = int64_t{1} << 32;

/// The fields of one line by the names of the columns.
class Line {
 public:
  Line(const CsvRow& head, const CsvRow& row, std::string_view where) : row_(row), where_(where) {
    if (row.fields.size() != head.fields.size()) {
      throw Error(ErrorCode::kCorrupt, "read published figures",
                  fmt::format("{}:{}: expected {} fields, found {}", where, row.line, head.fields.size(),
                              row.fields.size()));
    }
    for (size_t i = 0; i < head.fields.size(); ++i) columns_[head.fields[i]] = i;
  }

  const std::string& text(const std::string& column) const {
    const auto at = columns_.find(column);
    if (at == columns_.end()) refuse(column, "there is no such column");
    return row_.fields[at->second];
  }
  int64_t count(const std::string& column) const {
    const std::string& value = text(column);
    int64_t n = 0;
    const char* end = value.data() + value.size();
    const auto [stop, fault] = std::from_chars(value.data(), end, n);
    if (fault != std::errc() || stop != end || n < 0 || n > kMostCount) refuse(column, "expected a count");
    return n;
  }
  double milliseconds(const std::string& column) const {
    const std::string& value = text(column);
    double ms = 0;
    const char* end = value.data() + value.size();
    const auto [stop, fault] = std::from_chars(value.data(), end, ms);
    if (fault != std::errc() || stop != end || !(ms > 0) || !(ms < 1e9)) refuse(column, "expected ms");
    return ms;
  }
  /// Whether it is `yes`; the only other choice is `no`.
  bool is(const std::string& column, std::string_view yes, std::string_view no) const {
    const std::string& value = text(column);
    if (value != yes && value != no) refuse(column, fmt::format("expected {} or {}", yes, no));
    return value == yes;
  }
  [[noreturn]] void refuse(const std::string& column, const std::string& what) const {
    throw Error(ErrorCode::kCorrupt, "read published figures",
                fmt::format("{}:{}: {}: {}", where_, row_.line, column, what));
  }

 private:
  const CsvRow& row_;
  std::string_view where_;
  std::map<std::string, size_t> columns_;
};

DType weights_in(const Line& line) {
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kQ8_0, DType::kQ4_0}) {
    if (line.text("weights") == name_of(dtype)) return dtype;
  }
  line.refuse("weights", "expected bf16, f16, q8_0 or q4_0");
}

PublishedStep step_in(const Line& line) {
  PublishedStep found;
  found.id = line.text("id");
  found.program = line.text("program");
  found.source = line.text("source");
  found.card = find_ascend_card(line.text("card"));
  if (found.card == nullptr) line.refuse("card", "expected 910b1, 910b2, 910b3, 910b4 or 910b4-1");
  found.is_card_named = line.is("is_card_named", "1", "0");
  found.is_captured = line.is("mode", "captured", "eager");
  found.is_prefill = line.is("phase", "prefill", "decode");
  ModelConfig config;
  config.n_layers = line.count("layers");
  config.hidden = line.count("hidden");
  config.ffn = line.count("ffn");
  config.n_heads = line.count("heads");
  config.n_kv_heads = line.count("kv_heads");
  config.head_dim = line.count("head_dim");
  config.vocab = line.count("vocab");
  config.max_context = int64_t{1} << 24;
  config.tie_embeddings = line.is("is_tied", "1", "0");
  config.validate(found.id);
  found.shape = ascend_shape(config, weights_in(line));
  found.step = {line.count("tokens"), 1, line.count("context"), 1};
  if (found.step.n_rows < 1 || found.step.context < found.step.n_rows)
    line.refuse("tokens", "beyond context");
  found.n_matrix = config.n_layers * line.count("matrix_per_layer") + line.count("matrix_per_step");
  found.n_vector = config.n_layers * line.count("vector_per_layer") + line.count("vector_per_step");
  found.ms_low = line.milliseconds("ms_low");
  found.ms_high = line.milliseconds("ms_high");
  return found;
}

bool is_of(const PublishedStep& published, ModelledPhase phase) {
  if (published.is_prefill) return phase == ModelledPhase::kPrefill;
  return phase == (published.is_captured ? ModelledPhase::kCapturedDecode : ModelledPhase::kEagerDecode);
}

std::string_view name_of(ModelledPhase phase) {
  switch (phase) {
    case ModelledPhase::kCapturedDecode:
      return "captured decoding";
    case ModelledPhase::kEagerDecode:
      return "eager decoding";
    case ModelledPhase::kPrefill:
      return "prefill";
  }
  return "";
}

std::string percent_of(double error) {
  return fmt::format("{}{:.0f} %", error < 0 ? "−" : "+", std::abs(100 * error));
}

}  // namespace

std::vector<PublishedStep> parse_published_steps(std::string_view csv, std::string_view where) {
  const std::vector<CsvRow> rows = parse_csv(csv, where);
  std::vector<PublishedStep> steps;
  for (size_t i = 1; i < rows.size(); ++i) steps.push_back(step_in(Line(rows[0], rows[i], where)));
  return steps;
}

const std::vector<PublishedStep>& published_steps() {
  static const std::vector<PublishedStep> kSteps =
      parse_published_steps(ascend_published_csv(), "ascend_published.csv");
  return kSteps;
}

ModelledTime modelled_ms(const PublishedStep& published) {
  std::vector<ModelledOp> ops = ops_of_step(published.shape, published.step);
  for (ModelledOp& op : ops) op.launches = 0;  // the program's own are counted instead
  const double card_s = seconds_of(ops, *published.card, published.shape.is_bf16) +
                        static_cast<double>(published.n_matrix) * kMatrixOpSeconds +
                        static_cast<double>(published.n_vector) * kVectorOpSeconds;
  const ModelledTime time = step_time(card_s, published.n_matrix + published.n_vector, published.is_captured);
  return {1e3 * time.low_s, 1e3 * time.high_s};
}

double error_of(const PublishedStep& published) {
  const ModelledTime ms = modelled_ms(published);
  const double measured = (published.ms_low + published.ms_high) / 2;
  return (std::clamp(measured, ms.low_s, ms.high_s) - measured) / measured;
}

ModelError error_over(ModelledPhase phase) {
  std::vector<double> errors;
  for (const PublishedStep& published : published_steps()) {
    if (is_of(published, phase)) errors.push_back(error_of(published));
  }
  CHECK(!errors.empty(), "no published figures of {}", name_of(phase));
  const auto n = static_cast<int64_t>(errors.size());
  const Metric metric = summarize(std::move(errors));
  return {n, metric.range.low, metric.median, metric.range.high};
}

OrderedJson to_json(const ModelError& error) {
  return {{"published_figures", error.n}, {"low", error.low}, {"median", error.median}, {"high", error.high}};
}

std::string error_text(ModelledPhase phase) {
  const ModelError error = error_over(phase);
  return fmt::format("on {} published figures of {} it was off by {} to {}, median {}", error.n,
                     name_of(phase), percent_of(error.low), percent_of(error.high), percent_of(error.median));
}

}  // namespace chaski
