// One step's work: the rows of a batch on the host, and the device's copy of them that ops read.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace chaski {

/// What the rows of a step are, said openly so that no device guesses it from shapes.
enum class Phase {
  kPrefill,  ///< rows of prompts only
  kDecode,   ///< one row per sequence, each a generated token
  kMixed,    ///< both
  kVerify    ///< several rows per sequence: a generated token and guesses that follow it
};
std::string_view name_of(Phase phase);

/// A row whose next token is wanted.
struct OutputRow {
  int32_t row = 0;            ///< index into the batch's rows
  bool wants_logits = false;  ///< all logits to the host; else only the best token's id
};

/// The host's side of a step. The scheduler fills it; the runner checks it, copies it to the device and runs
/// it.
struct Batch {
  Phase phase = Phase::kPrefill;
  std::vector<int32_t> token_ids;  ///< [n_rows]
  std::vector<int32_t> positions;  ///< [n_rows] position of the token in its sequence, from 0
  std::vector<int32_t>
      sequence_of_row;  ///< [n_rows] index of the row's sequence, rows of a sequence adjacent and in order
  std::vector<int32_t> slots;       ///< [n_rows] page × page_tokens + offset: where the row's k and v go
  std::vector<int32_t> page_table;  ///< [n_sequences, pages_per_sequence] page ids in order of position
  std::vector<OutputRow> outputs;   ///< [n_outputs] in order of row
  int32_t n_sequences = 0;
  int32_t pages_per_sequence = 0;  ///< row length of page_table; unused entries are 0

  int32_t n_rows() const { return static_cast<int32_t>(token_ids.size()); }
  int32_t n_outputs() const { return static_cast<int32_t>(outputs.size()); }
  void clear();
};

/// How k and v lie in the cache's pages; the backend chooses. Strides are in elements of `dtype` within one
/// layer's k (or v) storage: element (page, token, head, d) is at page × page + token × token + head × head +
/// d × dim. In q8_0 elements are codes of a byte, 32 dimensions of a token share a scale, and a page's
/// scales, f16 [n_kv_heads, head_dim / 32, page_tokens], follow its codes.
struct KvLayout {
  struct Strides {
    int64_t page = 0, token = 0, head = 0, dim = 0;
    int64_t at(int64_t p, int64_t t, int64_t h, int64_t d) const {
      return p * page + t * token + h * head + d * dim;
    }
  };
  DType dtype = DType::kF32;
  /// A layer's k (all pages) is one array, and its v; else a page's layers lie together. See KvStorage.
  bool layers_apart = false;
  int32_t page_tokens = 16;
  int32_t n_kv_heads = 0;
  int32_t head_dim = 0;
  Strides k, v;

  int64_t page_elements() const { return int64_t{page_tokens} * n_kv_heads * head_dim; }
  int64_t page_bytes() const { return row_bytes(dtype, page_elements()); }  ///< of k or of v, one layer
  int64_t page_stride() const { return page_bytes() / element_bytes(); }
  int64_t element_bytes() const { return dtype == DType::kQ8_0 ? 1 : row_bytes(dtype, 1); }

  /// Of q8_0: the byte where element (p, t, h, d) has its scale.
  int64_t scale_at(const Strides& s, int64_t p, int64_t t, int64_t h, int64_t d) const {
    return p * s.page + page_elements() + 2 * ((h * (head_dim / 32) + d / 32) * page_tokens + t);
  }

  /// [page][token][head][dim], the plain order. Throw Error(kUnsupported) where heads do not fit the type's
  /// blocks.
  static KvLayout token_major(DType dtype, int32_t page_tokens, int64_t n_kv_heads, int64_t head_dim);
  /// [page][head][token][dim]: one head's tokens adjacent, which decode reads in one stream.
  static KvLayout head_major(DType dtype, int32_t page_tokens, int64_t n_kv_heads, int64_t head_dim);
};

/// One layer's cache on the device.
struct KvLayer {
  void* k = nullptr;
  void* v = nullptr;
  const KvLayout* layout = nullptr;
  int32_t n_pages = 0;
};

/// The cache of all layers: [n_pages] × [n_layers] × {k, v} pages. What holds the same tokens lies together,
/// so that a short text touches little memory though the system hands it out in large pages. Where the layout
/// wants layers_apart: [n_layers] × {k, v} × [n_pages].
class KvStorage {
 public:
  /// `layout` with any strides from page to page; layout() has this storage's.
  KvStorage(Memory& memory, const KvLayout& layout, int64_t n_layers, int32_t n_pages);
  KvStorage(const KvStorage&) = delete;
  KvStorage& operator=(const KvStorage&) = delete;
  KvLayer layer(int64_t index) const;
  const KvLayout& layout() const { return layout_; }
  int32_t n_pages() const { return n_pages_; }
  int64_t bytes() const { return 2 * n_layers_ * layout_.page_bytes() * n_pages_; }

 private:
  KvLayout layout_;
  int64_t n_layers_;
  int32_t n_pages_;
  Buffer pages_;
};

/// What the host knows of a sequence's rows in a step.
struct SequenceSpan {
  int32_t first_row = 0, n_rows = 0;
  int64_t n_context = 0;  ///< tokens that the cache holds of it when the step is done
};

/// The device's side of a step: views into buffers that were filled before llama_forward starts. Ops must
/// take positions, slots and pages from here, not from the host's batch: a replayed step has only these.
struct StepInputs {
  Phase phase = Phase::kPrefill;
  int32_t n_rows = 0;
  int32_t n_sequences = 0;
  int32_t n_outputs = 0;
  TensorView token_ids;        ///< i32 [n_rows]
  TensorView positions;        ///< i32 [n_rows]
  TensorView sequence_of_row;  ///< i32 [n_rows]
  TensorView slots;            ///< i32 [n_rows]
  TensorView page_table;       ///< i32 [n_sequences, pages_per_sequence]
  TensorView output_rows;      ///< i32 [n_outputs]
  TensorView rope;             ///< f32 [n_positions, head_dim]: cosines then sines, half each
  /// For ops whose devices want lengths on the host; null where nobody said. A replayed step is as it was
  /// captured, so in one an op may go by context_bucket and the numbers of rows and sequences alone.
  const std::vector<SequenceSpan>* sequences = nullptr;
  int64_t context_bucket = 0;  ///< Ops::context_bucket of the longest sequence
};

}  // namespace chaski
