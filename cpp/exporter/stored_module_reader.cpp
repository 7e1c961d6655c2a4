// A module of a checkpoint in a compression format of compressed-tensors.
#include <array>
#include <cstring>

#include "base/error.hpp"
#include "exporter/stored_module.hpp"
#include "model/weight_source.hpp"

namespace autoround::exporter {
namespace {

using checkpoint::DType;
using checkpoint::TensorInfo;

constexpr std::int64_t kMaxDimension = std::int64_t{1} << 40;

const TensorInfo& require(const checkpoint::Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo* info = checkpoint.find(name);
  if (info == nullptr) fail(Code::parse, name, "the tensor is missing; other tensors say that its module is quantized");
  return *info;
}

void require_layout(const TensorInfo& found, const TensorInfo& wanted) {
  if (found.dtype == wanted.dtype && found.shape == wanted.shape) return;
  const auto text = [](const TensorInfo& info) {
    return std::string(checkpoint::dtype_name(info.dtype)) + " " + checkpoint::shape_text(info.shape);
  };
  fail(Code::parse, found.name,
       "the tensor is " + text(found) + ", wanted " + text(wanted) +
           " from quantization_config and the shape of the weight");
}

/// weight_shape of pack-quantized, whose rows may end in bits of no code.
std::array<std::int64_t, 2> read_shape(const checkpoint::Checkpoint& checkpoint, const std::string& name) {
  require_layout(require(checkpoint, name), {name, DType::i64, {2}});
  std::array<std::byte, 16> bytes;
  checkpoint.read(name, 0, bytes);
  std::array<std::int64_t, 2> shape;
  std::memcpy(shape.data(), bytes.data(), bytes.size());
  for (const std::int64_t size : shape) {
    if (size < 1 || size > kMaxDimension) {
      fail(Code::parse, name, "a dimension is " + std::to_string(size) + ", wanted a positive number of at most 2^40");
    }
  }
  return shape;
}

std::array<std::int64_t, 2> shape_of(const checkpoint::Checkpoint& checkpoint, const StoredNames& names, int bits,
                                     CompressionFormat compression) {
  if (compression == CompressionFormat::pack_quantized) return read_shape(checkpoint, names.shape);
  const bool by_name = keeps_weight_name(compression);
  const TensorInfo& codes = require(checkpoint, by_name ? names.weight : names.packed);
  if (codes.shape.size() != 2 || codes.element_count() == 0) {
    fail(Code::parse, codes.name, "the tensor has shape " + checkpoint::shape_text(codes.shape) + ", wanted a matrix");
  }
  return {codes.shape[0], by_name ? codes.shape[1] : codes.shape[1] * 8 / bits};
}

void refuse_leftovers(const checkpoint::Checkpoint& checkpoint, const StoredNames& names, bool symmetric,
                      CompressionFormat compression) {
  if (symmetric && checkpoint.find(names.zero_point) != nullptr) {
    fail(Code::parse, names.zero_point, "a symmetric module has a zero point");
  }
  if (!keeps_weight_name(compression) && checkpoint.find(names.weight) != nullptr) {
    fail(Code::parse, names.weight, "the module is stored twice: as weight and as weight_packed");
  }
  if (checkpoint.find(names.weight + "_g_idx") != nullptr) {
    fail(Code::unsupported, names.weight + "_g_idx", "activation ordering is not supported");
  }
}

}  // namespace

StoredModule::StoredModule(const checkpoint::Checkpoint& checkpoint, std::string module, quant::WeightFormat format,
                           CompressionFormat compression)
    : module_(std::move(module)), format_(std::move(format)), compression_(compression) {
  const StoredNames names(module_);
  const auto shape = shape_of(checkpoint, names, format_.bits, compression_);
  rows_ = shape[0];
  columns_ = shape[1];
  if (format_.group > 0 && format_.block_rows == 0 && columns_ % format_.group != 0) {
    fail(Code::parse, compression_ == CompressionFormat::pack_quantized ? names.shape : names.scale,
         std::to_string(columns_) + " columns are not a multiple of group_size " + std::to_string(format_.group));
  }
  if (!quant::has_power_scales(format_.number) && format_.number != quant::Number::nvfp4) {
    format_.scale_type = model::torch_type(require(checkpoint, names.scale).dtype);
    if (!at::isFloatingType(format_.scale_type)) fail(Code::parse, names.scale, "the scale is not a float tensor");
  }
  if (format_.input && format_.input->needs_scale()) {
    format_.input->scale_type = model::torch_type(require(checkpoint, names.input_scale).dtype);
  }
  for (const auto& wanted : tensors()) require_layout(require(checkpoint, wanted.name), wanted);
  refuse_leftovers(checkpoint, names, format_.symmetric, compression_);
}

}  // namespace autoround::exporter
