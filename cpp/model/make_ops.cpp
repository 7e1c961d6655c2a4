#include "base/error.hpp"
#include "model/device_ops.hpp"
#include "model/ops.hpp"

namespace autoround::model {

at::Tensor Ops::grouped_linear(const ExpertProjections&, const ExpertRows&, const at::Tensor&) {
  fail(Code::internal, "experts", "products of experts were grouped by operations that do not group them");
}

std::unique_ptr<Ops> make_ops(at::Device device, Arithmetic arithmetic) {
  if (!arithmetic.fused) return std::make_unique<AtenOps>();
  if (device.is_cpu()) return std::make_unique<FusedOps>();
  return std::make_unique<DeviceOps>(arithmetic.deterministic);
}

}  // namespace autoround::model
