// One decoder layer: its weights and its forward pass, built from a LayerSpec.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/attention.hpp"
#include "model/experts.hpp"
#include "model/mlp.hpp"
#include "model/norm.hpp"
#include "model/spec.hpp"
#include "model/weight_source.hpp"

namespace autoround::model {

class DecoderLayer {
 public:
  /// Loads the weights of layer `index` in `dtype`, each straight into its rows of a projection.
  /// @throws Error not_found / parse (shape) naming the tensor.
  static std::unique_ptr<DecoderLayer> load(const DecoderSpec& spec, std::size_t index, const WeightSource& weights,
                                            at::ScalarType dtype);

  const std::string& name() const noexcept { return name_; }
  std::size_t index() const noexcept { return index_; }
  /// All projections in forward order (qkv, o, gate_up, down, or what the family has of them; with experts the last two
  /// of each). Weights may be replaced by the tuner.
  std::vector<Projection*> projections();

  /// x: [B*S, H] -> [B*S, H]. `rope` is the table for at least S positions, null when the layer has no rope.
  at::Tensor forward(const at::Tensor& x, std::int64_t batch, const RopeTable* rope, Ops& ops) const;
  /// What forward() gives to attention. Where a family has no input norm, it is x.
  at::Tensor input_norm(const at::Tensor& x, Ops& ops) const;

 private:
  /// Norms of one branch: of what goes in, of what comes out, and of the residual stream once that was added.
  struct BranchNorms {
    Norm input, output, sum;
  };

  std::string name_;
  std::size_t index_ = 0;
  LayerSpec spec_;
  Attention attention_;
  Mlp mlp_;
  std::unique_ptr<Experts> experts_;  // instead of mlp_
  BranchNorms attention_norms_, mlp_norms_;
};

}  // namespace autoround::model
