#include "quant/weight_format.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>

#include "base/error.hpp"

namespace autoround::quant {

std::int64_t WeightFormat::columns_per_group(std::int64_t in_features) const {
  return group > 0 && group < in_features ? group : in_features;
}

std::int64_t WeightFormat::groups_per_row(std::int64_t in_features) const {
  const std::int64_t columns = columns_per_group(in_features);
  return (in_features + columns - 1) / columns;
}

std::vector<std::int64_t> WeightFormat::scales_shape(std::int64_t out_features, std::int64_t in_features) const {
  if (group == 0) return {1};
  const std::int64_t rows = block_rows > 0 ? (out_features + block_rows - 1) / block_rows : out_features;
  return {rows, groups_per_row(in_features) / std::max<std::int64_t>(1, super_group)};
}

float WeightFormat::smallest_scale() const {
  constexpr float of_fp8 = 1.f / (448.f * 512.f);
  const float least = number == Number::fp8 ? of_fp8 : least_scale;
  if (scale_type == at::kHalf) return at::Half(least);
  if (scale_type == at::kBFloat16) return at::BFloat16(least);
  return number == Number::fp8 ? of_fp8 : 1e-8f;
}

namespace {

[[noreturn]] void unsupported(const std::string& message) { fail(Code::unsupported, "weights", message); }

Number float_number(const recipe::QuantizationArgs& args) {
  const bool power =
      args.scale_dtype == "torch.uint8" && args.strategy == recipe::Strategy::group && args.group_size == 32;
  if (args.num_bits == 8) return power ? Number::mxfp8 : Number::fp8;
  if (args.num_bits == 6 && power) return Number::mxfp6;
  if (args.num_bits == 4 && power) return Number::mxfp4;
  if (args.num_bits == 4 && args.strategy == recipe::Strategy::tensor_group && args.group_size == 16)
    return Number::nvfp4;
  unsupported("Floating-point weights of " + std::to_string(args.num_bits) + " bits with strategy " +
              std::string(recipe::strategy_name(args.strategy)) +
              " cannot be tuned; FP8 (tensor, channel, block), MX formats (4, 6 or 8 bits, group_size 32, scale_dtype "
              "uint8) and NVFP4 (tensor_group, group_size 16) can.");
}

void check_integers(const recipe::QuantizationArgs& args) {
  if (args.num_bits < 2 || args.num_bits > 8) {
    unsupported("Integer weights have " + std::to_string(args.num_bits) + " bits; 2 to 8 can be tuned.");
  }
  if (args.strategy == recipe::Strategy::block || args.strategy == recipe::Strategy::tensor_group) {
    unsupported("Integer weights with strategy " + std::string(recipe::strategy_name(args.strategy)) +
                " cannot be tuned; tensor, channel and group can.");
  }
}

void set_grouping(WeightFormat& format, const recipe::QuantizationArgs& args) {
  switch (args.strategy) {
    case recipe::Strategy::tensor:
      format.group = 0;
      return;
    case recipe::Strategy::channel:
      format.group = -1;
      return;
    case recipe::Strategy::block:
      format.block_rows = args.block_structure.value()[0];
      format.group = args.block_structure.value()[1];
      return;
    case recipe::Strategy::group:
    case recipe::Strategy::tensor_group:
      format.group = args.group_size.value_or(-1);
      break;
    default:
      unsupported("Weights with strategy " + std::string(recipe::strategy_name(args.strategy)) + " cannot be tuned.");
  }
  if (format.group != -1 && format.group <= 0) {
    fail(Code::invalid_argument, "weights.group_size",
         "group_size is " + std::to_string(format.group) + "; it is a positive number, or -1 for one scale a row.");
  }
}

at::ScalarType stored_scales(const WeightFormat& format, at::ScalarType otherwise) {
  if (has_power_scales(format.number)) return at::kByte;
  if (format.has_super_groups()) return at::kHalf;
  return format.number == Number::nvfp4 ? at::kFloat8_e4m3fn : otherwise;
}

}  // namespace

WeightFormat weight_format(const recipe::QuantizationArgs& args, ScaleFormat scales) {
  const bool floating = args.type == recipe::NumberType::floating;
  if (!floating) check_integers(args);
  if (args.dynamic != recipe::Dynamic::no) unsupported("Weights with dynamic scales cannot be tuned; drop `dynamic`.");
  if (scales.type != at::kHalf && scales.type != at::kBFloat16 && scales.type != at::kFloat) {
    unsupported(std::string("Scales of dtype ") + at::toString(scales.type) +
                " cannot be tuned; float16, bfloat16 and float32 can.");
  }
  WeightFormat format{args.num_bits, args.symmetric, 0, scales.type};
  format.least_scale = scales.least;
  if (floating) format.number = float_number(args);
  format.super_group = args.super_group_size.value_or(0);
  format.super_bits = args.super_bits.value_or(0);
  format.scale_type = stored_scales(format, scales.type);
  set_grouping(format, args);
  if (format.number == Number::fp8 && format.group > 0 && format.block_rows == 0) {
    unsupported("FP8 weights with strategy group cannot be tuned; tensor, channel and block can.");
  }
  return format;
}

WeightFormat weight_format(const recipe::QuantizationScheme& scheme, ScaleFormat scales) {
  if (scheme.output_activations) unsupported("Output activation quantization is not supported.");
  WeightFormat format = weight_format(scheme.weights.value(), scales);
  if (scheme.input_activations) format.input = input_format(*scheme.input_activations, scales.type);
  return format;
}

QuantizedWeight to_host(QuantizedWeight weight) {
  for (at::Tensor* part : {&weight.codes, &weight.scales, &weight.zero_points, &weight.global_scale,
                           &weight.super.scale_factors, &weight.super.minima, &weight.super.minimum_factors})
    if (part->defined()) *part = part->cpu();
  return weight;
}

bool computes_bf16(const WeightFormat& format) {
  return format.scale_type == at::kBFloat16 || format.number == Number::nvfp4;
}

namespace {

/// Looks codes up in a table of their values. -> fp32
at::Tensor values_of(const at::Tensor& codes, const std::array<float, 256>& table) {
  if (!codes.is_cpu())
    return at::tensor(at::ArrayRef<float>(table), codes.options().dtype(at::kFloat)).take(codes.to(at::kLong));
  const at::Tensor flat = codes.contiguous();
  at::Tensor values = at::empty(flat.sizes(), at::kFloat);
  const std::uint8_t* from = flat.const_data_ptr<std::uint8_t>();
  float* to = values.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < flat.numel(); ++i) to[i] = table[from[i]];
  return values;
}

at::Tensor float_values(const at::Tensor& codes, const FloatGrid& grid) {
  std::array<float, 256> table{};
  for (int code = 0; code < 1 << grid.bits; ++code)
    table[static_cast<std::size_t>(code)] = decode(grid, static_cast<std::uint8_t>(code));
  return values_of(codes, table);
}

at::Tensor scale_values(const QuantizedWeight& weight) {
  if (has_power_scales(weight.format.number)) {
    std::array<float, 256> table{};
    for (int code = 0; code < 256; ++code)
      table[static_cast<std::size_t>(code)] = decode_power(static_cast<std::uint8_t>(code));
    return values_of(weight.scales, table);
  }
  const at::Tensor scales = weight.scales.to(at::kFloat);
  return weight.global_scale.defined() ? scales / weight.global_scale : scales;
}

/// code * scale - minimum, each of which is a factor times what the super group has.
at::Tensor values_of_super_groups(const QuantizedWeight& weight) {
  const WeightFormat& format = weight.format;
  const auto of_columns = [&](const at::Tensor& of_super_groups, const at::Tensor& factors) {
    const at::Tensor groups = of_super_groups.to(at::kFloat).repeat_interleave(format.super_group, 1);
    return (groups * factors.to(at::kFloat)).repeat_interleave(format.group, 1);
  };
  at::Tensor values = weight.codes.to(at::kFloat);
  if (format.symmetric) values.sub_(static_cast<double>(format.levels() / 2));
  values.mul_(of_columns(weight.scales, weight.super.scale_factors));
  return format.symmetric ? values : values.sub_(of_columns(weight.super.minima, weight.super.minimum_factors));
}

/// Dequantized together: what they are computed from takes several times their memory. Whole blocks of scales.
std::int64_t rows_at_once(const QuantizedWeight& weight) {
  constexpr std::int64_t values = std::int64_t{1} << 18;
  if (weight.format.has_super_groups()) return weight.codes.size(0);
  const std::int64_t step = std::max<std::int64_t>(weight.format.block_rows, 1);
  return std::max<std::int64_t>(values / weight.codes.size(1) / step, 1) * step;
}

QuantizedWeight rows_of(const QuantizedWeight& weight, std::int64_t first, std::int64_t count) {
  if (count == weight.codes.size(0)) return weight;
  const std::int64_t step = std::max<std::int64_t>(weight.format.block_rows, 1);
  const auto of_rows = [&](const at::Tensor& groups) {
    const bool shared = !groups.defined() || weight.format.group == 0;
    return shared ? groups : groups.narrow(0, first / step, (count + step - 1) / step);
  };
  QuantizedWeight rows = weight;
  rows.codes = weight.codes.narrow(0, first, count);
  rows.scales = of_rows(weight.scales);
  rows.zero_points = of_rows(weight.zero_points);
  return rows;
}

}  // namespace

at::Tensor dequantize(const QuantizedWeight& weight, at::ScalarType dtype) {
  const WeightFormat& format = weight.format;
  if (format.has_super_groups()) return values_of_super_groups(weight).to(dtype);
  const std::int64_t rows = weight.codes.size(0), in_features = weight.codes.size(1);
  const auto spread = [&](at::Tensor groups) {
    if (format.group == 0) return groups;
    groups = groups.repeat_interleave(format.columns_per_group(in_features), 1).narrow(1, 0, in_features);
    return format.block_rows > 0 ? groups.repeat_interleave(format.block_rows, 0).narrow(0, 0, rows) : groups;
  };
  const at::Tensor scales = spread(scale_values(weight));
  at::Tensor values;
  if (is_float(format.number)) {
    values = float_values(weight.codes, grid_of(format.number));
  } else {
    values = weight.codes.to(at::kFloat);
    weight.zero_points.defined() ? values.sub_(spread(weight.zero_points.to(at::kFloat)))
                                 : values.sub_(static_cast<double>(format.levels() / 2));
  }
  at::Tensor result = values.mul_(scales);
  if (computes_bf16(format)) result = result.to(at::kBFloat16);
  return result.to(dtype);
}

void dequantize_into(const QuantizedWeight& weight, at::Tensor out) {
  const std::int64_t rows = out.size(0), slice = rows_at_once(weight);
  for (std::int64_t first = 0; first < rows; first += slice) {
    const std::int64_t count = std::min(slice, rows - first);
    out.narrow(0, first, count).copy_(dequantize(rows_of(weight, first, count), out.scalar_type()));
  }
}

}  // namespace autoround::quant
