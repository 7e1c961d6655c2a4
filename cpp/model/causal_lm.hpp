// A causal language model over a weight source: embeddings, layers loaded one at a time, head. Never holds more than
// one layer; perplexity streams.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/cancel.hpp"
#include "model/compute_type.hpp"
#include "model/decoder_layer.hpp"
#include "model/modules.hpp"

namespace autoround::model {

/// One thread at a time: rope tables and the head are loaded on first use and kept.
class CausalLm {
 public:
  CausalLm(DecoderSpec spec, std::shared_ptr<WeightSource> weights, at::ScalarType dtype);

  const DecoderSpec& spec() const noexcept { return spec_; }
  at::ScalarType dtype() const noexcept { return dtype_; }
  const WeightSource& weights() const noexcept { return *weights_; }

  /// ids: int64 [n, S], each < vocab_size -> [n*S, H]. Reads only the rows that occur, each once.
  /// @throws invalid_argument: an id out of range, or more tokens than the model has learned positions
  at::Tensor embed(const at::Tensor& ids) const;
  std::unique_ptr<DecoderLayer> load_layer(std::size_t index) const;
  /// Has its weights read meanwhile (WeightSource::will_load).
  void will_load_layer(std::size_t index) const;
  /// Table for `length` positions of layer `index`; null when the layer has none. Cached by length.
  const RopeTable* rope(std::size_t index, std::int64_t length) const;
  /// hidden: [T, H] after the last layer -> fp32 logits [T, vocab]. The head is loaded on first use.
  at::Tensor logits(const at::Tensor& hidden, Ops& ops) const;

 private:
  at::Tensor add_positions(const at::Tensor& embeddings, std::int64_t length) const;

  DecoderSpec spec_;
  std::shared_ptr<WeightSource> weights_;
  at::ScalarType dtype_;
  struct CachedRope {
    RopeSpec spec;
    std::int64_t length;
    std::unique_ptr<RopeTable> table;  // on the heap: callers keep pointers to it while the cache grows
  };
  mutable std::vector<CachedRope> ropes_;
  mutable Projection head_, project_out_;
  mutable Norm final_norm_;
};

struct Perplexity {
  double perplexity = 0.0, nll = 0.0;  // nll: mean, natural log
  std::int64_t tokens = 0;             // predicted ones: every token of a window but its first
};

/// ids: int64 [windows, S]; lengths: valid tokens of each window. `on_layer(done, total)` after each layer.
/// In memory at a time: the hidden states of all windows, one layer, and the logits of a few hundred tokens.
/// @throws Error invalid_argument: nothing to predict; numeric: the logits are not finite; cancelled
Perplexity perplexity(const CausalLm& model, const at::Tensor& ids, const std::vector<std::int64_t>& lengths, Ops& ops,
                      const CancelToken& cancel, const std::function<void(std::size_t, std::size_t)>& on_layer = {});

/// Rotation table for positions 0..length-1; dynamic and longrope choose their frequencies by `length`.
RopeTable make_rope_table(const RopeSpec& spec, std::int64_t length);

}  // namespace autoround::model
