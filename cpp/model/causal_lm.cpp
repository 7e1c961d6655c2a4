#include "model/causal_lm.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "base/error.hpp"
#include "model/mapped_memory.hpp"

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
  const std::int64_t width = spec_.embedding_size.value_or(spec_.hidden_size);
  const at::Tensor rows = weights_->load_rows(name, distinct, dtype_);
  if (rows.size(1) != width)
    fail(Code::parse, name,
         "the tensor has rows of " + std::to_string(rows.size(1)) + " elements; config.json implies " +
             std::to_string(width));
  at::Tensor embeddings = mapped_tensor({place.size(0), width}, dtype_);
  at::index_select_out(embeddings, rows, 0, place);
  embeddings = embeddings.to(weights_->device());
  if (spec_.embedding_multiplier != 1.0) {
    const at::Tensor multiplier = at::scalar_tensor(spec_.embedding_multiplier, at::kFloat);
    embeddings =
        spec_.embedding_multiplier_typed ? embeddings * multiplier.to(dtype_) : embeddings * spec_.embedding_multiplier;
  }
  if (spec_.embedding_size) {
    const Projection project = load_projection(*weights_, {{.name = spec_.project_in(), .rows = spec_.hidden_size}},
                                               width, /*bias=*/false, dtype_);
    embeddings = at::linear(embeddings, project.weight);
  }
  return spec_.positions.name.empty() ? embeddings : add_positions(embeddings, ids.size(-1));
}

/// embeddings: [n*S, H] of sequences of `length` = S tokens
at::Tensor CausalLm::add_positions(const at::Tensor& embeddings, std::int64_t length) const {
  if (length > spec_.max_position)
    fail(Code::invalid_argument, "sequence length",
         "sequences of " + std::to_string(length) + " tokens are longer than the " +
             std::to_string(spec_.max_position) + " positions that the model knows");
  const std::int64_t first = spec_.positions.offset;
  const at::Tensor rows = weights_->load_rows(spec_.prefix + spec_.positions.name + ".weight",
                                              at::arange(first, first + length, at::kLong), dtype_);
  return (embeddings.view({-1, length, spec_.hidden_size}) + rows.to(embeddings.device()))
      .view({-1, spec_.hidden_size});
}

std::unique_ptr<DecoderLayer> CausalLm::load_layer(std::size_t index) const {
  return DecoderLayer::load(spec_, index, *weights_, dtype_);
}

void CausalLm::will_load_layer(std::size_t index) const {
  // The reading may outlive this object.
  weights_->will_load(spec_.layer_name(index) + ".",
                      [spec = spec_, index, dtype = dtype_](const WeightSource& weights) {
                        DecoderLayer::load(spec, index, weights, dtype);
                      });
}

const RopeTable* CausalLm::rope(std::size_t index, std::int64_t length) const {
  const auto& spec = spec_.layers.at(index).attention.rope;
  if (!spec) return nullptr;
  for (const CachedRope& cached : ropes_)
    if (cached.length == length && cached.spec == *spec) return cached.table.get();
  auto table = std::make_unique<RopeTable>(make_rope_table(*spec, length));
  table->cos = table->cos.to(weights_->device());
  table->sin = table->sin.to(weights_->device());
  ropes_.push_back({*spec, length, std::move(table)});
  return ropes_.back().table.get();
}

at::Tensor CausalLm::logits(const at::Tensor& hidden, Ops& ops) const {
  if (!head_.weight.defined()) {
    const std::int64_t width = spec_.embedding_size.value_or(spec_.hidden_size);
    final_norm_ = Norm::load(spec_, spec_.final_norm(), {spec_.hidden_size}, *weights_, dtype_);
    if (spec_.embedding_size)
      project_out_ = load_projection(*weights_, {{.name = spec_.project_out(), .rows = width}}, spec_.hidden_size,
                                     /*bias=*/false, dtype_);
    at::Tensor head = weights_->memory({spec_.vocab_size, width}, dtype_);
    weights_->load_into((spec_.tie_word_embeddings ? spec_.embed_tokens() : spec_.lm_head) + ".weight", head);
    head_ = {.weight = head, .bias = {}, .parts = {{.name = spec_.lm_head, .rows = spec_.vocab_size}}};
  }
  at::Tensor output = final_norm_(hidden, ops);
  if (spec_.embedding_size) output = ops.linear(project_out_, output);
  at::Tensor logits = ops.linear(head_, output).to(at::kFloat);
  if (spec_.logits_scaling != 1.0) logits = logits / spec_.logits_scaling;
  if (spec_.logits_softcap > 0.0) logits = (logits / spec_.logits_softcap).tanh() * spec_.logits_softcap;
  return logits;
}

}  // namespace autoround::model
