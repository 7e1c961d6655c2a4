#include <ATen/ATen.h>

#include "expect_error.hpp"
#include "tiny_model.hpp"

namespace autoround::model {
namespace {

using autoround::test::expect_error;

Json biased_config() {
  Json config = test::tiny_config();
  config["attention_bias"] = true;
  config["mlp_bias"] = true;
  return config;
}

TEST_CASE("decoder layer: projections hold the rows of their parts", "[model]") {
  const DecoderSpec spec = test::parse_spec(biased_config());
  const test::Tensors tensors = test::random_tensors(spec);
  const test::TinyFolder folder(biased_config(), tensors);
  const auto layer = test::open_model(folder).load_layer(1);
  CHECK(layer->name() == "model.layers.1");
  CHECK(layer->index() == 1);

  const std::vector<std::vector<std::string>> expected{{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                                                       {"self_attn.o_proj"},
                                                       {"mlp.gate_proj", "mlp.up_proj"},
                                                       {"mlp.down_proj"}};
  const auto projections = layer->projections();
  REQUIRE(projections.size() == expected.size());
  for (std::size_t p = 0; p < expected.size(); ++p) {
    REQUIRE(projections[p]->parts.size() == expected[p].size());
    for (std::size_t i = 0; i < expected[p].size(); ++i) {
      const auto& part = projections[p]->parts[i];
      CHECK(part.name == "model.layers.1." + expected[p][i]);
      CHECK(at::equal(projections[p]->weight.narrow(0, part.row, part.rows), tensors.at(part.name + ".weight")));
      CHECK(at::equal(projections[p]->bias.narrow(0, part.row, part.rows), tensors.at(part.name + ".bias")));
    }
  }
}

TEST_CASE("decoder layer: forward is the textbook composition of its linears", "[model]") {
  const DecoderSpec spec = test::parse_spec(biased_config());
  const test::Tensors tensors = test::random_tensors(spec);
  const test::TinyFolder folder(biased_config(), tensors);
  const CausalLm model = test::open_model(folder);
  const auto layer = model.load_layer(0);
  AtenOps ops;
  const at::Tensor x = test::random_tensor({2 * 5, 12}, 20);
  const RopeTable* rope = model.rope(0, 5);

  const auto weight = [&](const std::string& name) { return tensors.at("model.layers.0." + name); };
  const auto linear = [&](const std::string& name, const at::Tensor& in) {
    return at::linear(in, weight(name + ".weight"), weight(name + ".bias"));
  };
  const at::Tensor normed = ops.rms_norm(x, weight("input_layernorm.weight"), 1e-5);
  const at::Tensor qkv = at::cat(
      {linear("self_attn.q_proj", normed), linear("self_attn.k_proj", normed), linear("self_attn.v_proj", normed)}, -1);
  const at::Tensor heads = ops.attention({.qkv = qkv, .batch = 2, .spec = &spec.layers[0].attention, .rope = rope});
  const at::Tensor h = x + linear("self_attn.o_proj", heads);
  const at::Tensor mlp_in = ops.rms_norm(h, weight("post_attention_layernorm.weight"), 1e-5);
  const at::Tensor expected =
      h + linear("mlp.down_proj", at::silu(linear("mlp.gate_proj", mlp_in)) * linear("mlp.up_proj", mlp_in));

  const at::Tensor out = layer->forward(x, 2, rope, ops);
  CHECK((out - expected).abs().max().item<float>() < 1e-5f);
  CHECK(at::allclose(layer->input_norm(x, ops), normed));
}

TEST_CASE("decoder layer: a missing or misshapen tensor is named", "[model]") {
  const DecoderSpec spec = test::parse_spec(test::tiny_config());
  test::Tensors tensors = test::random_tensors(spec);
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  tensors[name] = at::zeros({12, 10});
  {
    const test::TinyFolder folder(test::tiny_config(), tensors);
    expect_error(Code::parse, {name, "[12, 10]", "[10, 12]"}, [&] { test::open_model(folder).load_layer(1); });
  }
  tensors.erase(name);
  const test::TinyFolder folder(test::tiny_config(), tensors);
  expect_error(Code::not_found, {name}, [&] { test::open_model(folder).load_layer(1); });
}

}  // namespace
}  // namespace autoround::model
