#include "model/device_ops.hpp"
#include "model/ops.hpp"

namespace autoround::model {

std::unique_ptr<Ops> make_ops(at::Device device, bool fused) {
  if (!fused) return std::make_unique<AtenOps>();
  if (device.is_cpu()) return std::make_unique<FusedOps>();
  return std::make_unique<DeviceOps>();
}

}  // namespace autoround::model
