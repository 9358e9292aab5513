// Reading and writing the cache one head of one token at a time, whatever its layout and type: what the
// oracle does, and fast code where the layout is not its own.
#pragma once

#include "ops/batch.h"

namespace chaski {

/// One head of one token in a layer's k or v storage.
struct KvPlace {
  int64_t page = 0, token = 0, head = 0;
};

/// Its numbers, f32 [head_dim].
void load_kv_row(const KvLayout& layout, const KvLayout::Strides& strides, const void* data,
                 const KvPlace& place, float* to);
/// Round f32 [head_dim] to the cache's type; q8_0 in blocks of 32 as its BlockFormat says.
void store_kv_row(const KvLayout& layout, const KvLayout::Strides& strides, void* data, const KvPlace& place,
                  const float* from);

}  // namespace chaski
