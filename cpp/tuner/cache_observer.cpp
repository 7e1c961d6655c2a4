#include "tuner/cache_observer.hpp"

#include <ATen/ATen.h>

#include <algorithm>

namespace autoround::tuner {

CacheObserver::Layer& CacheObserver::layer_of(const model::AttentionSpec& spec) {
  const auto found = std::find_if(layers_.begin(), layers_.end(), [&](const Layer& l) { return l.spec == &spec; });
  if (found != layers_.end()) return *found;
  const at::Tensor none = at::zeros({spec.kv_heads}, at::kFloat);
  return layers_.emplace_back(Layer{&spec, {none, none}});
}

at::Tensor CacheObserver::attention(const model::AttentionInput& input) {
  Layer& layer = layer_of(*input.spec);
  const auto [keys, values] = model::cached_heads(input);
  for (std::int64_t i = 0; i < input.batch; ++i) {
    const std::int64_t tokens = data_.lengths[layer.sample];
    const auto largest = [&](const at::Tensor& heads) {  // [B, kv_heads, S, D] -> [kv_heads]
      return heads[i].narrow(1, 0, tokens).abs().amax({1, 2}).to(at::kFloat).cpu();
    };
    layer.range.key = at::maximum(layer.range.key, largest(keys));
    layer.range.value = at::maximum(layer.range.value, largest(values));
    layer.sample = (layer.sample + 1) % data_.lengths.size();
  }
  return inner().attention(input);
}

std::vector<quant::CacheRange> CacheObserver::ranges() const {
  std::vector<quant::CacheRange> all;
  for (const Layer& layer : layers_) all.push_back(layer.range);
  return all;
}

}  // namespace autoround::tuner
