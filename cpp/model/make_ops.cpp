#include "model/device_ops.hpp"
#include "model/ops.hpp"

namespace autoround::model {

std::unique_ptr<Ops> make_ops(at::Device device, Arithmetic arithmetic) {
  if (!arithmetic.fused) return std::make_unique<AtenOps>();
  if (device.is_cpu()) return std::make_unique<FusedOps>();
  return std::make_unique<DeviceOps>(arithmetic.deterministic);
}

}  // namespace autoround::model
