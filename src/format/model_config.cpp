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

  void in_range(const char* field, int64_t value, int64_t low, int64_t high) const {
    if (value < low || value > high) {
      fail(field, fmt::format("expected {} to {}, found {}", low, high, value));
    }
  }
  void in_range(const char* field, double value, double low, double high) const {
    if (!(value >= low && value <= high)) {
      fail(field, fmt::format("expected {} to {}, found {}", low, high, value));
    }
  }
  [[noreturn]] void fail(const char* field, const std::string& message) const {
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

void ModelConfig::validate(const std::string& where) const {
  const Validator check(where);
  check.in_range("layers", n_layers, 1, kMaxLayers);
  check.in_range("hidden size", hidden, 1, kMaxWidth);
  check.in_range("feed-forward size", ffn, 1, kMaxWidth);
  check.in_range("attention heads", n_heads, 1, kMaxHeads);
  check.in_range("key-value heads", n_kv_heads, 1, n_heads);
  check.in_range("head size", head_dim, 2, kMaxHeadDim);
  check.in_range("vocabulary", vocab, 1, kMaxVocab);
  check.in_range("context length", max_context, 1, kMaxContext);
  if (hidden % n_heads != 0) {
    check.fail("attention heads",
               fmt::format("expected a divisor of hidden size {}, found {}", hidden, n_heads));
  }
  if (n_heads % n_kv_heads != 0) {
    check.fail("key-value heads",
               fmt::format("expected a divisor of the {} attention heads, found {}", n_heads, n_kv_heads));
  }
  if (head_dim % 2 != 0) {
    check.fail("head size", fmt::format("expected an even number, as rotation needs, found {}", head_dim));
  }
  check.in_range("norm epsilon", rms_eps, 1e-12, 1e-1);
  check.in_range("rope theta", rope_theta, 1.0, 1e12);
  if (rope_scaling) {
    check.in_range("rope scaling factor", rope_scaling->factor, 1.0, 1e6);
    check.in_range("rope scaling low_freq_factor", rope_scaling->low_freq_factor, 1e-6, 1e6);
    check.in_range("rope scaling high_freq_factor", rope_scaling->high_freq_factor, 1e-6, 1e6);
    check.in_range("rope scaling original context", rope_scaling->original_context, 1, kMaxContext);
    if (rope_scaling->high_freq_factor <= rope_scaling->low_freq_factor) {
      check.fail("rope scaling high_freq_factor",
                 fmt::format("expected more than low_freq_factor {}, found {}", rope_scaling->low_freq_factor,
                             rope_scaling->high_freq_factor));
    }
  }
  if (!rope_factors.empty() && static_cast<int64_t>(rope_factors.size()) != head_dim / 2) {
    check.fail("rope factors", fmt::format("expected {}, found {}", head_dim / 2, rope_factors.size()));
  }
  for (const float factor : rope_factors) {
    check.in_range("rope factors", static_cast<double>(factor), 1e-6, 1e6);
  }
  if (bos) check.in_range("bos token", *bos, 0, vocab - 1);
  for (const int32_t id : eos) check.in_range("eos token", id, 0, vocab - 1);
}

}  // namespace chaski
