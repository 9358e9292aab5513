// The limits on a model's shape, whatever file it came from, and what follows from the shape.
#include "format/model_config.h"

#include <cmath>

#include "base/error.h"
#include "format/llama_layout.h"

namespace chaski {
namespace {

constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxHeads = 4096;
constexpr int64_t kMaxHeadDim = 1024;
constexpr int64_t kMaxVocab = 4 << 20;
constexpr int64_t kMaxContext = 1 << 26;

class Validator {
 public:
  explicit Validator(const std::string& where) : where_(where) {}

  void in_range(std::string_view field, int64_t value, int64_t low, int64_t high) const {
    if (value < low || value > high) {
      fail(field, fmt::format("expected {} to {}, found {}", low, high, value));
    }
  }
  void in_range(std::string_view field, double value, double low, double high) const {
    if (!(value >= low && value <= high)) {
      fail(field, fmt::format("expected {} to {}, found {}", low, high, value));
    }
  }
  [[noreturn]] void fail(std::string_view field, const std::string& message) const {
    throw Error(ErrorCode::kCorrupt, "read model config", fmt::format("{}: {}: {}", where_, field, message));
  }

 private:
  const std::string& where_;
};

}  // namespace

int64_t ModelConfig::n_parameters() const {
  int64_t n = 0;
  for (const ExpectedWeight& weight : expected_weights(*this)) n += weight.shape.n_elements();
  return n;
}

void ModelConfig::validate(const std::string& where, const ConfigKeys& keys) const {
  const Validator check(where);
  check.in_range(keys.n_layers, n_layers, 1, kMaxLayers);
  check.in_range(keys.hidden, hidden, 1, kMaxWidth);
  check.in_range(keys.ffn, ffn, 1, kMaxWidth);
  check.in_range(keys.n_heads, n_heads, 1, kMaxHeads);
  check.in_range(keys.n_kv_heads, n_kv_heads, 1, n_heads);
  check.in_range(keys.head_dim, head_dim, 2, kMaxHeadDim);
  check.in_range(keys.vocab, vocab, 1, kMaxVocab);
  check.in_range(keys.max_context, max_context, 1, kMaxContext);
  if (hidden % n_heads != 0) {
    check.fail(keys.n_heads,
               fmt::format("expected a divisor of {} {}, found {}", keys.hidden, hidden, n_heads));
  }
  if (n_heads % n_kv_heads != 0) {
    check.fail(keys.n_kv_heads,
               fmt::format("expected a divisor of {} {}, found {}", keys.n_heads, n_heads, n_kv_heads));
  }
  if (head_dim % 2 != 0) {
    check.fail(keys.head_dim, fmt::format("expected an even number, as rotation needs, found {}", head_dim));
  }
  check.in_range(keys.rms_eps, rms_eps, 1e-12, 1e-1);
  check.in_range(keys.rope_theta, rope_theta, 1.0, 1e12);
  if (rope_scaling) {
    const auto in_scaling = [&](std::string_view field) {
      return fmt::format("{}.{}", keys.rope_scaling, field);
    };
    check.in_range(in_scaling("factor"), rope_scaling->factor, 1.0, 1e6);
    check.in_range(in_scaling("low_freq_factor"), rope_scaling->low_freq_factor, 1e-6, 1e6);
    check.in_range(in_scaling("high_freq_factor"), rope_scaling->high_freq_factor, 1e-6, 1e6);
    check.in_range(in_scaling("original_max_position_embeddings"), rope_scaling->original_context, 1,
                   kMaxContext);
    if (rope_scaling->high_freq_factor <= rope_scaling->low_freq_factor) {
      check.fail(in_scaling("high_freq_factor"),
                 fmt::format("expected more than low_freq_factor {}, found {}", rope_scaling->low_freq_factor,
                             rope_scaling->high_freq_factor));
    }
  }
  if (!rope_factors.empty() && static_cast<int64_t>(rope_factors.size()) != head_dim / 2) {
    check.fail(keys.rope_factors, fmt::format("expected {}, found {}", head_dim / 2, rope_factors.size()));
  }
  for (const float factor : rope_factors) {
    check.in_range(keys.rope_factors, static_cast<double>(factor), 1e-6, 1e6);
  }
  if (bos) check.in_range(keys.bos, *bos, 0, vocab - 1);
  for (const int32_t id : eos) check.in_range(keys.eos, id, 0, vocab - 1);
}

}  // namespace chaski
