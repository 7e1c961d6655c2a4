#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "model/causal_lm.hpp"

namespace autoround::model {
namespace {

constexpr std::int64_t layer_tokens = 2048;  // through a layer at a time
constexpr std::int64_t head_tokens = 256;    // through the head at a time: two fp32 matrices of logits this high

/// Replaces the hidden states of all windows by the layer's output.
void run_layer(const DecoderLayer& layer, const at::Tensor& hidden, std::int64_t length, const RopeTable* rope,
               Ops& ops, const CancelToken& cancel) {
  const std::int64_t windows = hidden.size(0) / length, step = std::max<std::int64_t>(1, layer_tokens / length);
  for (std::int64_t begin = 0; begin < windows; begin += step) {
    cancel.throw_if_requested();
    const std::int64_t batch = std::min(step, windows - begin);
    at::Tensor rows = hidden.narrow(0, begin * length, batch * length);
    rows.copy_(layer.forward(rows, batch, rope, ops));
  }
}

/// Sum of the negative log-likelihoods of `targets` [n] given `hidden` [n, H].
double summed_nll(const CausalLm& model, const at::Tensor& hidden, const at::Tensor& targets, Ops& ops,
                  const CancelToken& cancel) {
  double sum = 0.0;
  for (std::int64_t begin = 0; begin < targets.size(0); begin += head_tokens) {
    cancel.throw_if_requested();
    const std::int64_t count = std::min(head_tokens, targets.size(0) - begin);
    const at::Tensor logits = model.logits(hidden.narrow(0, begin, count), ops);
    const at::Tensor losses = at::cross_entropy_loss(logits, targets.narrow(0, begin, count).to(logits.device()),
                                                     /*weight=*/{}, at::Reduction::None);
    sum += losses.to(at::kDouble).sum().item<double>();
  }
  return sum;
}

}  // namespace

Perplexity perplexity(const CausalLm& model, const at::Tensor& ids, const std::vector<std::int64_t>& lengths, Ops& ops,
                      const CancelToken& cancel, const std::function<void(std::size_t, std::size_t)>& on_layer) {
  const at::NoGradGuard no_grad;
  const std::int64_t windows = ids.size(0), length = ids.size(1);
  Perplexity result;
  for (const std::int64_t valid : lengths) result.tokens += std::max<std::int64_t>(0, valid - 1);
  if (result.tokens == 0)
    fail(Code::invalid_argument, "perplexity", "no window has two tokens, so there is nothing to predict");

  const at::Tensor hidden = model.embed(ids);
  const std::size_t layers = model.spec().layers.size();
  for (std::size_t i = 0; i < layers; ++i) {
    run_layer(*model.load_layer(i), hidden, length, model.rope(i, length), ops, cancel);
    if (on_layer) on_layer(i + 1, layers);
  }
  double nll = 0.0;
  for (std::int64_t w = 0; w < windows; ++w) {
    const std::int64_t predicted = std::max<std::int64_t>(0, lengths.at(static_cast<std::size_t>(w)) - 1);
    nll += summed_nll(model, hidden.narrow(0, w * length, predicted), ids[w].narrow(0, 1, predicted), ops, cancel);
  }
  result.nll = nll / static_cast<double>(result.tokens);
  if (!std::isfinite(result.nll)) fail(Code::numeric, "perplexity", "the model's logits are not finite");
  result.perplexity = std::exp(result.nll);
  return result;
}

}  // namespace autoround::model
