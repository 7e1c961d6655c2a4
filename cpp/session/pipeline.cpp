#include "session/pipeline.hpp"

#include <algorithm>
#include <utility>

#include "base/stopwatch.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround::session {

SequentialPipeline::SequentialPipeline(const model::CausalLm& model, at::Tensor ids, std::int64_t batch,
                                       std::int64_t nblocks, model::Arithmetic arithmetic,
                                       const modifier::HookRegistry& hooks, const CancelToken& cancel,
                                       model::StreamArena streams)
    : model_(model),
      ids_(std::move(ids)),
      batch_(batch),
      nblocks_(static_cast<std::size_t>(nblocks)),
      ops_(model::make_ops(model.weights().device(), arithmetic)),
      hooks_(hooks),
      cancel_(cancel),
      streams_(std::move(streams)) {}

/// The stream into the first layer.
at::Tensor SequentialPipeline::embed() const {
  at::Tensor stream;
  const std::int64_t samples = ids_.size(0), length = ids_.size(1);
  for (std::int64_t first = 0; first < samples; first += batch_) {
    const at::Tensor rows = model_.embed(ids_.narrow(0, first, std::min(batch_, samples - first)));
    streams_.put(stream, samples * length, first * length, rows);
  }
  return stream;
}

std::optional<std::size_t> SequentialPipeline::advance() {
  const std::size_t first = next_, end = std::min(first + nblocks_, model_.spec().layers.size());
  if (first == end) return std::nullopt;
  layers_.clear();  // never two blocks in memory
  for (; next_ < end; ++next_) {
    cancel_.throw_if_requested();
    const Stopwatch reading;
    layers_.push_back(model_.load_layer(next_));
    reading_seconds_ += reading.seconds();
    if (!ids_.defined()) continue;
    if (next_ == 0) stream_ = embed();
    model::DecoderLayer& layer = *layers_.back();
    const std::int64_t length = ids_.size(1);
    hooks_.fire(modifier::HookPoint::pre_forward, layer.name(), stream_);
    const tuner::DecoderBlock alone(layer, model_.rope(next_, length));
    stream_ = tuner::run_block(alone, stream_, length, batch_, *ops_, cancel_, streams_);
    hooks_.fire(modifier::HookPoint::post_forward, layer.name(), stream_);
  }
  for (std::size_t i = next_; i < std::min(next_ + nblocks_, model_.spec().layers.size()); ++i)
    model_.will_load_layer(i);  // read while this block is tuned
  return first;
}

modifier::Subgraph SequentialPipeline::subgraph(const std::vector<recipe::ModuleInfo>& modules) const {
  modifier::Subgraph out;
  for (const auto& layer : layers_)
    out.layers.push_back({layer.get(), ids_.defined() ? model_.rope(layer->index(), ids_.size(1)) : nullptr});
  const auto end = static_cast<std::int64_t>(next_), first = end - static_cast<std::int64_t>(layers_.size());
  for (const recipe::ModuleInfo& module : modules)
    if (module.block >= first && module.block < end) out.modules.push_back(module.name);
  return out;
}

}  // namespace autoround::session
