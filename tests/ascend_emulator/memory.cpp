// Segments of address space, each reserved twice: once unreadable (the device's addresses), once as the
// bytes.
#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "runtime.h"

namespace ascend_emulator {

namespace {

constexpr uint64_t kAlignment = 64, kGuard = 64, kSharedSegment = 64u << 20;
constexpr int kPoison = 0xFF, kGuardByte = 0xA5;

uint64_t round_up(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

std::byte* reserve(uint64_t bytes, int protection) {
  void* at = ::mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw OpError(kDeviceMemory, text("the host cannot map ", bytes, " bytes"));
  return static_cast<std::byte*>(at);
}

/// Guard, bytes, guard; what the runtime's own rounding leaves over is guard too.
uint64_t block_bytes(uint64_t rounded) { return kGuard + round_up(rounded, kAlignment) + kGuard; }

}  // namespace

DeviceMemory::Segment& DeviceMemory::new_segment(uint64_t bytes) {
  Segment segment;
  segment.bytes = round_up(std::max(bytes, kSharedSegment), 4096);
  segment.device = reserve(segment.bytes, PROT_NONE);
  segment.host = reserve(segment.bytes, PROT_READ | PROT_WRITE);
  segment.free[0] = segment.bytes;
  return segments_[segment.device] = std::move(segment);
}

void* DeviceMemory::allocate(uint64_t bytes, int device, uint64_t limit) {
  if (bytes == 0) misuse(kRuntimeParam, "an allocation of no bytes");
  if (bytes > limit) throw OpError(kDeviceMemory, text(bytes, " bytes asked for, the device has ", limit));
  const uint64_t rounded = round_up(bytes, 32) + 32;
  if (used(device) + rounded > limit)
    throw OpError(kDeviceMemory, text(bytes, " bytes asked for, ", used(device), " of ", limit, " in use"));
  const uint64_t block = block_bytes(rounded);
  Segment* segment = nullptr;
  std::map<uint64_t, uint64_t>::iterator gap;
  for (auto& [address, candidate] : segments_) {
    if (candidate.host == nullptr) continue;
    gap = std::find_if(candidate.free.begin(), candidate.free.end(),
                       [&](auto& g) { return g.second >= block; });
    if (gap == candidate.free.end()) continue;
    segment = &candidate;
    break;
  }
  if (segment == nullptr) {
    segment = &new_segment(block);
    gap = segment->free.begin();
  }
  const auto [offset, room] = *gap;
  segment->free.erase(gap);
  if (room > block) segment->free[offset + block] = room - block;
  std::byte* host = segment->host + offset;
  std::memset(host, kGuardByte, kGuard);
  std::memset(host + kGuard, kPoison, bytes);
  std::memset(host + kGuard + bytes, kGuardByte, block - kGuard - bytes);
  std::byte* data = segment->device + offset + kGuard;
  live_[data] = {data, bytes, rounded, next_serial_++, device};
  return data;
}

void DeviceMemory::check_guards(const Allocation& allocation) const {
  const std::byte* data = host(allocation.data);
  const auto whole = [](const std::byte* from, const std::byte* to) {
    return std::all_of(from, to, [](std::byte b) { return b == std::byte{kGuardByte}; });
  };
  if (!whole(data - kGuard, data))
    misuse(kAicoreException, "bytes before the allocation of ", allocation.bytes, " bytes were overwritten");
  if (!whole(data + allocation.bytes, data + block_bytes(allocation.rounded) - kGuard))
    misuse(kAicoreException, "bytes after the allocation of ", allocation.bytes, " bytes were overwritten");
}

void DeviceMemory::check_guards() const {
  for (const auto& [address, allocation] : live_) check_guards(allocation);
}

void DeviceMemory::free(void* data) {
  const auto found = live_.find(static_cast<std::byte*>(data));
  if (found == live_.end())
    misuse(kRuntimeParam,
           is_device(data) ? "freed twice, or not the start of an allocation" : "not memory of the device");
  const Allocation allocation = found->second;
  Segment& segment = std::prev(segments_.upper_bound(allocation.data))->second;
  std::exception_ptr overwritten;
  try {
    check_guards(allocation);
  } catch (const OpError&) {
    overwritten = std::current_exception();
  }
  uint64_t offset = static_cast<uint64_t>(allocation.data - segment.device) - kGuard;
  uint64_t bytes = block_bytes(allocation.rounded);
  std::memset(segment.host + offset, kPoison, bytes);
  auto next = segment.free.upper_bound(offset);
  if (next != segment.free.end() && offset + bytes == next->first) {
    bytes += next->second;
    next = segment.free.erase(next);
  }
  if (next != segment.free.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      offset = before->first;
      bytes += before->second;
    }
  }
  segment.free[offset] = bytes;
  live_.erase(found);
  if (bytes == segment.bytes && segment.bytes > kSharedSegment) {
    ::munmap(segment.host, segment.bytes);
    segment.host = nullptr;
  }
  if (overwritten) std::rethrow_exception(overwritten);
}

void DeviceMemory::free_all(int device) {
  std::vector<std::byte*> all;
  for (const auto& [address, allocation] : live_) {
    if (allocation.device == device) all.push_back(address);
  }
  std::exception_ptr overwritten;
  for (std::byte* data : all) {
    try {
      free(data);
    } catch (const OpError&) {
      overwritten = std::current_exception();
    }
  }
  if (overwritten) std::rethrow_exception(overwritten);
}

const Allocation* DeviceMemory::find(const void* address) const {
  auto after = live_.upper_bound(static_cast<std::byte*>(const_cast<void*>(address)));
  if (after == live_.begin()) return nullptr;
  const Allocation& allocation = std::prev(after)->second;
  return address < allocation.data + allocation.bytes ? &allocation : nullptr;
}

const DeviceMemory::Segment* DeviceMemory::segment_of(const void* address) const {
  auto after = segments_.upper_bound(static_cast<std::byte*>(const_cast<void*>(address)));
  if (after == segments_.begin()) return nullptr;
  const Segment& segment = std::prev(after)->second;
  return address < segment.device + segment.bytes ? &segment : nullptr;
}

bool DeviceMemory::is_device(const void* address) const { return segment_of(address) != nullptr; }

Range DeviceMemory::range(const void* data, uint64_t bytes, int device, std::string_view what) const {
  if (!is_device(data)) misuse(kRuntimeParam, what, ": ", data, " is not memory of the device");
  const Allocation* allocation = find(data);
  if (allocation == nullptr)
    misuse(kRuntimeParam, what, ": memory of the device that is not allocated, or freed");
  if (allocation->device != device)
    misuse(kRuntimeParam, what, ": memory of device ", allocation->device, ", used on device ", device);
  auto* first = static_cast<std::byte*>(const_cast<void*>(data));
  const uint64_t room = allocation->bytes - static_cast<uint64_t>(first - allocation->data);
  if (bytes > room)
    misuse(kRuntimeParam, what, ": ", bytes, " bytes, but only ", room, " to the end of the allocation");
  return {first, bytes, allocation->serial};
}

void DeviceMemory::check_alive(const Range& range, std::string_view what) const {
  const Allocation* allocation = find(range.data);
  if (allocation == nullptr || allocation->serial != range.allocation)
    misuse(kAicoreException, what, ": memory of the device was freed before the work that uses it ran");
}

std::byte* DeviceMemory::host(const void* address) const {
  const Segment* segment = segment_of(address);
  if (segment == nullptr || segment->host == nullptr)
    misuse(kAicoreException, address, " is not memory of the device");
  return segment->host + (static_cast<const std::byte*>(address) - segment->device);
}

uint64_t DeviceMemory::used(int device) const {
  uint64_t bytes = 0;
  for (const auto& [address, allocation] : live_)
    bytes += allocation.device == device ? allocation.rounded : 0;
  return bytes;
}

void* PinnedMemory::allocate(uint64_t bytes) {
  if (bytes == 0) misuse(kRuntimeParam, "an allocation of no bytes");
  void* data =
      bytes < (uint64_t{1} << 46) ? std::aligned_alloc(kAlignment, round_up(bytes, kAlignment)) : nullptr;
  if (data == nullptr) throw OpError(kBadAllocation, text("no ", bytes, " bytes of pinned memory"));
  std::memset(data, kPoison, bytes);
  live_[static_cast<std::byte*>(data)] = bytes;
  return data;
}

void PinnedMemory::free(void* data) {
  if (live_.erase(static_cast<std::byte*>(data)) == 0)
    misuse(kRuntimeParam, "not memory of aclrtMallocHost, or freed twice");
  std::free(data);
}

bool PinnedMemory::holds(const void* data, uint64_t bytes) const {
  auto* first = static_cast<std::byte*>(const_cast<void*>(data));
  const auto after = live_.upper_bound(first);
  if (after == live_.begin()) return false;
  const auto& [start, length] = *std::prev(after);
  const auto offset = static_cast<uint64_t>(first - start);
  return offset <= length && bytes <= length - offset;
}

}  // namespace ascend_emulator
