// The kernels, written once over a vector type `V` and included by one translation unit per instruction set.
// Everything lies in an unnamed namespace: what is compiled here with wide instructions must never be picked
// by the linker for other code. For the same reason nothing of the standard library is called.
//
// Bitwise promises. What a row gets does not depend on how many rows come along: tiles change which sums
// stand side by side, never the order within a sum. A linear's sum over columns k is a sum of the sums over
// 64 columns where activations are f32; over blocks, each exact, where they are integers.
//
// Parts: kernels_base.h, kernels_blocks.h, kernels_linear_f32.h, kernels_linear_int.h, kernels_quantize.h,
// kernels_rows.h, kernels_attention.h.
//
// V offers: kLanes (a divisor of 16); kF32Rows, kIntRows, kHeadTile (rows or heads of a tile);
// vectors_at_once(rows) (vectors of a panel side by side in a tile), sums_in_memory(rows) and
// pairs_rows(rows) (whether bytes of two rows of activations are multiplied at once, in the functions of
// RowPair); kSignedForm (what signed codes are multiplied with); kRoundsNumbers (whether dot_pairs beats fma,
// so that weights that are numbers are worth rounding); F (floats) and I (32-bit words) and the functions
// used below. lookup(table, codes) takes each byte from a table of 16. min(a, b) is b where either is NaN,
// and max too. load_bf16_pair gives 2 × kLanes numbers as even and odd ones, as load_pair and store_pair do
// with floats. Products of integers add to H vectors the words at `x` times those vectors' words: dot_small
// of small unsigned codes, between begin_small(total) and end_small(total, sum); dot_s8 of signed bytes that
// make_s8 made ready, offset by kS8Bias; dot_pairs of int16, for which even_bytes and odd_bytes widen signed
// bytes.
#pragma once

#include "backend/cpu/kernels_attention.h"
#include "backend/cpu/kernels_linear_f32.h"
#include "backend/cpu/kernels_linear_int.h"
#include "backend/cpu/kernels_quantize.h"
#include "backend/cpu/kernels_rows.h"

namespace chaski::cpu {
namespace {

template <class V, PanelFormat kF>
constexpr FastLinear fast_linear() {
  constexpr bool kTakesQ16 = kF.kind != CodeKind::kUnsigned && V::kSignedForm == ActivationForm::kQ16;
  if constexpr (kTakesQ16 || kF.bits == 16) {
    return {linear_int<V, kF, DotQ16>, ActivationForm::kQ16};
  } else {
    return {linear_int<V, kF, DotQ8>, ActivationForm::kQ8};
  }
}

template <class V, DType... kTypes>
constexpr void set_blocks(KernelTable& t) {
  ((t.linear_f32[static_cast<int>(kTypes)] = linear_f32<V, WeightBlocks<panel_format(kTypes)>>,
    t.linear_fast[static_cast<int>(kTypes)] = fast_linear<V, panel_format(kTypes)>()),
   ...);
}

template <class V>
constexpr KernelTable make_table(const char* isa) {
  KernelTable t{};
  t.isa = isa;
  t.linear_f32[static_cast<int>(DType::kF32)] = linear_f32<V, WeightF32>;
  t.linear_f32[static_cast<int>(DType::kF16)] = linear_f32<V, WeightF16>;
  t.linear_f32[static_cast<int>(DType::kBF16)] = linear_f32<V, WeightBF16>;
  set_blocks<V, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ2_K,
             DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS>(t);
  if constexpr (V::kRoundsNumbers) t.linear_wide = fast_linear<V, kWideFormat>();
  t.order_f32 = order_f32<V>;
  t.quantize_q8 = quantize_q8<V>;
  t.quantize_q16 = quantize_q16<V>;
  t.rms_norm = rms_norm<V>;
  t.swiglu = swiglu<V>;
  t.add = add<V>;
  t.rope = rope<V>;
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
