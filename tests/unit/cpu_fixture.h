// What the CPU backend's tests share: ops on every code path of this machine, filled tensors, comparisons.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "backend/cpu/dispatch.h"
#include "backend/cpu/ops_cpu.h"
#include "base/error.h"
#include "ops/scalar_ops.h"

namespace chaski {

/// A tensor on the host that owns its numbers.
struct HostTensor {
  TensorView view;
  std::vector<float> values;
  std::vector<int32_t> ints;

  explicit HostTensor(const Shape& shape) : values(static_cast<size_t>(shape.n_elements())) {
    view = {values.data(), DType::kF32, shape};
  }
  HostTensor(const Shape& shape, std::vector<float> filled) : values(std::move(filled)) {
    view = {values.data(), DType::kF32, shape};
  }
  static HostTensor of_ints(std::vector<int32_t> filled) {
    HostTensor tensor(Shape{0});
    tensor.ints = std::move(filled);
    tensor.view = {tensor.ints.data(), DType::kI32, {static_cast<int64_t>(tensor.ints.size())}};
    return tensor;
  }
  HostTensor(const HostTensor& other) : view(other.view), values(other.values), ints(other.ints) {
    view.data = ints.empty() ? static_cast<void*>(values.data()) : ints.data();
  }
  HostTensor& operator=(const HostTensor&) = delete;
};

inline std::vector<float> random_floats(int64_t n, uint32_t seed, float scale = 1.0f) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = normal(rng);
  return values;
}

inline HostTensor random_tensor(const Shape& shape, uint32_t seed, float scale = 1.0f) {
  return {shape, random_floats(shape.n_elements(), seed, scale)};
}

inline WeightSourcePtr random_weight(DType dtype, const Shape& shape, uint32_t seed, float scale = 1.0f) {
  return HostWeight::from_f32("w", shape, random_floats(shape.n_elements(), seed, scale), dtype);
}

inline bool same_bits(const HostTensor& a, const HostTensor& b) {
  return a.values.size() == b.values.size() &&
         std::memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(float)) == 0;
}

/// CpuOps on one code path, with a pool and a memory of its own.
struct CpuMachine {
  HostMemory memory;
  ThreadPool pool;
  CpuOps ops;
  CpuMachine(const cpu::KernelTable& kernels, Precision precision, int n_threads = 2)
      : pool(n_threads), ops(memory, pool, kernels, precision) {}
};

/// Tests that run on every code path this machine has.
class CpuPath : public testing::TestWithParam<const cpu::KernelTable*> {};

#define CHASKI_ON_EVERY_PATH(Suite)                                                   \
  INSTANTIATE_TEST_SUITE_P(Paths, Suite, testing::ValuesIn(cpu::available_kernels()), \
                           [](const auto& path_info) { return std::string(path_info.param->isa); })

inline const std::vector<DType> kMatrixTypes = {DType::kF32,  DType::kF16,    DType::kBF16,  DType::kQ8_0,
                                                DType::kQ4_0, DType::kQ4_1,   DType::kQ5_0,  DType::kQ5_1,
                                                DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,  DType::kQ5_K,
                                                DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS};

/// Set the f16 factors of each block, whose places the formats define, to bits(0) and, for a minimum's,
/// bits(1).
template <class Bits>
void fill_block_factors(DType dtype, std::span<std::byte> blocks, Bits&& bits) {
  size_t at = 0, count = 1;
  if (dtype == DType::kQ2_K) at = 80;
  if (dtype == DType::kQ3_K) at = 108;
  if (dtype == DType::kQ6_K) at = 208;
  for (const DType two : {DType::kQ4_1, DType::kQ5_1, DType::kQ2_K, DType::kQ4_K, DType::kQ5_K}) {
    if (dtype == two) count = 2;
  }
  const auto stride = static_cast<size_t>(format_of(dtype).block_bytes);
  for (size_t block = 0; block < blocks.size(); block += stride) {
    for (size_t i = 0; i < count; ++i) {
      const uint16_t factor = bits(i);
      std::memcpy(blocks.data() + block + at + 2 * i, &factor, sizeof factor);
    }
  }
}

/// Stored rows whose bits are random but for the f16 factors of each block, which are numbers.
inline std::vector<std::byte> random_blocks(DType dtype, int64_t n_rows, int64_t n_cols, uint32_t seed) {
  std::vector<std::byte> bytes(static_cast<size_t>(n_rows * row_bytes(dtype, n_cols)));
  std::mt19937 rng(seed);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng());
  fill_block_factors(dtype, bytes, [&](size_t) { return static_cast<uint16_t>(rng() & 0xbfff); });
  return bytes;
}

}  // namespace chaski
