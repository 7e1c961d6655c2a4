#include "model/experts.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "model/forwarding_ops.hpp"
#include "model/stacked_experts.hpp"
#include "support/catch.hpp"
#include "support/grouping_ops.hpp"
#include "tiny_model.hpp"

namespace autoround::model {
namespace {

constexpr std::int64_t hidden = 6, width = 4, shared_width = 5, tokens = 9;

ExpertsSpec small_experts(std::int64_t experts, std::int64_t top_k) {
  ExpertsSpec spec;
  spec.router.experts = experts;
  spec.router.top_k = top_k;
  spec.intermediate = width;
  return spec;
}

test::Tensors weights_of(const ExpertsSpec& spec, std::int64_t features = hidden) {
  test::Tensors tensors;
  std::uint64_t seed = 40;
  const auto add = [&](const std::string& name, at::IntArrayRef shape) {
    tensors["layer.mlp." + name] = test::random_tensor(shape, ++seed).mul(0.5);
  };
  const auto network = [&](const std::string& name, std::int64_t inner) {
    add(name + ".gate_proj.weight", {inner, features});
    add(name + ".up_proj.weight", {inner, features});
    add(name + ".down_proj.weight", {features, inner});
  };
  add("gate.weight", {spec.router.experts, features});
  if (spec.router.correction) add("gate.e_score_correction_bias", {spec.router.experts});
  for (std::int64_t i = 0; i < spec.router.experts; ++i) network("experts." + std::to_string(i), spec.intermediate);
  if (spec.shared_intermediate > 0) network("shared_experts", spec.shared_intermediate);
  if (spec.shared_gate) add("shared_expert_gate.weight", {1, features});
  return tensors;
}

std::unique_ptr<Experts> load(const ExpertsSpec& spec, const test::Tensors& tensors) {
  const test::TinyFolder folder(test::tiny_config(), tensors);
  return Experts::load(spec, {}, "layer", hidden, *checkpoint_weights(folder.open()), at::kFloat);
}

/// From the definition, every expert on every token, in differentiable operations.
at::Tensor textbook(const ExpertsSpec& spec, const test::Tensors& tensors, const at::Tensor& x) {
  const auto weight = [&](const std::string& name) { return tensors.at("layer.mlp." + name); };
  const auto network = [&](const std::string& name) {
    const at::Tensor gate = x.mm(weight(name + ".gate_proj.weight").t());
    const at::Tensor up = x.mm(weight(name + ".up_proj.weight").t());
    return (at::silu(gate) * up).mm(weight(name + ".down_proj.weight").t());
  };
  const at::Tensor scores = x.mm(weight("gate.weight").t()).softmax(-1);
  const auto [best, chosen] = scores.topk(spec.router.top_k, -1);
  at::Tensor out = at::zeros_like(x);
  for (std::int64_t e = 0; e < spec.router.experts; ++e) {
    const at::Tensor share = (best * chosen.eq(e)).sum(-1, /*keepdim=*/true);
    out = out + share * network("experts." + std::to_string(e));
  }
  if (spec.shared_intermediate == 0) return out;
  return out + at::sigmoid(x.mm(weight("shared_expert_gate.weight").t())) * network("shared_experts");
}

/// Counts the products, and what it was told about routing.
class CountingOps final : public ForwardingOps {
 public:
  explicit CountingOps(Ops& inner) : ForwardingOps(inner) {}
  at::Tensor linear(const Projection& projection, const at::Tensor& x) override {
    ++products;
    rows += x.size(0);
    return inner().linear(projection, x);
  }
  void routed(const void*, const at::Tensor& experts, std::int64_t count) override {
    chosen = experts;
    experts_told = count;
  }
  std::int64_t products = 0, rows = 0, experts_told = 0;
  at::Tensor chosen;
};

at::Tensor logits_of(std::vector<float> probabilities) { return at::tensor(probabilities).log().unsqueeze(0); }

}  // namespace

TEST_CASE("router: softmax over all experts, the best of them, normalized and scaled when asked", "[model]") {
  RouterSpec spec{.experts = 4, .top_k = 2};
  const at::Tensor logits = logits_of({0.1f, 0.2f, 0.4f, 0.3f});
  Routing routing = route(spec, logits, {});
  CHECK(at::equal(routing.experts, at::tensor({std::int64_t{2}, std::int64_t{3}}).unsqueeze(0)));
  CHECK(at::allclose(routing.weights, at::tensor({0.4f, 0.3f}).unsqueeze(0)));
  spec.normalize = true;
  spec.scaling = 2.0;
  CHECK(at::allclose(route(spec, logits, {}).weights, at::tensor({8.0f / 7, 6.0f / 7}).unsqueeze(0)));
  spec.rounded = true;
  CHECK(route(spec, logits.to(at::kBFloat16), {}).weights.scalar_type() == at::kBFloat16);
  spec.rounded = false;
  CHECK(route(spec, logits.to(at::kBFloat16), {}).weights.scalar_type() == at::kFloat);
}

TEST_CASE("router: softmax over the chosen ones alone", "[model]") {
  const RouterSpec spec{.scores = RouterSpec::Scores::softmax_of_chosen, .experts = 4, .top_k = 2};
  const Routing routing = route(spec, at::tensor({5.0f, 1.0f, 4.0f, 2.0f}).unsqueeze(0), {});
  CHECK(at::equal(routing.experts, at::tensor({std::int64_t{0}, std::int64_t{2}}).unsqueeze(0)));
  CHECK(at::allclose(routing.weights, at::tensor({5.0f, 4.0f}).softmax(-1).unsqueeze(0)));
}

TEST_CASE("router: groups are chosen by their best experts, with a correction that weighs nothing", "[model]") {
  RouterSpec spec{.scores = RouterSpec::Scores::sigmoid, .experts = 4, .top_k = 2, .groups = 2, .group_best = 2};
  const at::Tensor wanted = at::tensor({0.9f, 0.1f, 0.6f, 0.5f}).unsqueeze(0);
  const at::Tensor logits = at::logit(wanted);
  const auto check = [&](const at::Tensor& correction, std::vector<std::int64_t> experts) {
    spec.correction = correction.defined();
    const Routing routing = route(spec, logits, correction);
    const at::Tensor expected = at::tensor(experts, at::kLong).unsqueeze(0);
    CHECK(at::equal(std::get<0>(routing.experts.sort(1)), expected));
    CHECK(at::allclose(routing.weights, wanted.gather(1, routing.experts)));
  };
  check({}, {2, 3});                                    // 0.6 + 0.5 beats 0.9 + 0.1
  check(at::tensor({0.3f, 0.0f, 0.0f, 0.0f}), {0, 1});  // 1.3 beats 1.1
  check(at::tensor({0.0f, 0.0f, -9.0f, 0.0f}), {0, 1});
  spec.group_best = 1;
  check({}, {0, 1});  // 0.9 beats 0.6
  spec.top_groups = 2;
  check({}, {0, 2});
}

TEST_CASE("experts: output and gradients are those of all experts on all tokens", "[model]") {
  ExpertsSpec spec = small_experts(5, GENERATE(1, 2, 5));
  if (GENERATE(false, true)) {
    spec.shared_intermediate = shared_width;
    spec.shared_gate = true;
  }
  const test::Tensors tensors = weights_of(spec);
  const auto experts = load(spec, tensors);
  AtenOps plain;
  FusedOps fused;
  Ops& ops = GENERATE(false, true) ? static_cast<Ops&>(fused) : plain;
  const at::AutoGradMode record(true);
  const at::Tensor x = test::random_tensor({tokens, hidden}, 7).requires_grad_();
  const at::Tensor same = test::random_tensor({tokens, hidden}, 7).requires_grad_();
  const at::Tensor gradient = test::random_tensor({tokens, hidden}, 8);
  const at::Tensor out = experts->forward(x, ops), expected = textbook(spec, tensors, same);
  CHECK((out - expected).abs().max().item<float>() < 1e-5f);
  out.backward(gradient);
  expected.backward(gradient);
  CHECK((x.grad() - same.grad()).abs().max().item<float>() < 1e-4f);
}

TEST_CASE("experts: those read ahead for a device are the same", "[model]") {
  const ExpertsSpec spec = small_experts(3, 1);
  const test::TinyFolder folder(test::tiny_config(), weights_of(spec));
  const auto from = [&](const WeightSource& weights) {
    return Experts::load(spec, {}, "layer", hidden, weights, at::kFloat);
  };
  const auto host = checkpoint_weights(folder.open());
  const auto there = on_device(host, at::Device(at::kCPU, 0));  // stands for a device
  there->will_load("layer.", [&](const WeightSource& weights) { from(weights); });
  const auto wanted = from(*host), got = from(*there);
  for (std::size_t i = 0; i < wanted->projections().size(); ++i)
    CHECK(at::equal(got->projections()[i]->weight, wanted->projections()[i]->weight));
}

TEST_CASE("experts: grouped products are those of each expert", "[model]") {
  ExpertsSpec spec = small_experts(5, GENERATE(1, 2));
  spec.intermediate = 8;
  const std::int64_t wide = 16;
  const test::Tensors tensors = weights_of(spec, wide);
  const test::TinyFolder folder(test::tiny_config(), tensors);
  const auto dtype = GENERATE(at::kBFloat16, at::kFloat);  // fp32 is not grouped
  const auto experts = Experts::load(spec, {}, "layer", wide, *checkpoint_weights(folder.open()), dtype);
  const at::AutoGradMode record(true);
  const auto run = [&](Ops& ops) {
    const at::Tensor x = test::random_tensor({tokens, wide}, 7).to(dtype).requires_grad_();
    const at::Tensor out = experts->forward(x, ops);
    out.backward(test::random_tensor({tokens, wide}, 8).to(dtype));
    return std::pair(out.detach(), x.grad());
  };
  AtenOps plain;
  CountingOps counting(plain);
  autoround::test::GroupingOps grouping;
  const auto [wanted, wanted_gradient] = run(counting);
  const auto [out, gradient] = run(grouping);
  CHECK(counting.products > 2);
  CHECK(grouping.products == (dtype == at::kBFloat16 ? 2 : 0));
  CHECK(at::equal(out, wanted));
  CHECK(at::allclose(gradient, wanted_gradient, 0.02, 0.02));
}

TEST_CASE("experts: those without tokens cost nothing", "[model]") {
  ExpertsSpec spec = small_experts(40, 2);
  const auto experts = load(spec, weights_of(spec));
  CHECK(experts->projections().size() == 80);
  AtenOps plain;
  CountingOps ops(plain);
  experts->forward(test::random_tensor({3, hidden}, 7), ops);
  CHECK(ops.experts_told == 40);
  CHECK(ops.chosen.sizes() == at::IntArrayRef({3, 2}));
  const std::int64_t reached = std::get<0>(at::_unique(ops.chosen)).numel();
  CHECK(ops.products == 2 * reached);
  CHECK(ops.rows == 2 * 3 * 2);
}

TEST_CASE("experts: names of parts are those of the checkpoint, roles are told", "[model]") {
  ExpertsSpec spec = small_experts(2, 1);
  spec.shared_intermediate = shared_width;
  const auto experts = load(spec, weights_of(spec));
  const auto projections = experts->projections();
  REQUIRE(projections.size() == 6);
  CHECK(projections[2]->parts[0].name == "layer.mlp.experts.1.gate_proj");
  CHECK(projections[2]->parts[1].name == "layer.mlp.experts.1.up_proj");
  CHECK(projections[2]->expert_role == "gate_up");
  CHECK(projections[3]->parts[0].name == "layer.mlp.experts.1.down_proj");
  CHECK(projections[3]->expert_role == "down");
  CHECK(projections[4]->parts[0].name == "layer.mlp.shared_experts.gate_proj");
  CHECK(projections[4]->expert_role.empty());
}

TEST_CASE("experts: one tensor for all of them is taken apart, gate and up in turn", "[model]") {
  ExpertsSpec spec = small_experts(3, 1);
  spec.stacked = true;
  spec.router.bias = true;
  test::Tensors tensors;
  const auto add = [&](const std::string& name, at::IntArrayRef shape) {
    return tensors["layer.mlp." + name] = test::random_tensor(shape, tensors.size());
  };
  add("gate.weight", {3, hidden}).zero_();
  add("gate.bias", {3}).copy_(at::tensor({0.0f, 9.0f, 0.0f}));  // all tokens go to the second
  const at::Tensor gate_up = add("experts.gate_up_proj", {3, hidden, 2 * width})[1];
  const at::Tensor gate_up_bias = add("experts.gate_up_proj_bias", {3, 2 * width})[1];
  const at::Tensor down = add("experts.down_proj", {3, width, hidden})[1];
  const at::Tensor down_bias = add("experts.down_proj_bias", {3, hidden})[1];
  const test::TinyFolder folder(test::tiny_config(), tensors);
  const auto experts = Experts::load(spec, {.activation = Activation::clamped_swiglu}, "layer", hidden,
                                     *checkpoint_weights(folder.open()), at::kFloat);
  AtenOps ops;
  const at::Tensor x = test::random_tensor({tokens, hidden}, 7).mul(4.0);  // far enough for the clamps
  const at::Tensor both = x.mm(gate_up) + gate_up_bias;
  const at::Tensor gate = both.slice(1, 0, {}, 2).clamp_max(7.0), up = both.slice(1, 1, {}, 2).clamp(-7.0, 7.0);
  const at::Tensor expected = ((up + 1.0) * gate * at::sigmoid(1.702 * gate)).mm(down) + down_bias;
  const at::Tensor weight = route(spec.router, at::tensor({0.0f, 9.0f, 0.0f}).unsqueeze(0), {}).weights;
  CHECK(at::allclose(experts->forward(x, ops), expected * weight, 1e-4, 1e-4));
  CHECK(experts->projections().at(2)->parts.at(1).name == "layer.mlp.experts.1.up_proj");
}

TEST_CASE("experts: a tensor without elements, or of more experts than there can be, is not taken apart", "[model]") {
  const std::string name = "layer.mlp.experts.down_proj";
  const std::int64_t many = std::int64_t{1} << 40;
  using Shape = std::vector<std::int64_t>;
  for (const Shape& shape : {Shape{many, 0, 1}, Shape{many, 1, 0}, Shape{0, 1, 1}, Shape{(1 << 16) + 1, 1, 1}})
    CHECK(expert_parts({name, checkpoint::DType::bf16, shape}).empty());
  CHECK(expert_parts({name, checkpoint::DType::bf16, {1 << 16, 1, 1}}).size() == 1 << 16);
  const test::TinyFolder folder(test::tiny_config(), {{name, at::empty({3, 0, 1})}});
  CHECK_FALSE(find_expert_part(*folder.open(), "layer.mlp.experts.0.down_proj.weight"));
}

TEST_CASE("experts: parts of a tensor that holds all of them have names, shapes and values of their own", "[model]") {
  const std::string all = "layer.mlp.experts.";
  const at::Tensor gate_up = test::random_tensor({2, hidden, 2 * width}, 1).to(at::kBFloat16);
  const at::Tensor bias = test::random_tensor({2, hidden}, 2);
  const test::Tensors tensors{{all + "gate_up_proj", gate_up}, {all + "down_proj_bias", bias}};
  const test::TinyFolder folder(test::tiny_config(), tensors);
  const auto checkpoint = folder.open();

  std::vector<std::string> names;
  for (const ExpertPart& part : expert_parts(*checkpoint->find(all + "gate_up_proj"))) {
    names.push_back(part.name);
    CHECK(part.shape == std::vector<std::int64_t>{width, hidden});
    CHECK(find_expert_part(*checkpoint, part.name)->name == part.name);
    const at::Tensor columns =
        gate_up[part.expert].slice(1, part.name.find("up_proj") == std::string::npos ? 0 : 1, {}, 2);
    CHECK(at::equal(read_expert_part(*checkpoint, part), columns.t()));
  }
  CHECK(names == std::vector<std::string>{all + "0.gate_proj.weight", all + "1.gate_proj.weight",
                                          all + "0.up_proj.weight", all + "1.up_proj.weight"});
  const auto weights = checkpoint_weights(checkpoint);
  CHECK(weights->has(all + "1.down_proj.bias"));
  CHECK(at::equal(weights->load(all + "1.down_proj.bias", at::kFloat), bias[1]));
  for (const char* absent : {"2.up_proj.weight", "0.down_proj.weight", "0.gate_proj.bias", "x.up_proj.weight", "0"})
    CHECK_FALSE(weights->has(all + absent));
}

}  // namespace autoround::model
