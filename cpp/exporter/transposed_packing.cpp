#include "exporter/transposed_packing.hpp"

#include <ATen/ATen.h>

#include <gsl/assert>

#include "quant/packing.hpp"

namespace autoround::exporter {
namespace {

using checkpoint::DType;

/// Which of eight neighbouring columns lies in each slot of a word, least significant first.
at::Tensor awq_order() { return at::tensor({0, 2, 4, 6, 1, 3, 5, 7}, at::kLong); }

/// [rows, columns] in AWQ's order within each eight columns, or back.
at::Tensor reordered(const at::Tensor& matrix, const at::Tensor& order) {
  return matrix.reshape({matrix.size(0), -1, 8}).index_select(2, order).reshape(matrix.sizes()).contiguous();
}

at::Tensor pack_matrix(const at::Tensor& matrix, int bits, Container container) {
  return quant::pack_rows(container == Container::awq ? reordered(matrix, awq_order()) : matrix, bits);
}

at::Tensor unpack_matrix(const at::Tensor& packed, int bits, std::int64_t columns, Container container) {
  const at::Tensor matrix = quant::unpack_rows(packed, bits, columns);
  return container == Container::awq ? reordered(matrix, awq_order().argsort()) : matrix;
}

}  // namespace

std::vector<checkpoint::TensorInfo> transposed_tensors(const std::string& module, std::int64_t out_features,
                                                       std::int64_t in_features, const quant::WeightFormat& format,
                                                       Container container) {
  const std::int64_t groups = format.groups_per_row(in_features), bits = format.bits;
  const bool awq = container == Container::awq;
  return {
      {module + ".qweight",
       DType::i32,
       {awq ? in_features : in_features * bits / 32, awq ? out_features * bits / 32 : out_features}},
      {module + ".qzeros", DType::i32, {groups, out_features * bits / 32}},
      {module + ".scales", DType::f16, {groups, out_features}},
  };
}

std::vector<at::Tensor> pack_transposed(const quant::QuantizedWeight& weight, Container container) {
  Expects(weight.codes.size(0) % 32 == 0 && weight.codes.size(1) % 32 == 0);
  Expects(weight.scales.dim() == 2 && weight.scales.scalar_type() == at::kHalf);
  const int bits = weight.format.bits;
  const at::Tensor codes = weight.codes.t(), scales = weight.scales.t().contiguous();
  const at::Tensor zeros = weight.zero_points.defined()
                               ? weight.zero_points.t().contiguous()
                               : at::full(scales.sizes(), 1 << (bits - 1), scales.options().dtype(at::kByte));
  return {
      container == Container::awq ? pack_matrix(codes, bits, container) : quant::pack_columns(codes, bits),
      pack_matrix(container == Container::gptq ? zeros - 1 : zeros, bits, container),
      scales,
  };
}

quant::QuantizedWeight unpack_transposed(const std::string& module, const quant::WeightFormat& format,
                                         const std::vector<at::Tensor>& stored, Container container) {
  const at::Tensor &packed = stored[0], &scales = stored[2];
  const std::int64_t in = container == Container::awq ? packed.size(0) : packed.size(0) * 32 / format.bits;
  const at::Tensor codes = container == Container::awq ? unpack_matrix(packed, format.bits, scales.size(1), container)
                                                       : quant::unpack_columns(packed, format.bits, in);
  quant::QuantizedWeight weight{module, format, codes.t().contiguous(), scales.t().contiguous(), {}};
  if (!format.symmetric) {
    const at::Tensor zeros = unpack_matrix(stored[1], format.bits, scales.size(1), container);
    weight.zero_points = (container == Container::gptq ? zeros + 1 : zeros).t().contiguous();
  }
  return weight;
}

}  // namespace autoround::exporter
