#include "session/pipeline.hpp"

#include <utility>

#include "tuner/block_tuner.hpp"

namespace autoround::session {

SequentialPipeline::SequentialPipeline(const model::CausalLm& model, at::Tensor ids, std::int64_t batch, bool fused,
                                       const modifier::HookRegistry& hooks, const CancelToken& cancel)
    : model_(model), ids_(std::move(ids)), batch_(batch), hooks_(hooks), cancel_(cancel) {
  if (fused)
    ops_ = std::make_unique<model::FusedOps>();
  else
    ops_ = std::make_unique<model::AtenOps>();
}

std::optional<std::size_t> SequentialPipeline::advance() {
  if (next_ == model_.spec().layers.size()) return std::nullopt;
  layer_.reset();  // never two layers in memory
  cancel_.throw_if_requested();
  layer_ = model_.load_layer(next_);
  if (ids_.defined()) {
    if (next_ == 0) stream_ = model_.embed(ids_);
    const std::int64_t length = ids_.size(1);
    hooks_.fire(modifier::HookPoint::pre_forward, layer_->name(), stream_);
    stream_ = tuner::run_layer(*layer_, stream_, length, batch_, model_.rope(next_, length), *ops_, cancel_);
    hooks_.fire(modifier::HookPoint::post_forward, layer_->name(), stream_);
  }
  return next_++;
}

modifier::Subgraph SequentialPipeline::subgraph(const std::vector<recipe::ModuleInfo>& modules) const {
  modifier::Subgraph out;
  out.layer = layer_.get();
  if (!layer_) return out;
  if (ids_.defined()) out.rope = model_.rope(layer_->index(), ids_.size(1));
  for (const recipe::ModuleInfo& module : modules)
    if (module.block == static_cast<std::int64_t>(layer_->index())) out.modules.push_back(module.name);
  return out;
}

}  // namespace autoround::session
