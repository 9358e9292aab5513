// Products with integer activations: int8, for codes of few bits and where the processor multiplies bytes
// well, or int16. Integers are summed exactly over a block of columns, blocks in f32 and in order.
#pragma once

#include "backend/cpu/kernels_blocks.h"

namespace chaski::cpu {
namespace {

constexpr int64_t kSliceColumns =
    1024;  // that all rows go through before the next: a multiple of every group

/// Word kAt of the four words of activations at `four`; where it lies, for vectors that take it from there.
template <int kAt>
struct WordOf {
  const std::byte* four;
  CHASKI_INLINE operator const std::byte*() const { return four + 4 * kAt; }
};

/// R rows of activations from some column on, and the sums of their products with the panel's rows.
template <class V, int R, int H>
struct IntTile {
  // Sixteen registers do not hold the sums beside the products.
  static constexpr bool kIsInMemory = V::sums_in_memory(R);

  const std::byte* codes;  ///< of the first row
  const std::byte* facts;  ///< BlockFacts of Q8Row, or scales of Q16Row
  const std::byte* halves;
  int64_t stride;
  bool prefetches;
  float* tile;
  typename V::F sum[R][H];

  /// Word kWord of a block's words, the first of which is at `block`.
  template <int kWord>
  CHASKI_INLINE WordOf<kWord % 4> word(int r, int64_t block) const {
    return {codes + r * stride + block + kWord / 4 * 16};
  }

  CHASKI_INLINE void begin(int lane) {
    if constexpr (!kIsInMemory) {
      CHASKI_UNROLL
      for (int r = 0; r < R; ++r) {
        CHASKI_UNROLL
        for (int h = 0; h < H; ++h) sum[r][h] = V::load(place(r, lane, h));
      }
    }
  }
  CHASKI_INLINE void add_product(int r, int lane, int h, typename V::F a, typename V::F b) {
    if constexpr (kIsInMemory) {
      V::store(place(r, lane, h), V::fma(a, b, V::load(place(r, lane, h))));
    } else {
      sum[r][h] = V::fma(a, b, sum[r][h]);
    }
  }
  CHASKI_INLINE void end(int lane) const {
    if constexpr (!kIsInMemory) {
      CHASKI_UNROLL
      for (int r = 0; r < R; ++r) {
        CHASKI_UNROLL
        for (int h = 0; h < H; ++h) V::store(place(r, lane, h), sum[r][h]);
      }
    }
  }

 private:
  CHASKI_INLINE float* place(int r, int lane, int h) const {
    return tile + r * kPanelRows + lane + h * V::kLanes;
  }
};

/// Codes times activations of Q8Row.
template <PanelFormat kF>
struct DotQ8 {
  using Row = Q8Row;
  static constexpr bool kIsSmall = kF.kind == CodeKind::kUnsigned;
  static constexpr int kWords = kF.piece_columns / 4;
  /// Words of codes whose products dot_small may add up.
  static constexpr int kChain = kF.bits <= 4 || !kIsSmall ? kWords : kF.bits == 5 ? 4 : 2;

  template <class V, int R, int H>
  CHASKI_INLINE static void run(const PanelView& w, int lane, IntTile<V, R, H>& t) {
    for_pieces<V, kF, H>(
        w, lane, t.prefetches,
        [&]<int kPiece>(int64_t b, int64_t piece, const std::byte* codes, const auto& scales)
            CHASKI_INLINE_LAMBDA {
              typename V::I dots[R][H];
              if constexpr (V::pairs_rows(R)) {
                dot_row_pairs<kPiece>(b, codes, lane, t, dots);
              } else {
                dot<kPiece>(b, codes, lane, t, dots);
              }
              typename V::F scale[H], minimum[H];
              CHASKI_UNROLL
              for (int h = 0; h < H; ++h) {
                scale[h] = scales.scale(piece, h);
                minimum[h] = scales.minimum(piece, h);
              }
              CHASKI_UNROLL
              for (int r = 0; r < R; ++r) {
                const std::byte* facts = t.facts + r * t.stride + b * Q8Row::kFactsBytes;
                const typename V::F dx = V::set(load_as<float>(facts + Q8Row::kScaleAt));
                CHASKI_UNROLL
                for (int h = 0; h < H; ++h)
                  t.add_product(r, lane, h, V::to_f32(dots[r][h]), V::mul(scale[h], dx));
                if constexpr (kF.has_minimum) {
                  const typename V::F sum =
                      V::set(load_as<float>(kWords == 8 ? facts + Q8Row::kWeightedSumAt
                                                        : t.halves + r * t.stride + b * Q8Row::kHalvesBytes +
                                                              Q8Row::kHalfWeightedSumsAt + 4 * kPiece));
                  CHASKI_UNROLL
                  for (int h = 0; h < H; ++h) t.add_product(r, lane, h, minimum[h], sum);
                }
              }
              if constexpr (IntTile<V, R, H>::kIsInMemory) CHASKI_FORGET_REGISTERS;
            });
  }

 private:
  /// What a piece's products with a row begin with, because codes stand for other numbers: −zero × Σ x.
  template <int kPiece, class V, int R, int H>
  CHASKI_INLINE static typename V::I first_sum(const IntTile<V, R, H>& t, int64_t b, int r) {
    constexpr int kZero = [] {
      if constexpr (kIsSmall)
        return kF.zero;
      else
        return V::kS8Bias;
    }();
    if constexpr (kZero == 0) {
      return V::set_i(0);
    } else {
      return V::template shl<log2_of(kZero)>(V::set_i(
          load_as<int32_t>(kWords == 8 ? t.facts + r * t.stride + b * Q8Row::kFactsBytes + Q8Row::kMinusSumAt
                                       : t.halves + r * t.stride + b * Q8Row::kHalvesBytes + 4 * kPiece)));
    }
  }

  /// A piece's products of activations' codes with what the weights' codes stand for.
  template <int kPiece, class V, int R, int H>
  CHASKI_INLINE static void dot(int64_t b, const std::byte* codes, int lane, const IntTile<V, R, H>& t,
                                typename V::I (&dots)[R][H]) {
    CHASKI_UNROLL
    for (int r = 0; r < R; ++r) {
      const typename V::I before = first_sum<kPiece>(t, b, r);
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) dots[r][h] = before;
    }
    unrolled<kWords / kChain>([&]<int kLink>() CHASKI_INLINE_LAMBDA {
      typename V::I acc[R][H];
      CHASKI_UNROLL
      for (int r = 0; r < R; ++r) {
        CHASKI_UNROLL
        for (int h = 0; h < H; ++h) acc[r][h] = kIsSmall ? V::begin_small(dots[r][h]) : dots[r][h];
      }
      unrolled<kChain>([&]<int kWord>() CHASKI_INLINE_LAMBDA {
        constexpr int kJ = kPiece * kWords + kLink * kChain + kWord;
        typename V::I values[H];
        CHASKI_UNROLL
        for (int h = 0; h < H; ++h) {
          values[h] = values_at<V, kF, kJ>(codes, lane + h * V::kLanes);
          if constexpr (!kIsSmall) values[h] = V::make_s8(values[h]);
        }
        CHASKI_UNROLL
        for (int r = 0; r < R; ++r) {
          const auto x = t.template word<kJ>(r, b * 32);
          if constexpr (kIsSmall) {
            V::dot_small(acc[r], values, x);
          } else {
            V::dot_s8(acc[r], values, x);
          }
        }
      });
      CHASKI_UNROLL
      for (int r = 0; r < R; ++r) {
        CHASKI_UNROLL
        for (int h = 0; h < H; ++h) dots[r][h] = kIsSmall ? V::end_small(dots[r][h], acc[r][h]) : acc[r][h];
      }
    });
  }

  /// The same for two rows of activations at a time, with eight columns of the weights.
  template <int kPiece, class V, int R, int H>
  CHASKI_INLINE static void dot_row_pairs(int64_t b, const std::byte* codes, int lane,
                                          const IntTile<V, R, H>& t, typename V::I (&dots)[R][H]) {
    typename V::RowPair acc[R / 2][H];
    CHASKI_UNROLL
    for (int r = 0; r < R; r += 2) {
      const auto before = V::begin_pair(first_sum<kPiece>(t, b, r), first_sum<kPiece>(t, b, r + 1));
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) acc[r / 2][h] = before;
    }
    unrolled<kWords / 2>([&]<int kTwo>() CHASKI_INLINE_LAMBDA {
      constexpr int kJ = kPiece * kWords + 2 * kTwo;
      typename V::RowPair values[H];
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) {
        const int first = lane + h * V::kLanes;
        values[h] = V::zip_words(values_at<V, kF, kJ>(codes, first), values_at<V, kF, kJ + 1>(codes, first));
      }
      CHASKI_UNROLL
      for (int r = 0; r < R; r += 2) {
        V::dot_row_pair(acc[r / 2], values, t.template word<kJ>(r, b * 32),
                        t.template word<kJ>(r + 1, b * 32));
      }
    });
    CHASKI_UNROLL
    for (int r = 0; r < R; r += 2) {
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) V::end_pair(acc[r / 2][h], dots[r][h], dots[r + 1][h]);
    }
  }
};

/// Signed codes times activations of Q16Row.
template <PanelFormat kF>
struct DotQ16 {
  using Row = Q16Row;

  template <class V, int R, int H>
  CHASKI_INLINE static void run(const PanelView& w, int lane, IntTile<V, R, H>& t) {
    static_assert(kF.piece_columns == 32 && kF.kind != CodeKind::kUnsigned);
    for_pieces<V, kF, H>(
        w, lane, t.prefetches,
        [&]<int kPiece>(int64_t b, int64_t piece, const std::byte* codes, const auto& scales)
            CHASKI_INLINE_LAMBDA {
              typename V::I dots[R][H];
              CHASKI_UNROLL
              for (int r = 0; r < R; ++r) {
                CHASKI_UNROLL
                for (int h = 0; h < H; ++h) dots[r][h] = V::set_i(0);
              }
              unrolled<8>([&]<int kFour>() CHASKI_INLINE_LAMBDA {
                typename V::I pairs[2][H];
                CHASKI_UNROLL
                for (int h = 0; h < H; ++h)
                  load_pairs<V, kFour>(codes, lane + h * V::kLanes, pairs[0][h], pairs[1][h]);
                unrolled<2>([&]<int kHalf>() CHASKI_INLINE_LAMBDA {
                  CHASKI_UNROLL
                  for (int r = 0; r < R; ++r)
                    V::dot_pairs(dots[r], pairs[kHalf], t.template word<2 * kFour + kHalf>(r, b * 64));
                });
              });
              typename V::F scale[H];
              CHASKI_UNROLL
              for (int h = 0; h < H; ++h) scale[h] = scales.scale(piece, h);
              CHASKI_UNROLL
              for (int r = 0; r < R; ++r) {
                const typename V::F dx = V::set(load_as<float>(t.facts + r * t.stride + 4 * b));
                CHASKI_UNROLL
                for (int h = 0; h < H; ++h)
                  t.add_product(r, lane, h, V::to_f32(dots[r][h]), V::mul(scale[h], dx));
              }
              if constexpr (IntTile<V, R, H>::kIsInMemory) CHASKI_FORGET_REGISTERS;
            });
  }

 private:
  /// Of four columns, the first and third as pairs of int16, and the second and fourth.
  template <class V, int kFour>
  CHASKI_INLINE static void load_pairs(const std::byte* codes, int first, typename V::I& even,
                                       typename V::I& odd) {
    if constexpr (kF.bits == 16) {
      even = V::load_i(codes + 4 * (2 * kFour * kPanelRows + first));
      odd = V::load_i(codes + 4 * ((2 * kFour + 1) * kPanelRows + first));
    } else {
      const typename V::I values = values_at<V, kF, kFour>(codes, first);
      even = V::even_bytes(values);
      odd = V::odd_bytes(values);
    }
  }
};

/// tile[r][i] += the products over the columns of `w`.
template <class V, class Dot, int R>
[[gnu::noinline]] void multiply_int(const PanelView& w, const std::byte* codes, const std::byte* facts,
                                    const std::byte* halves, int64_t stride, bool prefetches, float* tile) {
  constexpr int H = V::vectors_at_once(R);
  for (int lane = 0; lane < kPanelRows; lane += H * V::kLanes) {
    IntTile<V, R, H> t;
    t.codes = codes;
    t.facts = facts;
    t.halves = halves;
    t.stride = stride;
    t.prefetches = prefetches;
    t.tile = tile;
    t.begin(lane);
    Dot::template run<V, R, H>(w, lane, t);
    t.end(lane);
  }
}

template <class V, PanelFormat kF, template <PanelFormat> class DotOf>
void linear_int(const PanelView& w, const ActivationRows& x, int64_t n_rows, float* tile) {
  using Dot = DotOf<kF>;
  const typename Dot::Row row{w.n_cols};
  __builtin_memset(tile, 0, static_cast<size_t>(n_rows) * kPanelRows * sizeof(float));
  for (int64_t first = 0; first < w.n_cols; first += kSliceColumns) {
    const PanelView slice =
        from_column<kF>(w, first, w.n_cols - first < kSliceColumns ? w.n_cols - first : kSliceColumns);
    for_tiles<V::kIntRows>(n_rows, [&]<int R>(int64_t r) CHASKI_INLINE_LAMBDA {
      const std::byte* at = x.data + r * x.stride;
      multiply_int<V, Dot, R>(slice, at + row.codes_at(first), at + row.facts_at(first),
                              at + row.halves_at(first), x.stride, r == 0, tile + r * kPanelRows);
    });
  }
}

}  // namespace
}  // namespace chaski::cpu
