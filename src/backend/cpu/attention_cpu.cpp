// See attention_cpu.h. A unit of work is one kv head, the rows of a tile, and a span of pieces; all query
// heads of the tile share each page. The cache is read in place where pages are laid out as
// CpuDevice::kv_layout has them, and copied page by page where they are not.
#include "backend/cpu/attention_cpu.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "ops/kv_rows.h"

namespace chaski::cpu {

namespace {

constexpr int64_t kAppendRows = 16;       // rows that a thread takes at once: neighbours share lines of keys
constexpr int64_t kUnitsPerThread = 32;   // enough that a thread put aside delays little
constexpr int64_t kPartFloats = 4 << 20;  // room for parts of split tiles: 16 MiB, touched as used

/// Keys as [dim][32 tokens], values as [token][dim]: what the kernels read as it lies.
bool is_native(const KvLayout& l) {
  return l.page_tokens == kChunkTokens && l.k.token == 1 && l.k.dim == kChunkTokens && l.v.dim == 1 &&
         l.v.token == l.head_dim && l.head_dim % 32 == 0;
}

int64_t part_floats(int64_t n_queries, int64_t stride) { return (n_queries * (stride + 2) + 15) / 16 * 16; }

AttentionPart part_at(float* data, int64_t n_queries, int64_t stride) {
  return {data, data + n_queries * stride, data + n_queries * (stride + 1)};
}

AttentionPart from_query(const AttentionPart& part, int64_t query, int64_t stride) {
  return {part.acc + query * stride, part.max + query, part.sum + query};
}

}  // namespace

struct Attention::Step {
  const TensorView& q;
  const StepInputs& in;
  const KvLayer& kv;
  const TensorView& out;
  const KvLayout& layout = *kv.layout;
  int64_t dim = layout.head_dim;
  int64_t stride = (dim + 31) / 32 * 32;
  int64_t group = q.n_cols() / dim / layout.n_kv_heads;

  int64_t n_tokens(int64_t row) const { return int64_t{in.positions.i32()[row]} + 1; }
  int64_t n_pieces(const Tile& t) const {
    return (n_tokens(t.first_row + t.n_rows - 1) - 1) / kPieceTokens + 1;
  }
  /// First row of the tile that sees a token of the piece; later ones do, too.
  int64_t first_row(const Tile& t, int64_t piece) const {
    int64_t row = 0;
    while (n_tokens(t.first_row + row) <= piece * kPieceTokens) ++row;
    return row;
  }
  int64_t page_of(int64_t sequence, int64_t index) const {
    const int32_t page =
        index < in.page_table.n_cols() ? in.page_table.i32()[sequence * in.page_table.n_cols() + index] : -1;
    CHECK(page >= 0 && page < kv.n_pages, "token {} of sequence {} is in no page", index * layout.page_tokens,
          sequence);
    return page;
  }
};

struct alignas(64) Attention::Scratch {
  float q[kMaxQueries * kQueryStride];
  float scores[2 * kMaxQueries * kScoreStride];
  float next_part[kMaxQueries * (kMaxHeadDim + 2)];
  float all_parts[kMaxQueries * (kMaxHeadDim + 2)];
  int32_t n_tokens[kMaxQueries];
  // Only where the layout is not the kernels' own:
  alignas(64) float k[kPiecePages][kMaxHeadDim * kChunkTokens];
  alignas(64) float v[kPiecePages][kChunkTokens * kMaxHeadDim];
  float row[kMaxHeadDim];

  KvPiece view(const Step& step, int64_t sequence, int64_t kv_head, int64_t first_piece, int64_t piece,
               int64_t n_tokens_of_piece);
  void copy_page(const Step& step, int64_t sequence, int64_t kv_head, int64_t first_token, int64_t count,
                 int page);
};

Attention::Attention(ThreadPool& pool, const KernelTable& kernels)
    : pool_(pool),
      kernels_(kernels),
      parts_(allocate_pages(kPartFloats * sizeof(float), "attention")),
      max_split_units_(kUnitsPerThread * pool.n_threads()) {
  for (int i = 0; i < pool.n_threads(); ++i) scratch_.push_back(allocate_pages(sizeof(Scratch), "attention"));
  n_done_ = std::make_unique<std::atomic<int64_t>[]>(static_cast<size_t>(max_split_units_));
  tiles_.reserve(4096);
}

void Attention::append(const TensorView& q, const TensorView& k, const TensorView& v, const StepInputs& in,
                       const KvLayer& kv) {
  const KvLayout& l = *kv.layout;
  const int64_t dim = l.head_dim;
  const int64_t n_heads = q.n_cols() / dim;
  CHECK(q.n_cols() == n_heads * dim && k.n_cols() == l.n_kv_heads * dim && v.shape == k.shape &&
            q.n_rows() == in.n_rows && k.n_rows() == in.n_rows,
        "rope of q {} and k {}", q.shape.to_string(), k.shape.to_string());
  const auto work = [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const float* cosines = in.rope.f32() + int64_t{in.positions.i32()[r]} * dim;
      const float* sines = cosines + dim / 2;
      for (int64_t h = 0; h < n_heads; ++h)
        kernels_.rope(q.f32() + r * q.n_cols() + h * dim, cosines, sines, dim / 2);
      const int64_t slot = in.slots.i32()[r];
      CHECK(slot >= 0 && slot < int64_t{kv.n_pages} * l.page_tokens, "slot {} of {} pages", slot, kv.n_pages);
      for (int64_t h = 0; h < l.n_kv_heads; ++h) {
        float* key = k.f32() + r * k.n_cols() + h * dim;
        kernels_.rope(key, cosines, sines, dim / 2);
        const KvPlace place{slot / l.page_tokens, slot % l.page_tokens, h};
        store_kv_row(l, l.k, kv.k, place, key);
        store_kv_row(l, l.v, kv.v, place, v.f32() + r * v.n_cols() + h * dim);
      }
    }
  };
  pool_.parallel_for(in.n_rows, kAppendRows, std::ref(work));
}

void Attention::run(const TensorView& q, const StepInputs& in, const KvLayer& kv, const TensorView& out) {
  const Step step{q, in, kv, out};
  CHECK(step.group >= 1 && q.n_cols() == step.group * step.layout.n_kv_heads * step.dim &&
            out.shape == q.shape && q.n_rows() == in.n_rows && step.dim <= kMaxHeadDim &&
            step.group <= kMaxQueries,
        "attention of {} into {} over heads of {}", q.shape.to_string(), out.shape.to_string(), step.dim);
  cut(step);
  if (tiles_.empty()) return;
  const Tile& last = tiles_.back();
  const auto work = [&](int64_t begin, int64_t end, int worker) {
    auto& scratch = *static_cast<Scratch*>(scratch_[static_cast<size_t>(worker)].data());
    for (int64_t unit = begin; unit < end; ++unit) run_unit(step, unit, scratch);
  };
  pool_.parallel_for(last.first_unit + last.n_spans() * step.layout.n_kv_heads, 1, std::ref(work));
}

/// Rows to tiles: as many rows of a sequence as share a pass over the cache.
void Attention::cut(const Step& step) {
  const int64_t max_rows = kMaxQueries / step.group;
  const int32_t* sequences = step.in.sequence_of_row.i32();
  tiles_.clear();
  for (int64_t r = 0; r < step.in.n_rows; ++r) {
    const bool goes_on = !tiles_.empty() && tiles_.back().n_rows < max_rows &&
                         sequences[r] == sequences[r - 1] && step.n_tokens(r) > step.n_tokens(r - 1);
    if (!goes_on) tiles_.push_back({r, 0, 0, 0, 0, 0});
    ++tiles_.back().n_rows;
  }
  split(step);
}

/// Tiles to spans of pieces: several where there is less work than threads want and the parts fit.
void Attention::split(const Step& step) {
  const int64_t n_kv_heads = step.layout.n_kv_heads;
  const bool is_few = static_cast<int64_t>(tiles_.size()) * n_kv_heads < max_split_units_;
  int64_t n_pieces = 0, n_units = 0, n_floats = 0;
  for (Tile& tile : tiles_) n_pieces += tile.n_pieces = step.n_pieces(tile);
  const int64_t even = std::max<int64_t>(1, n_pieces * n_kv_heads / max_split_units_);
  for (size_t i = 0; i < tiles_.size(); ++i) {
    Tile& tile = tiles_[i];
    const int64_t floats =
        part_floats(tile.n_rows * step.group, step.stride) * tile.n_pieces * step.layout.n_kv_heads;
    const bool is_split = is_few && tile.n_pieces > even && n_floats + floats <= kPartFloats;
    tile.pieces_per_span = is_split ? even : tile.n_pieces;
    tile.first_unit = n_units;
    tile.first_part = n_floats;
    n_units += tile.n_spans() * n_kv_heads;
    if (is_split) n_floats += floats;
    for (int64_t h = 0; is_split && h < n_kv_heads; ++h) {
      n_done_[i * static_cast<size_t>(n_kv_heads) + static_cast<size_t>(h)].store(0,
                                                                                  std::memory_order_relaxed);
    }
  }
}

AttentionPart Attention::part_of(const Step& step, const Tile& tile, int64_t kv_head, int64_t piece) const {
  const int64_t n_queries = tile.n_rows * step.group;
  float* data = static_cast<float*>(parts_.data()) + tile.first_part +
                (kv_head * tile.n_pieces + piece) * part_floats(n_queries, step.stride);
  return part_at(data, n_queries, step.stride);
}

void Attention::run_unit(const Step& step, int64_t unit, Scratch& scratch) {
  const auto next_tile = std::upper_bound(tiles_.begin(), tiles_.end(), unit,
                                          [](int64_t u, const Tile& t) { return u < t.first_unit; });
  const Tile& tile = *std::prev(next_tile);
  const int64_t n_kv_heads = step.layout.n_kv_heads;
  const int64_t span = (unit - tile.first_unit) / n_kv_heads, kv_head = (unit - tile.first_unit) % n_kv_heads;
  const int64_t n_queries = tile.n_rows * step.group;
  const bool is_split = tile.n_spans() > 1;
  const float scale = 1.44269504f / std::sqrt(static_cast<float>(step.dim));
  for (int64_t i = 0; i < n_queries; ++i) {
    const float* q = step.q.f32() + (tile.first_row + i / step.group) * step.q.n_cols() +
                     (kv_head * step.group + i % step.group) * step.dim;
    for (int64_t d = 0; d < step.dim; ++d) scratch.q[i * kQueryStride + d] = q[d] * scale;
  }
  const AttentionPart total = part_at(scratch.all_parts, n_queries, step.stride);
  const int64_t first = span * tile.pieces_per_span,
                last = std::min(first + tile.pieces_per_span, tile.n_pieces);
  for (int64_t piece = first; piece < last; ++piece) {
    const AttentionPart part = is_split     ? part_of(step, tile, kv_head, piece)
                               : piece == 0 ? total
                                            : part_at(scratch.next_part, n_queries, step.stride);
    const int64_t skipped =
        run_piece(step, tile, kv_head, piece, piece + 1 < last, part, scratch) * step.group;
    if (is_split || piece == 0) continue;
    kernels_.merge(from_query(part, skipped, step.stride), n_queries - skipped, step.stride,
                   from_query(total, skipped, step.stride));
  }
  if (!is_split) return finish(step, tile, kv_head, total);
  // Whoever ends a head's last span merges its pieces.
  std::atomic<int64_t>& n_done = n_done_[static_cast<size_t>((&tile - tiles_.data()) * n_kv_heads + kv_head)];
  if (n_done.fetch_add(1, std::memory_order_acq_rel) + 1 == tile.n_spans()) merge_spans(step, tile, kv_head);
}

/// Gives the number of the tile's first rows that see nothing of the piece and have no part.
int64_t Attention::run_piece(const Step& step, const Tile& tile, int64_t kv_head, int64_t piece, bool goes_on,
                             const AttentionPart& part, Scratch& scratch) const {
  const int64_t skipped = step.first_row(tile, piece);
  for (int64_t r = skipped; r < tile.n_rows; ++r) {
    scratch.n_tokens[r] = static_cast<int32_t>(
        std::min<int64_t>(step.n_tokens(tile.first_row + r) - piece * kPieceTokens, kPieceTokens));
  }
  const int64_t sequence = step.in.sequence_of_row.i32()[tile.first_row];
  const int64_t n_next =
      goes_on ? std::min<int64_t>(kPieceTokens, step.n_tokens(tile.first_row + tile.n_rows - 1) -
                                                    (piece + 1) * kPieceTokens)
              : 0;
  const KvPiece view =
      scratch.view(step, sequence, kv_head, piece, scratch.n_tokens[tile.n_rows - 1], n_next);
  const DType dtype = is_native(step.layout) ? step.layout.dtype : DType::kF32;
  kernels_.attend[static_cast<size_t>(dtype)](view,
                                              {scratch.q + skipped * step.group * kQueryStride,
                                               scratch.n_tokens + skipped, tile.n_rows - skipped, step.group},
                                              scratch.scores,
                                              from_query(part, skipped * step.group, step.stride));
  return skipped;
}

void Attention::merge_spans(const Step& step, const Tile& tile, int64_t kv_head) const {
  const AttentionPart total = part_of(step, tile, kv_head, 0);
  for (int64_t piece = 1; piece < tile.n_pieces; ++piece) {
    const int64_t skipped = step.first_row(tile, piece) * step.group;
    kernels_.merge(from_query(part_of(step, tile, kv_head, piece), skipped, step.stride),
                   tile.n_rows * step.group - skipped, step.stride, from_query(total, skipped, step.stride));
  }
  finish(step, tile, kv_head, total);
}

void Attention::finish(const Step& step, const Tile& tile, int64_t kv_head,
                       const AttentionPart& total) const {
  for (int64_t i = 0; i < tile.n_rows * step.group; ++i) {
    float* out = step.out.f32() + (tile.first_row + i / step.group) * step.out.n_cols() +
                 (kv_head * step.group + i % step.group) * step.dim;
    for (int64_t d = 0; d < step.dim; ++d) out[d] = total.acc[i * step.stride + d] / total.sum[i];
  }
}

/// A piece as the kernels take it; `n_next` tokens of the one behind it are wanted soon.
KvPiece Attention::Scratch::view(const Step& step, int64_t sequence, int64_t kv_head, int64_t piece,
                                 int64_t n_of_piece, int64_t n_next) {
  const KvLayout& l = step.layout;
  const int64_t first_token = piece * kPieceTokens;
  KvPiece view{};
  view.head_dim = step.dim;
  view.v_stride = step.stride;
  const bool is_in_place = is_native(l);
  const auto native = [&](const void* data, const KvLayout::Strides& s, int64_t page) {
    return static_cast<const std::byte*>(data) + s.at(page, 0, kv_head, 0) * l.element_bytes();
  };
  if (l.dtype == DType::kQ8_0) {
    view.k_scales_at = l.scale_at(l.k, 0, 0, kv_head, 0) - l.k.at(0, 0, kv_head, 0);
    view.v_scales_at = l.scale_at(l.v, 0, 0, kv_head, 0) - l.v.at(0, 0, kv_head, 0);
  }
  for (int i = 0; int64_t{i} * kChunkTokens < n_of_piece; ++i) {
    if (is_in_place) {
      const int64_t page = step.page_of(sequence, piece * kPiecePages + i);
      view.k[i] = native(step.kv.k, l.k, page);
      view.v[i] = native(step.kv.v, l.v, page);
    } else {
      copy_page(step, sequence, kv_head, first_token + int64_t{i} * kChunkTokens,
                std::min<int64_t>(kChunkTokens, n_of_piece - int64_t{i} * kChunkTokens), i);
      view.k[i] = reinterpret_cast<const std::byte*>(k[i]);
      view.v[i] = reinterpret_cast<const std::byte*>(v[i]);
    }
    const bool is_next = is_in_place && int64_t{i} * kChunkTokens < n_next;
    view.next_k[i] =
        is_next ? native(step.kv.k, l.k, step.page_of(sequence, (piece + 1) * kPiecePages + i)) : view.k[i];
  }
  return view;
}

void Attention::Scratch::copy_page(const Step& step, int64_t sequence, int64_t kv_head, int64_t first_token,
                                   int64_t count, int page) {
  const KvLayout& l = step.layout;
  for (int64_t t = 0; t < count; ++t) {
    const int64_t token = first_token + t;
    const KvPlace place{step.page_of(sequence, token / l.page_tokens), token % l.page_tokens, kv_head};
    load_kv_row(l, l.k, step.kv.k, place, row);
    for (int64_t d = 0; d < step.dim; ++d) k[page][d * kChunkTokens + t] = row[d];
    load_kv_row(l, l.v, step.kv.v, place, v[page] + t * step.stride);
  }
}

}  // namespace chaski::cpu
