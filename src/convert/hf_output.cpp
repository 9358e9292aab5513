#include "convert/hf_output.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "base/clock.h"
#include "base/files.h"
#include "base/json.h"
#include "base/threads.h"
#include "convert/kept_metadata.h"
#include "convert/partial_folder.h"
#include "convert/tokenizer_to_hf.h"
#include "convert/weight_writer.h"
#include "format/hf_from_model.h"
#include "format/llama_layout.h"
#include "format/model_folder.h"
#include "format/safetensors_writer.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

bool is_plain(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

/// One file of the folder.
struct Shard {
  std::string name;
  std::vector<WeightSourcePtr> sources;
  std::vector<SafetensorsPlan> plans;
  uint64_t bytes = 0;
};

using Files = std::vector<std::unique_ptr<PartialFile>>;

/// All weights in order, in as few shards as the limit allows.
std::vector<Shard> plan_shards(const Checkpoint& checkpoint, const HfOutputOptions& hf,
                               OutputReport& report) {
  std::vector<Shard> shards(1);
  for (const ExpectedWeight& weight : expected_weights(checkpoint.config())) {
    WeightSourcePtr source = checkpoint.require(weight.name, weight.shape);
    const DType stored = source->dtype();
    const DType dtype = hf.dtype.value_or(is_plain(stored) ? stored : DType::kBF16);
    const auto bytes = static_cast<uint64_t>(source->n_rows() * row_bytes(dtype, source->n_cols()));
    if (!shards.back().plans.empty() && shards.back().bytes + bytes > hf.max_shard_bytes)
      shards.emplace_back();
    report.count(dtype, weight.shape);
    report.bytes_before += static_cast<uint64_t>(source->n_rows() * row_bytes(stored, source->n_cols()));
    shards.back().bytes += bytes;
    shards.back().plans.push_back({weight.name, dtype, weight.shape});
    shards.back().sources.push_back(std::move(source));
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    shards[i].name = shards.size() == 1
                         ? "model.safetensors"
                         : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  }
  report.sort_types();
  return shards;
}

/// Opens the shards' files below `folder` and lists their weights.
std::vector<WeightJob> open_shards(const Checkpoint& checkpoint, const fs::path& folder,
                                   const OutputOptions& options, const std::vector<Shard>& shards,
                                   Files& files, OutputReport& report) {
  std::vector<WeightJob> jobs;
  std::map<std::string, std::string> metadata = kept_metadata_of(checkpoint);
  const std::string origin = origin_of(checkpoint, options);
  for (const Shard& shard : shards) {
    metadata["format"] = "pt";
    SafetensorsLayout layout = lay_out_safetensors(metadata, shard.plans);
    metadata.clear();  // the first file alone keeps it
    report.file_bytes += layout.file_bytes;
    files.push_back(
        std::make_unique<PartialFile>(folder / shard.name, FilePlan{.header = std::move(layout.header),
                                                                    .n_bytes = layout.file_bytes,
                                                                    .origin = origin,
                                                                    .n_parts = shard.plans.size()}));
    report.n_continued += files.back()->n_continued();
    for (size_t i = 0; i < shard.plans.size(); ++i) {
      jobs.push_back({.source = shard.sources[i],
                      .dtype = shard.plans[i].dtype,
                      .file = files.back().get(),
                      .offset = layout.offsets[i],
                      .part = i});
    }
  }
  return jobs;
}

std::string index_text(const std::vector<Shard>& shards) {
  OrderedJson map = OrderedJson::object();
  uint64_t bytes = 0;
  for (const Shard& shard : shards) {
    bytes += shard.bytes;
    for (const SafetensorsPlan& plan : shard.plans) map[plan.name] = shard.name;
  }
  return to_json_text(OrderedJson{{"metadata", {{"total_size", bytes}}}, {"weight_map", std::move(map)}}, 2) +
         "\n";
}

/// Files of a Hugging Face folder that tell of its tokenizer, its template and how to generate: what a new
/// folder of the same model takes over as they are.
constexpr const char* kTakenOver[] = {
    "generation_config.json", "tokenizer.json",          "tokenizer_config.json", "tokenizer.model",
    "added_tokens.json",      "special_tokens_map.json", "chat_template.jinja",   "chat_template.json"};

/// The folder's small files, by name.
std::map<std::string, std::string> text_files(const Checkpoint& checkpoint, const std::vector<Shard>& shards,
                                              DType dtype) {
  std::map<std::string, std::string> files;
  files["config.json"] = hf_config_text(checkpoint.config(), dtype);
  if (shards.size() > 1) files["model.safetensors.index.json"] = index_text(shards);
  if (checkpoint.kind() == "safetensors") {
    for (const char* name : kTakenOver) {
      if (!fs::exists(fs::path(checkpoint.path()) / name)) continue;
      files[name] = read_text_file(inside(checkpoint.path(), name));
    }
    return files;
  }
  files["generation_config.json"] = hf_generation_config_text(checkpoint.config(), checkpoint.generation());
  HfTokenizerFiles tokenizer = hf_tokenizer_of(checkpoint);
  files["tokenizer.json"] = std::move(tokenizer.tokenizer_json);
  files["tokenizer_config.json"] = std::move(tokenizer.tokenizer_config_json);
  return files;
}

/// What a run may leave for the next one.
std::set<std::string> names_to_continue(const std::vector<Shard>& shards) {
  std::set<std::string> names;
  for (const Shard& shard : shards) {
    names.insert(shard.name + ".partial");
    names.insert(shard.name + ".journal");
  }
  return names;
}

}  // namespace

OutputReport write_hf_folder(const Checkpoint& checkpoint, const fs::path& target, const HfOutputOptions& hf,
                             const OutputOptions& options) {
  check_target(checkpoint, target, false, true);
  OutputReport report;
  const std::vector<Shard> shards = plan_shards(checkpoint, hf, report);
  // All that can be refused is refused before anything is written.
  const std::map<std::string, std::string> texts = text_files(checkpoint, shards, report.types.front().dtype);
  const std::set<std::string> unfinished = names_to_continue(shards);
  PartialFolder folder(target);
  folder.keep_only(unfinished);

  const Stopwatch since_start;
  ThreadPool pool(options.n_threads > 0 ? options.n_threads : available_cores());
  Files opened;
  const std::vector<WeightJob> jobs = open_shards(checkpoint, folder.path(), options, shards, opened, report);
  std::vector<PartialFile*> files;
  for (const auto& file : opened) files.push_back(file.get());
  const auto write_all = [&] {
    write_weights(jobs, pool,
                  {.allow_nonfinite = options.allow_nonfinite,
                   .cancel = options.cancel,
                   .on_progress = options.on_progress});
    report.write_s = since_start.seconds();
    // Small files first: where the disk is full, the weights are still there to go on from.
    for (const auto& [name, text] : texts) {
      if (!text.empty()) write_file_atomic(folder.path() / name, text);
    }
    for (PartialFile* file : files) report.sync_s += file->commit();
    folder.commit();
  };
  try {
    keep_or_discard(files, write_all);
  } catch (...) {
    try {
      folder.keep_only(unfinished);
    } catch (const Error&) {  // the next run tries again
    }
    throw;
  }
  return report;
}

}  // namespace chaski
