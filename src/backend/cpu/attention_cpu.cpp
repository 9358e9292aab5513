// CpuOps's side of the cache: storing rotated keys and values, and attention over pages. A unit of attention
// is one kv head and a few rows of a sequence; it walks the cache once, in chunks of 32 tokens from position
// 0, whatever the pages' length, and all query heads of the unit share each chunk.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/ops_cpu.h"
#include "base/error.h"
#include "ops/scalar_ops.h"

namespace chaski {

using cpu::KvChunk;

namespace {

constexpr int64_t kRowsPerUnit = 8;
constexpr int64_t kHeadsPerUnit = 32;  // query heads times rows

int64_t bytes_per_element(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

const std::byte* element(const void* data, DType dtype, int64_t index) {
  return static_cast<const std::byte*>(data) + index * bytes_per_element(dtype);
}

/// Keys as [dim][32 tokens], values as [token][dim]: what the kernels read as it lies.
bool is_native(const KvLayout& l) {
  return l.page_tokens == cpu::kChunkTokens && l.k.token == 1 && l.k.dim == cpu::kChunkTokens &&
         l.v.dim == 1 && l.v.token == l.head_dim && l.head_dim % cpu::kPanelRows == 0;
}

}  // namespace

struct CpuOps::AttentionScratch {
  alignas(64) float k[cpu::kMaxHeadDim * cpu::kChunkTokens];
  alignas(64) float v[cpu::kChunkTokens * cpu::kMaxHeadDim];
  alignas(64) float q[kHeadsPerUnit * cpu::kMaxHeadDim];
  alignas(64) float acc[kHeadsPerUnit * cpu::kMaxHeadDim];
  float row[cpu::kMaxHeadDim];
  float max[kHeadsPerUnit];
  float sum[kHeadsPerUnit];
};

CpuOps::CpuOps(Memory& memory, ThreadPool& pool, const cpu::KernelTable& kernels, Precision precision)
    : memory_(memory), pool_(pool), kernels_(kernels), precision_(precision) {
  for (int i = 0; i < pool.n_threads(); ++i)
    attention_scratch_.push_back(memory.allocate(sizeof(AttentionScratch), "attention"));
}

void CpuOps::rope_append(const TensorView& q, const TensorView& k, const TensorView& v, const StepInputs& in,
                         const KvLayer& kv) {
  const KvLayout& l = *kv.layout;
  const int64_t dim = l.head_dim;
  const int64_t n_heads = q.n_cols() / dim;
  CHECK(q.n_cols() == n_heads * dim && k.n_cols() == l.n_kv_heads * dim && v.shape == k.shape &&
            q.n_rows() == in.n_rows && k.n_rows() == in.n_rows,
        "rope of q {} and k {}", q.shape.to_string(), k.shape.to_string());
  parallel(in.n_rows, kRowsPerUnit, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const float* cosines = in.rope.f32() + int64_t{in.positions.i32()[r]} * dim;
      const float* sines = cosines + dim / 2;
      for (int64_t h = 0; h < n_heads; ++h)
        kernels_.rope(q.f32() + r * q.n_cols() + h * dim, cosines, sines, dim / 2);
      const int64_t slot = in.slots.i32()[r];
      CHECK(slot >= 0 && slot < int64_t{kv.n_pages} * l.page_tokens, "slot {} of {} pages", slot, kv.n_pages);
      const int64_t page = slot / l.page_tokens, token = slot % l.page_tokens;
      for (int64_t h = 0; h < l.n_kv_heads; ++h) {
        float* key = k.f32() + r * k.n_cols() + h * dim;
        const float* value = v.f32() + r * k.n_cols() + h * dim;
        kernels_.rope(key, cosines, sines, dim / 2);
        for (int64_t d = 0; d < dim; ++d) {
          store_element(kv.k, l.dtype, l.k.at(page, token, h, d), key[d]);
          store_element(kv.v, l.dtype, l.v.at(page, token, h, d), value[d]);
        }
      }
    }
  });
}

KvChunk CpuOps::load_chunk(const StepInputs& in, const KvLayer& kv, int64_t sequence, int64_t kv_head,
                           int64_t first_token, int n_tokens, AttentionScratch& scratch) const {
  const KvLayout& l = *kv.layout;
  const int64_t dim = l.head_dim;
  const int32_t* pages = in.page_table.i32() + sequence * in.page_table.n_cols();
  const auto page_of = [&](int64_t token) {
    const int64_t index = token / l.page_tokens;
    CHECK(index < in.page_table.n_cols() && pages[index] >= 0 && pages[index] < kv.n_pages,
          "token {} of sequence {} is in no page", token, sequence);
    return int64_t{pages[index]};
  };
  KvChunk chunk{scratch.k, scratch.v,  (dim + 15) / 16 * 16,
                n_tokens,  l.head_dim, 1.0f / std::sqrt(static_cast<float>(dim))};
  if (is_native(l)) {
    const int64_t page = page_of(first_token);
    const std::byte* k = element(kv.k, l.dtype, l.k.at(page, 0, kv_head, 0));
    const std::byte* v = element(kv.v, l.dtype, l.v.at(page, 0, kv_head, 0));
    if (l.dtype == DType::kF32) {
      chunk.k = reinterpret_cast<const float*>(k);
      chunk.v = reinterpret_cast<const float*>(v);
    } else {
      kernels_.widen(k, l.dtype, dim * cpu::kChunkTokens, scratch.k);
      kernels_.widen(v, l.dtype, dim * n_tokens, scratch.v);
    }
    return chunk;
  }
  // Any other layout: token by token, dimensions together where they lie together.
  const auto load = [&](const void* data, const KvLayout::Strides& s, int64_t token, float* to) {
    const int64_t at = s.at(page_of(token), token % l.page_tokens, kv_head, 0);
    if (s.dim == 1) {
      kernels_.widen(element(data, l.dtype, at), l.dtype, dim, to);
    } else {
      for (int64_t d = 0; d < dim; ++d) to[d] = load_element(data, l.dtype, at + d * s.dim);
    }
  };
  for (int64_t t = 0; t < n_tokens; ++t) {
    load(kv.v, l.v, first_token + t, scratch.v + t * chunk.v_stride);
    load(kv.k, l.k, first_token + t, scratch.row);
    for (int64_t d = 0; d < dim; ++d) scratch.k[d * cpu::kChunkTokens + t] = scratch.row[d];
  }
  return chunk;
}

/// Rows of one sequence, and as many of the kv head's query heads at once as the scratch holds.
void CpuOps::attend_rows(const TensorView& q, const StepInputs& in, const KvLayer& kv, const TensorView& out,
                         int64_t first_row, int64_t n_rows, int64_t kv_head,
                         AttentionScratch& scratch) const {
  const KvLayout& l = *kv.layout;
  const int64_t dim = l.head_dim;
  const int64_t stride = (dim + 15) / 16 * 16;
  const int64_t group = q.n_cols() / dim / l.n_kv_heads;
  const int32_t* positions = in.positions.i32() + first_row;
  const int64_t n_tokens = int64_t{*std::max_element(positions, positions + n_rows)} + 1;
  const int64_t at_once = std::min(group, kHeadsPerUnit / n_rows);
  for (int64_t first_head = 0; first_head < group; first_head += at_once) {
    const int64_t n_heads = std::min(at_once, group - first_head);
    const auto offset = [&](int64_t r, int64_t h) {
      return (first_row + r) * q.n_cols() + (kv_head * group + first_head + h) * dim;
    };
    for (int64_t i = 0; i < n_rows * n_heads; ++i) {
      std::copy_n(q.f32() + offset(i / n_heads, i % n_heads), dim, scratch.q + i * stride);
      std::fill_n(scratch.acc + i * stride, stride, 0.0f);
      scratch.max[i] = -std::numeric_limits<float>::infinity();
      scratch.sum[i] = 0;
    }
    for (int64_t token = 0; token < n_tokens; token += cpu::kChunkTokens) {
      const auto upto = [&](int64_t n) {
        return static_cast<int>(std::min<int64_t>(cpu::kChunkTokens, n - token));
      };
      KvChunk chunk =
          load_chunk(in, kv, in.sequence_of_row.i32()[first_row], kv_head, token, upto(n_tokens), scratch);
      for (int64_t r = 0; r < n_rows; ++r) {
        chunk.n_tokens = upto(int64_t{positions[r]} + 1);
        if (chunk.n_tokens <= 0) continue;
        const int64_t i = r * n_heads;
        kernels_.attend(chunk, scratch.q + i * stride, n_heads,
                        {scratch.acc + i * stride, scratch.max + i, scratch.sum + i, stride});
      }
    }
    for (int64_t i = 0; i < n_rows * n_heads; ++i) {
      float* to = out.f32() + offset(i / n_heads, i % n_heads);
      for (int64_t d = 0; d < dim; ++d) to[d] = scratch.acc[i * stride + d] / scratch.sum[i];
    }
  }
}

void CpuOps::attention(const TensorView& q, const StepInputs& in, const KvLayer& kv, const TensorView& out) {
  const KvLayout& l = *kv.layout;
  const int64_t group = q.n_cols() / l.head_dim / l.n_kv_heads;
  CHECK(group >= 1 && q.n_cols() == group * l.n_kv_heads * l.head_dim && out.shape == q.shape &&
            q.n_rows() == in.n_rows && l.head_dim <= cpu::kMaxHeadDim,
        "attention of {} into {} over heads of {}", q.shape.to_string(), out.shape.to_string(), l.head_dim);
  const int64_t rows_per_unit = std::clamp<int64_t>(kHeadsPerUnit / group, 1, kRowsPerUnit);
  const int64_t n_tiles = (in.n_rows + rows_per_unit - 1) / rows_per_unit;
  parallel(n_tiles * l.n_kv_heads, 1, [&](int64_t begin, int64_t end, int worker) {
    auto& scratch = *static_cast<AttentionScratch*>(attention_scratch_[static_cast<size_t>(worker)].data());
    const int32_t* sequences = in.sequence_of_row.i32();
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t tile = unit / l.n_kv_heads * rows_per_unit;
      const int64_t tile_end = std::min<int64_t>(tile + rows_per_unit, in.n_rows);
      for (int64_t row = tile; row < tile_end;) {
        int64_t next = row + 1;
        while (next < tile_end && sequences[next] == sequences[row]) ++next;
        attend_rows(q, in, kv, out, row, next - row, unit % l.n_kv_heads, scratch);
        row = next;
      }
    }
  });
}

}  // namespace chaski
