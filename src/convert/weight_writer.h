// Weights from a checkpoint into a file, each in the type that is wanted there: read, converted and written
// piece by piece on all threads. Which type and which place is the caller's matter.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/cancel.h"
#include "base/threads.h"
#include "convert/partial_file.h"
#include "tensor/weight_source.h"

namespace chaski {

struct WeightJob {
  WeightSourcePtr source;
  DType dtype = DType::kF32;  ///< in the file; the source's own is copied, any other goes through f32
  PartialFile* file = nullptr;
  uint64_t offset = 0;  ///< in the file
  size_t part = 0;      ///< of the file; jobs of finished parts are passed over
  /// Where > 0, rows come in half-split order within heads of this size and go out as rotary pairs side by
  /// side: row j * head_dim/2 + i as row 2i + j.
  int64_t interleaved_head_dim = 0;
};

struct WriteOptions {
  bool allow_nonfinite = false;
  const CancelToken* cancel = nullptr;
  /// Hears the bytes read so far and all there are; called from the caller's thread.
  std::function<void(uint64_t done, uint64_t total)> on_progress;
};

/// Rows of blocks do not depend on the pieces nor on the threads. A few MiB per thread. Throws
/// Error(kCorrupt) for the first number that is NaN or infinite, unless allowed, naming weight, row and
/// column; Error(kIo); Error(kCancelled).
void write_weights(std::span<const WeightJob> jobs, ThreadPool& pool, const WriteOptions& options);

}  // namespace chaski
