#include "format/synthetic.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/byte_alphabet.h"
#include "base/error.h"
#include "base/files.h"
#include "base/llama3_specials.h"
#include "format/llama_layout.h"
#include "tensor/quantize.h"

namespace chaski {
namespace {

constexpr double kDeviation = 0.02;  // of every matrix's values

// ---- random bits: a stream of 64-bit words per (weight, row), each a pure function of its index

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

uint64_t key_of(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return mix(hash);
}

class RowBits {
 public:
  RowBits(uint64_t weight_key, int64_t row) : key_(mix(weight_key + static_cast<uint64_t>(row))) {}
  uint64_t next() { return mix(key_ += 0x9E3779B97F4A7C15u); }

 private:
  uint64_t key_;
};

// ---- rows of each format

/// Uniform in ±kDeviation * sqrt(3), four numbers to a word.
template <typename Stored, Stored (*Narrow)(float)>
void fill_numbers(RowBits bits, std::byte* out, int64_t n) {
  constexpr float kStep = static_cast<float>(kDeviation * 1.7320508075688772 / 32768);
  for (int64_t i = 0; i < n; i += 4) {
    const uint64_t word = bits.next();
    std::array<Stored, 4> four;
    for (size_t j = 0; j < 4; ++j) {
      four[j] = Narrow(static_cast<float>(static_cast<int16_t>(word >> (16 * j))) * kStep);
    }
    const auto left = static_cast<size_t>(std::min<int64_t>(4, n - i));
    std::memcpy(out + i * static_cast<int64_t>(sizeof(Stored)), four.data(), left * sizeof(Stored));
  }
}

float keep(float value) { return value; }

uint16_t round_to_bf16(float value) {  // finite by construction, so without the case of NaN
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

/// About `scale` as f16: up to 6 % more, so that blocks differ.
void put_scale(std::byte* at, uint16_t scale, uint64_t word) {
  const auto varied = static_cast<uint16_t>(scale + (word >> 58));
  std::memcpy(at, &varied, sizeof varied);
}

void put_words(RowBits& bits, std::byte* out, int n_words) {
  for (int i = 0; i < n_words; ++i) {
    const uint64_t word = bits.next();
    std::memcpy(out + 8 * i, &word, sizeof word);
  }
}

void fill_q8_0(RowBits bits, std::byte* out, int64_t n) {
  const uint16_t scale = f32_to_f16(static_cast<float>(kDeviation / 75.5));
  for (int64_t i = 0; i < n; i += 32, out += 34) {
    put_scale(out, scale, bits.next());
    put_words(bits, out + 2, 4);
    for (int j = 2; j < 34; ++j) {  // -128 is no code of this format's quantizer
      if (out[j] == std::byte{0x80}) out[j] = std::byte{0x81};
    }
  }
}

void fill_q4_0(RowBits bits, std::byte* out, int64_t n) {
  const uint16_t scale = f32_to_f16(static_cast<float>(kDeviation / 4.75));
  for (int64_t i = 0; i < n; i += 32, out += 18) {
    put_scale(out, scale, bits.next());
    put_words(bits, out + 2, 2);
  }
}

void fill_q4_1(RowBits bits, std::byte* out, int64_t n) {
  const uint16_t scale = f32_to_f16(static_cast<float>(kDeviation / 4.75));
  const uint16_t minimum = f32_to_f16(static_cast<float>(kDeviation / 4.75 * -7.7));
  for (int64_t i = 0; i < n; i += 32, out += 20) {
    put_scale(out, scale, bits.next());
    std::memcpy(out + 2, &minimum, sizeof minimum);
    put_words(bits, out + 4, 2);
  }
}

void fill_q6_K(RowBits bits, std::byte* out, int64_t n) {
  const uint16_t scale = f32_to_f16(static_cast<float>(kDeviation / (19.0 * 11.5)));
  for (int64_t i = 0; i < n; i += 256, out += 210) {
    put_words(bits, out, 26);
    for (int j = 192; j < 208; ++j) out[j] = (out[j] & std::byte{7}) | std::byte{8};  // sub-scales 8 to 15
    put_scale(out + 208, scale, bits.next());
  }
}

/// The formats whose blocks have no such short way.
void fill_quantized(DType dtype, RowBits bits, std::byte* out, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  fill_numbers<float, keep>(bits, reinterpret_cast<std::byte*>(values.data()), n);
  row_codec(dtype).quantize_row(values.data(), out, n);
}

void fill_row(DType dtype, RowBits bits, std::byte* out, int64_t n) {
  switch (dtype) {
    case DType::kF32:
      return fill_numbers<float, keep>(bits, out, n);
    case DType::kF16:
      return fill_numbers<uint16_t, f32_to_f16>(bits, out, n);
    case DType::kBF16:
      return fill_numbers<uint16_t, round_to_bf16>(bits, out, n);
    case DType::kQ8_0:
      return fill_q8_0(bits, out, n);
    case DType::kQ4_0:
      return fill_q4_0(bits, out, n);
    case DType::kQ4_1:
      return fill_q4_1(bits, out, n);
    case DType::kQ6_K:
      return fill_q6_K(bits, out, n);
    default:
      return fill_quantized(dtype, bits, out, n);
  }
}

class SyntheticWeight : public WeightSource {
 public:
  SyntheticWeight(ExpectedWeight weight, DType dtype)
      : weight_(std::move(weight)), dtype_(dtype), key_(key_of(weight_.name)) {
    if (weight_.is_norm()) {
      if (format_of(dtype).is_quantized()) dtype_ = DType::kF32;
      const std::vector<float> ones(static_cast<size_t>(n_cols()), 1.0f);
      ones_.resize(static_cast<size_t>(row_bytes(dtype_, n_cols())));
      format_of(dtype_).quantize_row(ones.data(), ones_.data(), n_cols());
    }
  }
  const std::string& name() const override { return weight_.name; }
  DType dtype() const override { return dtype_; }
  const Shape& shape() const override { return weight_.shape; }

  void read_rows(int64_t first, int64_t count, std::span<std::byte> out) const override {
    const int64_t stride = row_bytes(dtype_, n_cols());
    CHECK(first >= 0 && count >= 0 && count <= n_rows() - first, "{}: rows {} to {}", name(), first,
          first + count);
    CHECK(static_cast<int64_t>(out.size()) == count * stride, "{}: {} bytes for {} rows", name(), out.size(),
          count);
    for (int64_t i = 0; i < count; ++i) {
      std::byte* row = out.data() + i * stride;
      if (weight_.is_norm()) {
        std::copy(ones_.begin(), ones_.end(), row);
      } else {
        fill_row(dtype_, RowBits(key_, first + i), row, n_cols());
      }
    }
  }

 private:
  ExpectedWeight weight_;
  DType dtype_;
  uint64_t key_;
  std::vector<std::byte> ones_;
};

// ---- config, tokenizer, template

struct NamedShape {
  std::string_view name;
  int64_t n_layers, hidden, ffn, n_heads, n_kv_heads, head_dim, vocab;
};

// Source: docs/sources.md#llama-3.2-shapes.
constexpr std::array<NamedShape, 3> kShapes{{
    {"tiny", 2, 256, 512, 8, 2, 32, 512},
    {"llama-3.2-1b", 16, 2048, 8192, 32, 8, 64, 128256},
    {"llama-3.2-3b", 28, 3072, 8192, 24, 8, 128, 128256},
}};

ModelConfig config_of(const NamedShape& shape) {
  ModelConfig config;
  config.n_layers = shape.n_layers;
  config.hidden = shape.hidden;
  config.ffn = shape.ffn;
  config.n_heads = shape.n_heads;
  config.n_kv_heads = shape.n_kv_heads;
  config.head_dim = shape.head_dim;
  config.vocab = shape.vocab;
  config.max_context = 131072;
  config.rms_eps = 1e-5;
  config.rope_theta = 500000;
  config.rope_scaling = RopeScaling{32, 1, 4, 8192};
  config.tie_embeddings = true;
  config.is_synthetic = true;
  const auto first_special = static_cast<int32_t>(shape.vocab - kLlama3Specials);
  config.bos = first_special;
  config.eos = {first_special + 1, first_special + 8, first_special + 9};
  return config;
}

TokenizerData tokenizer_of(const ModelConfig& config) {
  constexpr int32_t kNormal = 1, kControl = 3, kUnused = 5;
  TokenizerData data;
  data.gguf_model = "gpt2";
  data.gguf_pre = "llama-bpe";
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    data.tokens.push_back(alphabet_from_bytes({&c, 1}));
  }
  const auto n_plain = static_cast<size_t>(config.vocab - kLlama3Specials);
  for (size_t i = 0; data.tokens.size() < n_plain; ++i) data.tokens.push_back(fmt::format("<|dummy_{}|>", i));
  data.token_types.assign(256, kNormal);
  data.token_types.resize(n_plain, kUnused);
  for (std::string& token : llama3_specials()) {
    data.tokens.push_back(std::move(token));
    data.token_types.push_back(kControl);
  }
  data.bos = config.bos;
  data.pad = *config.bos + 4;
  data.eos = data.eot = *config.bos + 9;
  data.add_bos = true;
  return data;
}

constexpr std::string_view kTemplate =
    "{{- bos_token }}\n"
    "{%- for message in messages %}\n"
    "{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}\n"
    "{{- message.content | trim }}\n"
    "{{- '<|eot_id|>' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n"
    "{%- endif %}\n";

class SyntheticCheckpoint : public Checkpoint {
 public:
  SyntheticCheckpoint(const NamedShape& shape, DType dtype) {
    path_ = fmt::format("synthetic:{}@{}", shape.name, name_of(dtype));
    kind_ = "synthetic";
    chat_template_ = kTemplate;
    config_ = config_of(shape);
    config_.validate(path_);
    tokenizer_ = tokenizer_of(config_);
    for (ExpectedWeight& weight : expected_weights(config_)) {
      weights_.push_back(std::make_shared<SyntheticWeight>(std::move(weight), dtype));
    }
    std::sort(weights_.begin(), weights_.end(),
              [](const auto& a, const auto& b) { return a->name() < b->name(); });
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& weight : weights_) names.push_back(weight->name());
    return names;
  }
  WeightSourcePtr find(std::string_view name) const override {
    const auto at =
        std::lower_bound(weights_.begin(), weights_.end(), name,
                         [](const auto& weight, std::string_view n) { return weight->name() < n; });
    return at != weights_.end() && (*at)->name() == name ? *at : nullptr;
  }
  std::string content_hash(const OnBytes&) const override { return sha256_of(path_); }
  uint64_t weight_bytes() const override {
    int64_t bytes = 0;
    for (const auto& w : weights_) bytes += w->n_rows() * row_bytes(w->dtype(), w->n_cols());
    return static_cast<uint64_t>(bytes);
  }

 private:
  std::vector<WeightSourcePtr> weights_;
};

}  // namespace

std::shared_ptr<const Checkpoint> open_synthetic(std::string_view spec) {
  const size_t at = spec.find('@');
  const std::string_view shape_name = spec.substr(0, at);
  const std::string_view format_name = at == std::string_view::npos ? "bf16" : spec.substr(at + 1);
  const auto shape = std::find_if(kShapes.begin(), kShapes.end(),
                                  [&](const NamedShape& candidate) { return candidate.name == shape_name; });
  if (shape == kShapes.end()) {
    std::string known;
    for (const NamedShape& candidate : kShapes) known += fmt::format(" {}", candidate.name);
    throw Error(ErrorCode::kUsage, "open model",
                fmt::format("synthetic:{}: expected one of:{}", printable(spec), known));
  }
  const auto dtype = dtype_named(format_name);
  if (!dtype || *dtype == DType::kI32) {
    std::string known;
    for (const BlockFormat& format : all_formats()) {
      if (format.dequantize_row != nullptr) known += fmt::format(" {}", format.name);
    }
    throw Error(
        ErrorCode::kUsage, "open model",
        fmt::format("synthetic:{}: expected one of these formats after @:{}", printable(spec), known));
  }
  return std::make_shared<SyntheticCheckpoint>(*shape, *dtype);
}

}  // namespace chaski
