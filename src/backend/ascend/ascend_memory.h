// The device's memory, and the way in and out of it: through pinned host memory, in the order of the stream.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "backend/ascend/launch_queue.h"
#include "tensor/tensor.h"

namespace chaski {

/// Host memory that the device copies from and to by itself. Throws AclError.
Buffer allocate_pinned(std::shared_ptr<AscendContext> context, size_t bytes);

/// Pinned memory in segments that are filled one after another. A segment is filled again once the device has
/// read it: the host waits only where all are full of what the device has not read yet.
class StagingRing {
 public:
  static constexpr size_t kSegments = 4;

  StagingRing(std::shared_ptr<LaunchQueue> queue, size_t segment_bytes);
  ~StagingRing();
  StagingRing(const StagingRing&) = delete;
  StagingRing& operator=(const StagingRing&) = delete;

  /// Copy `bytes` to the device, in pieces where they are more than a segment. `host` may change on return.
  void copy_in(std::byte* device, const std::byte* host, size_t bytes);

 private:
  struct Segment {
    AclEvent is_read;          ///< stands behind the last copy out of it
    bool is_recorded = false;  ///< whether that was put there since all was known to be done
  };
  void next_segment();

  std::shared_ptr<LaunchQueue> queue_;
  size_t segment_bytes_;
  Buffer pinned_;
  std::vector<Segment> segments_;
  size_t current_ = 0;
  size_t used_ = 0;  ///< of the current segment
  int64_t n_synchronized_ = 0;
};

class AscendMemory : public Memory {
 public:
  explicit AscendMemory(std::shared_ptr<LaunchQueue> queue, size_t segment_bytes = size_t{4} << 20);

  Buffer allocate(size_t bytes, std::string_view what) override;
  /// Returns before the device has the bytes; whatever is submitted later sees them.
  void copy_in(void* device, const void* host, size_t bytes) override;
  /// Settles, then waits for all that was submitted.
  void copy_out(void* host, const void* device, size_t bytes) override;
  bool is_host_accessible() const override { return false; }

  /// Settles, then waits until all that was submitted is done.
  void synchronize();
  /// Called before what is on the device is read or waited for: it submits what was put off.
  void set_before_read(std::function<void()> settle) { before_read_ = std::move(settle); }

  LaunchQueue& queue() const { return *queue_; }
  const std::shared_ptr<LaunchQueue>& shared_queue() const { return queue_; }

 private:
  std::shared_ptr<LaunchQueue> queue_;
  size_t segment_bytes_;
  std::unique_ptr<StagingRing> ring_;  ///< made with the first copy
  Buffer read_area_;
  std::function<void()> before_read_;
};

}  // namespace chaski
