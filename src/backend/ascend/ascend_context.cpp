#include "backend/ascend/ascend_context.h"

#include <fmt/format.h>

#include <utility>

namespace chaski {
namespace {

uint64_t next_serial() {
  static std::atomic<uint64_t> serial{0};
  return ++serial;
}

thread_local uint64_t serial_in_use = 0;  ///< of the context that this thread's calls go to

}  // namespace

int count_devices(AclApi& api) {
  api.initialize();
  uint32_t count = 0;
  const acl::Status status = api.call.aclrtGetDeviceCount(&count);
  if (status == acl::kNoDevice) return 0;
  check_acl(api, status, "aclrtGetDeviceCount");
  return static_cast<int>(count);
}

AscendContext::AscendContext(std::shared_ptr<AclApi> api, int device)
    : api_(std::move(api)), device_(device), serial_(next_serial()) {
  const acl::Functions& call = api_->call;
  api_->hold_device(device);
  try {
    const std::string which = fmt::format("device {}", device);
    check_acl(*api_, call.aclrtCreateContext(&context_, device), "aclrtCreateContext", which);
    serial_in_use = serial_;
    check_acl(*api_,
              call.aclrtCreateStreamWithConfig(&stream_, 0, acl::kStreamFastLaunch | acl::kStreamFastSync),
              "aclrtCreateStreamWithConfig", which);
    const char* soc = call.aclrtGetSocName();
    if (soc != nullptr) soc_name_ = printable(soc, 40);
  } catch (...) {
    if (context_ != nullptr) call.aclrtDestroyContext(context_);
    serial_in_use = 0;
    api_->release_device(device);
    throw;
  }
}

AscendContext::~AscendContext() {
  // What fails here fails because the device is lost; there is nothing to do about it.
  const acl::Functions& call = api_->call;
  call.aclrtSetCurrentContext(context_);
  call.aclrtDestroyStream(stream_);
  call.aclrtDestroyContext(context_);
  serial_in_use = 0;
  api_->release_device(device_);
}

void AscendContext::make_current() const {
  if (serial_in_use == serial_) return;
  check_acl(*api_, api_->call.aclrtSetCurrentContext(context_), "aclrtSetCurrentContext");
  serial_in_use = serial_;
}

void AscendContext::try_make_current() const noexcept {
  if (serial_in_use == serial_) return;
  if (api_->call.aclrtSetCurrentContext(context_) == 0) serial_in_use = serial_;
}

void AscendContext::fail(acl::Status status, std::string_view function, std::string_view what) {
  if (chaski::is_device_lost(status)) is_lost_ = true;
  throw_acl_error(*api_, status, function, what);
}

AscendContext::Room AscendContext::room() const {
  make_current();
  Room room;
  if (api_->call.aclrtGetMemInfo(acl::MemoryAttribute::kHbm, &room.free_bytes, &room.total_bytes) != 0)
    return {};
  return room;
}

AclEvent::AclEvent(std::shared_ptr<AscendContext> context, uint32_t flag) : context_(std::move(context)) {
  context_->make_current();
  context_->check(context_->api().call.aclrtCreateEventExWithFlag(&event_, flag),
                  "aclrtCreateEventExWithFlag");
}

AclEvent::~AclEvent() {
  if (event_ == nullptr) return;
  context_->try_make_current();
  context_->api().call.aclrtDestroyEvent(event_);
}

AclEvent::AclEvent(AclEvent&& other) noexcept
    : context_(std::move(other.context_)), event_(std::exchange(other.event_, nullptr)) {}

}  // namespace chaski
