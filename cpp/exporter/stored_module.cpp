#include "exporter/stored_module.hpp"

#include <ATen/ATen.h>

#include <array>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"
#include "model/mapped_memory.hpp"
#include "model/weight_source.hpp"
#include "quant/packing.hpp"

namespace autoround::exporter {
namespace {

using checkpoint::DType;
using checkpoint::TensorInfo;

constexpr std::array<std::pair<CompressionFormat, std::string_view>, 8> kNames{{
    {CompressionFormat::pack_quantized, "pack-quantized"},
    {CompressionFormat::int_quantized, "int-quantized"},
    {CompressionFormat::float_quantized, "float-quantized"},
    {CompressionFormat::naive_quantized, "naive-quantized"},
    {CompressionFormat::nvfp4_pack_quantized, "nvfp4-pack-quantized"},
    {CompressionFormat::mxfp4_pack_quantized, "mxfp4-pack-quantized"},
    {CompressionFormat::mxfp6_pack_quantized, "mxfp6-pack-quantized"},
    {CompressionFormat::mxfp8_quantized, "mxfp8-quantized"},
}};

std::int64_t units(std::int64_t values, int bits, int unit) { return (values * bits + unit - 1) / unit; }

/// Zero points of a single scale, and those beside unpacked codes, are the signed numbers that they stand for.
bool has_signed_zero_points(const quant::WeightFormat& format, CompressionFormat compression) {
  return compression == CompressionFormat::int_quantized || format.group == 0;
}

TensorInfo zero_point_tensor(const StoredNames& names, std::int64_t out_features, std::int64_t in_features,
                             const quant::WeightFormat& format, CompressionFormat compression) {
  const auto shape = format.scales_shape(out_features, in_features);
  if (has_signed_zero_points(format, compression)) return {names.zero_point, DType::i8, shape};
  return {names.zero_point, DType::i32, {units(out_features, format.bits, 32), shape[1]}};
}

/// In the arithmetic of int8, which wraps around, and in one pass.
at::Tensor to_signed(const at::Tensor& codes, int bits) {
  at::Tensor numbers = model::mapped_tensor(codes.sizes(), at::kChar);
  return at::add_out(numbers, codes.view(at::kChar), at::scalar_tensor(-(1 << (bits - 1)), at::kChar));
}
at::Tensor to_unsigned(const at::Tensor& numbers, int bits) {
  return (numbers.to(at::kShort) + (1 << (bits - 1))).to(at::kByte);
}

at::Tensor as_bytes(const at::Tensor& tensor) { return tensor.contiguous().view(at::kByte); }

at::Tensor pack_zero_points(const quant::QuantizedWeight& weight, CompressionFormat compression) {
  const int bits = weight.format.bits;
  return has_signed_zero_points(weight.format, compression) ? to_signed(weight.zero_points, bits)
                                                            : quant::pack_columns(weight.zero_points, bits);
}

at::Tensor pack_codes(const quant::QuantizedWeight& weight, CompressionFormat compression) {
  if (compression == CompressionFormat::int_quantized) return to_signed(weight.codes, weight.format.bits);
  if (keeps_weight_name(compression)) return weight.codes;
  const at::Tensor words = quant::pack_rows(weight.codes, weight.format.bits);
  return compression == CompressionFormat::pack_quantized ? words : as_bytes(words);
}

at::Tensor unpack_codes(const at::Tensor& stored, int bits, std::int64_t columns, CompressionFormat compression) {
  if (compression == CompressionFormat::int_quantized) return to_unsigned(stored, bits);
  if (keeps_weight_name(compression)) return as_bytes(stored);
  return quant::unpack_rows(stored.contiguous().view(at::kInt), bits, columns);
}

}  // namespace

std::string_view compression_name(CompressionFormat compression) noexcept {
  for (const auto& [known, name] : kNames)
    if (known == compression) return name;
  return "";
}

CompressionFormat parse_compression(std::string_view name, const std::string& subject) {
  std::vector<std::string> names;
  for (const auto& [compression, known] : kNames) {
    if (known == name) return compression;
    names.emplace_back(known);
  }
  fail(Code::unsupported, subject, "format " + quote(name) + " cannot be read, only " + join(names, ", "));
}

CompressionFormat compression_of(const quant::WeightFormat& format, std::string_view asked) noexcept {
  switch (format.number) {
    case quant::Number::integer:
      return format.input && asked != "pack-quantized" ? CompressionFormat::int_quantized
                                                       : CompressionFormat::pack_quantized;
    case quant::Number::fp8:
      return format.input ? CompressionFormat::float_quantized : CompressionFormat::naive_quantized;
    case quant::Number::nvfp4:
      return CompressionFormat::nvfp4_pack_quantized;
    case quant::Number::mxfp4:
      return CompressionFormat::mxfp4_pack_quantized;
    case quant::Number::mxfp6:
      return CompressionFormat::mxfp6_pack_quantized;
    case quant::Number::mxfp8:
      return CompressionFormat::mxfp8_quantized;
  }
  return CompressionFormat::pack_quantized;
}

bool holds(CompressionFormat compression, const quant::WeightFormat& format) noexcept {
  if (format.number == quant::Number::integer)
    return compression == CompressionFormat::pack_quantized || compression == CompressionFormat::int_quantized;
  if (format.number == quant::Number::fp8)
    return compression == CompressionFormat::float_quantized || compression == CompressionFormat::naive_quantized;
  return compression == compression_of(format);
}

bool keeps_weight_name(CompressionFormat compression) noexcept {
  return compression == CompressionFormat::int_quantized || compression == CompressionFormat::float_quantized ||
         compression == CompressionFormat::naive_quantized || compression == CompressionFormat::mxfp8_quantized;
}

std::vector<TensorInfo> stored_tensors(const std::string& module, std::int64_t out_features, std::int64_t in_features,
                                       const quant::WeightFormat& format, CompressionFormat compression) {
  const StoredNames names(module);
  const auto scales = format.scales_shape(out_features, in_features);
  std::vector<TensorInfo> tensors;
  if (compression == CompressionFormat::int_quantized) {
    tensors.push_back({names.weight, DType::i8, {out_features, in_features}});
  } else if (keeps_weight_name(compression)) {
    tensors.push_back({names.weight, DType::f8_e4m3, {out_features, in_features}});
  } else if (compression == CompressionFormat::pack_quantized) {
    tensors.push_back({names.packed, DType::i32, {out_features, units(in_features, format.bits, 32)}});
  } else {
    tensors.push_back({names.packed, DType::u8, {out_features, units(in_features, format.bits, 8)}});
  }
  tensors.push_back({names.scale, model::disk_type(format.scale_type), scales});
  if (compression == CompressionFormat::pack_quantized) tensors.push_back({names.shape, DType::i64, {2}});
  if (!format.symmetric) {
    tensors.push_back(zero_point_tensor(names, out_features, in_features, format, compression));
  }
  if (format.number == quant::Number::nvfp4) tensors.push_back({names.global_scale, DType::f32, {1}});
  if (format.input && format.input->needs_scale()) {
    tensors.push_back({names.input_scale, model::disk_type(format.input->scale_type), {1}});
  }
  if (format.input && format.input->needs_global_scale()) {
    tensors.push_back({names.input_global_scale, DType::f32, {1}});
  }
  return tensors;
}

std::vector<at::Tensor> pack_module(const quant::QuantizedWeight& weight, CompressionFormat compression) {
  std::vector<at::Tensor> stored = {pack_codes(weight, compression), weight.scales};
  if (compression == CompressionFormat::pack_quantized) {
    stored.push_back(at::tensor({weight.codes.size(0), weight.codes.size(1)}, at::kLong));
  }
  if (!weight.format.symmetric) stored.push_back(pack_zero_points(weight, compression));
  if (weight.format.number == quant::Number::nvfp4) stored.push_back(weight.global_scale);
  if (weight.format.input && weight.format.input->needs_scale()) stored.push_back(weight.input.scale);
  if (weight.format.input && weight.format.input->needs_global_scale()) stored.push_back(weight.input.global_scale);
  return stored;
}

quant::QuantizedWeight unpack_module(const std::string& module, std::int64_t out_features, std::int64_t in_features,
                                     const quant::WeightFormat& format, CompressionFormat compression,
                                     const std::vector<at::Tensor>& stored) {
  quant::QuantizedWeight weight{
      module, format, unpack_codes(stored[0], format.bits, in_features, compression), stored[1], {}};
  std::size_t next = compression == CompressionFormat::pack_quantized ? 3 : 2;
  if (!format.symmetric) {
    const at::Tensor& zeros = stored[next++];
    weight.zero_points = has_signed_zero_points(format, compression)
                             ? to_unsigned(zeros, format.bits)
                             : quant::unpack_columns(zeros, format.bits, out_features);
  }
  if (format.number == quant::Number::nvfp4) weight.global_scale = stored[next++];
  if (format.input && format.input->needs_scale()) weight.input.scale = stored[next++];
  if (format.input && format.input->needs_global_scale()) weight.input.global_scale = stored[next++];
  return weight;
}

}  // namespace autoround::exporter
