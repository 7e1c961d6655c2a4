// A mixture of experts: each token goes through a few of many feed-forward networks, which a router chooses, and
// through a shared one where there is one. One product an expert with the tokens that it got, those without any cost
// nothing; or where operations group them, one product for all.
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

/// Which experts each token goes to, and how their outputs are added up.
struct Routing {
  at::Tensor experts;  // int64 [T, top_k]
  at::Tensor weights;  // fp32 or compute type [T, top_k]; carries a gradient to the logits
};

/// @param logits [T, experts]; @param correction fp32 [experts], undefined unless spec.correction
Routing route(const RouterSpec& spec, const at::Tensor& logits, const at::Tensor& correction);

class Experts {
 public:
  /// Loads the experts of the layer called `layer`, whose tokens have `hidden` elements. `mlp` has their activation,
  /// and the bias of the shared one.
  /// @throws Error not_found / parse (shape) naming the tensor.
  static std::unique_ptr<Experts> load(const ExpertsSpec& spec, const MlpSpec& mlp, const std::string& layer,
                                       std::int64_t hidden, const WeightSource& weights, at::ScalarType dtype);

  /// gate_up and down of each expert, then those of the shared one. Weights may be replaced by the tuner.
  std::vector<Projection*> projections();

  /// x: [T, H] -> [T, H]. Outputs are weighed and added up in fp32 and rounded once.
  at::Tensor forward(const at::Tensor& x, Ops& ops) const;

 private:
  struct Network {
    Projection gate_up, down;
  };

  at::Tensor logits(const at::Tensor& x) const;
  /// What the routed experts make of x, their products grouped where `ops` groups them.
  at::Tensor run_routed(const at::Tensor& x, const Routing& routing, Ops& ops) const;
  at::Tensor run(const Network& network, const at::Tensor& x, Ops& ops) const;

  ExpertsSpec spec_;
  Activation activation_ = Activation::silu;
  at::Tensor router_, router_bias_, correction_;  // fp32 where the router computes in fp32
  std::vector<Network> experts_;
  ExpertProjections gate_ups_, downs_;  // of these
  std::unique_ptr<Network> shared_;
  at::Tensor shared_gate_;  // [1, H]
  c10::intrusive_ptr<BufferPool> pool_ = c10::make_intrusive<BufferPool>();
};

}  // namespace autoround::model
