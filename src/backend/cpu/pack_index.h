// The beginning of a file of packed weights: whose weights they are, where each lies, and a checksum for each
// chunk of them. The weights follow as CpuOps holds them, so that the file is used in place. See
// pack_cache.h.
//
//   0            PackHeader below, as this machine lays it out
//   then         names, types and places of the weights, then the checksums of the chunks
//   kPackChunk   the weights, each at a multiple of kPackAlignment, in chunks of kPackChunk
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace chaski::cpu {

/// A large page: what is written, mapped and checked at once.
inline constexpr uint64_t kPackChunk = uint64_t{2} << 20;
inline constexpr uint64_t kPackAlignment = 4096;
inline constexpr uint32_t kPackFormatVersion = 1;

struct PackedPlace {
  DType dtype = DType::kF32;
  bool is_wide = false;  ///< as PanelLayout says it
  int64_t n_rows = 0;
  int64_t n_cols = 0;
  uint64_t offset = 0;  ///< in the file
  uint64_t bytes = 0;
};

struct PackIndex {
  std::string model_hash;  ///< 64 hexadecimal digits
  uint64_t file_bytes = 0;
  std::map<std::string, PackedPlace, std::less<>> weights;  ///< by name
  std::vector<uint64_t> checksums;                          ///< of each chunk from kPackChunk on

  static uint64_t n_chunks(uint64_t file_bytes) {
    return file_bytes <= kPackChunk ? 0 : (file_bytes - 1) / kPackChunk;
  }
};

/// The bytes that a file begins with; empty where they would be longer than kPackChunk.
std::string encode_pack_index(const PackIndex& index, uint32_t layout_version);

/// Reads the beginning of a file of `file_bytes`. Throws Error(kUnsupported) for another version, layout or
/// byte order, and Error(kCorrupt) for anything that is not exactly as encode_pack_index wrote it.
PackIndex decode_pack_index(std::span<const std::byte> beginning, uint64_t file_bytes,
                            uint32_t layout_version);

/// Set the two checksums in the beginning of a file right: for tests and fuzzing, which damage it on purpose.
void repair_pack_checksums(std::span<std::byte> beginning);

}  // namespace chaski::cpu
