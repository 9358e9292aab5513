#include "lab/model_fit.h"

#include <algorithm>

#include "base/checked.h"
#include "engine/kv_cache.h"
#include "machine/cpu_clock.h"
#include "machine/peak_rates.h"

namespace chaski {
namespace {

constexpr double kGb = 1e9;
constexpr double kGib = 1024.0 * 1024 * 1024;

// As the engine runs one sequence: engine.cpp's limits for a step.
constexpr int64_t kStepRows = 256 + 24;
constexpr int64_t kStepOutputs = 32;
constexpr int64_t kUsedOutputs = 2;   // of the logits' rows, those that decoding touches
constexpr int64_t kStagedRows = 256;  // of activations that a product stages
constexpr int64_t kStagedBytes = 2;   // of a number there
// Measured: the program with the smallest model, and what each token of a vocabulary adds.
constexpr int64_t kProgramBytes = 20'000'000;
constexpr int64_t kBytesPerToken = 120;

/// Whether load_llama hands this weight to the device.
bool is_loaded(const std::string& name, const ModelConfig& config) {
  const auto ends_with = [&](std::string_view end) {
    return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
  };
  if (name == "lm_head.weight") return !config.tie_embeddings;
  return name == "model.embed_tokens.weight" || name == "model.norm.weight" ||
         (name.rfind("model.layers.", 0) == 0 &&
          (ends_with("_proj.weight") || ends_with("layernorm.weight")));
}

std::string gib(int64_t bytes) { return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / kGib); }

}  // namespace

MemoryPlan plan_memory(const Checkpoint& checkpoint, const Device& device, int64_t n_positions) {
  const ModelConfig& c = checkpoint.config();
  MemoryPlan plan;
  plan.context = std::clamp<int64_t>(n_positions, 1, c.max_context);
  int64_t widest = c.hidden, embedding_bytes = 0;
  for (const std::string& name : checkpoint.names()) {
    if (!is_loaded(name, c)) continue;
    const WeightSourcePtr weight = checkpoint.find(name);
    const int64_t bytes = device.bytes_to_hold(*weight);
    plan.weight_bytes += bytes;
    if (name == "model.embed_tokens.weight") embedding_bytes = bytes;
    if (weight->n_rows() > 1) widest = std::max(widest, weight->n_cols());
  }
  // A table of embeddings that is not also the head is only looked up.
  plan.read_bytes_per_token = plan.weight_bytes - (c.tie_embeddings ? 0 : embedding_bytes);
  const KvLayout layout = device.kv_layout(c);
  plan.kv_bytes = pages_for(plan.context, layout.page_tokens) * 2 * c.n_layers * layout.page_bytes();
  plan.scratch_bytes = static_cast<int64_t>(llama_workspace_bytes(c, kStepRows, kStepOutputs)) +
                       4 * kUsedOutputs * c.vocab + kStagedBytes * kStagedRows * widest +
                       2 * 4 * plan.context * c.head_dim;
  plan.program_bytes = kProgramBytes + kBytesPerToken * c.vocab;
  return plan;
}

void check_model(const Checkpoint& checkpoint, const Device& device, const FitQuestion& question,
                 Findings& found) {
  const MemoryPlan plan = plan_memory(checkpoint, device, question.context);
  const std::string name = shown(question.model, 80);
  Json facts = {{"model", name},
                {"device", device.info().id},
                {"context", plan.context},
                {"weight_bytes", plan.weight_bytes},
                {"kv_bytes", plan.kv_bytes},
                {"scratch_bytes", plan.scratch_bytes},
                {"program_bytes", plan.program_bytes},
                {"total_bytes", plan.total_bytes()},
                {"free_bytes", nullptr}};
  if (question.free_bytes) facts["free_bytes"] = *question.free_bytes;
  const Words parts = words("weights {}, cache of {} positions {}, the rest {}",
                            "权重 {}，{} 个位置的 KV 缓存 {}，其余 {}", gib(plan.weight_bytes), plan.context,
                            gib(plan.kv_bytes), gib(plan.scratch_bytes + plan.program_bytes));
  const std::string needs = gib(plan.total_bytes());
  const Words fix =
      words("take a format of fewer bits (chaski quantize), a shorter --ctx, or close other programs",
            "换用更低位数的格式（chaski quantize）、更短的 --ctx，或关闭其他程序");
  if (!question.free_bytes) {
    found
        .none("model.fit",
              words("{} needs {}; how much is free is not known", "{} 需要 {}；可用内存未知", name, needs),
              parts)
        .facts = facts;
  } else if (plan.total_bytes() > *question.free_bytes) {
    found
        .fail("model.fit", ErrorCode::kOutOfMemory,
              words("{} does not fit: it needs {}, and {} are free", "{} 装不下：需要 {}，可用 {}", name,
                    needs, gib(*question.free_bytes)),
              parts, fix)
        .facts = facts;
  } else if (static_cast<double>(plan.total_bytes()) > 0.9 * static_cast<double>(*question.free_bytes)) {
    found
        .warn("model.fit",
              words("{} just fits: it needs {} of {}", "{} 勉强能装下：需要 {}，可用 {}", name, needs,
                    gib(*question.free_bytes)),
              parts, fix)
        .facts = facts;
  } else {
    found
        .ok("model.fit",
            words("{} fits: it needs {} of {}", "{} 能装下：需要 {}，可用 {}", name, needs,
                  gib(*question.free_bytes)),
            parts)
        .facts = facts;
  }
  if (!question.read_gb_per_s) return;
  const double per_s = *question.read_gb_per_s * kGb;
  const double at_begin = per_s / static_cast<double>(plan.read_bytes_per_token);
  const double at_end = per_s / static_cast<double>(plan.read_bytes_per_token + plan.kv_bytes);
  found
      .ok("model.speed",
          words("decoding reaches at most {:.1f} tokens/s, {:.1f} when the context is full",
                "解码速度上限 {:.1f} 词元/秒，上下文填满时 {:.1f}", at_begin, at_end),
          words("every token reads {:.2f} GB of weights, and memory gives {:.1f} GB/s",
                "每个词元要读取 {:.2f} GB 权重，内存带宽 {:.1f} GB/s",
                static_cast<double>(plan.read_bytes_per_token) / kGb, *question.read_gb_per_s))
      .facts = {{"read_gb_per_s", *question.read_gb_per_s},
                {"read_bytes_per_token", plan.read_bytes_per_token},
                {"most_tokens_per_s", at_begin},
                {"most_tokens_per_s_full", at_end}};
}

std::optional<double> measured_read_gb_per_s(int n_threads) {
  constexpr int kRepeats = 3;
  const int64_t free_bytes = available_memory_bytes().value_or(int64_t{1} << 30);
  const int64_t wanted = std::clamp(2 * last_cache_bytes(), int64_t{64} << 20, int64_t{1} << 30);
  const auto n_bytes = static_cast<size_t>(std::max(std::min(wanted, free_bytes / 4), int64_t{1} << 20));
  const std::vector<PeakRate> rates = reading_rates({n_threads}, n_bytes, kRepeats);
  const PeakRate* best = best_of(rates);
  return best == nullptr ? std::nullopt : std::optional(best->best());
}

}  // namespace chaski
