// How the codes and scales of a panel of blocks (panel_format.h) become vectors, for both kinds of products.
#pragma once

#include <utility>

#include "backend/cpu/kernels_base.h"
#include "backend/cpu/panel_format.h"

namespace chaski::cpu {
namespace {

template <class Fn, int... kIndex>
CHASKI_INLINE void unrolled(Fn&& fn, std::integer_sequence<int, kIndex...>) {
  (fn.template operator()<kIndex>(), ...);
}
/// fn<0>(), fn<1>(), … fn<kCount − 1>().
template <int kCount, class Fn>
CHASKI_INLINE void unrolled(Fn&& fn) {
  unrolled(fn, std::make_integer_sequence<int, kCount>{});
}

/// In each byte, `kCount` bits from bit `kFrom` moved to bit `kTo`, the others clear.
template <class V, int kFrom, int kTo, int kCount>
CHASKI_INLINE typename V::I move_bits(typename V::I x) {
  if constexpr (kFrom > kTo) x = V::template shr<kFrom - kTo>(x);
  if constexpr (kFrom < kTo) x = V::template shl<kTo - kFrom>(x);
  return V::and_i(x, V::set_i(((1 << kCount) - 1) * 0x01010101 << kTo));
}

/// The codes of columns 4 kJ … 4 kJ + 3 of 32, a byte each, from planes that stand for bits kTo … .
template <class V, int kBits, int kJ, int kTo = 0>
CHASKI_INLINE typename V::I codes_at(const std::byte* planes, int first) {
  constexpr int kPlane = plane_bits(kBits), kPerWord = 8 / kPlane;
  const typename V::I word = V::load_i(planes + 4 * (kJ / kPerWord * kPanelRows + first));
  if constexpr (kPlane == 8) {
    return word;
  } else {
    const typename V::I low = move_bits<V, kJ % kPerWord * kPlane, kTo, kPlane>(word);
    if constexpr (kBits == kPlane) {
      return low;
    } else {
      constexpr int kPlaneBytes = 4 * kPanelRows * kPlane;
      return V::or_i(low, codes_at<V, kBits - kPlane, kJ, kTo + kPlane>(planes + kPlaneBytes, first));
    }
  }
}

/// What those columns' codes stand for, but for the zero: unsigned bytes where they are kUnsigned.
template <class V, PanelFormat kF, int kJ>
CHASKI_INLINE typename V::I values_at(const std::byte* block, int first) {
  const typename V::I codes = codes_at<V, kF.bits, kJ>(block, first);
  if constexpr (kF.kind == CodeKind::kIq4) {
    return V::lookup(kIq4Values, codes);
  } else {
    return codes;
  }
}

/// `n` columns from `first`, both multiples of the format's group (n but for the panel's end).
template <PanelFormat kF>
CHASKI_INLINE PanelView from_column(const PanelView& w, int64_t first, int64_t n) {
  return {w.codes + first / 32 * kF.code_bytes(), w.scales + first / kF.group_columns() * kF.scale_bytes(),
          n};
}

/// Scales and minima of a group, for H vectors of rows from `lane`.
template <class V, PanelFormat kF, int H>
struct GroupScales {
  const std::byte* at;
  int lane;
  typename V::F d[H], m[H];

  CHASKI_INLINE GroupScales(const std::byte* scales, int first_lane) : at(scales), lane(first_lane) {
    CHASKI_UNROLL
    for (int h = 0; h < H; ++h) {
      if constexpr (kF.has_exponents) {
        const typename V::I exponent = V::load_i8(at + lane + h * V::kLanes);
        d[h] = V::from_bits(V::template shl<23>(V::add_i(exponent, V::set_i(127))));
      } else {
        d[h] = V::load_f16(at + 2 * (lane + h * V::kLanes));
      }
      m[h] = kF.has_minimum ? V::load_f16(at + 2 * (kPanelRows + lane + h * V::kLanes)) : V::set(0.0f);
    }
  }
  CHASKI_INLINE typename V::F scale(int64_t piece, int h) const {
    return times_sub(d[h], kF.sub_scales_at(), piece, h);
  }
  CHASKI_INLINE typename V::F minimum(int64_t piece, int h) const {
    return times_sub(m[h], kF.sub_minima_at(), piece, h);
  }

 private:
  CHASKI_INLINE typename V::F times_sub(typename V::F x, int sub_at, int64_t piece, int h) const {
    if constexpr (!kF.has_sub_scales) {
      return x;
    } else {
      const std::byte* sub = at + sub_at + piece * kPanelRows + lane + h * V::kLanes;
      return V::mul(x, V::to_f32(V::load_i8(sub)));
    }
  }
};

/// fn<kPiece>(block, piece of its group, codes of the block, scales of the group) for all columns, where
/// kPiece counts within the block of 32. Asks the memory for what comes, where `prefetches`.
template <class V, PanelFormat kF, int H, class Fn>
CHASKI_INLINE void for_pieces(const PanelView& w, int lane, bool prefetches, Fn&& fn) {
  constexpr int kBlocks = kF.group_columns() / 32, kPieces = 32 / kF.piece_columns;
  const std::byte* codes = w.codes;
  const int64_t n_groups = (w.n_cols + kF.group_columns() - 1) / kF.group_columns();
  for (int64_t g = 0; g < n_groups; ++g) {
    const GroupScales<V, kF, H> scales(w.scales + g * kF.scale_bytes(), lane);
    for (int64_t b = 0; b < kBlocks; ++b, codes += kF.code_bytes()) {
      if (prefetches) {
        for (int at = 0; at < kF.code_bytes(); at += 64) V::prefetch(codes + at + kPrefetchBytes);
      }
      unrolled<kPieces>([&]<int kPiece>() CHASKI_INLINE_LAMBDA {
        fn.template operator()<kPiece>(g * kBlocks + b, b * kPieces + kPiece, codes, scales);
      });
    }
  }
}

}  // namespace
}  // namespace chaski::cpu
