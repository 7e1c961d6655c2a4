// The tensors of one module in the pack-quantized layout: names, types and shapes, known to the writer and the reader.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "quant/weight_format.hpp"

namespace autoround::exporter {

struct PackedNames {
  explicit PackedNames(const std::string& module)
      : weight(module + ".weight"),
        packed(weight + "_packed"),
        scale(weight + "_scale"),
        shape(weight + "_shape"),
        zero_point(weight + "_zero_point") {}
  std::string weight;  // what the module had before
  std::string packed, scale, shape, zero_point;
};

/// weight_packed I32 [out, ceil(in*b/32)], weight_scale [out, G] ([1] for one scale), weight_shape I64 [2], and when
/// asymmetric weight_zero_point I32 [ceil(out*b/32), G] (I8 [1] for one scale).
std::vector<checkpoint::TensorInfo> packed_tensors(const std::string& module, std::int64_t out_features,
                                                   std::int64_t in_features, const quant::WeightFormat& format);

/// Zero points as the layout stores them: packed along the rows, a single one as the signed number that it stands for.
at::Tensor pack_zero_points(const at::Tensor& zero_points, const quant::WeightFormat& format);
/// Unsigned, shaped like the scales. `rows` of the weight.
at::Tensor unpack_zero_points(const at::Tensor& stored, const quant::WeightFormat& format, std::int64_t rows);

/// Reads one module back. @throws Error parse naming the tensor: missing, or of a type or shape other than
/// packed_tensors' for the stored weight_shape; or one that the layout does not have.
/// `format` without its scale_type, which is that of the stored scale.
class PackedModule {
 public:
  PackedModule(const checkpoint::Checkpoint& checkpoint, const std::string& module, quant::WeightFormat format);

  const PackedNames& names() const noexcept { return names_; }
  const quant::WeightFormat& format() const noexcept { return format_; }
  std::int64_t rows() const noexcept { return rows_; }
  std::int64_t columns() const noexcept { return columns_; }

 private:
  PackedNames names_;
  quant::WeightFormat format_;
  std::int64_t rows_ = 0, columns_ = 0;
};

}  // namespace autoround::exporter
