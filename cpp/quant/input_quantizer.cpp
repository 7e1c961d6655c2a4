#include "quant/input_quantizer.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <gsl/assert>
#include <limits>
#include <numeric>
#include <vector>

#include "base/error.hpp"
#include "model/guided_for.hpp"
#include "model/mapped_memory.hpp"
#include "quant/device_rounding.hpp"
#include "quant/matrix_rows.hpp"

namespace autoround::quant {
namespace {

/// How a group of one token is rounded.
struct GroupScale {
  float scale = 1.f, zero = 0.f;
};

float nonzero(float scale, float otherwise) { return scale == 0.f ? otherwise : scale; }

GroupScale integer_scale(const InputFormat& format, float low, float high) {
  const float levels = std::ldexp(1.f, format.bits), least = std::numeric_limits<float>::epsilon();
  if (format.symmetric) return {nonzero(std::max(-low, high) / ((levels - 1.f) / 2.f), least), levels / 2.f};
  const float scale = nonzero((high - low) / (levels - 1.f), least);
  return {scale, std::clamp(std::nearbyint(-low / scale), 0.f, levels - 1.f)};
}

/// Of integers and FP8.
GroupScale group_scale(const InputFormat& format, float smallest, float largest) {
  const float low = std::min(smallest, 0.f), high = std::max(largest, 0.f);
  if (format.number == Number::integer) return integer_scale(format, low, high);
  const float scale = std::max(-low, high) / grid_of(format.number).largest;
  return {nonzero(scale, std::numeric_limits<float>::epsilon())};
}

bool has_group_scales(Number number) { return has_power_scales(number) || number == Number::nvfp4; }

template <class Body>
void for_each_token(const at::Tensor& x, const Body& body) {
  model::guided_for(x.size(0), rows_per_task(x.size(1), 16384), body);
}

/// @param inverse of scales that are powers of two, whose reciprocals are exact
void round_row(const InputFormat& format, const at::Tensor& x, std::int64_t token, std::int64_t group,
               const std::vector<float>& scale, const std::vector<float>& zero, const std::vector<float>& inverse,
               void* out) {
  if (is_float(format.number)) {
    FloatRow row;
    row.element = element_of(x);
    row.grid = grid_of(format.number);
    row.columns = x.size(1);
    row.group = group;
    row.weight = row_of(x, token);
    row.scale = scale.data();
    row.multiplies = has_power_scales(format.number);
    row.divisor = row.multiplies ? inverse.data() : scale.data();
    return kernels().float_forward(row, out, false);
  }
  Row row;
  row.element = element_of(x);
  row.columns = x.size(1);
  row.group = group;
  row.levels = std::ldexp(1.f, format.bits);
  row.weight = row_of(x, token);
  row.scale = scale.data();
  row.zero = zero.data();
  kernels().forward(row, out, false);
}

/// Of all rows, on any device.
double clip_by_operations(const ClippedRow& row, const at::Tensor& x, const at::Tensor& rounded, at::Tensor& gradient) {
  const at::Tensor wide = x.to(at::kFloat), quotient = wide / row.scale;
  const at::Tensor code = row.whole ? quotient.round() : quotient;
  const at::Tensor inside = at::logical_and(code >= row.lowest, code <= row.highest);
  const at::Tensor slope = gradient.to(at::kFloat) * (rounded.to(at::kFloat) - at::where(inside, wide, 0.f));
  gradient.masked_fill_(inside.logical_not(), 0.0);
  return slope.sum().item<double>();
}

}  // namespace

InputFormat input_format(const recipe::QuantizationArgs& args, at::ScalarType scale_type) {
  const auto unsupported = [](const std::string& message) { fail(Code::unsupported, "input_activations", message); };
  const bool power = args.scale_dtype == "torch.uint8";
  InputFormat format;
  format.bits = args.num_bits;
  format.symmetric = args.symmetric;
  format.is_static = args.dynamic == recipe::Dynamic::no;
  if (args.type == recipe::NumberType::floating) {
    if (args.strategy == recipe::Strategy::tensor_group && args.num_bits == 4) {
      format.number = Number::nvfp4;
      format.is_static = false;
      if (args.dynamic != recipe::Dynamic::local) unsupported("NVFP4 inputs have dynamic \"local\" scales.");
    } else if (args.num_bits == 8) {
      format.number = power ? Number::mxfp8 : Number::fp8;
    } else if (args.num_bits == 4 && power) {
      format.number = Number::mxfp4;
    } else {
      unsupported("Floating-point inputs of " + std::to_string(args.num_bits) +
                  " bits are not computed; FP8, MXFP8, MXFP4 and NVFP4 are.");
    }
  }
  switch (args.strategy) {
    case recipe::Strategy::tensor:
      format.group = 0;
      break;
    case recipe::Strategy::token:
      format.group = -1;
      break;
    case recipe::Strategy::group:
    case recipe::Strategy::tensor_group:
      format.group = args.group_size.value_or(-1);
      break;
    default:
      unsupported("Inputs with strategy " + std::string(recipe::strategy_name(args.strategy)) +
                  " are not computed; tensor, token, group and tensor_group are.");
  }
  if (has_power_scales(format.number) && format.group != 32) unsupported("MX formats have groups of 32.");
  if (format.number == Number::nvfp4 && format.group != 16) unsupported("NVFP4 has groups of 16.");
  if (format.is_static && (format.group != 0 || !format.symmetric)) {
    unsupported("Static inputs have one symmetric scale for the tensor; set strategy `tensor`, or `dynamic`.");
  }
  if (format.is_static) format.scale_type = scale_type;
  return format;
}

InputQuantizer::InputQuantizer(InputFormat format, InputScales scales) : format_(format), scales_(std::move(scales)) {}

void InputQuantizer::calibrate(float largest) {
  if (format_.needs_global_scale()) {
    scales_.global_scale = at::full({1}, nvfp4_global_scale(largest), at::kFloat);
  }
  if (format_.needs_scale()) {
    const float scale = group_scale(format_, -largest, largest).scale;  // never NVFP4: input_format.hpp
    scales_.scale = at::full({1}, scale, at::kFloat).to(format_.scale_type);
  }
}

at::Tensor InputQuantizer::operator()(const at::Tensor& x) const {
  Expects(x.dim() == 2 && x.is_contiguous());
  Expects(!format_.needs_scale() || scales_.scale.defined());
  Expects(!format_.needs_global_scale() || scales_.global_scale.defined());
  if (!x.is_cpu()) return on_device::round_inputs(format_, scales_, x);
  const std::int64_t columns = x.size(1);
  const std::int64_t group = format_.group > 0 && format_.group < columns ? format_.group : columns;
  const auto groups = static_cast<std::size_t>((columns + group - 1) / group);
  at::Tensor out = model::mapped_tensor(x.sizes(), x.scalar_type());
  if (x.numel() == 0) return out;

  InputScaleRule rule;
  if (has_group_scales(format_.number)) {
    rule = {grid_of(format_.number), has_power_scales(format_.number), 1.f};
    if (format_.needs_global_scale()) rule.global = scales_.global_scale.item<float>();
  }
  GroupScale common;
  if (format_.is_static) {
    common = {scales_.scale.item<float>(), std::ldexp(0.5f, format_.bits)};
  } else if (format_.group == 0) {
    const auto [low, high] = at::aminmax(x);
    common = group_scale(format_, low.item<float>(), high.item<float>());
  }
  for_each_token(x, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scale(groups, common.scale), zero(groups, common.zero), low(groups), high(groups);
    std::vector<float> inverse(has_power_scales(format_.number) ? groups : 0);
    for (std::int64_t token = begin; token < end; ++token) {
      if (format_.group != 0) {
        const RowRange ranges{element_of(x), columns, group, row_of(x, token), low.data(), high.data()};
        kernels().range(ranges);
        if (has_group_scales(format_.number)) {
          kernels().input_scales(rule, ranges, static_cast<std::int64_t>(groups), scale.data());
          for (std::size_t i = 0; i < inverse.size(); ++i) inverse[i] = 1.f / scale[i];
        } else {
          for (std::size_t i = 0; i < groups; ++i) {
            const GroupScale found = group_scale(format_, low[i], high[i]);
            scale[i] = found.scale;
            zero[i] = found.zero;
          }
        }
      }
      round_row(format_, x, token, group, scale, zero, inverse, row_of(out, token));
    }
  });
  return out;
}

double InputQuantizer::clip_gradient(const at::Tensor& x, const at::Tensor& rounded, at::Tensor& gradient) const {
  Expects(format_.is_static && rounded.is_contiguous() && gradient.is_contiguous());
  ClippedRow row;
  row.whole = format_.number == Number::integer;
  row.scale = scales_.scale.item<float>();
  row.highest = row.whole ? std::ldexp(0.5f, format_.bits) - 1.f : e4m3.largest;
  row.lowest = row.whole ? -row.highest - 1.f : -row.highest;
  if (!x.is_cpu()) return clip_by_operations(row, x, rounded, gradient);
  const at::Tensor dense = x.contiguous();
  row.element = element_of(dense);
  row.columns = dense.size(1);
  std::vector<float> sums(static_cast<std::size_t>(dense.size(0)));
  for_each_token(dense, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token) {
      ClippedRow own = row;
      own.x = row_of(dense, token);
      own.rounded = row_of(rounded, token);
      own.gradient = row_of(gradient, token);
      sums[static_cast<std::size_t>(token)] = kernels().clip_gradient(own);
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);  // in order, whatever the number of threads is
}

float largest_magnitude(const at::Tensor& x) {
  if (x.numel() == 0) return 0.f;
  const auto [low, high] = at::aminmax(x);
  return std::max(std::fabs(low.item<float>()), std::fabs(high.item<float>()));
}

}  // namespace autoround::quant
