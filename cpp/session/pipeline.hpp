// Runs calibration data through the model one decoder layer at a time on the full-precision stream, firing the forward
// hooks. One pass a layer: the output of a layer is its reference and the next layer's input.
#pragma once

#include <memory>
#include <optional>

#include "base/cancel.hpp"
#include "model/causal_lm.hpp"
#include "modifier/modifier.hpp"

namespace autoround::session {

class SequentialPipeline {
 public:
  /// @param ids int64 [samples, length]; undefined: layers are loaded but nothing runs through them.
  SequentialPipeline(const model::CausalLm& model, at::Tensor ids, std::int64_t batch, bool fused,
                     const modifier::HookRegistry& hooks, const CancelToken& cancel);

  /// Advances to the next decoder layer: loads it, runs the stream through it. nullopt after the last.
  std::optional<std::size_t> advance();
  /// The layer that was reached last and the names of all modules inside it.
  modifier::Subgraph subgraph(const std::vector<recipe::ModuleInfo>& modules) const;
  void release_layer() noexcept { layer_.reset(); }
  std::size_t position() const noexcept { return next_; }  // layers reached so far

 private:
  const model::CausalLm& model_;
  at::Tensor ids_, stream_;
  std::int64_t batch_;
  std::unique_ptr<model::Ops> ops_;
  const modifier::HookRegistry& hooks_;
  const CancelToken& cancel_;
  std::unique_ptr<model::DecoderLayer> layer_;
  std::size_t next_ = 0;
};

}  // namespace autoround::session
