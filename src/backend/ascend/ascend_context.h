// A device opened: its context, and the one stream that all work goes to.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "backend/ascend/acl_api.h"
#include "backend/ascend/acl_error.h"
#include "backend/ascend/ascend_counters.h"

namespace chaski {

/// Devices that CANN shows; 0 where there is none. Throws AclError.
int count_devices(AclApi& api);

class AscendContext {
 public:
  /// Throws AclError where the device cannot be had.
  AscendContext(std::shared_ptr<AclApi> api, int device);
  ~AscendContext();
  AscendContext(const AscendContext&) = delete;
  AscendContext& operator=(const AscendContext&) = delete;

  AclApi& api() const { return *api_; }
  int device() const { return device_; }
  acl::Stream stream() const { return stream_; }             ///< not the default one: that cannot be captured
  const std::string& soc_name() const { return soc_name_; }  ///< "Ascend910B3"
  AscendCounters& counters() { return counters_; }

  /// Calls of this thread go to this device from here on. Cheap where they do already.
  void make_current() const;
  /// The same before something is freed, which may be done even where the device is lost.
  void try_make_current() const noexcept;
  /// Throws AclError for a status other than 0, and remembers where the device is lost. From any thread.
  void check(acl::Status status, std::string_view function, std::string_view what = {}) {
    if (status != 0) [[unlikely]]
      fail(status, function, what);
  }
  [[noreturn]] void fail(acl::Status status, std::string_view function, std::string_view what);
  /// Whether a call said that the device is lost: all that follows fails.
  bool is_lost() const { return is_lost_; }

  struct Room {
    size_t free_bytes = 0, total_bytes = 0;
  };
  /// Of the device's memory; zeros where it does not say.
  Room room() const;

 private:
  std::shared_ptr<AclApi> api_;
  int device_;
  uint64_t serial_;  ///< of no other context of this process
  acl::Context context_ = nullptr;
  acl::Stream stream_ = nullptr;
  std::string soc_name_;
  AscendCounters counters_;
  std::atomic<bool> is_lost_{false};
};

/// An event of a context's stream.
class AclEvent {
 public:
  /// `flag`: acl::kEventSync, kEventTimeLine. Throws AclError.
  AclEvent(std::shared_ptr<AscendContext> context, uint32_t flag);
  ~AclEvent();
  AclEvent(AclEvent&& other) noexcept;
  AclEvent& operator=(AclEvent&&) = delete;
  acl::Event get() const { return event_; }

 private:
  std::shared_ptr<AscendContext> context_;
  acl::Event event_ = nullptr;
};

}  // namespace chaski
