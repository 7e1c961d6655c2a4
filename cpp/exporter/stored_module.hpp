// The tensors of one module as compressed-tensors stores them, in each of its compression formats: names, types and
// shapes, known to the writer and the reader. docs/formats.md
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "quant/weight_format.hpp"

namespace autoround::exporter {

enum class CompressionFormat {
  pack_quantized,   // integers as bit streams
  int_quantized,    // integers as bytes; inputs are quantized too
  float_quantized,  // FP8; inputs are quantized too
  naive_quantized,  // FP8
  nvfp4_pack_quantized,
  mxfp4_pack_quantized,
  mxfp6_pack_quantized,
  mxfp8_quantized,
};

std::string_view compression_name(CompressionFormat compression) noexcept;  // "pack-quantized"
/// @throws Error unsupported, subject = `subject`: there is no such format.
CompressionFormat parse_compression(std::string_view name, const std::string& subject);
/// The one that compressed-tensors infers for the format; or `asked`, what a recipe names, where readers take another:
/// integers with quantized inputs may be packed, as vLLM wants them on some devices.
CompressionFormat compression_of(const quant::WeightFormat& format, std::string_view asked = "") noexcept;
/// Whether it can hold what the format describes.
bool holds(CompressionFormat compression, const quant::WeightFormat& format) noexcept;

/// Whether the codes take the name of the weight; else they are its `weight_packed`.
bool keeps_weight_name(CompressionFormat compression) noexcept;

struct StoredNames {
  explicit StoredNames(const std::string& module)
      : weight(module + ".weight"),
        packed(weight + "_packed"),
        scale(weight + "_scale"),
        shape(weight + "_shape"),
        zero_point(weight + "_zero_point"),
        global_scale(weight + "_global_scale"),
        input_scale(module + ".input_scale"),
        input_global_scale(module + ".input_global_scale") {}
  std::string weight;  // what the module had before
  std::string packed, scale, shape, zero_point, global_scale;
  std::string input_scale, input_global_scale;
};

std::vector<checkpoint::TensorInfo> stored_tensors(const std::string& module, std::int64_t out_features,
                                                   std::int64_t in_features, const quant::WeightFormat& format,
                                                   CompressionFormat compression);
/// In the order of stored_tensors. F8 tensors come as bytes.
std::vector<at::Tensor> pack_module(const quant::QuantizedWeight& weight, CompressionFormat compression);
/// The weight of which pack_module made `stored`.
quant::QuantizedWeight unpack_module(const std::string& module, std::int64_t out_features, std::int64_t in_features,
                                     const quant::WeightFormat& format, CompressionFormat compression,
                                     const std::vector<at::Tensor>& stored);

/// A module found in a checkpoint. @throws Error parse naming the tensor: missing, or of a type or shape other than
/// stored_tensors'; or one that the format does not have.
/// `format` without its scale_type, which is that of the stored scale.
class StoredModule {
 public:
  StoredModule(const checkpoint::Checkpoint& checkpoint, std::string module, quant::WeightFormat format,
               CompressionFormat compression);

  const std::string& name() const noexcept { return module_; }
  const quant::WeightFormat& format() const noexcept { return format_; }
  CompressionFormat compression() const noexcept { return compression_; }
  std::int64_t rows() const noexcept { return rows_; }
  std::int64_t columns() const noexcept { return columns_; }
  std::vector<checkpoint::TensorInfo> tensors() const {
    return stored_tensors(module_, rows_, columns_, format_, compression_);
  }

 private:
  std::string module_;
  quant::WeightFormat format_;
  CompressionFormat compression_;
  std::int64_t rows_ = 0, columns_ = 0;
};

}  // namespace autoround::exporter
