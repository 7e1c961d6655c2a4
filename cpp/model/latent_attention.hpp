// Multi-head latent attention (DeepSeek V2, arXiv 2405.04434): queries, keys and values come from vectors of low rank.
// Here the way from hidden states to what Ops::attention takes, and from what it gives to the values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/ops.hpp"
#include "model/projection.hpp"
#include "model/spec.hpp"
#include "model/weight_source.hpp"

namespace autoround::model {

class LatentAttention {
 public:
  /// @param attention name of the attention module with its dot; @param hidden elements of a token
  /// @throws Error not_found / parse (shape) naming the tensor.
  static std::unique_ptr<LatentAttention> load(const AttentionSpec& spec, const std::string& attention,
                                               std::int64_t hidden, const WeightSource& weights, at::ScalarType dtype);

  /// What leads to the latents, then what leads from them to heads. Weights may be replaced by the tuner.
  std::vector<Projection*> projections();

  /// x: [T, H] -> [T, 3 * heads * head_dim]. The rotated part of each head comes first, with pairs half of it apart;
  /// zeros fill heads up to the one width that queries, keys and values have.
  at::Tensor qkv(const at::Tensor& x, Ops& ops) const;
  /// The outputs [T, heads * head_dim] without the filling. -> [T, heads * value_dim]
  at::Tensor values(const at::Tensor& outputs, Ops& ops) const;

 private:
  AttentionSpec spec_;
  Projection latents_;          // rows of q_a where queries have latents, then of kv_a
  Projection queries_, pairs_;  // pairs: of key and value of each head
  at::Tensor q_norm_, kv_norm_;
};

}  // namespace autoround::model
