// The kernels, written once over a vector type `V` and included by one translation unit per instruction set.
// Everything lies in an unnamed namespace: what is compiled here with wide instructions must never be picked
// by the linker for other code. For the same reason nothing of the standard library is called.
//
// Bitwise promises. What a row gets does not depend on how many rows come along: tiles change which sums
// stand side by side, never the order within a sum. A linear's sum over columns k has two chains (even and
// odd k) where activations are f32, one chain over blocks where they are int8.
//
// Parts: kernels_base.h, kernels_blocks.h, kernels_linear_f32.h, kernels_linear_q8.h, kernels_rows.h,
// kernels_attention.h.
//
// V offers: kLanes (a divisor of 16), kMaxRows, kHeadTile (heads side by side in attention), kS8Bias,
// vectors_at_once(rows) (vectors of a panel side by side in a tile); F (floats), I (32-bit words), S8 (signed
// bytes made ready for dot_s8); the functions used below. lookup(table, codes) takes each byte from a table
// of 16; dot_small sums products of small unsigned codes between begin_small(total) and end_small(total,
// sum). min(a, b) is b where either is NaN, and max too. load_bf16_pair gives 2 × kLanes numbers as even and
// odd ones, as load_pair and store_pair do with floats.
#pragma once

#include "backend/cpu/kernels_attention.h"
#include "backend/cpu/kernels_linear_f32.h"
#include "backend/cpu/kernels_linear_q8.h"
#include "backend/cpu/kernels_rows.h"

namespace chaski::cpu {
namespace {

template <class V, DType... kTypes, class Set>
constexpr void set_blocks(Set&& set) {
  (set(kTypes, linear<V, WeightBlocks<panel_format(kTypes)>, false>,
       linear<V, DotBlocks<panel_format(kTypes)>, true>),
   ...);
}

template <class V>
constexpr KernelTable make_table(const char* isa) {
  KernelTable t{};
  const auto set = [&t](DType dtype, LinearKernel f32, LinearKernel q8) {
    t.linear_f32[static_cast<int>(dtype)] = f32;
    t.linear_q8[static_cast<int>(dtype)] = q8;
  };
  t.isa = isa;
  set(DType::kF32, linear<V, WeightF32, false>, nullptr);
  set(DType::kF16, linear<V, WeightF16, false>, nullptr);
  set(DType::kBF16, linear<V, WeightBF16, false>, nullptr);
  set_blocks<V, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ2_K,
             DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS>(set);
  t.quantize_q8 = quantize_q8<V>;
  t.rms_norm = rms_norm<V>;
  t.swiglu = swiglu<V>;
  t.add = add<V>;
  t.rope = rope<V>;
  t.widen = widen<V>;
  t.attend[static_cast<int>(DType::kF32)] = attend<V, KvF32>;
  t.attend[static_cast<int>(DType::kF16)] = attend<V, KvF16>;
  t.attend[static_cast<int>(DType::kBF16)] = attend<V, KvBF16>;
  t.attend[static_cast<int>(DType::kQ8_0)] = attend<V, KvQ8>;
  t.merge = merge_parts<V>;
  t.argmax = argmax<V>;
  return t;
}

}  // namespace
}  // namespace chaski::cpu
