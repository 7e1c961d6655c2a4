// What every format does with a quantized weight: checks, the tensors that store it, and whether they are still there.
#pragma once

#include "checkpoint/shard_writer.hpp"
#include "exporter/exporter.hpp"

namespace autoround::exporter {

/// @throws Error invalid_argument: `directory` is or lies in the checkpoint's own.
void check_directory(const ExportPlan& plan, const std::string& directory);

/// @throws Error internal: the weight is not what the plan announced.
void check_announced(const ExportPlan& plan, const quant::QuantizedWeight& weight);
/// @throws Error numeric: a scale is NaN, infinite or zero.
void check_scales(const quant::QuantizedWeight& weight);

/// Writes a tensor that takes the whole of its place but for `zeros` bytes, which follow it.
WrittenTensor write_tensor(checkpoint::ShardWriter& writer, const std::string& name, const at::Tensor& tensor,
                           std::uint64_t zeros = 0);
/// As Exporter::damage. @param wanted what the plan stores of the module
std::string damage_of(const checkpoint::ShardWriter& writer, const std::string& module,
                      const std::vector<checkpoint::TensorInfo>& wanted, const std::vector<WrittenTensor>& tensors);

}  // namespace autoround::exporter
