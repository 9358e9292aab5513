// Vectors of Arm's NEON with the dot product of bytes (ARMv8.2): four lanes. Only for kernels_neon.cpp and
// kernels_neon_i8mm.cpp, whose flags allow them.
//
// Bytes are signed on both sides, and the unsigned codes of few bits have no sign bit, so one instruction
// serves all formats and nothing has to be taken back. Products of int16 are four an instruction, as those of
// f32 are, at half the rate in LLVM's model of Kunpeng 920's core: f32, f16 and bf16 weights are not rounded.
#pragma once

#include <arm_neon.h>

#include "backend/cpu/kernels_impl.h"

namespace chaski::cpu {
namespace {

struct Neon {
  static constexpr int kLanes = 4;
  static constexpr int kF32Rows = 6;
  static constexpr int kIntRows = 8;
  static constexpr int kHeadTile = 8;
  static constexpr ActivationForm kSignedForm = ActivationForm::kQ8;
  static constexpr bool kRoundsNumbers = false;
  static constexpr int kS8Bias = 0;
  static constexpr int vectors_at_once(int n_rows) { return n_rows > 6 ? 2 : 4; }
  static constexpr bool sums_in_memory(int n_rows) { return n_rows > 2; }
  static constexpr bool pairs_rows(int) { return false; }

  using F = float32x4_t;
  using I = int32x4_t;

  CHASKI_INLINE static F set(float x) { return vdupq_n_f32(x); }
  CHASKI_INLINE static I set_i(int32_t x) { return vdupq_n_s32(x); }
  CHASKI_INLINE static F load(const float* p) { return vld1q_f32(p); }
  CHASKI_INLINE static I load_i(const void* p) { return vreinterpretq_s32_s8(vld1q_s8(as_s8(p))); }
  CHASKI_INLINE static void store(float* p, F x) { vst1q_f32(p, x); }
  CHASKI_INLINE static void store_i(int32_t* p, I x) { vst1q_s32(p, x); }
  CHASKI_INLINE static F load_f16(const std::byte* p) {
    return vcvt_f32_f16(vreinterpret_f16_s8(vld1_s8(as_s8(p))));
  }
  CHASKI_INLINE static void load_bf16_pair(const std::byte* p, F& even, F& odd) {
    const I both = load_i(p);
    even = from_bits(shl<16>(both));
    odd = from_bits(and_i(both, set_i(static_cast<int32_t>(0xffff0000))));
  }
  CHASKI_INLINE static void load_pair(const float* p, F& even, F& odd) {
    const F a = load(p), b = load(p + 4);
    even = vuzp1q_f32(a, b);
    odd = vuzp2q_f32(a, b);
  }
  CHASKI_INLINE static void store_pair(float* p, F even, F odd) {
    store(p, vzip1q_f32(even, odd));
    store(p + 4, vzip2q_f32(even, odd));
  }
  CHASKI_INLINE static I load_i8(const std::byte* p) {
    const int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(load_as<int32_t>(p)));
    return vmovl_s16(vget_low_s16(vmovl_s8(bytes)));
  }
  CHASKI_INLINE static void store_i8(std::byte* p, I x) {
    const int8x16_t bytes = vreinterpretq_s8_s32(x);
    const int8x16_t even = vuzp1q_s8(bytes, bytes);
    store_as(p, vgetq_lane_s32(vreinterpretq_s32_s8(vuzp1q_s8(even, even)), 0));
  }
  CHASKI_INLINE static void prefetch(const void* p) { __builtin_prefetch(p); }
  CHASKI_INLINE static void prefetch_far(const void* p) { __builtin_prefetch(p, 0, 2); }

  CHASKI_INLINE static F add(F a, F b) { return vaddq_f32(a, b); }
  CHASKI_INLINE static F sub(F a, F b) { return vsubq_f32(a, b); }
  CHASKI_INLINE static F mul(F a, F b) { return vmulq_f32(a, b); }
  CHASKI_INLINE static F div(F a, F b) { return vdivq_f32(a, b); }
  CHASKI_INLINE static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  CHASKI_INLINE static F min(F a, F b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  CHASKI_INLINE static F max(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  CHASKI_INLINE static F keep_below(int n, F x, F other) {
    return vbslq_f32(vcgtq_s32(set_i(n), I{0, 1, 2, 3}), x, other);
  }
  CHASKI_INLINE static float reduce_add(F x) { return vaddvq_f32(x); }
  CHASKI_INLINE static float reduce_max(F x) { return vmaxnmvq_f32(x); }

  CHASKI_INLINE static F to_f32(I x) { return vcvtq_f32_s32(x); }
  CHASKI_INLINE static F from_bits(I x) { return vreinterpretq_f32_s32(x); }
  CHASKI_INLINE static I bits(F x) { return vreinterpretq_s32_f32(x); }
  CHASKI_INLINE static I add_i(I a, I b) { return vaddq_s32(a, b); }
  CHASKI_INLINE static I sub_i(I a, I b) { return vsubq_s32(a, b); }
  CHASKI_INLINE static I and_i(I a, I b) { return vandq_s32(a, b); }
  CHASKI_INLINE static I or_i(I a, I b) { return vorrq_s32(a, b); }
  template <int kBits>
  CHASKI_INLINE static I shl(I x) {
    return vshlq_n_s32(x, kBits);
  }
  template <int kBits>
  CHASKI_INLINE static I shr(I x) {
    if constexpr (kBits == 0) {
      return x;
    } else {
      return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(x), kBits));
    }
  }
  template <int kBits>
  CHASKI_INLINE static I sar(I x) {
    return vshrq_n_s32(x, kBits);
  }
  CHASKI_INLINE static I max_i(I a, I b) { return vmaxq_s32(a, b); }
  CHASKI_INLINE static int32_t reduce_max_i(I x) { return vmaxvq_s32(x); }
  CHASKI_INLINE static int32_t reduce_add_i(I x) { return vaddvq_s32(x); }

  CHASKI_INLINE static I lookup(const int8_t* table, I codes) {
    return vreinterpretq_s32_s8(vqtbl1q_s8(vld1q_s8(table), vreinterpretq_u8_s32(codes)));
  }
  CHASKI_INLINE static I make_s8(I w) { return w; }
  template <int H, int kAt>
  CHASKI_INLINE static void dot_s8(I (&acc)[H], const I (&w)[H], WordOf<kAt> x) {
    const int8x16_t four = vld1q_s8(as_s8(x.four));
    CHASKI_UNROLL
    for (int h = 0; h < H; ++h) acc[h] = vdotq_laneq_s32(acc[h], vreinterpretq_s8_s32(w[h]), four, kAt);
  }
  template <int H, int kAt>
  CHASKI_INLINE static void dot_small(I (&acc)[H], const I (&w)[H], WordOf<kAt> x) {
    dot_s8(acc, w, x);
  }
  CHASKI_INLINE static I begin_small(I total) { return total; }
  CHASKI_INLINE static I end_small(I, I acc) { return acc; }

 private:
  CHASKI_INLINE static const int8_t* as_s8(const void* p) { return static_cast<const int8_t*>(p); }
};

}  // namespace
}  // namespace chaski::cpu
