#include "convert/gguf_output.h"

#include <algorithm>
#include <optional>

#include "base/clock.h"
#include "base/threads.h"
#include "convert/gguf_metadata.h"
#include "convert/weight_writer.h"
#include "format/gguf_from_model.h"
#include "format/gguf_names.h"
#include "format/gguf_writer.h"

namespace chaski {
namespace {

/// Every weight with the type it gets: planned by the format's name, or as it is stored.
std::vector<PlannedWeight> types_of(const Checkpoint& checkpoint, const ModelFormat* format) {
  if (format != nullptr) return plan_types(checkpoint.config(), *format);
  std::vector<PlannedWeight> plan;
  for (ExpectedWeight& weight : expected_weights(checkpoint.config())) {
    const DType stored = checkpoint.require(weight.name, weight.shape)->dtype();
    const DType dtype = weight.is_norm() ? DType::kF32 : stored;
    plan.push_back({std::move(weight), dtype, std::nullopt});
  }
  return plan;
}

void count_fallback(OutputReport& report, const PlannedWeight& planned) {
  if (!planned.unfit) return;
  auto& all = report.fallbacks;
  auto at = std::find_if(all.begin(), all.end(), [&](const OutputReport::Fallback& f) {
    return f.wanted == *planned.unfit && f.used == planned.dtype;
  });
  if (at == all.end()) at = all.insert(at, {*planned.unfit, planned.dtype});
  ++at->n_weights;
  at->n_rows += planned.weight.shape.n_rows();
}

/// GGUF's number of a file whose weights keep their types: that of the type most bytes have.
uint32_t file_type_of(const OutputReport& report) {
  for (const ModelFormat& format : model_formats()) {
    if (format.base == report.types.front().dtype) return format.file_type;
  }
  return 0;
}

/// GGUF keeps each head's rotary pairs side by side.
int64_t interleaved_head_dim(const std::string& name, const ModelConfig& config) {
  return name.ends_with(".q_proj.weight") || name.ends_with(".k_proj.weight") ? config.head_dim : 0;
}

/// A file to be: its weights in order, then their plan in GGUF's words.
struct Output {
  std::vector<WeightJob> jobs;
  std::vector<GgufTensorPlan> tensors;
  OutputReport report;

  void add(WeightSourcePtr source, std::string name, DType dtype, int64_t head_dim) {
    tensors.push_back({std::move(name), dtype, source->shape()});
    jobs.push_back(
        {.source = std::move(source), .dtype = dtype, .part = jobs.size(), .interleaved_head_dim = head_dim});
  }
};

Output plan_output(const Checkpoint& checkpoint, const ModelFormat* format) {
  Output output;
  const ModelConfig& config = checkpoint.config();
  for (const PlannedWeight& planned : types_of(checkpoint, format)) {
    const std::string& name = planned.weight.name;
    WeightSourcePtr source = checkpoint.require(name, planned.weight.shape);
    output.report.count(planned.dtype, planned.weight.shape);
    output.report.bytes_before +=
        static_cast<uint64_t>(source->n_rows() * row_bytes(source->dtype(), source->n_cols()));
    count_fallback(output.report, planned);
    output.add(std::move(source), gguf_name(name), planned.dtype, interleaved_head_dim(name, config));
  }
  if (const std::vector<float> factors = rope_factors_of(config); !factors.empty()) {
    const Shape shape{static_cast<int64_t>(factors.size())};
    const std::string name(kGgufRopeFactors);
    output.add(HostWeight::from_f32(name, shape, factors), name, DType::kF32, 0);
  }
  output.report.sort_types();
  return output;
}

}  // namespace

OutputReport write_gguf(const Checkpoint& checkpoint, const std::filesystem::path& target,
                        const ModelFormat* format, const OutputOptions& options) {
  check_target(checkpoint, target, options.replaces, false);
  Output output = plan_output(checkpoint, format);
  OutputReport& report = output.report;
  const uint32_t file_type = format != nullptr ? format->file_type : file_type_of(report);
  GgufLayout layout = lay_out_gguf(gguf_metadata_of(checkpoint, file_type), output.tensors);

  const Stopwatch since_start;
  ThreadPool pool(options.n_threads > 0 ? options.n_threads : available_cores());
  report.file_bytes = layout.file_bytes;
  PartialFile file(target, {.header = std::move(layout.header),
                            .n_bytes = layout.file_bytes,
                            .origin = origin_of(checkpoint, options),
                            .n_parts = output.jobs.size()});
  report.n_continued = std::min(file.n_continued(), report.n_weights);  // without the rotary factors
  for (size_t i = 0; i < output.jobs.size(); ++i) {
    output.jobs[i].file = &file;
    output.jobs[i].offset = layout.offsets[i];
  }
  keep_or_discard({&file}, [&] {
    write_weights(output.jobs, pool,
                  {.allow_nonfinite = options.allow_nonfinite,
                   .cancel = options.cancel,
                   .on_progress = options.on_progress});
    report.write_s = since_start.seconds();
    report.sync_s = file.commit();
  });
  return report;
}

}  // namespace chaski
