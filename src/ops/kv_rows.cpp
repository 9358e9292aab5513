#include "ops/kv_rows.h"

#include <cstring>

#include "base/error.h"

namespace chaski {
namespace {

constexpr int64_t kBlock = 32;
constexpr int64_t kBlockBytes = 34;  // an f16 scale, then 32 codes

/// Call f(bits, d) with the words of a row, as they lie.
template <class Word, class Data, class Fn>
void for_elements(const KvLayout& l, const KvLayout::Strides& s, Data* data, const KvPlace& at, Fn&& f) {
  auto* first = static_cast<Word*>(data) + s.at(at.page, at.token, at.head, 0);
  for (int64_t d = 0; d < l.head_dim; ++d) f(first[d * s.dim], d);
}

}  // namespace

void load_kv_row(const KvLayout& l, const KvLayout::Strides& s, const void* data, const KvPlace& at,
                 float* to) {
  switch (l.dtype) {
    case DType::kF32:
      return for_elements<const float>(l, s, data, at, [&](float x, int64_t d) { to[d] = x; });
    case DType::kF16:
      return for_elements<const uint16_t>(l, s, data, at,
                                          [&](uint16_t x, int64_t d) { to[d] = f16_to_f32(x); });
    case DType::kBF16:
      return for_elements<const uint16_t>(l, s, data, at,
                                          [&](uint16_t x, int64_t d) { to[d] = bf16_to_f32(x); });
    case DType::kQ8_0:
      return for_elements<const int8_t>(l, s, data, at, [&](int8_t code, int64_t d) {
        uint16_t scale = 0;
        std::memcpy(&scale,
                    static_cast<const std::byte*>(data) + l.scale_at(s, at.page, at.token, at.head, d), 2);
        to[d] = f16_to_f32(scale) * static_cast<float>(code);
      });
    default:
      CHECK(false, "no cache of {}", name_of(l.dtype));
  }
}

void store_kv_row(const KvLayout& l, const KvLayout::Strides& s, void* data, const KvPlace& at,
                  const float* from) {
  switch (l.dtype) {
    case DType::kF32:
      return for_elements<float>(l, s, data, at, [&](float& x, int64_t d) { x = from[d]; });
    case DType::kF16:
      return for_elements<uint16_t>(l, s, data, at, [&](uint16_t& x, int64_t d) { x = f32_to_f16(from[d]); });
    case DType::kBF16:
      return for_elements<uint16_t>(l, s, data, at,
                                    [&](uint16_t& x, int64_t d) { x = f32_to_bf16(from[d]); });
    case DType::kQ8_0: {
      std::byte block[kBlockBytes];
      return for_elements<int8_t>(l, s, data, at, [&](int8_t& code, int64_t d) {
        if (d % kBlock == 0) {
          format_of(DType::kQ8_0).quantize_row(from + d, block, kBlock);
          std::memcpy(static_cast<std::byte*>(data) + l.scale_at(s, at.page, at.token, at.head, d), block, 2);
        }
        code = static_cast<int8_t>(block[2 + d % kBlock]);
      });
    }
    default:
      CHECK(false, "no cache of {}", name_of(l.dtype));
  }
}

}  // namespace chaski
