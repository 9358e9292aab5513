// The host's processor as a device.
#pragma once

#include "backend/backend.h"

namespace chaski {

class CpuBackend : public Backend {
 public:
  std::string_view name() const override { return "cpu"; }
  std::vector<DeviceInfo> probe() const noexcept override;
  std::unique_ptr<Device> open(int index, const DeviceOptions& options) const override;
};

}  // namespace chaski
