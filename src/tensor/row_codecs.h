// Every format's two directions, as codecs_scalar.cpp compiles them plainly (that is their definition) and
// codecs_avx2.cpp and codecs_avx512.cpp for their instruction sets, with the same bits as the result.
#pragma once

#include <array>

#include "tensor/codecs_k.h"
#include "tensor/codecs_simple.h"
#include "tensor/half_lanes.h"
#include "tensor/quantize.h"

namespace chaski {

using RowCodecs = std::array<RowCodec, kDTypeCount>;  ///< by DType

namespace {

constexpr RowCodecs row_codecs(std::string_view isa) {
  return {{
      {isa, store_f32_row, load_f32_row},
      {isa, store_16bit_row<F16>, load_16bit_row<F16>},
      {isa, store_16bit_row<BF16>, load_16bit_row<BF16>},
      {isa, nullptr, nullptr},
      {isa, quantize_q8_0, dequantize_q8_0},
      {isa, quantize_simple<4, false>, dequantize_simple<4, false>},
      {isa, quantize_simple<4, true>, dequantize_simple<4, true>},
      {isa, quantize_q6_K, dequantize_q6_K},
      {isa, quantize_simple<5, false>, dequantize_simple<5, false>},
      {isa, quantize_simple<5, true>, dequantize_simple<5, true>},
      {isa, quantize_q2_K, dequantize_q2_K},
      {isa, quantize_q3_K, dequantize_q3_K},
      {isa, quantize_q45_K<4>, dequantize_q45_K<4>},
      {isa, quantize_q45_K<5>, dequantize_q45_K<5>},
      {isa, quantize_iq4_nl, dequantize_iq4_nl},
      {isa, quantize_iq4_xs, dequantize_iq4_xs},
  }};
}

}  // namespace
}  // namespace chaski
