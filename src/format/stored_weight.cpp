#include "format/stored_weight.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/checked.h"
#include "base/error.h"

namespace chaski {

StoredWeight::StoredWeight(ByteSourcePtr source, std::string name, DType dtype, Shape shape, uint64_t offset,
                           int64_t interleaved_head_dim)
    : source_(std::move(source)),
      name_(std::move(name)),
      dtype_(dtype),
      shape_(shape),
      offset_(offset),
      head_dim_(interleaved_head_dim),
      stride_(row_bytes(dtype, shape.last())) {
  // Readers have seen that all rows lie in the file, so that no row's place can overflow.
  const auto bytes = checked_mul(n_rows(), stride_);
  CHECK(bytes && checked_add(offset_, static_cast<uint64_t>(*bytes)), "{}: {} rows of {} bytes at {}", name_,
        n_rows(), stride_, offset_);
  CHECK(head_dim_ == 0 || (head_dim_ % 2 == 0 && n_rows() % head_dim_ == 0), "{}: {} rows in heads of {}",
        name_, n_rows(), head_dim_);
}

void StoredWeight::read_rows(int64_t first, int64_t count, std::span<std::byte> out) const {
  CHECK(first >= 0 && count >= 0 && count <= n_rows() - first, "{}: rows {} to {}", name_, first,
        first + count);
  CHECK(static_cast<int64_t>(out.size()) == count * stride_, "{}: {} bytes for {} rows", name_, out.size(),
        count);
  if (head_dim_ == 0) return read_stored(first, out);
  const int64_t end = first + count;
  for (int64_t at = first; at < end;) {
    const int64_t head_end = std::min(end, (at / head_dim_ + 1) * head_dim_);
    read_one_head(at, head_end - at, out.data() + (at - first) * stride_);
    at = head_end;
  }
}

void StoredWeight::read_stored(int64_t first, std::span<std::byte> out) const {
  try {
    source_->read_at(offset_ + static_cast<uint64_t>(first * stride_), out);
  } catch (Error& error) {
    error.add_context(fmt::format("reading weight {}", name_));
    throw;
  }
}

/// Rows of one head: the span of the file that holds all of them is read once, then picked from.
void StoredWeight::read_one_head(int64_t first, int64_t count, std::byte* out) const {
  const int64_t half = head_dim_ / 2;
  const auto stored_row = [&](int64_t row) {
    const int64_t in_head = row % head_dim_;
    return row - in_head + 2 * (in_head % half) + in_head / half;
  };
  int64_t low = stored_row(first), high = low;
  for (int64_t i = 1; i < count; ++i) {
    low = std::min(low, stored_row(first + i));
    high = std::max(high, stored_row(first + i));
  }
  std::vector<std::byte> span(static_cast<size_t>((high - low + 1) * stride_));
  read_stored(low, span);
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(out + i * stride_, span.data() + (stored_row(first + i) - low) * stride_,
                static_cast<size_t>(stride_));
  }
}

}  // namespace chaski
