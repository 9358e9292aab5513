// The table of formats: names, sizes, and the definitions of row_codecs.h compiled plainly.
#include "tensor/row_codecs.h"

namespace chaski {

extern const std::array<BlockFormat, kDTypeCount> kBlockFormats{{
    {DType::kF32, "f32", 1, 4, store_f32_row, load_f32_row},
    {DType::kF16, "f16", 1, 2, store_16bit_row<f32_to_f16>, load_16bit_row<f16_to_f32>},
    {DType::kBF16, "bf16", 1, 2, store_16bit_row<f32_to_bf16>, load_16bit_row<bf16_to_f32>},
    {DType::kI32, "i32", 1, 4, nullptr, nullptr},
    {DType::kQ8_0, "q8_0", 32, 34, quantize_q8_0, dequantize_q8_0},
    {DType::kQ4_0, "q4_0", 32, 18, quantize_simple<4, false>, dequantize_simple<4, false>},
    {DType::kQ4_1, "q4_1", 32, 20, quantize_simple<4, true>, dequantize_simple<4, true>},
    {DType::kQ6_K, "q6_K", 256, 210, quantize_q6_K, dequantize_q6_K},
    {DType::kQ5_0, "q5_0", 32, 22, quantize_simple<5, false>, dequantize_simple<5, false>},
    {DType::kQ5_1, "q5_1", 32, 24, quantize_simple<5, true>, dequantize_simple<5, true>},
    {DType::kQ2_K, "q2_K", 256, 84, quantize_q2_K, dequantize_q2_K},
    {DType::kQ3_K, "q3_K", 256, 110, quantize_q3_K, dequantize_q3_K},
    {DType::kQ4_K, "q4_K", 256, 144, quantize_q45_K<4>, dequantize_q45_K<4>},
    {DType::kQ5_K, "q5_K", 256, 176, quantize_q45_K<5>, dequantize_q45_K<5>},
    {DType::kIQ4_NL, "iq4_nl", 32, 18, quantize_iq4_nl, dequantize_iq4_nl},
    {DType::kIQ4_XS, "iq4_xs", 256, 136, quantize_iq4_xs, dequantize_iq4_xs},
}};

}  // namespace chaski
