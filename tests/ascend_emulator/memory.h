// The device's memory and pinned memory of the host. An address on the device is one in a mapping that is
// never readable; the bytes lie in a second mapping which only the emulator knows. Not here: who may copy
// when (runtime.h).
#pragma once

#include <map>

#include "core.h"

namespace ascend_emulator {

/// What was asked of aclrtMalloc.
struct Allocation {
  std::byte* data = nullptr;
  uint64_t bytes = 0, rounded = 0;
  uint64_t serial = 0;
  int device = 0;
};

/// Bytes on the device that queued work uses; they must be of the same allocation when it runs.
struct Range {
  std::byte* data = nullptr;
  uint64_t bytes = 0;
  uint64_t allocation = 0;  ///< serial
};

/// One limit per device. Not synchronised.
class EMULATOR_API DeviceMemory {
 public:
  /// Throws 207001 beyond `limit` bytes on this device. Poisoned with 0xFF, 64-byte aligned, between guard
  /// bytes.
  void* allocate(uint64_t bytes, int device, uint64_t limit);
  /// Poisons and frees. Throws 107000 for what is no live allocation's start, 507015 if its guards were
  /// overwritten.
  void free(void* data);
  void free_all(int device);  ///< throws as free, when all are
  /// The live allocation that holds this address, or null.
  const Allocation* find(const void* address) const;
  /// Whether the address is or was one on the device.
  bool is_device(const void* address) const;
  /// Throws 107000 unless all of it lies within one live allocation of the device. `what`: for the message.
  Range range(const void* data, uint64_t bytes, int device, std::string_view what) const;
  /// Throws 507015 unless the range's allocation still lives.
  void check_alive(const Range& range, std::string_view what) const;
  /// Throws 507015 naming the allocation whose guard bytes were overwritten.
  void check_guards() const;
  std::byte* host(const void* address) const;
  uint64_t used(int device) const;
  size_t count() const { return live_.size(); }

 private:
  struct Segment {
    std::byte* device = nullptr;
    std::byte* host = nullptr;  ///< null once given back: the addresses stay reserved
    uint64_t bytes = 0;
    std::map<uint64_t, uint64_t> free;  ///< offset → bytes
  };
  Segment& new_segment(uint64_t bytes);
  const Segment* segment_of(const void* address) const;
  void check_guards(const Allocation& allocation) const;

  std::map<std::byte*, Segment> segments_;  ///< by the first address on the device
  std::map<std::byte*, Allocation> live_;
  uint64_t next_serial_ = 1;
};

/// Memory of aclrtMallocHost. Not synchronised.
class EMULATOR_API PinnedMemory {
 public:
  void* allocate(uint64_t bytes);  ///< 64-byte aligned, poisoned
  void free(void* data);           ///< throws 107000 for what is no live allocation's start
  bool holds(const void* data, uint64_t bytes) const;
  size_t count() const { return live_.size(); }

 private:
  std::map<std::byte*, uint64_t> live_;
};

}  // namespace ascend_emulator
