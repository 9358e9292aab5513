// CpuOps's side of the cache: storing rotated keys and values, and attention over pages by flash decoding.
// The kernels are in kernels_attention.h.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "backend/cpu/kernels.h"
#include "base/threads.h"
#include "ops/batch.h"

namespace chaski::cpu {

/// A row's cache is cut into pieces of 256 tokens from position 0; each gives a part, and parts are merged in
/// order. So a row's bits depend neither on threads nor on the rows beside it: these decide only whether the
/// pieces of a row are work for one thread or for several.
class Attention {
 public:
  /// Both must outlive this.
  Attention(ThreadPool& pool, const KernelTable& kernels);

  /// Ops::rope_append.
  void append(const TensorView& q, const TensorView& k, const TensorView& v, const StepInputs& in,
              const KvLayer& kv);
  /// Ops::attention. CHECKs head_dim ≤ 256, groups of at most 64 heads, and that every token is in a page.
  void run(const TensorView& q, const StepInputs& in, const KvLayer& kv, const TensorView& out);

 private:
  /// Adjacent rows of a sequence that share every pass over the cache.
  struct Tile {
    int64_t first_row, n_rows;
    int64_t n_pieces;
    int64_t pieces_per_span;  ///< what one thread takes at once; n_pieces where the tile is not split
    int64_t first_unit;       ///< units are (span, kv head) of all tiles
    int64_t first_part;       ///< in parts_, in floats: [n_kv_heads, n_pieces] parts, where the tile is split
    int64_t n_spans() const { return (n_pieces + pieces_per_span - 1) / pieces_per_span; }
  };
  struct Step;
  struct Scratch;

  void cut(const Step& step);
  void split(const Step& step);
  void run_unit(const Step& step, int64_t unit, Scratch& scratch);
  int64_t run_piece(const Step& step, const Tile& tile, int64_t kv_head, int64_t piece, bool goes_on,
                    const AttentionPart& part, Scratch& scratch) const;
  AttentionPart part_of(const Step& step, const Tile& tile, int64_t kv_head, int64_t piece) const;
  void merge_spans(const Step& step, const Tile& tile, int64_t kv_head) const;
  void finish(const Step& step, const Tile& tile, int64_t kv_head, const AttentionPart& total) const;

  ThreadPool& pool_;
  const KernelTable& kernels_;
  std::vector<Buffer> scratch_;  ///< [n_threads] of Scratch
  std::vector<Tile> tiles_;      ///< of this step; keeps its capacity
  Buffer parts_;
  std::unique_ptr<std::atomic<int64_t>[]> n_done_;  ///< spans done, by tile and kv head
  int64_t max_split_units_;
};

}  // namespace chaski::cpu
