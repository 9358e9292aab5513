#include "ops/batch.h"

#include "base/checked.h"
#include "base/error.h"

namespace chaski {

std::string_view name_of(Phase phase) {
  switch (phase) {
    case Phase::kPrefill:
      return "prefill";
    case Phase::kDecode:
      return "decode";
    case Phase::kMixed:
      return "mixed";
    case Phase::kVerify:
      return "verify";
  }
  return "?";
}

void Batch::clear() {
  token_ids.clear();
  positions.clear();
  sequence_of_row.clear();
  slots.clear();
  page_table.clear();
  outputs.clear();
  n_sequences = 0;
}

namespace {

KvLayout plain_layout(DType dtype, int32_t page_tokens, int64_t n_kv_heads, int64_t head_dim) {
  if (head_dim % format_of(dtype).block_elements != 0) {
    throw Error(ErrorCode::kUnsupported, "make cache",
                fmt::format("a cache in {} keeps {} numbers to a block; the model's heads have {}",
                            name_of(dtype), format_of(dtype).block_elements, head_dim),
                "use --kv-dtype bf16");
  }
  return {dtype, false, page_tokens, static_cast<int32_t>(n_kv_heads), static_cast<int32_t>(head_dim),
          {},    {}};
}

}  // namespace

KvLayout KvLayout::token_major(DType dtype, int32_t page_tokens, int64_t n_kv_heads, int64_t head_dim) {
  KvLayout layout = plain_layout(dtype, page_tokens, n_kv_heads, head_dim);
  layout.k = layout.v = {layout.page_stride(), n_kv_heads * head_dim, head_dim, 1};
  return layout;
}

KvLayout KvLayout::head_major(DType dtype, int32_t page_tokens, int64_t n_kv_heads, int64_t head_dim) {
  KvLayout layout = plain_layout(dtype, page_tokens, n_kv_heads, head_dim);
  layout.k = layout.v = {layout.page_stride(), head_dim, page_tokens * head_dim, 1};
  return layout;
}

KvStorage::KvStorage(Memory& memory, const KvLayout& layout, int64_t n_layers, int32_t n_pages)
    : layout_(layout), n_layers_(n_layers), n_pages_(n_pages) {
  CHECK(n_pages > 0 && n_layers > 0, "a cache of {} layers and {} pages", n_layers, n_pages);
  const auto stride = checked_mul<int64_t>(layout.page_bytes(), 2 * n_layers);
  const auto bytes = checked_mul<int64_t>(stride.value_or(0), n_pages);
  CHECK(stride && bytes, "a cache of {} pages is too large", n_pages);
  layout_.k.page = layout_.v.page =
      layout.layers_apart ? layout.page_stride() : *stride / layout.element_bytes();
  pages_ = memory.allocate(static_cast<size_t>(*bytes), "the cache of keys and values");
}

KvLayer KvStorage::layer(int64_t index) const {
  CHECK(index >= 0 && index < n_layers_, "layer {} of {}", index, n_layers_);
  const int64_t bytes = layout_.page_bytes() * (layout_.layers_apart ? n_pages_ : 1);
  auto* k = static_cast<std::byte*>(pages_.data()) + 2 * index * bytes;
  return {k, k + bytes, &layout_, n_pages_};
}

}  // namespace chaski
