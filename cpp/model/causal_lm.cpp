#include "model/causal_lm.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "base/error.hpp"

namespace autoround::model {

CausalLm::CausalLm(DecoderSpec spec, std::shared_ptr<WeightSource> weights, at::ScalarType dtype)
    : spec_(std::move(spec)), weights_(std::move(weights)), dtype_(dtype) {}

at::Tensor CausalLm::embed(const at::Tensor& ids) const {
  if (ids.numel() == 0) return at::empty({0, spec_.hidden_size}, dtype_);
  const auto [distinct, place] = at::_unique(ids.reshape(-1), /*sorted=*/true, /*return_inverse=*/true);
  const auto lowest = distinct[0].item<std::int64_t>(), highest = distinct[-1].item<std::int64_t>();
  if (lowest < 0 || highest >= spec_.vocab_size)
    fail(Code::invalid_argument, "token ids",
         "token id " + std::to_string(lowest < 0 ? lowest : highest) + " is outside the model's vocabulary of " +
             std::to_string(spec_.vocab_size));
  const std::string name = spec_.embed_tokens() + ".weight";
  const at::Tensor rows = weights_->load_rows(name, distinct, dtype_);
  if (rows.size(1) != spec_.hidden_size)
    fail(Code::parse, name,
         "the tensor has rows of " + std::to_string(rows.size(1)) + " elements; config.json implies " +
             std::to_string(spec_.hidden_size));
  const at::Tensor embeddings = rows.index_select(0, place);
  return spec_.embedding_multiplier == 1.0 ? embeddings : embeddings * spec_.embedding_multiplier;
}

std::unique_ptr<DecoderLayer> CausalLm::load_layer(std::size_t index) const {
  return DecoderLayer::load(spec_, index, *weights_, dtype_);
}

const RopeTable* CausalLm::rope(std::size_t index, std::int64_t length) const {
  const auto& spec = spec_.layers.at(index).attention.rope;
  if (!spec) return nullptr;
  for (const CachedRope& cached : ropes_)
    if (cached.length == length && cached.spec == *spec) return cached.table.get();
  ropes_.push_back({*spec, length, std::make_unique<RopeTable>(make_rope_table(*spec, length))});
  return ropes_.back().table.get();
}

at::Tensor CausalLm::logits(const at::Tensor& hidden, Ops& ops) const {
  if (!head_.weight.defined()) {
    const std::string module = spec_.tie_word_embeddings ? spec_.embed_tokens() : spec_.lm_head;
    at::Tensor norm = at::empty({spec_.hidden_size}, dtype_);
    at::Tensor head = at::empty({spec_.vocab_size, spec_.hidden_size}, dtype_);
    weights_->load_into(spec_.final_norm() + ".weight", norm);
    weights_->load_into(module + ".weight", head);
    final_norm_ = norm;
    head_ = {.weight = head, .parts = {{.name = spec_.lm_head, .rows = spec_.vocab_size}}};
  }
  const at::Tensor logits = ops.linear(head_, ops.rms_norm(hidden, final_norm_, spec_.norm_eps)).to(at::kFloat);
  return spec_.logits_scaling == 1.0 ? logits : logits / spec_.logits_scaling;
}

}  // namespace autoround::model
