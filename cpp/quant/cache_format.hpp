// How the program that runs the model quantizes keys and values as it puts them into its cache: in FP8, with scales
// that calibration finds. Source: compressed-tensors 0.20 (kv_cache_scheme, calculate_qparams).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "recipe/scheme.hpp"

namespace autoround::quant {

/// Of one attention module.
struct CacheFormat {
  bool by_head = false;  // a scale for each key head; otherwise one for all of them
  std::int64_t heads = 0;
  at::ScalarType scale_type = at::kBFloat16;  // dtype in which scales are stored

  std::vector<std::int64_t> scale_shape() const;  // [1] or [heads, 1, 1]
};

/// What calibration saw of one layer: the largest magnitudes by key head, fp32 [heads].
struct CacheRange {
  at::Tensor key, value;
};

struct CacheScales {
  std::string attention;  // module name
  at::Tensor key, value;  // CacheFormat's scale_type and scale_shape
};

/// @throws Error unsupported: other numbers than FP8, or scales that calibration does not find.
CacheFormat cache_format(const recipe::QuantizationArgs& args, std::int64_t heads, at::ScalarType scale_type);

CacheScales cache_scales(const CacheFormat& format, const std::string& attention, const CacheRange& range);

}  // namespace autoround::quant
