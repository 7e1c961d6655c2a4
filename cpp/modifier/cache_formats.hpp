// Which attention modules of a model get a quantized cache.
#pragma once

#include <map>
#include <string>

#include "model/spec.hpp"
#include "quant/cache_format.hpp"
#include "recipe/recipe.hpp"

namespace autoround::modifier {

/// "model.layers.3.self_attn"
std::string attention_name(const model::DecoderSpec& spec, std::size_t layer);

/// By attention module: all of them with a `kv_cache_scheme`, none without.
/// @throws Error unsupported: a scheme or a model whose cache is not quantized.
std::map<std::string, quant::CacheFormat> cache_formats(const recipe::Recipe& recipe, const model::DecoderSpec& spec,
                                                        at::ScalarType scale_type);

}  // namespace autoround::modifier
