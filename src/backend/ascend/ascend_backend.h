// Ascend NPUs of the 910B generation, through CANN 8.0 and newer.
#pragma once

#include <memory>

#include "backend/ascend/acl_api.h"
#include "backend/backend.h"

namespace chaski {

class AscendOps;

class AscendBackend : public Backend {
 public:
  /// Through `api`; without, CANN as AclApi::open() finds it.
  explicit AscendBackend(std::shared_ptr<AclApi> api = nullptr) : api_(std::move(api)) {}
  std::string_view name() const override { return "ascend"; }
  std::vector<DeviceInfo> probe() const noexcept override;
  /// `options.isa` may be "eager" or "captured".
  std::unique_ptr<Device> open(int index, const DeviceOptions& options) const override;

 private:
  std::shared_ptr<AclApi> api() const { return api_ ? api_ : AclApi::open(); }
  std::shared_ptr<AclApi> api_;
};

/// Why chaski does not run on a chip that calls itself so; empty where it does.
std::string why_not_this_chip(std::string_view soc_name);
/// The type of activations for a model: bf16 where most of its numbers are, else f16.
DType activations_for(const Checkpoint& checkpoint);
/// The ops of a device that AscendBackend opened, for tests and records.
AscendOps& ascend_ops_of(Device& device);

}  // namespace chaski
