// Device buffers that AscendOps keeps for its own temporaries, one for each purpose: the same address in
// every step, which kept executors and captured steps count on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace chaski::ascend {

enum class Scratch {
  kNormed,       ///< a norm's result
  kRstd,         ///< what the norms return besides
  kProjected,    ///< q, k and v of the rows, behind each other
  kRotated,      ///< q and k after the rotation
  kGateUp,       ///< gate and up of a row beside each other
  kProduct,      ///< what is yet to be added to the residual
  kResidual,     ///< the residual, whenever it is not in its own place
  kHeadPart,     ///< some columns of the logits
  kRotaryIndex,  ///< the position of each head of each row
  kCos,          ///< of these positions
  kSin,
  kIota,         ///< 0, 1, 2, …
  kCausalMask,   ///< 2048 × 2048
  kContextMask,  ///< of each row that decodes: what it must not see
  kHidden,       ///< the same as numbers
  kZeros,        ///< one a head; never written
  kShift,        ///< what is added to the scores of each row that decodes, for each head
  kPageTable,    ///< rows of the page table from aligned addresses
  kPages,        ///< of the sequences of one call
  kCount
};

/// Grow-only. A buffer that was outgrown stays: what was launched or captured may still use it.
class ScratchBuffers {
 public:
  explicit ScratchBuffers(Memory& memory) : memory_(memory) {}

  /// At least so many bytes. Throws Error(kInternal) where it has to grow while a step is captured.
  std::byte* room(Scratch purpose, int64_t bytes);
  std::byte* at(Scratch purpose) const {
    return static_cast<std::byte*>(buffers_[static_cast<size_t>(purpose)].data());
  }
  bool contains(Scratch purpose, const void* data) const;
  void set_capturing(bool is_capturing) { is_capturing_ = is_capturing; }

 private:
  Memory& memory_;
  std::array<Buffer, static_cast<size_t>(Scratch::kCount)> buffers_;
  std::vector<Buffer> outgrown_;
  bool is_capturing_ = false;
};

}  // namespace chaski::ascend
