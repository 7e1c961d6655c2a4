#include "quant/cache_format.hpp"

#include <ATen/ATen.h>

#include <limits>

#include "base/error.hpp"
#include "quant/number_format.hpp"

namespace autoround::quant {
namespace {

at::Tensor scale_of(const CacheFormat& format, const at::Tensor& range) {
  const at::Tensor largest = format.by_head ? range : range.max();
  at::Tensor scale = largest.to(at::kFloat) / e4m3.largest;
  scale = at::where(scale == 0, at::full_like(scale, std::numeric_limits<float>::epsilon()), scale);
  return scale.to(format.scale_type).reshape(format.scale_shape());
}

}  // namespace

std::vector<std::int64_t> CacheFormat::scale_shape() const {
  if (by_head) return {heads, 1, 1};
  return {1};
}

CacheFormat cache_format(const recipe::QuantizationArgs& args, std::int64_t heads, at::ScalarType scale_type) {
  const bool fp8 = args.type == recipe::NumberType::floating && args.num_bits == 8 && args.symmetric;
  const bool by_head = args.strategy == recipe::Strategy::attn_head;
  if (!fp8 || args.dynamic != recipe::Dynamic::no || !(by_head || args.strategy == recipe::Strategy::tensor)) {
    fail(Code::unsupported, "kv_cache_scheme",
         "the cache is quantized to symmetric 8-bit floating-point numbers with static scales, by tensor or attn_head; "
         "the recipe asks for something else");
  }
  return {by_head, heads, scale_type};
}

CacheScales cache_scales(const CacheFormat& format, const std::string& attention, const CacheRange& range) {
  return {attention, scale_of(format, range.key), scale_of(format, range.value)};
}

}  // namespace autoround::quant
