#include "exporter/gguf_types.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"

namespace autoround::exporter {
namespace {

/// Integers whose scale serves a multiple of `span` values have this type; the first that fits is taken.
struct Mapping {
  int bits;
  bool symmetric;
  std::int64_t span;
  const GgufType& type;
};
constexpr std::array<Mapping, 10> mappings{{
    {4, true, 32, gguf::q4_0},
    {5, true, 32, gguf::q5_0},
    {8, true, 32, gguf::q8_0},
    {3, true, 256, gguf::q3_k},
    {6, true, 256, gguf::q6_k},
    {2, false, 256, gguf::q2_k},
    {4, false, 256, gguf::q4_k},
    {5, false, 256, gguf::q5_k},
    {4, false, 32, gguf::q4_1},
    {5, false, 32, gguf::q5_1},
}};

const GgufType* fitting(const GgufType& type, std::int64_t columns) {
  return columns % type.values == 0 ? &type : nullptr;
}

/// Scales as the bits that are stored, and which of them belongs to a column of a row.
class Scales {
 public:
  Scales(const quant::WeightFormat& format, std::int64_t columns)
      : group_(format.columns_per_group(columns)), per_row_(format.group == 0 ? 0 : format.groups_per_row(columns)) {}
  std::size_t index(std::int64_t row, std::int64_t column) const {
    return static_cast<std::size_t>(row * per_row_ + (per_row_ == 0 ? 0 : column / group_));
  }

 private:
  std::int64_t group_, per_row_;
};

/// uint16 in the shape of the scales.
at::Tensor bits_of(const at::Tensor& scales) {
  return scales.scalar_type() == at::kHalf ? scales.contiguous() : scales.contiguous().view(at::kByte).to(at::kShort);
}

at::Tensor scales_of(const at::Tensor& bits, at::ScalarType type) {
  return type == at::kHalf ? bits.view(at::kHalf) : bits.to(at::kByte).view(type);
}

void check_minima(const quant::QuantizedWeight& weight) {
  const double largest = (weight.scales.to(at::kFloat) * weight.zero_points.to(at::kFloat)).abs().max().item<double>();
  if (largest > 65504.0)
    fail(Code::numeric, weight.name,
         "the minimum " + format_number(-largest) + " of a group does not fit into float16");
}

}  // namespace

const GgufType* gguf_float_type(checkpoint::DType type) {
  if (type == checkpoint::DType::f32) return &gguf::f32;
  if (type == checkpoint::DType::f16) return &gguf::f16;
  return type == checkpoint::DType::bf16 ? &gguf::bf16 : nullptr;
}

const GgufType* gguf_type_of(const quant::WeightFormat& format, std::int64_t columns) {
  if (format.number == quant::Number::mxfp4) return fitting(gguf::mxfp4, columns);
  if (format.number == quant::Number::nvfp4) return fitting(gguf::nvfp4, columns);
  if (format.number != quant::Number::integer) return nullptr;
  const std::int64_t group = format.columns_per_group(columns);
  for (const Mapping& mapping : mappings) {
    if (mapping.bits == format.bits && mapping.symmetric == format.symmetric && group % mapping.span == 0)
      return fitting(mapping.type, columns);
  }
  return nullptr;
}

std::string gguf_schemes() {
  std::vector<std::string> texts;
  for (const Mapping& mapping : mappings) {
    texts.push_back(std::to_string(mapping.bits) + (mapping.symmetric ? " bits symmetric" : " bits asymmetric") +
                    " by multiples of " + std::to_string(mapping.span) + " (" + std::string(mapping.type.name) + ")");
  }
  return join(texts, ", ") + ", MXFP4, NVFP4 by multiples of 64";
}

at::Tensor pack_blocks(const quant::QuantizedWeight& weight, const GgufType& type) {
  const bool has_zero = weight.zero_points.defined();
  if (has_zero && type.values == 32) check_minima(weight);
  const at::Tensor codes = weight.codes.contiguous(), bits = bits_of(weight.scales);
  const at::Tensor zeros = has_zero ? weight.zero_points.contiguous() : at::Tensor();
  const std::int64_t rows = codes.size(0), columns = codes.size(1);
  const Scales scales(weight.format, columns);
  at::Tensor packed = at::empty({rows, columns / type.values * type.bytes}, at::kByte);

  const std::uint8_t* from = codes.const_data_ptr<std::uint8_t>();
  const auto* scale = static_cast<const std::uint16_t*>(bits.const_data_ptr());
  const std::uint8_t* zero = has_zero ? zeros.const_data_ptr<std::uint8_t>() : nullptr;
  std::uint8_t* to = packed.mutable_data_ptr<std::uint8_t>();
  GgufBlock block;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; column += type.values, from += type.values, to += type.bytes) {
      std::copy_n(from, type.values, block.codes.begin());
      const std::int64_t quarter = type.values / 4;
      for (std::size_t k = 0; k < 4; ++k)
        block.scales[k] = scale[scales.index(row, column + static_cast<std::int64_t>(k) * quarter)];
      if (zero != nullptr) block.zero = zero[scales.index(row, column)];
      type.pack(block, to);
    }
  }
  return packed;
}

quant::QuantizedWeight unpack_blocks(const std::string& module, const quant::WeightFormat& format, const GgufType& type,
                                     const at::Tensor& packed) {
  const std::int64_t rows = packed.size(0), columns = packed.size(1) / type.bytes * type.values;
  const std::vector<std::int64_t> shape = format.scales_shape(rows, columns);
  const Scales scales(format, columns);
  quant::QuantizedWeight weight{module, format, at::empty({rows, columns}, at::kByte), {}, {}};
  at::Tensor bits = at::empty(shape, at::kShort);
  if (!format.symmetric) weight.zero_points = at::empty(shape, at::kByte);

  const std::uint8_t* from = packed.const_data_ptr<std::uint8_t>();
  std::uint8_t* to = weight.codes.mutable_data_ptr<std::uint8_t>();
  auto* scale = static_cast<std::uint16_t*>(bits.mutable_data_ptr());
  std::uint8_t* zero = format.symmetric ? nullptr : weight.zero_points.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; column += type.values, from += type.bytes, to += type.values) {
      GgufBlock block;
      type.unpack(from, block);
      std::copy_n(block.codes.begin(), type.values, to);
      const std::int64_t quarter = type.values / 4;
      for (std::size_t k = 0; k < 4; ++k)
        scale[scales.index(row, column + static_cast<std::int64_t>(k) * quarter)] = block.scales[k];
      if (zero != nullptr) zero[scales.index(row, column)] = block.zero;
    }
  }
  weight.scales = scales_of(bits, format.scale_type);
  return weight;
}

}  // namespace autoround::exporter
