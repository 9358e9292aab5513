#include "tensor/finite.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/error.h"

namespace chaski {
namespace {

/// Where the scales of a block lie: f16 numbers at these bytes; `second` is -1 where there is one only.
struct ScalePlaces {
  int first = 0, second = -1;
};

ScalePlaces places_of(DType dtype) {
  switch (dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108};
    case DType::kQ6_K:
      return {208};
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kIQ4_NL:
    case DType::kIQ4_XS:
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kI32:
      return {0};
  }
  return {0};
}

/// A number is not finite where all bits of its exponent are set. `kUnit` is the exponent's lowest bit: added
/// to such a number, it carries into the sign's place.
template <typename Bits, Bits kUnit>
struct Pattern {
  static constexpr int64_t kBytes = sizeof(Bits);
  static constexpr Bits kSign = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));
  static Bits carry(Bits bits) {
    return static_cast<Bits>(static_cast<Bits>((bits & static_cast<Bits>(~kSign)) + kUnit) & kSign);
  }

  static std::optional<int64_t> first(const std::byte* row, int64_t n) {
    constexpr int64_t kTile = 256;  // a fixed length, so that the compiler makes vectors of it
    int64_t at = 0;
    for (; at + kTile <= n; at += kTile) {
      Bits tile[kTile];
      std::memcpy(tile, row + at * kBytes, sizeof tile);
      Bits found = 0;
      for (int64_t i = 0; i < kTile; ++i) found = static_cast<Bits>(found | carry(tile[i]));
      if (found != 0) break;
    }
    for (; at < n; ++at) {
      Bits bits;
      std::memcpy(&bits, row + at * kBytes, sizeof bits);
      if (carry(bits) != 0) return at;
    }
    return std::nullopt;
  }
};
using F32 = Pattern<uint32_t, 0x00800000u>;
using F16 = Pattern<uint16_t, 0x0400u>;
using BF16 = Pattern<uint16_t, 0x0080u>;

bool is_f16_finite(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return F16::carry(bits) == 0;
}

class FiniteWeight : public WeightSource {
 public:
  FiniteWeight(WeightSourcePtr weight, OnNonfinite on_nonfinite)
      : weight_(std::move(weight)), on_nonfinite_(std::move(on_nonfinite)) {}

  const std::string& name() const override { return weight_->name(); }
  DType dtype() const override { return weight_->dtype(); }
  const Shape& shape() const override { return weight_->shape(); }
  std::string file() const override { return weight_->file(); }

  void read_rows(int64_t first, int64_t count, std::span<std::byte> out) const override {
    weight_->read_rows(first, count, out);
    // Rows lie one after another in whole blocks: many of them are one long row.
    if (is_told_ || !first_nonfinite(dtype(), out, count * n_cols())) return;
    const std::string what = describe_first();
    if (!on_nonfinite_) {
      throw Error(ErrorCode::kCorrupt, "load model", what,
                  "the file may be damaged; --allow-nonfinite loads it all the same");
    }
    if (!is_told_.exchange(true)) on_nonfinite_(what);
  }

 private:
  /// Rows are read by several threads: which one came upon such a number first says nothing.
  std::string describe_first() const {
    const std::string where = file().empty() ? "" : file() + ": ";
    std::vector<std::byte> row(static_cast<size_t>(row_bytes(dtype(), n_cols())));
    for (int64_t r = 0; r < n_rows(); ++r) {
      weight_->read_rows(r, 1, row);
      const auto column = first_nonfinite(dtype(), row, n_cols());
      if (!column) continue;
      return fmt::format(
          "{}weight {}: expected finite numbers, found NaN or infinity at index {} (row {}, column {})",
          where, name(), r * n_cols() + *column, r, *column);
    }
    return fmt::format("{}weight {}: NaN or infinity; the file changed while it was read", where, name());
  }

  WeightSourcePtr weight_;
  OnNonfinite on_nonfinite_;
  mutable std::atomic<bool> is_told_{false};
};

}  // namespace

std::optional<int64_t> first_nonfinite(DType dtype, std::span<const std::byte> row, int64_t n) {
  const BlockFormat& format = format_of(dtype);
  CHECK(static_cast<int64_t>(row.size()) == row_bytes(dtype, n), "{} bytes for {} numbers of {}", row.size(),
        n, format.name);
  switch (dtype) {
    case DType::kF32:
      return F32::first(row.data(), n);
    case DType::kF16:
      return F16::first(row.data(), n);
    case DType::kBF16:
      return BF16::first(row.data(), n);
    case DType::kI32:
      return std::nullopt;
    default:
      break;
  }
  const ScalePlaces at = places_of(dtype);
  const std::byte* block = row.data();
  for (int64_t first = 0; first < n; first += format.block_elements, block += format.block_bytes) {
    if (!is_f16_finite(block + at.first) || (at.second >= 0 && !is_f16_finite(block + at.second)))
      return first;
  }
  return std::nullopt;
}

WeightSourcePtr checked_finite(WeightSourcePtr weight, OnNonfinite on_nonfinite) {
  return std::make_shared<FiniteWeight>(std::move(weight), std::move(on_nonfinite));
}

}  // namespace chaski
