// Runs calibration data through the model one block at a time on the full-precision stream, firing the forward hooks.
// One pass a layer: the output of a block is its reference and the next one's input.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/cancel.hpp"
#include "model/causal_lm.hpp"
#include "model/stream_arena.hpp"
#include "modifier/modifier.hpp"

namespace autoround::session {

class SequentialPipeline {
 public:
  /// @param ids int64 [samples, length]; undefined: layers are loaded but nothing runs through them.
  /// @param batch samples of a pass
  /// @param nblocks decoder layers of a block; the last may have fewer
  SequentialPipeline(const model::CausalLm& model, at::Tensor ids, std::int64_t batch, std::int64_t nblocks,
                     model::Arithmetic arithmetic, const modifier::HookRegistry& hooks, const CancelToken& cancel,
                     model::StreamArena streams = {});

  /// Advances to the next block: loads its layers, runs the stream through them. Its first layer; nullopt after the
  /// last.
  std::optional<std::size_t> advance();
  /// The layers that were reached last and the names of all modules inside them.
  modifier::Subgraph subgraph(const std::vector<recipe::ModuleInfo>& modules) const;
  void release_layers() noexcept { layers_.clear(); }
  std::size_t position() const noexcept { return next_; }  // layers reached so far
  double reading_seconds() const noexcept { return reading_seconds_; }

 private:
  at::Tensor embed() const;

  const model::CausalLm& model_;
  at::Tensor ids_, stream_;
  std::int64_t batch_;
  std::size_t nblocks_;
  std::unique_ptr<model::Ops> ops_;
  const modifier::HookRegistry& hooks_;
  const CancelToken& cancel_;
  model::StreamArena streams_;
  std::vector<std::unique_ptr<model::DecoderLayer>> layers_;
  std::size_t next_ = 0;
  double reading_seconds_ = 0.0;
};

}  // namespace autoround::session
