// What a call of CANN returned, as an Error that says what it means and what to do.
#pragma once

#include <string>
#include <string_view>

#include "backend/ascend/acl_api.h"
#include "base/error.h"

namespace chaski {

/// "ACL_ERROR_RT_MEMORY_ALLOCATION", or "unknown".
std::string_view name_of_status(acl::Status status);
/// Whether after this code the device cannot be trusted by this process any more; what fails otherwise fails
/// the request alone.
bool is_device_lost(acl::Status status);
/// Whether an operator declined these arguments before anything ran: another way to compute it may be taken.
bool is_refusal(acl::Status status);
bool is_out_of_memory(acl::Status status);

/// An Error(kDevice), or Error(kOutOfMemory), that keeps the code.
class AclError : public Error {
 public:
  AclError(acl::Status status, std::string_view operation, std::string_view message, std::string hint);
  acl::Status status() const { return status_; }
  bool is_device_lost() const { return chaski::is_device_lost(status_); }

 private:
  acl::Status status_;
};

/// Throw what `status` of the call named `function` means: its name, ACL's own message (taken on this
/// thread), `what` (the operator with its tensors, or the size that was asked for), what to do.
[[noreturn]] void throw_acl_error(const AclApi& api, acl::Status status, std::string_view function,
                                  std::string_view what = {});

/// Nothing where `status` is 0.
inline void check_acl(const AclApi& api, acl::Status status, std::string_view function,
                      std::string_view what = {}) {
  if (status != 0) [[unlikely]]
    throw_acl_error(api, status, function, what);
}

}  // namespace chaski
