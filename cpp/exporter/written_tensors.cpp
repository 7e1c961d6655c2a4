#include "exporter/written_tensors.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/hash.hpp"
#include "exporter/folder_rules.hpp"

namespace autoround::exporter {

void check_directory(const ExportPlan& plan, const std::string& directory) {
  if (is_inside(directory, plan.checkpoint.directory()))
    fail(Code::invalid_argument, directory, "the output would be written into the checkpoint's own folder");
}

void check_announced(const ExportPlan& plan, const quant::QuantizedWeight& weight) {
  const auto planned = plan.formats.find(weight.name);
  if (planned == plan.formats.end()) fail(Code::internal, weight.name, "the plan does not quantize this module");
  const quant::WeightFormat& format = planned->second;
  const quant::WeightFormat& given = weight.format;
  if (!same_scheme(given, format) || weight.scales.scalar_type() != format.scale_type ||
      weight.zero_points.defined() == (format.symmetric || format.has_super_groups())) {
    fail(Code::internal, weight.name, "the quantized weight has another format than the plan announced");
  }
}

// A loader computes with whatever it finds: NaN spreads, and a zero scale erases its group in silence. Powers of two
// cannot be either; an NVFP4 group far below the largest of its tensor, and a super group of nothing else, rightly
// round to zero.
void check_scales(const quant::QuantizedWeight& weight) {
  if (quant::has_power_scales(weight.format.number)) return;
  const at::Tensor scales = weight.scales.to(at::kFloat);
  at::Tensor bad = at::isfinite(scales).logical_not();
  if (weight.format.number != quant::Number::nvfp4 && !weight.format.has_super_groups())
    bad = at::logical_or(bad, scales == 0);
  if (!bad.any().item<bool>()) return;
  const at::Tensor first = at::nonzero(bad)[0];
  std::string place = std::to_string(first[0].item<std::int64_t>());
  if (first.numel() > 1) place += ", " + std::to_string(first[1].item<std::int64_t>());
  const double value = weight.scales.to(at::kDouble).masked_select(bad)[0].item<double>();
  fail(Code::numeric, weight.name,
       "the scale at [" + place + "] is " + std::to_string(value) + "; a stored scale must be finite and not zero");
}

WrittenTensor write_tensor(checkpoint::ShardWriter& writer, const std::string& name, const at::Tensor& tensor,
                           std::uint64_t zeros) {
  const at::Tensor flat = tensor.cpu().contiguous();
  const gsl::span<const std::byte> bytes(static_cast<const std::byte*>(flat.const_data_ptr()), flat.nbytes());
  const std::vector<std::byte> tail(zeros);
  writer.write(name, 0, bytes);
  Hasher hasher;
  hasher.add(bytes);
  if (zeros > 0) {
    writer.write(name, bytes.size(), tail);
    hasher.add(tail);
  }
  return {name, bytes.size() + zeros, hasher.text()};
}

std::string damage_of(const checkpoint::ShardWriter& writer, const std::string& module,
                      const std::vector<checkpoint::TensorInfo>& wanted, const std::vector<WrittenTensor>& tensors) {
  const auto same = [](const checkpoint::TensorInfo& info, const WrittenTensor& tensor) {
    return info.name == tensor.name && info.byte_size() == tensor.bytes;
  };
  if (wanted.empty() || !std::equal(wanted.begin(), wanted.end(), tensors.begin(), tensors.end(), same))
    return "the tensors of " + module + " are not those that this run stores";
  for (const WrittenTensor& tensor : tensors)
    if (!writer.holds(tensor.name, tensor.hash))
      return writer.place_of(tensor.name) + ": the " + std::to_string(tensor.bytes) + " bytes of " + tensor.name +
             " are not those that were written";
  return "";
}

}  // namespace autoround::exporter
