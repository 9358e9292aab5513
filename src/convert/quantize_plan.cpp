#include "convert/quantize_plan.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace chaski {
namespace {

using Mix = ModelFormat::Mix;

constexpr std::array<ModelFormat, 19> kFormats{{
    {"f32", DType::kF32, Mix::kNone, 0},        {"f16", DType::kF16, Mix::kNone, 1},
    {"bf16", DType::kBF16, Mix::kNone, 32},     {"q8_0", DType::kQ8_0, Mix::kNone, 7},
    {"q6_K", DType::kQ6_K, Mix::kNone, 18},     {"q5_K_M", DType::kQ5_K, Mix::kMedium, 17},
    {"q5_K_S", DType::kQ5_K, Mix::kSmall, 16},  {"q5_1", DType::kQ5_1, Mix::kNone, 9},
    {"q5_0", DType::kQ5_0, Mix::kNone, 8},      {"q4_K_M", DType::kQ4_K, Mix::kMedium, 15},
    {"q4_K_S", DType::kQ4_K, Mix::kSmall, 14},  {"q4_1", DType::kQ4_1, Mix::kNone, 3},
    {"q4_0", DType::kQ4_0, Mix::kNone, 2},      {"iq4_nl", DType::kIQ4_NL, Mix::kNone, 25},
    {"iq4_xs", DType::kIQ4_XS, Mix::kNone, 30}, {"q3_K_L", DType::kQ3_K, Mix::kLarge, 13},
    {"q3_K_M", DType::kQ3_K, Mix::kMedium, 12}, {"q3_K_S", DType::kQ3_K, Mix::kSmall, 11},
    {"q2_K", DType::kQ2_K, Mix::kNone, 10},
}};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

/// One layer of a model under a mix: each function gives what its matrix gets.
struct LayerMix {
  const ModelFormat& format;
  int64_t layer, n_layers;
  bool is_grouped;  ///< four heads and more share a value head, so that its matrix is small and used much
  bool is_70b;

  /// The layers that lose most: the first eighth, the last one, and every third between.
  bool has_more_bits() const {
    const int64_t eighth = n_layers / 8;
    return layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2;
  }
  bool is_first_eighth() const { return layer < n_layers / 8; }

  DType attention_value() const {
    const DType type = usual_attention_value();
    return is_70b && (type == DType::kQ3_K || type == DType::kQ4_K) ? DType::kQ5_K : type;
  }

  DType usual_attention_value() const {
    const DType base = format.base;
    if (base == DType::kQ2_K) return is_grouped ? DType::kQ4_K : DType::kQ3_K;
    if (base == DType::kQ3_K && format.mix == Mix::kMedium) return layer < 2 ? DType::kQ5_K : DType::kQ4_K;
    if (base == DType::kQ3_K && format.mix == Mix::kLarge) return DType::kQ5_K;
    if ((base == DType::kIQ4_NL || base == DType::kIQ4_XS) && is_grouped) return DType::kQ5_K;
    if (format.mix == Mix::kMedium && has_more_bits()) return DType::kQ6_K;
    if (base == DType::kQ4_K && format.mix == Mix::kSmall && layer < 4) return DType::kQ5_K;
    return base;
  }

  DType ffn_down() const {
    const DType base = format.base;
    if (base == DType::kQ2_K) return DType::kQ3_K;
    if (base == DType::kQ3_K && format.mix == Mix::kMedium) {
      return layer < n_layers / 16 ? DType::kQ5_K : DType::kQ4_K;
    }
    if (base == DType::kQ3_K && format.mix == Mix::kLarge) return DType::kQ5_K;
    if ((base == DType::kIQ4_NL || base == DType::kIQ4_XS) && is_first_eighth()) return DType::kQ5_K;
    if (format.mix == Mix::kMedium && has_more_bits()) return DType::kQ6_K;
    if (base == DType::kQ4_K && format.mix == Mix::kSmall && is_first_eighth()) return DType::kQ5_K;
    return base;
  }

  DType attention_output() const {
    if (format.base == DType::kQ2_K) return DType::kQ3_K;
    if (format.base != DType::kQ3_K || format.mix == Mix::kSmall) return format.base;
    return format.mix == Mix::kLarge ? DType::kQ5_K : DType::kQ4_K;
  }
};

bool fits(DType dtype, int64_t columns) { return columns % format_of(dtype).block_elements == 0; }

/// What rows get that are no multiple of the block of `dtype`.
DType fallback_of(DType dtype) {
  switch (dtype) {
    case DType::kQ6_K:
      return DType::kQ8_0;
    case DType::kQ5_K:
      return DType::kQ5_1;
    case DType::kQ4_K:
      return DType::kQ5_0;
    case DType::kIQ4_XS:
      return DType::kIQ4_NL;
    case DType::kQ3_K:
    case DType::kQ2_K:
      return DType::kQ4_0;
    default:
      return DType::kF16;
  }
}

/// What the format asks for, whatever the rows.
DType wanted_type(const ExpectedWeight& weight, int64_t layer, const ModelConfig& config,
                  const ModelFormat& format) {
  if (weight.is_norm()) return DType::kF32;
  if (!format_of(format.base).is_quantized()) return format.base;
  const auto is = [&](std::string_view part) { return weight.name.ends_with(part); };
  if (is("lm_head.weight") || (config.tie_embeddings && is("embed_tokens.weight"))) {
    return format.base == DType::kQ8_0 ? DType::kQ8_0 : DType::kQ6_K;
  }
  const LayerMix mix{format, layer, config.n_layers, config.n_heads / config.n_kv_heads >= 4,
                     config.n_layers == 80 && config.n_heads != config.n_kv_heads};
  if (is("v_proj.weight")) return mix.attention_value();
  if (is("down_proj.weight")) return mix.ffn_down();
  if (is("o_proj.weight")) return mix.attention_output();
  return format.base;
}

}  // namespace

std::span<const ModelFormat> model_formats() { return kFormats; }

const ModelFormat& model_format_named(std::string_view name) {
  const bool is_short = same_name(name, "q3_K") || same_name(name, "q4_K") || same_name(name, "q5_K");
  const std::string full = is_short ? fmt::format("{}_M", name) : std::string(name);
  std::string known;
  for (const ModelFormat& format : kFormats) {
    if (same_name(full, format.name)) return format;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", format.name);
  }
  throw Error(ErrorCode::kUsage, "quantize",
              fmt::format("format \"{}\", expected one of {}", printable(name), known));
}

std::vector<PlannedWeight> plan_types(const ModelConfig& config, const ModelFormat& format) {
  std::vector<PlannedWeight> plan;
  int64_t layer = -1;
  for (ExpectedWeight& weight : expected_weights(config)) {
    if (weight.name.ends_with(".input_layernorm.weight")) ++layer;  // the first weight of a layer
    const int64_t columns = weight.shape.last();
    const DType wanted = wanted_type(weight, layer, config, format);
    PlannedWeight planned{std::move(weight), wanted, std::nullopt};
    if (!fits(wanted, columns)) {
      planned.unfit = wanted;
      planned.dtype = fits(fallback_of(wanted), columns) ? fallback_of(wanted) : DType::kF16;
    }
    plan.push_back(std::move(planned));
  }
  return plan;
}

}  // namespace chaski
