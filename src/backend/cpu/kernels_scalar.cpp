// Kernels for any processor: four lanes of the compiler's own vector type, which it maps to whatever there
// is. Multiplies and adds round separately: a fused one is a library call where the processor is not known.
#include "backend/cpu/kernels_impl.h"

namespace chaski::cpu {
namespace {

struct Portable {
  static constexpr int kLanes = 4;
  static constexpr int kF32Rows = 2;
  static constexpr int kIntRows = 2;
  static constexpr int kHeadTile = 4;
  static constexpr ActivationForm kSignedForm = ActivationForm::kQ8;
  static constexpr bool kRoundsNumbers = true;
  static constexpr int kS8Bias = 0;
  static constexpr int vectors_at_once(int n_rows) { return n_rows == 1 ? 4 : 2; }
  static constexpr bool sums_in_memory(int) { return false; }
  static constexpr bool pairs_rows(int) { return false; }

  using F = float __attribute__((vector_size(16)));
  using I = int32_t __attribute__((vector_size(16)));
  using U = uint32_t __attribute__((vector_size(16)));

  static F set(float x) { return F{x, x, x, x}; }
  static I set_i(int32_t x) { return I{x, x, x, x}; }
  static F load(const float* p) { return load_as<F>(p); }
  static I load_i(const void* p) { return load_as<I>(p); }
  static void store(float* p, F x) { __builtin_memcpy(p, &x, sizeof x); }
  static void store_i(int32_t* p, I x) { __builtin_memcpy(p, &x, sizeof x); }
  static F load_f16(const std::byte* p) {
    return each([&](int i) { return f16_to_f32(load_as<uint16_t>(p + 2 * i)); });
  }
  static F load_bf16(const std::byte* p) {
    return each(
        [&](int i) { return __builtin_bit_cast(float, uint32_t{load_as<uint16_t>(p + 2 * i)} << 16); });
  }
  static void load_bf16_pair(const std::byte* p, F& even, F& odd) {
    const F a = load_bf16(p), b = load_bf16(p + 8);
    even = F{a[0], a[2], b[0], b[2]};
    odd = F{a[1], a[3], b[1], b[3]};
  }
  static void load_pair(const float* p, F& even, F& odd) {
    even = F{p[0], p[2], p[4], p[6]};
    odd = F{p[1], p[3], p[5], p[7]};
  }
  static void store_pair(float* p, F even, F odd) {
    store(p, F{even[0], odd[0], even[1], odd[1]});
    store(p + 4, F{even[2], odd[2], even[3], odd[3]});
  }
  static I load_i8(const std::byte* p) {
    return I{static_cast<int8_t>(p[0]), static_cast<int8_t>(p[1]), static_cast<int8_t>(p[2]),
             static_cast<int8_t>(p[3])};
  }
  static void store_i8(std::byte* p, I x) {
    for (int i = 0; i < kLanes; ++i) p[i] = static_cast<std::byte>(x[i]);
  }
  static void prefetch(const void*) {}
  static void prefetch_far(const void*) {}

  static F add(F a, F b) { return a + b; }
  static F sub(F a, F b) { return a - b; }
  static F mul(F a, F b) { return a * b; }
  static F div(F a, F b) { return a / b; }
  static F fma(F a, F b, F c) { return a * b + c; }
  static F min(F a, F b) {
    return each([&](int i) { return a[i] < b[i] ? a[i] : b[i]; });
  }
  static F max(F a, F b) {
    return each([&](int i) { return a[i] > b[i] ? a[i] : b[i]; });
  }
  static F keep_below(int n, F x, F other) {
    return each([&](int i) { return i < n ? x[i] : other[i]; });
  }
  static float reduce_add(F x) { return (x[0] + x[2]) + (x[1] + x[3]); }
  static float reduce_max(F x) {
    const float a = x[0] > x[2] ? x[0] : x[2];
    const float b = x[1] > x[3] ? x[1] : x[3];
    return a > b ? a : b;
  }

  static F to_f32(I x) { return __builtin_convertvector(x, F); }
  static F from_bits(I x) { return reinterpret_cast<F>(x); }
  static I bits(F x) { return reinterpret_cast<I>(x); }
  // Unsigned inside: integers here may wrap on the way to a NaN.
  static I add_i(I a, I b) { return reinterpret_cast<I>(reinterpret_cast<U>(a) + reinterpret_cast<U>(b)); }
  static I sub_i(I a, I b) { return reinterpret_cast<I>(reinterpret_cast<U>(a) - reinterpret_cast<U>(b)); }
  static I and_i(I a, I b) { return a & b; }
  static I or_i(I a, I b) { return a | b; }
  template <int kBits>
  static I shl(I x) {
    return reinterpret_cast<I>(reinterpret_cast<U>(x) << kBits);
  }
  template <int kBits>
  static I shr(I x) {
    return reinterpret_cast<I>(reinterpret_cast<U>(x) >> kBits);
  }
  template <int kBits>
  static I sar(I x) {
    return x >> kBits;
  }
  static I max_i(I a, I b) {
    const I above = a > b;
    return (a & above) | (b & ~above);
  }
  static int32_t reduce_max_i(I x) {
    const int32_t a = x[0] > x[2] ? x[0] : x[2];
    const int32_t b = x[1] > x[3] ? x[1] : x[3];
    return a > b ? a : b;
  }
  static int32_t reduce_add_i(I x) { return x[0] + x[1] + x[2] + x[3]; }

  static I lookup(const int8_t* table, I codes) {
    int8_t bytes[16];
    __builtin_memcpy(bytes, &codes, sizeof bytes);
    for (int8_t& byte : bytes) byte = table[byte];
    return load_i(bytes);
  }
  static I make_s8(I w) { return w; }
  template <int H>
  static void dot_s8(I (&acc)[H], const I (&w)[H], const std::byte* at) {
    const I x = set_i(load_as<int32_t>(at));
    for (int h = 0; h < H; ++h) {
      acc[h] += signed_byte<0>(w[h]) * signed_byte<0>(x) + signed_byte<1>(w[h]) * signed_byte<1>(x) +
                signed_byte<2>(w[h]) * signed_byte<2>(x) + signed_byte<3>(w[h]) * signed_byte<3>(x);
    }
  }
  template <int H>
  static void dot_small(I (&acc)[H], const I (&w)[H], const std::byte* x) {
    dot_s8(acc, w, x);  // small codes have no sign bit
  }
  template <int H>
  static void dot_pairs(I (&acc)[H], const I (&w)[H], const std::byte* at) {
    const I x = set_i(load_as<int32_t>(at));
    for (int h = 0; h < H; ++h) acc[h] += (sar<16>(w[h]) * sar<16>(x)) + (low_half(w[h]) * low_half(x));
  }
  static I begin_small(I total) { return total; }
  static I end_small(I, I acc) { return acc; }

 private:
  static I low_half(I x) { return sar<16>(shl<16>(x)); }
  template <class Fn>
  static F each(Fn&& f) {
    return F{f(0), f(1), f(2), f(3)};
  }
  template <int kByte>
  static I signed_byte(I x) {
    return sar<24>(shl<24 - 8 * kByte>(x));
  }
};

}  // namespace

extern const KernelTable kScalarKernels;
constexpr KernelTable kScalarTable = make_table<Portable>("scalar");
const KernelTable kScalarKernels = kScalarTable;

}  // namespace chaski::cpu
