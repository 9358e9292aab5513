#include "report/exports.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <utility>
#include <variant>

#include "base/utf8.h"
#include "report/text_safety.h"

namespace chaski {
namespace {

/// Nothing, a number, or a text that is not trusted.
using Cell = std::variant<std::monostate, int64_t, double, std::string>;

constexpr std::array<std::string_view, 19> kFigureColumns{
    "run",  "section", "name", "item", "sample", "value", "unit", "n",        "standard_error",
    "mean", "std",     "p90",  "p95",  "p99",    "min",   "max",  "ci95_low", "ci95_high",
    "note"};
constexpr std::array<std::string_view, 9> kRunColumns{
    "run", "kind", "started_at", "model", "model_hash", "suite", "device", "device_kind", "code_path"};

/// One figure of a run; what does not apply stays nothing.
struct Figure {
  std::string section;  ///< "metric", "summary", "result", "item", "score", …
  std::string name;
  Cell item, sample, value;
  std::string unit;
  Cell n, standard_error;
  const Metric* spread = nullptr;
  std::string note;
};

Cell cell_of(const std::optional<double>& value) { return value ? Cell(*value) : Cell(); }

using Figures = std::vector<Figure>;

void add_value(Figures& figures, std::string_view section, std::string_view name, Cell value,
               std::string_view unit) {
  Figure figure;
  figure.section = section;
  figure.name = name;
  figure.value = std::move(value);
  figure.unit = unit;
  figures.push_back(std::move(figure));
}

void add_summary(const RunRecord& record, Figures& figures) {
  const RunSummary& s = record.summary;
  const auto add = [&](std::string_view name, Cell value, std::string_view unit) {
    add_value(figures, "summary", name, std::move(value), unit);
  };
  add("load_s", s.load_s, "s");
  add("total_s", s.total_s, "s");
  add("wall_s", cell_of(s.wall_s), "s");
  add("mean_s", cell_of(s.mean_s), "s");
  add("n_answers", s.n_answers, "");
  add("n_prompt_tokens", s.n_prompt_tokens, "tokens");
  add("n_tokens", s.n_tokens, "tokens");
  add("mean_ttft_s", cell_of(s.mean_ttft_s), "s");
  add("tpot_s", cell_of(s.tpot_s), "s");
  add("decode_tokens_per_s", cell_of(s.decode_tokens_per_s), "tokens/s");
  add("peak_rss_bytes", s.peak_rss_bytes, "B");
  add("kv_bytes", s.kv_bytes, "B");
}

void add_metrics(const RunRecord& record, Figures& figures) {
  for (const NamedMetric& named : record.metrics) {
    add_value(figures, "metric", named.name, named.metric.median, named.unit);
    figures.back().n = static_cast<int64_t>(named.metric.samples.size());
    figures.back().spread = &named.metric;
  }
  for (const TaskResult& result : record.results) {
    add_value(figures, "result", result.metric, result.value, "");
    figures.back().item = result.task;
    figures.back().n = result.n;
    figures.back().standard_error = cell_of(result.standard_error);
  }
}

void add_items(const RunRecord& record, Figures& figures) {
  for (const AnswerRecord& item : record.items) {
    const auto add = [&](std::string_view name, Cell value, std::string_view unit) {
      add_value(figures, "item", name, std::move(value), unit);
      figures.back().item = item.id;
      figures.back().sample = item.sample;
    };
    add("seconds", item.seconds, "s");
    add("ttft_s", cell_of(item.ttft_s), "s");
    add("tpot_s", cell_of(item.tpot_s), "s");
    add("n_prompt_tokens", item.n_prompt_tokens, "tokens");
    add("n_tokens", item.n_tokens(), "tokens");
  }
  for (const ScoreRecord& score : record.scores) {
    if (score.score || !score.is_correct) {
      add_value(figures, "score", score.scorer, score.score ? Cell(int64_t{*score.score}) : Cell(), "");
    } else {  // a scorer of right and wrong alone
      add_value(figures, "score", score.scorer, int64_t{*score.is_correct}, "share");
    }
    figures.back().item = score.id;
    figures.back().sample = score.sample;
    figures.back().note = score.status;
  }
  for (const FailureRecord& failure : record.failures) {
    add_value(figures, "failure", traits_of(failure.code).name, {}, "");
    figures.back().item = failure.id;
    figures.back().sample = failure.sample;
    figures.back().note = failure.message;
  }
}

void add_machine_use(const RunRecord& record, Figures& figures) {
  for (const EnergyRecord& energy : record.energy) {
    add_value(figures, "energy", energy.source, cell_of(energy.joules), "J");
    figures.back().item = energy.phase;
    figures.back().n = energy.n_tokens;
    figures.back().note = energy.why_not;
    add_value(figures, "idle_power", energy.source, cell_of(energy.idle_watts), "W");
    figures.back().item = energy.phase;
  }
  if (record.memory) {
    const MemoryRecord& m = *record.memory;
    add_value(figures, "memory", "weight_bytes", m.weight_bytes, "B");
    add_value(figures, "memory", "kv_bytes", m.kv_bytes, "B");
    add_value(figures, "memory", "scratch_bytes", m.scratch_bytes, "B");
    add_value(figures, "memory", "peak_rss_bytes", m.peak_rss_bytes, "B");
    add_value(figures, "memory", "device_bytes", m.device_bytes ? Cell(*m.device_bytes) : Cell(), "B");
  }
  if (record.fallback_rate) {
    add_value(figures, "fallback_rate", "by_calls", record.fallback_rate->by_calls, "");
    add_value(figures, "fallback_rate", "by_time", record.fallback_rate->by_time, "");
    add_value(figures, "fallback_rate", "by_ops", record.fallback_rate->by_ops, "");
  }
  if (record.stability) {
    const StabilityRecord& s = *record.stability;
    const std::array<std::pair<std::string_view, int64_t>, 7> counts{
        {{"n_repeats", s.n_repeats},
         {"n_same_text", s.n_same_text},
         {"n_nonfinite", s.n_nonfinite},
         {"n_loops", s.n_loops},
         {"n_errors", s.n_errors},
         {"n_crashes", s.n_crashes},
         {"rss_growth_bytes", s.rss_growth_bytes}}};
    for (const auto& [name, value] : counts) {
      add_value(figures, "stability", name, value, name == "rss_growth_bytes" ? "B" : "");
    }
    add_value(figures, "stability", "seconds", s.seconds, "s");
  }
}

Figures figures_of(const RunRecord& record) {
  Figures figures;
  add_summary(record, figures);
  add_metrics(record, figures);
  add_items(record, figures);
  add_machine_use(record, figures);
  return figures;
}

/// In the order of kFigureColumns.
std::vector<Cell> cells_of(const std::string& run, const Figure& f) {
  std::vector<Cell> cells{run, f.section, f.name, f.item, f.sample, f.value, f.unit, f.n, f.standard_error};
  if (f.spread == nullptr) {
    cells.resize(cells.size() + 9);
  } else {
    const Metric& m = *f.spread;
    for (const double value : {m.mean, m.std, m.p90, m.p95, m.p99, m.range.low, m.range.high}) {
      cells.emplace_back(value);
    }
    cells.push_back(m.ci95 ? Cell(m.ci95->low) : Cell());
    cells.push_back(m.ci95 ? Cell(m.ci95->high) : Cell());
  }
  cells.emplace_back(f.note);
  return cells;
}

/// In the order of kRunColumns.
std::vector<Cell> facts_of_run(const ExportedRun& run) {
  const RunRecord& r = run.record;
  return {run.name,      r.kind,        r.summary.started_at, r.model.id,   r.model.hash,
          suite_name(r), r.device.name, r.device.device_kind, r.device.path};
}

template <typename Number>
std::string number_text(Number value, std::string_view where_not_finite) {
  return std::isfinite(static_cast<double>(value)) ? fmt::format("{}", value) : std::string(where_not_finite);
}

std::string csv_text(const Cell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell)) return csv_cell(*text);
  if (const auto* number = std::get_if<double>(&cell)) return number_text(*number, "");
  if (const auto* count = std::get_if<int64_t>(&cell)) return number_text(*count, "");
  return {};
}

/// A literal of the text. One with control characters goes as bytes: not all readers of SQL keep those.
std::string sql_literal(std::string_view untrusted) {
  const std::string text = replace_invalid_utf8(untrusted);
  const auto is_lost = [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t'; };
  std::string literal;
  for (const char c : text) {
    if (is_lost(c)) {
      literal = "CAST(x'";
      for (const char byte : text) literal += fmt::format("{:02x}", static_cast<unsigned char>(byte));
      return literal + "' AS TEXT)";
    }
    literal += c;
    if (c == '\'') literal += c;
  }
  return fmt::format("'{}'", literal);
}

std::string sql_text(const Cell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell)) return sql_literal(*text);
  if (const auto* number = std::get_if<double>(&cell)) return number_text(*number, "NULL");
  if (const auto* count = std::get_if<int64_t>(&cell)) return number_text(*count, "NULL");
  return "NULL";
}

/// The cells in one line, separated by commas.
std::string line_of(const std::vector<Cell>& cells, std::string (*text_of)(const Cell&)) {
  std::string line;
  for (const Cell& cell : cells) {
    if (!line.empty() || &cell != cells.data()) line += ',';
    line += text_of(cell);
  }
  return line;
}

std::string insert_into(std::string_view table, const std::vector<Cell>& cells) {
  return fmt::format("INSERT INTO {} VALUES({});\n", table, line_of(cells, sql_text));
}

template <typename Columns>
std::string create_table(std::string_view name, const Columns& columns) {
  return fmt::format("CREATE TABLE {} ({});\n", name, fmt::join(columns, ", "));
}

std::string begin_json() { return "["; }

std::string json_of_run(const ExportedRun& run, bool is_first) {
  return (is_first ? "\n" : ",\n") + to_json_text(to_json(run.record));
}

std::string begin_csv() {
  // Each figure's line begins with the facts of its run.
  return fmt::format("{},{}\n", fmt::join(kRunColumns, ","),
                     fmt::join(kFigureColumns.begin() + 1, kFigureColumns.end(), ","));
}

std::string csv_of_run(const ExportedRun& run, bool /*is_first*/) {
  const std::string facts = line_of(facts_of_run(run), csv_text);
  std::string text;
  for (const Figure& figure : figures_of(run.record)) {
    std::vector<Cell> cells = cells_of(run.name, figure);
    cells.erase(cells.begin());
    text += fmt::format("{},{}\n", facts, line_of(cells, csv_text));
  }
  return text;
}

std::string begin_sql() {
  constexpr std::array<std::string_view, 7> kAnswerColumns{"run",    "item",   "sample",       "type",
                                                           "prompt", "answer", "finish_reason"};
  std::vector<std::string_view> columns(kRunColumns.begin(), kRunColumns.end());
  columns.push_back("record");
  return "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n" + create_table("runs", columns) +
         create_table("figures", kFigureColumns) + create_table("answers", kAnswerColumns);
}

std::string sql_of_run(const ExportedRun& run, bool /*is_first*/) {
  std::vector<Cell> facts = facts_of_run(run);
  facts.emplace_back(to_json_text(to_json(run.record)));
  std::string text = insert_into("runs", facts);
  for (const Figure& figure : figures_of(run.record)) {
    text += insert_into("figures", cells_of(run.name, figure));
  }
  for (const AnswerRecord& item : run.record.items) {
    text += insert_into(
        "answers", {run.name, item.id, item.sample, item.type, item.prompt, item.answer, item.finish_reason});
  }
  return text;
}

constexpr std::array<ExportFormat, 3> kFormats{{{".json", begin_json, json_of_run, "\n]\n"},
                                                {".csv", begin_csv, csv_of_run, ""},
                                                {".sql", begin_sql, sql_of_run, "COMMIT;\n"}}};

}  // namespace

const ExportFormat* find_export_format(std::string_view extension) {
  for (const ExportFormat& format : kFormats) {
    if (format.extension == extension) return &format;
  }
  return nullptr;
}

std::string export_text(const ExportFormat& format, std::span<const ExportedRun> runs) {
  std::string text = format.begin();
  for (const ExportedRun& run : runs) text += format.run(run, &run == runs.data());
  return text.append(format.end);
}

}  // namespace chaski
