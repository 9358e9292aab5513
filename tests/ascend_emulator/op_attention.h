// A call of FusedInferAttentionScoreV2 in the emulator: what op_attention_plan.cpp has checked and
// op_attention_run.cpp computes.
#pragma once

#include <limits>
#include <vector>

#include "core.h"

namespace ascend_emulator {

/// What of a sequence's tokens a row of queries sees, beside the mask tensor.
enum class Sight { kAll, kBand, kLeftUp, kRightDown };

struct Attention {
  View query, out;
  std::vector<View> keys, values;                   ///< one, or one a sequence
  std::vector<View> shift, mask, block_table, lse;  ///< one or none
  int64_t batch = 0, n_queries = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0;
  bool is_query_head_major = false;  ///< BNSD, else BSND or BSH
  bool is_out_head_major = false;
  bool is_cache_head_major = false;                ///< [blocks, heads, block, D] or BNSD
  int64_t block_size = 0;                          ///< 0: not paged
  std::vector<int64_t> query_lengths, kv_lengths;  ///< of each sequence
  Sight sight = Sight::kAll;
  int64_t before = 0, after = 0;  ///< of a band
  float scale = 1;
  bool is_fast = false;              ///< f16 scores
  bool corrects_blind_rows = false;  ///< a row that sees nothing gives 0, else NaN
};

/// Throws 507015 where a block table or a mask holds what the operator would not have checked.
void run_attention(const Attention& call);

}  // namespace ascend_emulator
