#include "quant/weight_format.hpp"

#include <ATen/ATen.h>

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
  return {out_features, groups_per_row(in_features)};
}

float WeightFormat::smallest_scale() const {
  if (scale_type == at::kHalf) return at::Half(1e-5f);
  if (scale_type == at::kBFloat16) return at::BFloat16(1e-5f);
  return 1e-8f;
}

WeightFormat weight_format(const recipe::QuantizationArgs& args, at::ScalarType scale_type) {
  const auto unsupported = [](const std::string& message) { fail(Code::unsupported, "weights", message); };
  if (args.type != recipe::NumberType::integer) {
    unsupported("Floating-point weights of " + std::to_string(args.num_bits) +
                " bits cannot be tuned; integers of 2 to 8 bits can.");
  }
  if (args.num_bits < 2 || args.num_bits > 8) {
    unsupported("Integer weights have " + std::to_string(args.num_bits) + " bits; 2 to 8 can be tuned.");
  }
  if (args.dynamic != recipe::Dynamic::no) unsupported("Weights with dynamic scales cannot be tuned; drop `dynamic`.");
  if (scale_type != at::kHalf && scale_type != at::kBFloat16 && scale_type != at::kFloat) {
    unsupported(std::string("Scales of dtype ") + at::toString(scale_type) +
                " cannot be tuned; float16, bfloat16 and float32 can.");
  }
  WeightFormat format{args.num_bits, args.symmetric, 0, scale_type};
  switch (args.strategy) {
    case recipe::Strategy::tensor:
      format.group = 0;
      return format;
    case recipe::Strategy::channel:
      format.group = -1;
      return format;
    case recipe::Strategy::group:
      format.group = args.group_size.value_or(-1);
      break;
    default:
      unsupported("Integer weights with strategy " + std::string(recipe::strategy_name(args.strategy)) +
                  " cannot be tuned; tensor, channel and group can.");
  }
  if (format.group != -1 && format.group <= 0) {
    fail(Code::invalid_argument, "weights.group_size",
         "group_size is " + std::to_string(format.group) + "; it is a positive number, or -1 for one scale a row.");
  }
  return format;
}

at::Tensor dequantize(const QuantizedWeight& weight, at::ScalarType dtype) {
  const WeightFormat& format = weight.format;
  at::Tensor centred = weight.codes.to(at::kFloat);
  at::Tensor scales = weight.scales.to(at::kFloat);
  at::Tensor zeros = weight.zero_points.defined() ? weight.zero_points.to(at::kFloat)
                                                  : at::full_like(scales, static_cast<double>(format.levels() / 2));
  if (format.group != 0) {
    const std::int64_t in_features = weight.codes.size(1), columns = format.columns_per_group(in_features);
    const auto spread = [&](const at::Tensor& groups) {
      return groups.repeat_interleave(columns, 1).narrow(1, 0, in_features);
    };
    scales = spread(scales);
    zeros = spread(zeros);
  }
  at::Tensor result = centred.sub_(zeros).mul_(scales);
  if (format.scale_type == at::kBFloat16) result = result.to(at::kBFloat16);
  return result.to(dtype);
}

}  // namespace autoround::quant
