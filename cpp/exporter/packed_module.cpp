#include "exporter/packed_module.hpp"

#include <ATen/ATen.h>

#include <array>
#include <cstring>

#include "base/error.hpp"
#include "model/weight_source.hpp"
#include "quant/packing.hpp"

namespace autoround::exporter {
namespace {

using checkpoint::DType;
using checkpoint::TensorInfo;

constexpr std::int64_t kMaxDimension = std::int64_t{1} << 40;

std::int64_t words(std::int64_t values, int bits) { return (values * bits + 31) / 32; }

const TensorInfo& require(const checkpoint::Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo* info = checkpoint.find(name);
  if (info == nullptr) fail(Code::parse, name, "the tensor is missing; its module has a weight_packed beside it");
  return *info;
}

void require_layout(const TensorInfo& found, const TensorInfo& wanted) {
  if (found.dtype == wanted.dtype && found.shape == wanted.shape) return;
  const auto text = [](const TensorInfo& info) {
    return std::string(checkpoint::dtype_name(info.dtype)) + " " + checkpoint::shape_text(info.shape);
  };
  fail(Code::parse, found.name,
       "the tensor is " + text(found) + ", wanted " + text(wanted) + " from weight_shape and quantization_config");
}

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

}  // namespace

std::vector<TensorInfo> packed_tensors(const std::string& module, std::int64_t out_features, std::int64_t in_features,
                                       const quant::WeightFormat& format) {
  const PackedNames names(module);
  const bool one_scale = format.group == 0;
  const std::int64_t groups = one_scale ? 1 : format.groups_per_row(in_features);
  std::vector<TensorInfo> tensors = {
      {names.packed, DType::i32, {out_features, words(in_features, format.bits)}},
      {names.scale, model::disk_type(format.scale_type), {out_features, groups}},
      {names.shape, DType::i64, {2}},
  };
  if (one_scale) tensors[1].shape = {1};
  if (!format.symmetric) {
    const TensorInfo packed{names.zero_point, DType::i32, {words(out_features, format.bits), groups}};
    tensors.push_back(one_scale ? TensorInfo{names.zero_point, DType::i8, {1}} : packed);
  }
  return tensors;
}

at::Tensor pack_zero_points(const at::Tensor& zero_points, const quant::WeightFormat& format) {
  if (format.group != 0) return quant::pack_columns(zero_points, format.bits);
  return (zero_points.to(at::kShort) - (1 << (format.bits - 1))).to(at::kChar).reshape({1});
}

at::Tensor unpack_zero_points(const at::Tensor& stored, const quant::WeightFormat& format, std::int64_t rows) {
  if (format.group != 0) return quant::unpack_columns(stored, format.bits, rows);
  return (stored.to(at::kShort) + (1 << (format.bits - 1))).to(at::kByte);
}

PackedModule::PackedModule(const checkpoint::Checkpoint& checkpoint, const std::string& module,
                           quant::WeightFormat format)
    : names_(module), format_(std::move(format)) {
  const auto shape = read_shape(checkpoint, names_.shape);
  rows_ = shape[0];
  columns_ = shape[1];
  if (format_.group > 0 && columns_ % format_.group != 0) {
    fail(Code::parse, names_.shape,
         std::to_string(columns_) + " columns are not a multiple of group_size " + std::to_string(format_.group));
  }
  format_.scale_type = model::torch_type(require(checkpoint, names_.scale).dtype);
  if (!at::isFloatingType(format_.scale_type)) fail(Code::parse, names_.scale, "the scale is not a float tensor");
  for (const auto& wanted : packed_tensors(module, rows_, columns_, format_)) {
    require_layout(require(checkpoint, wanted.name), wanted);
  }
  if (format_.symmetric && checkpoint.find(names_.zero_point) != nullptr) {
    fail(Code::parse, names_.zero_point, "a symmetric module has a zero point");
  }
  if (checkpoint.find(names_.weight) != nullptr) {
    fail(Code::parse, names_.weight, "the module is stored twice: as weight and as weight_packed");
  }
  if (checkpoint.find(names_.weight + "_g_idx") != nullptr) {
    fail(Code::unsupported, names_.weight + "_g_idx", "activation ordering is not supported");
  }
}

}  // namespace autoround::exporter
