#include "model/blocked_attention.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <limits>

#include "model/autograd_names.hpp"
#include "model/mapped_memory.hpp"

namespace autoround::model {
namespace {

/// True where query `first_query + i` must not see key `first_key + j`. [queries, keys]
at::Tensor hidden_keys(std::int64_t first_query, std::int64_t queries, std::int64_t first_key, std::int64_t keys,
                       std::int64_t window, at::Device device) {
  const at::Tensor query = at::arange(first_query, first_query + queries, device).unsqueeze(1);
  const at::Tensor key = at::arange(first_key, first_key + keys, device).unsqueeze(0);
  const at::Tensor future = key > query;
  return window > 0 ? future.logical_or(key <= query - window) : future;
}

/// A block of queries and the keys that it sees.
struct Block {
  Block(const AttentionSpec& spec, std::int64_t length, std::int64_t begin_in)
      : begin(begin_in),
        queries(std::min(query_block, length - begin)),
        first_key(spec.window > 0 ? std::max<std::int64_t>(0, begin - spec.window + 1) : 0),
        keys(begin + queries - first_key) {}

  std::int64_t begin, queries, first_key, keys;
};

/// What is the same for all heads.
struct Plan : torch::CustomClassHolder {
  Plan(const AttentionSpec& spec_in, const at::Tensor& sinks_in) : spec(spec_in), sinks(sinks_in) {}
  AttentionSpec spec;
  at::Tensor sinks;
};

/// The heads of all samples: matrices of one key head each and of the queries that share it, which lie one under the
/// other in products.
struct Heads {
  at::Tensor q, k, v;
  const AttentionSpec& spec;
  const at::Tensor& sinks;

  std::int64_t length() const { return q.size(2); }
  std::int64_t matrices() const { return k.size(0) * k.size(1); }
  std::int64_t group() const { return q.size(1) / k.size(1); }
  Block block(std::int64_t begin) const { return {spec, length(), begin}; }

  /// [B * kv_heads, group * queries, D] of what has all queries [B, heads, S, D].
  at::Tensor queries_of(const Block& block, const at::Tensor& x) const {
    return x.narrow(2, block.begin, block.queries).reshape({matrices(), group() * block.queries, x.size(3)});
  }
  /// [B * kv_heads, keys, D] of what has all keys [B, kv_heads, S, D].
  at::Tensor keys_of(const Block& block, const at::Tensor& x) const {
    return x.narrow(2, block.first_key, block.keys).reshape({matrices(), block.keys, x.size(3)});
  }
};

/// Memory for the scores of a block, used for one after the other: the C library's heap would be left with holes.
class Space {
 public:
  explicit Space(const Heads& heads)
      : device_(heads.q.device()),
        largest_(heads.matrices() * heads.group() * most_scores(heads.spec, heads.length())) {}
  /// fp32, of the sizes asked for. There are three of them.
  at::Tensor take(std::size_t which, at::IntArrayRef sizes) {
    at::Tensor& memory = memory_.at(which);
    if (!memory.defined()) memory = lasting_tensor({largest_}, at::kFloat, device_);
    return memory.narrow(0, 0, c10::multiply_integers(sizes)).view(sizes);
  }

 private:
  at::Device device_;
  std::int64_t largest_;
  std::array<at::Tensor, 3> memory_;
};

/// fp32 [B * kv_heads, group * queries, keys]; `bent` is what a softcap made of the scores, undefined without.
struct Probabilities {
  at::Tensor values, bent;
};

/// Takes the first two of the space, and is done with the first.
Probabilities probabilities(const Heads& heads, const Block& block, const at::Tensor& q, const at::Tensor& k,
                            Space& space) {
  Probabilities found;
  at::Tensor scores = space.take(0, {q.size(0), q.size(1), block.keys});
  at::bmm_out(scores, q, k.transpose(1, 2)).mul_(heads.spec.scale);
  if (heads.spec.softcap > 0.0) {
    scores.div_(heads.spec.softcap).tanh_().mul_(heads.spec.softcap);
    found.bent = scores.clone();
  }
  const std::int64_t group = heads.group(), key_heads = heads.k.size(1);
  scores = scores.view({-1, group, block.queries, block.keys});
  scores.masked_fill_(
      hidden_keys(block.begin, block.queries, block.first_key, block.keys, heads.spec.window, scores.device()),
      -std::numeric_limits<double>::infinity());
  if (heads.spec.sinks) {
    const at::Tensor sinks = heads.sinks.to(at::kFloat).view({1, key_heads, group, 1, 1});
    const at::Tensor each = sinks.expand({heads.k.size(0), key_heads, group, block.queries, 1});
    scores = at::cat({scores, each.reshape({-1, group, block.queries, 1})}, -1);
  }
  at::Tensor values = space.take(1, scores.sizes());
  at::_softmax_out(values, scores, -1, /*half_to_float=*/false);
  found.values = values.narrow(-1, 0, block.keys).reshape({q.size(0), q.size(1), block.keys});
  return found;
}

struct BlockedAttention : Function<BlockedAttention> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const c10::intrusive_ptr<Plan>& plan) {
    const Heads heads{q, k, v, plan->spec, plan->sinks};
    at::Tensor out = at::empty({q.size(0), q.size(1), q.size(2), v.size(3)}, v.options());
    Space space(heads);
    for (std::int64_t begin = 0; begin < heads.length(); begin += query_block) {
      const Block block = heads.block(begin);
      const at::Tensor weights = probabilities(heads, block, heads.queries_of(block, q).to(at::kFloat),
                                               heads.keys_of(block, k).to(at::kFloat), space)
                                     .values.to(v.scalar_type());
      const at::Tensor place = out.narrow(2, begin, block.queries);
      place.copy_(at::bmm(weights, heads.keys_of(block, v)).view(place.sizes()));
    }
    ctx->save_for_backward({q, k, v});
    ctx->saved_data["plan"] = c10::IValue::make_capsule(plan);
    ctx->set_materialize_grads(false);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) return {Variable(), Variable(), Variable(), Variable()};
    const variable_list saved = ctx->get_saved_variables();
    const auto plan = c10::static_intrusive_pointer_cast<Plan>(ctx->saved_data["plan"].toCapsule());
    const Heads heads{saved[0], saved[1], saved[2], plan->spec, plan->sinks};
    Space space(heads);
    at::Tensor grad_q = at::empty(heads.q.sizes(), heads.q.options());
    at::Tensor grad_k = at::zeros(heads.k.sizes(), heads.k.options().dtype(at::kFloat)),
               grad_v = at::zeros_like(grad_k);
    for (std::int64_t begin = 0; begin < heads.length(); begin += query_block) {
      const Block block = heads.block(begin);
      const at::Tensor q = heads.queries_of(block, heads.q).to(at::kFloat);
      const at::Tensor k = heads.keys_of(block, heads.k).to(at::kFloat), v = heads.keys_of(block, heads.v);
      const at::Tensor grad_out = heads.queries_of(block, grads[0]);
      const Probabilities found = probabilities(heads, block, q, k, space);
      add(grad_v, block, at::bmm(found.values.to(v.scalar_type()).transpose(1, 2), grad_out));

      const at::Tensor& weights = found.values;
      at::Tensor passed = space.take(0, weights.sizes()), slopes = space.take(2, weights.sizes());
      if (v.scalar_type() == at::kFloat)
        at::bmm_out(passed, grad_out, v.transpose(1, 2));
      else
        passed.copy_(at::bmm(grad_out, v.transpose(1, 2)));
      at::_softmax_backward_data_out(slopes, passed, weights, -1, at::kFloat);
      if (found.bent.defined()) slopes.mul_(1.0 - (found.bent / heads.spec.softcap).square());
      slopes.mul_(heads.spec.scale);
      const at::Tensor place = grad_q.narrow(2, begin, block.queries);
      place.copy_(at::bmm(slopes, k).view(place.sizes()));
      add(grad_k, block, at::bmm(slopes.transpose(1, 2), q));
    }
    return {grad_q, grad_k.to(heads.k.scalar_type()), grad_v.to(heads.v.scalar_type()), Variable()};
  }

 private:
  static void add(const at::Tensor& sum, const Block& block, const at::Tensor& part) {
    const at::Tensor place = sum.narrow(2, block.first_key, block.keys);
    place.add_(part.view(place.sizes()));
  }
};

}  // namespace

std::int64_t most_scores(const AttentionSpec& spec, std::int64_t length) {
  std::int64_t most = 0;
  for (std::int64_t begin = 0; begin < length; begin += query_block) {
    const Block block(spec, length, begin);
    most = std::max(most, block.queries * (block.keys + (spec.sinks ? 1 : 0)));
  }
  return most;
}

at::Tensor blocked_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& sinks,
                             const AttentionSpec& spec) {
  const at::Tensor out = BlockedAttention::apply(q, k, v, c10::make_intrusive<Plan>(spec, sinks));
  return out.transpose(1, 2).reshape({q.size(0) * q.size(2), q.size(1) * v.size(3)});
}

}  // namespace autoround::model
