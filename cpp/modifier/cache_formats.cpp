#include "modifier/cache_formats.hpp"

#include "base/error.hpp"

namespace autoround::modifier {

std::string attention_name(const model::DecoderSpec& spec, std::size_t layer) {
  return spec.layer_name(layer) + "." + spec.names.attention;
}

std::map<std::string, quant::CacheFormat> cache_formats(const recipe::Recipe& recipe, const model::DecoderSpec& spec,
                                                        at::ScalarType scale_type) {
  std::map<std::string, quant::CacheFormat> formats;
  if (!recipe.kv_cache_scheme) return formats;
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const model::AttentionSpec& attention = spec.layers[i].attention;
    if (attention.latent)
      fail(Code::unsupported, "kv_cache_scheme",
           attention_name(spec, i) + " caches latent vectors instead of keys and values; leave kv_cache_scheme out");
    formats.emplace(attention_name(spec, i),
                    quant::cache_format(*recipe.kv_cache_scheme, attention.kv_heads, scale_type));
  }
  return formats;
}

}  // namespace autoround::modifier
