#include "backend/ascend/ascend_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/checked.h"

namespace chaski {
namespace {

constexpr size_t kAlignment = 64;
constexpr double kMiB = 1024.0 * 1024.0;

}  // namespace

Buffer allocate_pinned(std::shared_ptr<AscendContext> context, size_t bytes) {
  context->make_current();
  void* data = nullptr;
  context->check(context->api().call.aclrtMallocHost(&data, bytes), "aclrtMallocHost",
                 fmt::format("{:.1f} MiB of pinned host memory", static_cast<double>(bytes) / kMiB));
  return Buffer(data, bytes, [context](void* pinned) {
    context->try_make_current();
    context->api().call.aclrtFreeHost(pinned);
  });
}

StagingRing::StagingRing(std::shared_ptr<LaunchQueue> queue, size_t segment_bytes)
    : queue_(std::move(queue)),
      segment_bytes_(segment_bytes),
      pinned_(allocate_pinned(queue_->shared_context(), segment_bytes * kSegments)),
      n_synchronized_(queue_->n_synchronized()) {
  for (size_t i = 0; i < kSegments; ++i) {
    segments_.push_back({AclEvent(queue_->shared_context(), acl::kEventSync)});
  }
}

StagingRing::~StagingRing() { queue_->quiesce(); }  // the device may still read from it

void StagingRing::copy_in(std::byte* device, const std::byte* host, size_t bytes) {
  if (queue_->n_synchronized() != n_synchronized_) {  // since then the device has read all of it
    n_synchronized_ = queue_->n_synchronized();
    for (Segment& segment : segments_) segment.is_recorded = false;
    used_ = 0;
  }
  AscendContext& context = queue_->context();
  while (bytes > 0) {
    const size_t room = segment_bytes_ - used_;
    if (room == 0 || (bytes > room && bytes <= segment_bytes_)) {  // small ones stay in one piece
      next_segment();
      continue;
    }
    const size_t piece = std::min(bytes, room);
    std::byte* pinned = static_cast<std::byte*>(pinned_.data()) + segment_bytes_ * current_ + used_;
    std::memcpy(pinned, host, piece);
    queue_->submit([&context, device, pinned, piece] {
      context.check(context.api().call.aclrtMemcpyAsync(device, piece, pinned, piece,
                                                        acl::CopyKind::kHostToDevice, context.stream()),
                    "aclrtMemcpyAsync", fmt::format("{} bytes to the device", piece));
    });
    ++context.counters().copies_in;
    context.counters().bytes_in += static_cast<int64_t>(piece);
    used_ = std::min(segment_bytes_, (used_ + piece + kAlignment - 1) / kAlignment * kAlignment);
    device += piece;
    host += piece;
    bytes -= piece;
  }
}

void StagingRing::next_segment() {
  AscendContext& context = queue_->context();
  queue_->submit([&context, event = segments_[current_].is_read.get()] {
    context.check(context.api().call.aclrtRecordEvent(event, context.stream()), "aclrtRecordEvent");
  });
  segments_[current_].is_recorded = true;
  current_ = (current_ + 1) % kSegments;
  used_ = 0;
  Segment& segment = segments_[current_];
  if (!std::exchange(segment.is_recorded, false)) return;
  queue_->wait_drained();  // the event is on the stream
  context.make_current();
  ++context.counters().host_waits;
  context.check(context.api().call.aclrtSynchronizeEvent(segment.is_read.get()), "aclrtSynchronizeEvent");
}

AscendMemory::AscendMemory(std::shared_ptr<LaunchQueue> queue, size_t segment_bytes)
    : queue_(std::move(queue)), segment_bytes_(segment_bytes) {}

Buffer AscendMemory::allocate(size_t bytes, std::string_view what) {
  AscendContext& context = queue_->context();
  context.make_current();
  const auto rounded = checked_round_up(std::max<size_t>(bytes, 1), kAlignment);
  void* data = nullptr;
  const acl::Status status =
      rounded ? context.api().call.aclrtMalloc(&data, *rounded, acl::MallocPolicy::kHugeFirst)
              : acl::kDeviceMemory;
  if (status != 0) {
    const AscendContext::Room room = context.room();
    context.fail(status, "aclrtMalloc",
                 fmt::format("{} needs {:.1f} MiB, {:.1f} of {:.1f} MiB are free on device {}", what,
                             static_cast<double>(bytes) / kMiB, static_cast<double>(room.free_bytes) / kMiB,
                             static_cast<double>(room.total_bytes) / kMiB, context.device()));
  }
  Buffer buffer(data, *rounded, [queue = queue_](void* device) {
    queue->quiesce();  // aclrtFree does not wait for what still uses it
    queue->context().try_make_current();
    queue->context().api().call.aclrtFree(device);
  });
  CHECK(reinterpret_cast<uintptr_t>(data) % kAlignment == 0, "aclrtMalloc gave {}", data);
  queue_->submit([&context, data, size = *rounded] {
    context.check(context.api().call.aclrtMemsetAsync(data, size, 0, size, context.stream()),
                  "aclrtMemsetAsync", fmt::format("{} bytes", size));
  });
  return buffer;
}

void AscendMemory::copy_in(void* device, const void* host, size_t bytes) {
  if (ring_ == nullptr) ring_ = std::make_unique<StagingRing>(queue_, segment_bytes_);
  ring_->copy_in(static_cast<std::byte*>(device), static_cast<const std::byte*>(host), bytes);
}

void AscendMemory::copy_out(void* host, const void* device, size_t bytes) {
  if (before_read_) before_read_();
  AscendContext& context = queue_->context();
  if (!read_area_) read_area_ = allocate_pinned(queue_->shared_context(), segment_bytes_);
  auto* to = static_cast<std::byte*>(host);
  const auto* from = static_cast<const std::byte*>(device);
  while (bytes > 0) {
    const size_t piece = std::min(bytes, segment_bytes_);
    queue_->submit([&context, pinned = read_area_.data(), from, piece] {
      context.check(context.api().call.aclrtMemcpyAsync(pinned, piece, from, piece,
                                                        acl::CopyKind::kDeviceToHost, context.stream()),
                    "aclrtMemcpyAsync", fmt::format("{} bytes from the device", piece));
    });
    ++context.counters().copies_out;
    context.counters().bytes_out += static_cast<int64_t>(piece);
    queue_->synchronize();
    std::memcpy(to, read_area_.data(), piece);
    to += piece;
    from += piece;
    bytes -= piece;
  }
}

void AscendMemory::synchronize() {
  if (before_read_) before_read_();
  queue_->synchronize();
}

}  // namespace chaski
