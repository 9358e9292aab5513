#include "cli/output_report.h"

#include "base/json.h"
#include "cli/models.h"
#include "format/lora.h"
#include "report/text_safety.h"

namespace chaski::cli {
namespace {

double rate(uint64_t bytes, double seconds) {
  return seconds > 0 ? static_cast<double>(bytes) / 1e6 / seconds : 0;
}
double megabytes(uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

OrderedJson facts_of(const OutputReport& report, const WrittenModel& written) {
  OrderedJson types = OrderedJson::object();
  for (const OutputReport::Types& type : report.types) {
    types[std::string(name_of(type.dtype))] = {{"weights", type.n_weights}, {"bytes", type.bytes}};
  }
  OrderedJson fallbacks = OrderedJson::array();
  for (const OutputReport::Fallback& fallback : report.fallbacks) {
    fallbacks.push_back({{"wanted", name_of(fallback.wanted)},
                         {"used", name_of(fallback.used)},
                         {"weights", fallback.n_weights},
                         {"rows", fallback.n_rows}});
  }
  return {{"model", written.model},
          {"out", written.target},
          {"format", written.format},
          {"is_synthetic", written.is_synthetic},
          {"parameters", report.n_parameters},
          {"types", std::move(types)},
          {"fallbacks", std::move(fallbacks)},
          {"bytes_before", report.bytes_before},
          {"bytes_after", report.bytes_after},
          {"file_bytes", report.file_bytes},
          {"bits_per_weight", report.bits_per_weight()},
          {"weights", report.n_weights},
          {"weights_continued", report.n_continued},
          {"write_s", report.write_s},
          {"sync_s", report.sync_s},
          {"read_mb_per_s", rate(report.bytes_before, report.write_s)},
          {"written_mb_per_s", rate(report.bytes_after, report.write_s)}};
}

std::string lines_of(const OutputReport& report, const WrittenModel& written, Lang lang) {
  std::string text;
  if (report.n_continued > 0) {
    text += trf(lang, "continued: {} of {} weights were written by an earlier run\n",
                "续写：{} / {} 个权重已由先前的运行写好\n", report.n_continued, report.n_weights);
  }
  for (const OutputReport::Types& type : report.types) {
    text += trf(lang, "{} {:5} weights {:>10.1f} MB\n", "{} {:5} 个权重 {:>10.1f} MB\n",
                pad_right(name_of(type.dtype), 8), type.n_weights, megabytes(type.bytes));
  }
  for (const OutputReport::Fallback& fallback : report.fallbacks) {
    text += trf(lang, "{} instead of {}: {} weights, {} rows whose length its blocks do not divide\n",
                "{} 代替 {}：{} 个权重共 {} 行，行长不是块的整数倍\n", name_of(fallback.used),
                name_of(fallback.wanted), fallback.n_weights, fallback.n_rows);
  }
  text += trf(lang, "{:.1f} MB to {:.1f} MB, {:.2f} bits per weight\n",
              "{:.1f} MB 变为 {:.1f} MB，每权重 {:.2f} 位\n", megabytes(report.bytes_before),
              megabytes(report.bytes_after), report.bits_per_weight());
  text +=
      trf(lang, "written in {:.2f} s ({:.0f} MB/s read, {:.0f} MB/s written), synced in {:.2f} s\n",
          "写入用时 {:.2f} 秒（读 {:.0f} MB/s，写 {:.0f} MB/s），落盘用时 {:.2f} 秒\n", report.write_s,
          rate(report.bytes_before, report.write_s), rate(report.bytes_after, report.write_s), report.sync_s);
  text += fmt::format("{}\n", strip_controls(written.target));
  return text;
}

}  // namespace

void add_write_options(CLI::App& command, const Context& context, WriteModelOptions& o) {
  const Lang lang = context.lang;
  command
      .add_option("-t,--threads", o.n_threads,
                  std::string(tr(lang, "threads; 0: one per core", "线程数；0 表示每核一个")))
      ->check(CLI::Range(0, 1024));
  command.add_flag(
      "--force", o.replaces,
      std::string(tr(lang, "replace OUT where it is a file that is there", "OUT 是已有文件时覆盖")));
  command.add_flag(
      "--allow-nonfinite", o.allow_nonfinite,
      std::string(tr(lang, "go on where weights are NaN or infinite", "权重含 NaN 或无穷时仍继续")));
  command.add_option(
      "--lora", o.adapter,
      std::string(tr(lang, "folder of a LoRA adapter to merge first", "先合并此目录中的 LoRA 适配器")));
  command.add_flag("--json", o.wants_json, std::string(tr(lang, "facts as JSON", "以 JSON 输出结果")));
}

std::shared_ptr<const Checkpoint> open_to_write(const std::string& model, const WriteModelOptions& options,
                                                DType merged, const Context& context) {
  auto checkpoint = Checkpoint::open(resolve_model(model));
  if (!options.adapter.empty()) checkpoint = with_lora(std::move(checkpoint), options.adapter, merged);
  const auto embedding = checkpoint->find("model.embed_tokens.weight");
  if (embedding != nullptr && format_of(embedding->dtype()).is_quantized()) {
    note(trf(context.lang,
             "note: the model is quantised already ({}); what it lost stays lost, and each new format adds "
             "to it\n",
             "注意：模型已经量化过（{}）；已损失的精度不会恢复，再次换格式还会增加损失\n",
             name_of(embedding->dtype())));
  }
  if (checkpoint->is_synthetic()) {
    note(tr(context.lang, "note: random weights (synthetic model); the file is for speed only\n",
            "注意：合成模型，权重为随机数，所得文件仅供测速\n"));
  }
  return checkpoint;
}

OutputOptions output_options(const WriteModelOptions& options, const Context& context, Progress& progress) {
  return {.n_threads = options.n_threads,
          .replaces = options.replaces,
          .allow_nonfinite = options.allow_nonfinite,
          .adapter = options.adapter,
          .cancel = &context.cancel,
          .on_progress = [&progress](uint64_t done, uint64_t total) {
            progress.show(static_cast<int64_t>(done), static_cast<int64_t>(total));
          }};
}

void print_report(const OutputReport& report, const WrittenModel& written, bool wants_json, Lang lang) {
  if (wants_json) {
    print_exactly(to_json_text(facts_of(report, written), 2) + "\n");
  } else {
    print(lines_of(report, written, lang));
  }
}

}  // namespace chaski::cli
