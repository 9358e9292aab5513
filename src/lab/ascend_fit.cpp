#include "lab/ascend_fit.h"

#include <algorithm>

#include "lab/ascend_model.h"
#include "lab/ascend_published.h"

namespace chaski {
namespace {

/// Workspaces of operators, staging, and a step's activations and logits.
constexpr int64_t kRestBytes = int64_t{256} << 20;

std::string gib(int64_t bytes) {
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1024.0 * 1024 * 1024));
}

void check_speed(const AscendShape& shape, const AscendCard& card, int64_t context, Findings& found) {
  const auto seconds = [&](int64_t depth, bool is_captured) {
    return decode_time(shape, card, 1, depth, 1, is_captured);
  };
  const double captured = 1 / seconds(1, true).low_s;
  const double full = 1 / seconds(std::max<int64_t>(1, context - 1), true).low_s;
  const ModelledTime eager = seconds(1, false);
  const double slowest = 1 / eager.high_s, fastest = 1 / eager.low_s;
  const ModelError off = error_over(ModelledPhase::kCapturedDecode);
  found
      .ok("model.speed",
          words(
              "modelled, not measured: decoding {:.0f} tokens/s captured ({:.0f} when the context is full), "
              "{:.0f} to {:.0f} eager",
              "模型推算，并非实测：图捕获解码 {:.0f} 词元/秒（上下文填满时 {:.0f}），逐算子解码 {:.0f} 至 "
              "{:.0f}",
              captured, full, slowest, fastest),
          words("on {} published figures of captured decoding the model was off by {:+.0f} % to {:+.0f} %, "
                "median {:+.0f} %",
                "与 {} 项公开的图捕获解码实测值相比，模型误差为 {:+.0f} % 至 {:+.0f} %，中位数 {:+.0f} %",
                off.n, 100 * off.low, 100 * off.high, 100 * off.median))
      .facts = {{"device_kind", "modelled"},
                {"card", std::string(card.name)},
                {"captured_tokens_per_s", captured},
                {"captured_tokens_per_s_full", full},
                {"eager_tokens_per_s", {slowest, fastest}}};
}

}  // namespace

void check_npu_model(const Checkpoint& checkpoint, const NpuQuestion& question, Findings& found) {
  const AscendShape shape = ascend_shape(checkpoint);
  const int64_t context = std::clamp<int64_t>(question.context, 1, checkpoint.config().max_context);
  const int64_t kv_bytes = ascend_bucket(context) * shape.kv_bytes_per_position();
  const int64_t needed = shape.weight_bytes() + kv_bytes + kRestBytes;
  const std::string name = shown(question.model, 80), chip = shown(question.chip, 40);
  const Words parts =
      words("weights {}, cache of {} positions {}, the rest {}", "权重 {}，{} 个位置的 KV 缓存 {}，其余 {}",
            gib(shape.weight_bytes()), context, gib(kv_bytes), gib(kRestBytes));
  Json facts = {{"model", name},        {"chip", chip},
                {"context", context},   {"weight_bytes", shape.weight_bytes()},
                {"kv_bytes", kv_bytes}, {"total_bytes", needed},
                {"free_bytes", nullptr}};
  if (question.free_bytes) facts["free_bytes"] = *question.free_bytes;
  if (!question.free_bytes) {
    found
        .none("model.fit",
              words("{} needs {} of the NPU; how much is free is not known", "{} 需要 {} 显存；可用显存未知",
                    name, gib(needed)),
              parts)
        .facts = facts;
  } else if (needed > *question.free_bytes) {
    found
        .fail("model.fit", ErrorCode::kOutOfMemory,
              words("{} does not fit the NPU: it needs {}, and {} are free",
                    "{} 装不下 NPU：需要 {}，可用 {}", name, gib(needed), gib(*question.free_bytes)),
              parts,
              words("take a format of fewer bits (chaski quantize), a shorter --ctx, or another NPU",
                    "换用更低位数的格式（chaski quantize）、更短的 --ctx，或另一块 NPU"))
        .facts = facts;
  } else {
    found
        .ok("model.fit",
            words("{} fits the NPU: it needs {} of {}", "{} 能装入 NPU：需要 {}，可用 {}", name, gib(needed),
                  gib(*question.free_bytes)),
            parts)
        .facts = facts;
  }
  if (const AscendCard* card = find_ascend_card(question.chip)) {
    check_speed(shape, *card, context, found);
  } else {
    found.none("model.speed",
               words("how fast it may be is not known: the time model has 910B1 to 910B4, the chip is \"{}\"",
                     "无法推算速度：时间模型只有 910B1 至 910B4，芯片为“{}”", chip));
  }
}

}  // namespace chaski
