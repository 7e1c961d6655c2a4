#include "exporter/gguf_types.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
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

/// uint16 in the shape of the scales.
at::Tensor bits_of(const at::Tensor& scales) {
  return scales.scalar_type() == at::kHalf ? scales.contiguous() : scales.contiguous().view(at::kByte).to(at::kShort);
}

at::Tensor scales_of(const at::Tensor& bits, at::ScalarType type) {
  return type == at::kHalf ? bits.view(at::kHalf) : bits.to(at::kByte).view(type);
}

/// What a weight has beside its codes, block by block.
class BlockScales {
 public:
  /// @param bits of the scales, uint16
  BlockScales(const quant::QuantizedWeight& weight, at::Tensor bits, const GgufType& type)
      : format_(weight.format),
        type_(type),
        bits_(std::move(bits)),
        zeros_(whole(weight.zero_points)),
        factors_(whole(weight.super.scale_factors)),
        minima_(whole(weight.super.minima)),
        minimum_factors_(whole(weight.super.minimum_factors)) {
    const std::int64_t columns = weight.codes.size(1), groups = format_.groups_per_row(columns);
    width_ = format_.columns_per_group(columns) * std::max<std::int64_t>(1, format_.super_group);
    per_row_ = format_.group == 0 ? 0 : groups / std::max<std::int64_t>(1, format_.super_group);
  }

  void load(std::int64_t row, std::int64_t column, GgufBlock& block) const {
    for (std::size_t k = 0; k < 4; ++k) block.scales[k] = scales()[part(row, column, k)];
    const std::size_t place = part(row, column, 0);
    if (!format_.has_super_groups()) {
      block.factors.fill(1);
      block.minimum = block.scales[0];
      if (zeros_.defined()) block.minimum_factors.fill(static_cast<std::int8_t>(zeros()[place]));
      return;
    }
    std::copy_n(factors(factors_, place), format_.super_group, block.factors.begin());
    if (format_.symmetric) return;
    block.minimum = minima()[place];
    std::copy_n(factors(minimum_factors_, place), format_.super_group, block.minimum_factors.begin());
  }

  void store(std::int64_t row, std::int64_t column, const GgufBlock& block) const {
    for (std::size_t k = 0; k < 4; ++k) scales()[part(row, column, k)] = block.scales[k];
    const std::size_t place = part(row, column, 0);
    if (zeros_.defined()) zeros()[place] = static_cast<std::uint8_t>(block.minimum_factors[0]);
    if (!format_.has_super_groups()) return;
    std::copy_n(block.factors.begin(), format_.super_group, factors(factors_, place));
    if (format_.symmetric) return;
    minima()[place] = block.minimum;
    std::copy_n(block.minimum_factors.begin(), format_.super_group, factors(minimum_factors_, place));
  }

 private:
  static at::Tensor whole(const at::Tensor& tensor) { return tensor.defined() ? tensor.contiguous() : tensor; }

  /// The scale of a quarter of a block.
  std::size_t part(std::int64_t row, std::int64_t column, std::size_t quarter) const {
    if (per_row_ == 0) return 0;
    const std::int64_t first = column + static_cast<std::int64_t>(quarter) * (type_.values / 4);
    return static_cast<std::size_t>(row * per_row_ + first / width_);
  }
  std::uint16_t* scales() const { return static_cast<std::uint16_t*>(bits_.data_ptr()); }
  std::uint16_t* minima() const { return static_cast<std::uint16_t*>(minima_.data_ptr()); }
  std::uint8_t* zeros() const { return zeros_.data_ptr<std::uint8_t>(); }
  std::int8_t* factors(const at::Tensor& tensor, std::size_t place) const {
    return tensor.data_ptr<std::int8_t>() + static_cast<std::int64_t>(place) * format_.super_group;
  }

  const quant::WeightFormat& format_;
  const GgufType& type_;
  at::Tensor bits_, zeros_, factors_, minima_, minimum_factors_;
  std::int64_t width_ = 0, per_row_ = 0;  // of scales; none a row: one for the tensor
};

/// A weight of this shape to unpack into; without scales.
quant::QuantizedWeight empty_weight(const std::string& module, const quant::WeightFormat& format, std::int64_t rows,
                                    std::int64_t columns) {
  quant::QuantizedWeight weight{module, format, at::empty({rows, columns}, at::kByte), {}, {}};
  const std::vector<std::int64_t> shape = format.scales_shape(rows, columns);
  if (!format.has_super_groups()) {
    if (!format.symmetric) weight.zero_points = at::empty(shape, at::kByte);
    return weight;
  }
  weight.super.scale_factors = at::empty({rows, format.groups_per_row(columns)}, at::kChar);
  if (format.symmetric) return weight;
  weight.super.minima = at::empty(shape, at::kHalf);
  weight.super.minimum_factors = at::empty_like(weight.super.scale_factors);
  return weight;
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
  if (format.has_super_groups()) {
    const auto found = std::find_if(mappings.begin(), mappings.end(), [&](const Mapping& mapping) {
      return mapping.span == 256 && mapping.bits == format.bits;
    });
    return fitting(found->type, columns);
  }
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
  return join(texts, ", ") + ", the K types with super groups, MXFP4, NVFP4 by multiples of 64";
}

at::Tensor pack_blocks(const quant::QuantizedWeight& weight, const GgufType& type) {
  if (weight.zero_points.defined() && type.values == 32) check_minima(weight);
  const at::Tensor codes = weight.codes.contiguous();
  const BlockScales scales(weight, bits_of(weight.scales), type);
  const std::int64_t rows = codes.size(0), columns = codes.size(1);
  at::Tensor packed = at::empty({rows, columns / type.values * type.bytes}, at::kByte);

  const std::uint8_t* from = codes.const_data_ptr<std::uint8_t>();
  std::uint8_t* to = packed.mutable_data_ptr<std::uint8_t>();
  GgufBlock block;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; column += type.values, from += type.values, to += type.bytes) {
      std::copy_n(from, type.values, block.codes.begin());
      scales.load(row, column, block);
      type.pack(block, to);
    }
  }
  return packed;
}

quant::QuantizedWeight unpack_blocks(const std::string& module, const quant::WeightFormat& format, const GgufType& type,
                                     const at::Tensor& packed) {
  const std::int64_t rows = packed.size(0), columns = packed.size(1) / type.bytes * type.values;
  quant::QuantizedWeight weight = empty_weight(module, format, rows, columns);
  const at::Tensor bits = at::empty(format.scales_shape(rows, columns), at::kShort);
  const BlockScales scales(weight, bits, type);

  const std::uint8_t* from = packed.const_data_ptr<std::uint8_t>();
  std::uint8_t* to = weight.codes.mutable_data_ptr<std::uint8_t>();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; column += type.values, from += type.bytes, to += type.values) {
      GgufBlock block;
      type.unpack(from, block);
      std::copy_n(block.codes.begin(), type.values, to);
      scales.store(row, column, block);
    }
  }
  weight.scales = scales_of(bits, format.scale_type);
  return weight;
}

}  // namespace autoround::exporter
