// See op_math.h. With F16C, AVX2 and FMA where the processor has them, else in plain C++; the two differ only
// in the order of a dot product's additions and in fused roundings.
#include "op_math.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#define CHASKI_VECTOR __attribute__((target("avx2,fma,f16c")))
#endif

namespace ascend_emulator {
namespace {

uint32_t bits_of(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

float float_of(uint32_t bits) {
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

constexpr int64_t kLanes = 8;  // a dot product has so many sums, added up in pairs at the end

float added_up(const float* lanes) {
  float sums[kLanes];
  std::copy(lanes, lanes + kLanes, sums);
  for (int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (int64_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

float element(DataType dtype, const void* row, int64_t i) {
  if (dtype == DataType::kFloat) return static_cast<const float*>(row)[i];
  const uint16_t bits = static_cast<const uint16_t*>(row)[i];
  return dtype == DataType::kFloat16 ? half_to_float(bits) : bfloat16_to_float(bits);
}

#if defined(__x86_64__)
bool has_vectors() {
  // Every processor with AVX2 has F16C; clang 14 has no name for it here.
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
}

template <DataType kType>
CHASKI_VECTOR inline __m256 eight(const void* row, int64_t i) {
  if constexpr (kType == DataType::kFloat) {
    return _mm256_loadu_ps(static_cast<const float*>(row) + i);
  } else {
    const __m128i bits =
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(static_cast<const uint16_t*>(row) + i));
    if constexpr (kType == DataType::kFloat16) return _mm256_cvtph_ps(bits);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
}

template <int kX, DataType kType>
CHASKI_VECTOR void dot_tile_vectors(const float* const* x, const void* const rows[4], int64_t k,
                                    float* sums) {
  __m256 lanes[kX][4];
  for (auto& row : lanes) {
    for (__m256& sum : row) sum = _mm256_setzero_ps();
  }
  int64_t i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    __m256 left[kX];
    for (int l = 0; l < kX; ++l) left[l] = _mm256_loadu_ps(x[l] + i);
    for (int j = 0; j < 4; ++j) {
      const __m256 right = eight<kType>(rows[j], i);
      for (int l = 0; l < kX; ++l) lanes[l][j] = _mm256_fmadd_ps(left[l], right, lanes[l][j]);
    }
  }
  for (int l = 0; l < kX; ++l) {
    const __m256 first = _mm256_hadd_ps(lanes[l][0], lanes[l][1]),
                 second = _mm256_hadd_ps(lanes[l][2], lanes[l][3]);
    const __m256 pairs = _mm256_hadd_ps(first, second);
    _mm_storeu_ps(sums + 4 * l, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
    for (int j = 0; j < 4; ++j) {
      for (int64_t t = i; t < k; ++t) sums[4 * l + j] += x[l][t] * element(kType, rows[j], t);
    }
  }
}

template <DataType kType>
void dot_tile_vectors(const float* const* x, int n_x, const void* const rows[4], int64_t k, float* sums) {
  if (n_x == 2) return dot_tile_vectors<2, kType>(x, rows, k, sums);
  dot_tile_vectors<1, kType>(x, rows, k, sums);
}

template <DataType kType>
CHASKI_VECTOR void load_vectors(const void* from, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(to + i, eight<kType>(from, i));
  for (; i < n; ++i) to[i] = element(kType, from, i);
}

CHASKI_VECTOR void store_half(const float* from, int64_t n, uint16_t* to) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), 0));
  }
  for (; i < n; ++i) to[i] = float_to_half(from[i]);
}

CHASKI_VECTOR inline __m256 rounded_eight(DataType dtype, __m256 values) {
  if (dtype == DataType::kFloat16) return _mm256_cvtph_ps(_mm256_cvtps_ph(values, 0));
  const __m256i bits = _mm256_castps_si256(values);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  return _mm256_castsi256_ps(_mm256_and_si256(up, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
}

// Finite scales and offsets only: the caller sends others the plain way.
CHASKI_VECTOR int64_t dequantize_vectors(DataType dtype, const int8_t* q, int64_t n, float offset,
                                         float scale, float* to) {
  const __m256 add = _mm256_set1_ps(offset), factor = _mm256_set1_ps(scale);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(q + i));
    __m256 value = _mm256_add_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), add);
    if (dtype == DataType::kFloat16 && offset != 0) value = rounded_eight(dtype, value);
    _mm256_storeu_ps(to + i, rounded_eight(dtype, _mm256_mul_ps(value, factor)));
  }
  return i;
}

CHASKI_VECTOR void add_scaled_vectors(float a, const float* x, int64_t n, float* y) {
  const __m256 factor = _mm256_set1_ps(a);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(y + i, _mm256_fmadd_ps(factor, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
  }
  for (; i < n; ++i) y[i] += a * x[i];
}
#endif

void dot_tile_plain(const float* const* x, int n_x, DataType dtype, const void* const rows[4], int64_t k,
                    float* sums) {
  for (int l = 0; l < n_x; ++l) {
    for (int j = 0; j < 4; ++j) {
      float lanes[kLanes] = {}, values[kLanes];
      int64_t i = 0;
      for (; i + kLanes <= k; i += kLanes) {
        for (int64_t t = 0; t < kLanes; ++t) values[t] = element(dtype, rows[j], i + t);
        for (int64_t t = 0; t < kLanes; ++t) lanes[t] += x[l][i + t] * values[t];
      }
      float sum = added_up(lanes);
      for (; i < k; ++i) sum += x[l][i] * element(dtype, rows[j], i);
      sums[4 * l + j] = sum;
    }
  }
}

}  // namespace

float half_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu, mantissa = bits & 0x3ffu;
  if (exponent == 31) return float_of(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return float_of(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float value = static_cast<float>(mantissa) * 0x1p-24f;
  return sign != 0 ? -value : value;
}

uint16_t float_to_half(float value) {
  const uint32_t bits = bits_of(value);
  const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65,520 and above: infinite
  if (magnitude < 0x38800000u) {
    // Adding 0.5 puts the units of the subnormals (2^-24) at the end of f32's mantissa, rounded to even.
    const uint32_t sum = bits_of(float_of(magnitude) + 0.5F);
    return static_cast<uint16_t>(sign | (sum - 0x3f000000u));
  }
  const uint32_t odd = (magnitude >> 13) & 1u;
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
}

float bfloat16_to_float(uint16_t bits) { return float_of(static_cast<uint32_t>(bits) << 16); }

uint16_t float_to_bfloat16(float value) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float rounded_to(DataType dtype, float value) {
  if (dtype == DataType::kFloat16) return half_to_float(float_to_half(value));
  return dtype == DataType::kBFloat16 ? bfloat16_to_float(float_to_bfloat16(value)) : value;
}

void load_row(DataType dtype, const void* from, int64_t n, float* to) {
#if defined(__x86_64__)
  if (dtype == DataType::kFloat16 && has_vectors()) return load_vectors<DataType::kFloat16>(from, n, to);
  if (dtype == DataType::kBFloat16 && has_vectors()) return load_vectors<DataType::kBFloat16>(from, n, to);
#endif
  for (int64_t i = 0; i < n; ++i) to[i] = element(dtype, from, i);
}

void store_row(DataType dtype, const float* from, int64_t n, void* to) {
  if (dtype == DataType::kFloat) {
    std::copy(from, from + n, static_cast<float*>(to));
    return;
  }
  auto* bits = static_cast<uint16_t*>(to);
#if defined(__x86_64__)
  if (dtype == DataType::kFloat16 && has_vectors()) return store_half(from, n, bits);
#endif
  for (int64_t i = 0; i < n; ++i) {
    bits[i] = dtype == DataType::kFloat16 ? float_to_half(from[i]) : float_to_bfloat16(from[i]);
  }
}

void round_row(DataType dtype, float* values, int64_t n) {
  for (int64_t i = 0; i < n; ++i) values[i] = rounded_to(dtype, values[i]);
}

void dot_tile(const float* const x[2], int n_x, DataType dtype, const void* const rows[4], int64_t k,
              float sums[8]) {
#if defined(__x86_64__)
  if (has_vectors()) {
    if (dtype == DataType::kFloat16) return dot_tile_vectors<DataType::kFloat16>(x, n_x, rows, k, sums);
    if (dtype == DataType::kBFloat16) return dot_tile_vectors<DataType::kBFloat16>(x, n_x, rows, k, sums);
    return dot_tile_vectors<DataType::kFloat>(x, n_x, rows, k, sums);
  }
#endif
  dot_tile_plain(x, n_x, dtype, rows, k, sums);
}

void dequantize_row(DataType dtype, const int8_t* q, int64_t n, float offset, float scale, float* to) {
  int64_t i = 0;
#if defined(__x86_64__)
  if (has_vectors() && std::isfinite(offset) && std::isfinite(scale)) {
    i = dequantize_vectors(dtype, q, n, offset, scale, to);
  }
#endif
  for (; i < n; ++i) {
    const float sum = static_cast<float>(q[i]) + offset;
    to[i] = rounded_to(dtype, (dtype == DataType::kFloat16 ? rounded_to(dtype, sum) : sum) * scale);
  }
}

void add_scaled(float a, const float* x, int64_t n, float* y) {
#if defined(__x86_64__)
  if (has_vectors()) return add_scaled_vectors(a, x, n, y);
#endif
  for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}

void parallel_for(int64_t n, int64_t step, int64_t work, const std::function<void(int64_t, int64_t)>& body) {
  constexpr int64_t kWorthAThread = 200'000;
  if (n <= step || work < kWorthAThread || std::thread::hardware_concurrency() < 2) return body(0, n);
  const int64_t middle = std::min(n, (n / 2 + step - 1) / step * step);
  std::thread other([&] { body(middle, n); });
  body(0, middle);
  other.join();
}

}  // namespace ascend_emulator
