// The K-quants and iq4: 256 numbers (32 for iq4_nl) in sub-blocks of 16 or 32, each with a sub-scale of few
// bits.
#pragma once

#include "tensor/block_layout.h"
#include "tensor/code_search.h"
#include "tensor/half_lanes.h"

namespace chaski {
namespace {

// ---- numbers to blocks

/// One block ready to be packed: codes and sub-scales as bytes, signed ones in two's complement.
struct CodedBlock {
  float scale, minimum;
  const uint8_t *scales, *minima, *codes;
};

/// Cuts a row into pieces of sixteen sub-blocks, lets `choose` fit each, and hands its blocks to `pack`.
template <int kSub, int kBlock, int kBytes, class Choose, class Pack>
CHASKI_INLINE void quantize_row(const float* values, std::byte* blocks, int64_t n, Choose choose, Pack pack) {
  constexpr int kAtOnce = kLanes * kSub;
  for (; n > 0; n -= kAtOnce, values += kAtOnce) {
    const int here = n < kAtOnce ? static_cast<int>(n) : kAtOnce;
    float padded[kAtOnce];
    if (here < kAtOnce) {
      std::memset(padded, 0, sizeof padded);
      std::memcpy(padded, values, static_cast<size_t>(here) * sizeof(float));
    }
    SubBlocks<kSub> sub_blocks(here < kAtOnce ? padded : values);
    Fit<kSub> fit;
    choose(sub_blocks, fit);
    uint8_t turned[kSub][kLanes], codes[kAtOnce], scales[kLanes], minima[kLanes];
    for (int i = 0; i < kSub; ++i) store_bytes(to_int(fit.codes[i]), turned[i]);
    for (int lane = 0; lane < kLanes; ++lane) {
      for (int i = 0; i < kSub; ++i) codes[lane * kSub + i] = turned[i][lane];
    }
    store_bytes(to_int(fit.sub_scale), scales);
    store_bytes(to_int(fit.sub_minimum), minima);
    float scale[kLanes], minimum[kLanes];
    store(fit.scale, scale);
    store(fit.minimum, minimum);
    for (int at = 0; at < here; at += kBlock, blocks += kBytes) {
      const int lane = at / kSub;
      pack(CodedBlock{scale[lane], minimum[lane], scales + lane, minima + lane, codes + at}, blocks);
    }
  }
}

inline void quantize_q2_K(const float* values, std::byte* blocks, int64_t n) {
  const auto choose = [](SubBlocks<16>& sub_blocks, Fit<16>& fit) {
    sub_blocks.weigh_by_magnitude();
    fit_with_minima<16, 3, 16>(sub_blocks, best_line<16, 3>(sub_blocks, 16, -0.5f, 0.1f, 1), 15, fit);
  };
  quantize_row<16, 256, 84>(values, blocks, n, choose, [](const CodedBlock& block, std::byte* out) {
    for (int s = 0; s < 16; ++s) out[s] = to_byte(block.scales[s] | block.minima[s] << 4);
    pack_pairs_256(block.codes, out + 16);
    store_f16(out + 80, block.scale);
    store_f16(out + 82, block.minimum);
  });
}

inline void quantize_q3_K(const float* values, std::byte* blocks, int64_t n) {
  const auto choose = [](SubBlocks<16>& sub_blocks, Fit<16>& fit) {
    using Grid = EvenGrid<4>;
    sub_blocks.weigh_by_magnitude();
    fit_symmetric<Grid, 16, 16>(sub_blocks, best_step<Grid>(sub_blocks, 19, -0.9f, 0.1f, 1), 32, fit);
    fit.sub_scale = fit.sub_scale + 32;
  };
  quantize_row<16, 256, 110>(values, blocks, n, choose, [](const CodedBlock& block, std::byte* out) {
    pack_bits_256(block.codes, 2, out);
    pack_pairs_256(block.codes, out + 32);
    pack_scales_q3(block.scales, out + 96);
    store_f16(out + 108, block.scale);
  });
}

template <int kBits>
void quantize_q45_K(const float* values, std::byte* blocks, int64_t n) {
  constexpr int kCodesAt = kBits == 5 ? 48 : 16, kMost = (1 << kBits) - 1;
  const auto choose = [](SubBlocks<32>& sub_blocks, Fit<32>& fit) {
    sub_blocks.weigh_by_magnitude();
    fit_with_minima<32, kMost, 8>(sub_blocks, best_line<32, kMost>(sub_blocks, 11, -1.0f, 0.2f, 1), 63, fit);
  };
  quantize_row<32, 256, kCodesAt + 128>(values, blocks, n, choose,
                                        [](const CodedBlock& block, std::byte* out) {
                                          store_f16(out, block.scale);
                                          store_f16(out + 2, block.minimum);
                                          pack_scales_and_minima(block.scales, block.minima, out + 4);
                                          if (kBits == 5) pack_bits_256(block.codes, 4, out + 16);
                                          pack_nibbles_256(block.codes, out + kCodesAt);
                                        });
}

inline void quantize_q6_K(const float* values, std::byte* blocks, int64_t n) {
  const auto choose = [](SubBlocks<16>& sub_blocks, Fit<16>& fit) {
    using Grid = EvenGrid<32>;
    sub_blocks.weigh_by_magnitude();
    fit_symmetric<Grid, 16, 16>(sub_blocks, best_step<Grid>(sub_blocks, 10, -0.9f, 0.2f, 1), 128, fit);
  };
  quantize_row<16, 256, 210>(values, blocks, n, choose, [](const CodedBlock& block, std::byte* out) {
    pack_sixes_256(block.codes, out);
    std::memcpy(out + 192, block.scales, 16);
    store_f16(out + 208, block.scale);
  });
}

inline void quantize_iq4_nl(const float* values, std::byte* blocks, int64_t n) {
  const auto choose = [](SubBlocks<32>& sub_blocks, Fit<32>& fit) {
    sub_blocks.weigh_by_magnitude();
    fit.scale = rounded_to_f16(best_step<Iq4Grid>(sub_blocks, 15, -7, 1, 1));
    const F32s inverse = inverse_or_zero(fit.scale);
    for (int i = 0; i < 32; ++i) fit.codes[i] = Iq4Grid::code(sub_blocks.x[i] * inverse);
  };
  quantize_row<32, 32, 18>(values, blocks, n, choose, [](const CodedBlock& block, std::byte* out) {
    store_f16(out, block.scale);
    pack_nibbles_32(block.codes, out + 2);
  });
}

inline void quantize_iq4_xs(const float* values, std::byte* blocks, int64_t n) {
  const auto choose = [](SubBlocks<32>& sub_blocks, Fit<32>& fit) {
    sub_blocks.weigh_by_magnitude();
    fit_symmetric<Iq4Grid, 32, 8>(sub_blocks, best_step<Iq4Grid>(sub_blocks, 15, -7, 1, 1), 32, fit);
    fit.sub_scale = fit.sub_scale + 32;
  };
  quantize_row<32, 256, 136>(values, blocks, n, choose, [](const CodedBlock& block, std::byte* out) {
    store_f16(out, block.scale);
    pack_scales_iq4(block.scales, out + 2);
    for (int s = 0; s < 8; ++s) pack_nibbles_32(block.codes + 32 * s, out + 8 + 16 * s);
  });
}

// ---- blocks to numbers

inline void dequantize_q2_K(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 84) {
    uint8_t codes[256];
    unpack_pairs_256(blocks + 16, codes);
    const float scale = load_f16(blocks + 80), minimum = load_f16(blocks + 82);
    for (int s = 0; s < 16; ++s) {
      const float step = scale * static_cast<float>(byte_of(blocks + s) & 15);
      const float low = minimum * static_cast<float>(byte_of(blocks + s) >> 4);
      store(load_bytes<uint8_t>(codes + 16 * s) * step - low, values + 16 * s);
    }
  }
}

template <int kHalf>
void scale_symmetric(float scale, const int8_t* sub_scales, const uint8_t* codes, float* values) {
  for (int s = 0; s < 16; ++s) {
    const float step = scale * static_cast<float>(sub_scales[s]);
    store((load_bytes<uint8_t>(codes + 16 * s) - static_cast<float>(kHalf)) * step, values + 16 * s);
  }
}

inline void dequantize_q3_K(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 110) {
    uint8_t codes[256], scales[16];
    int8_t sub_scales[16];
    unpack_pairs_256(blocks + 32, codes);
    unpack_bits_256(blocks, 2, codes);
    unpack_scales_q3(blocks + 96, scales);
    for (int s = 0; s < 16; ++s) sub_scales[s] = static_cast<int8_t>(scales[s] - 32);
    scale_symmetric<4>(load_f16(blocks + 108), sub_scales, codes, values);
  }
}

template <int kBits>
void dequantize_q45_K(const std::byte* blocks, float* values, int64_t n) {
  constexpr int kCodesAt = kBits == 5 ? 48 : 16;
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += kCodesAt + 128) {
    uint8_t codes[256], scales[8], minima[8];
    unpack_nibbles_256(blocks + kCodesAt, codes);
    if (kBits == 5) unpack_bits_256(blocks + 16, 4, codes);
    unpack_scales_and_minima(blocks + 4, scales, minima);
    const float scale = load_f16(blocks), minimum = load_f16(blocks + 2);
    for (int s = 0; s < 8; ++s) {
      const float step = scale * static_cast<float>(scales[s]), low = minimum * static_cast<float>(minima[s]);
      store(load_bytes<uint8_t>(codes + 32 * s) * step - low, values + 32 * s);
      store(load_bytes<uint8_t>(codes + 32 * s + 16) * step - low, values + 32 * s + 16);
    }
  }
}

inline void dequantize_q6_K(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 210) {
    uint8_t codes[256];
    int8_t sub_scales[16];
    unpack_sixes_256(blocks, codes);
    std::memcpy(sub_scales, blocks + 192, 16);
    scale_symmetric<32>(load_f16(blocks + 208), sub_scales, codes, values);
  }
}

inline void dequantize_iq4_nl(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += 18) {
    const float scale = load_f16(blocks);
    uint8_t codes[32];
    unpack_nibbles_32(blocks + 2, codes);
    for (int i = 0; i < 32; ++i) values[i] = scale * static_cast<float>(kIq4Values[codes[i]]);
  }
}

inline void dequantize_iq4_xs(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 136) {
    const float scale = load_f16(blocks);
    uint8_t scales[8], codes[32];
    unpack_scales_iq4(blocks + 2, scales);
    for (int s = 0; s < 8; ++s) {
      const float step = scale * static_cast<float>(scales[s] - 32);
      unpack_nibbles_32(blocks + 8 + 16 * s, codes);
      for (int i = 0; i < 32; ++i) values[32 * s + i] = step * static_cast<float>(kIq4Values[codes[i]]);
    }
  }
}

}  // namespace
}  // namespace chaski
