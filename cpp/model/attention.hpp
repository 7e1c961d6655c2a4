// The attention branch of a decoder layer: projections, norms of q and k, rope, attention.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/latent_attention.hpp"
#include "model/norm.hpp"
#include "model/projection.hpp"

namespace autoround::model {

/// Shape of the weight that normalizes that many heads of q or of k; none for QkNorm::none.
std::vector<std::int64_t> qk_norm_shape(QkNorm kind, std::int64_t heads, std::int64_t head_dim);

class Attention {
 public:
  /// @param layer name of the layer, "model.layers.0"
  /// @throws Error as WeightSource::load_into
  static Attention load(const DecoderSpec& spec, const AttentionSpec& attention, const std::string& layer,
                        const WeightSource& weights, at::ScalarType dtype);

  std::vector<Projection*> projections();

  /// normed: [B*S, H] -> [B*S, H], before any norm of the output
  at::Tensor forward(const at::Tensor& normed, std::int64_t batch, const RopeTable* rope, Ops& ops) const;

 private:
  at::Tensor prepare_heads(const at::Tensor& qkv, bool norms, Ops& ops) const;

  AttentionSpec spec_;
  bool norms_heads_ = false;  // the norm of q and k is one that Ops::attention can do
  Projection qkv_, out_;
  std::unique_ptr<LatentAttention> latent_;  // instead of qkv_
  Norm q_norm_, k_norm_;
  at::Tensor sinks_;
};

}  // namespace autoround::model
