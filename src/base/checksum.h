// A checksum against damage, not against malice, as fast as memory is read; SHA-256 is in files.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace chaski {

/// 64 bits of `bytes`, the same on all machines of one byte order. A change within any eight bytes that lie
/// together at a multiple of eight is always found; any other one but once in 2^64.
uint64_t checksum_of(std::span<const std::byte> bytes);

}  // namespace chaski
