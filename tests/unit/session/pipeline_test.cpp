#include "session/pipeline.hpp"

#include <ATen/ATen.h>

#include "support/catch.hpp"
#include "toy.hpp"

using namespace autoround;
using modifier::HookPoint;

TEST_CASE("pipeline: one full-precision pass a layer, whose output is the next layer's input", "[session]") {
  const test::ToyModel toy;
  const model::CausalLm lm = toy.model->causal_lm(at::kFloat);
  modifier::HookRegistry hooks;
  const CancelToken cancel;
  std::vector<at::Tensor> inputs, outputs;
  std::vector<modifier::HookRegistry::Handle> handles;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string name = toy.model->spec().layer_name(i);
    handles.push_back(
        hooks.add(HookPoint::pre_forward, name, [&](const std::string&, const at::Tensor& x) { inputs.push_back(x); }));
    handles.push_back(hooks.add(HookPoint::post_forward, name,
                                [&](const std::string&, const at::Tensor& y) { outputs.push_back(y); }));
  }
  const at::Tensor ids = at::arange(24, at::kLong).view({3, 8});
  session::SequentialPipeline pipeline(lm, ids, 2, 1, {}, hooks, cancel);
  CHECK(pipeline.advance() == 0u);
  CHECK(pipeline.subgraph(toy.model->modules()).layers.at(0).layer->name() == "model.layers.0");
  CHECK(pipeline.advance() == 1u);
  CHECK_FALSE(pipeline.advance().has_value());
  REQUIRE(inputs.size() == 2);
  REQUIRE(outputs.size() == 2);
  CHECK(inputs[1].is_same(outputs[0]));
  CHECK(inputs[0].sizes() == at::IntArrayRef({24, 64}));
}

TEST_CASE("pipeline: blocks of several layers, the last of what is left", "[session]") {
  toy_shape three = toy_default();
  three.layers = 3;
  const test::ToyModel toy(three);
  const model::CausalLm lm = toy.model->causal_lm(at::kFloat);
  const modifier::HookRegistry hooks;
  const CancelToken cancel;
  session::SequentialPipeline pipeline(lm, at::arange(24, at::kLong).view({3, 8}), 2, 2, {}, hooks, cancel);
  const auto layers = [&] {
    std::vector<std::string> names;
    for (const auto& step : pipeline.subgraph(toy.model->modules()).layers) {
      names.push_back(step.layer->name());
      CHECK(step.rope == lm.rope(step.layer->index(), 8));
    }
    return names;
  };
  CHECK(pipeline.advance() == 0u);
  CHECK(layers() == std::vector<std::string>{"model.layers.0", "model.layers.1"});
  CHECK(pipeline.position() == 2);
  const auto modules = pipeline.subgraph(toy.model->modules()).modules;
  for (const char* name : {"model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"})
    CHECK(std::find(modules.begin(), modules.end(), name) != modules.end());
  CHECK(pipeline.advance() == 2u);
  CHECK(layers() == std::vector<std::string>{"model.layers.2"});
  CHECK_FALSE(pipeline.advance().has_value());
}

TEST_CASE("pipeline: without ids layers are loaded and nothing runs", "[session]") {
  const test::ToyModel toy;
  const model::CausalLm lm = toy.model->causal_lm(at::kFloat);
  modifier::HookRegistry hooks;
  const CancelToken cancel;
  int fired = 0;
  const auto handle =
      hooks.add(HookPoint::pre_forward, "model.layers.0", [&](const std::string&, const at::Tensor&) { ++fired; });
  session::SequentialPipeline pipeline(lm, {}, 2, 1, {}, hooks, cancel);
  CHECK(pipeline.advance() == 0u);
  const modifier::Subgraph subgraph = pipeline.subgraph(toy.model->modules());
  CHECK(subgraph.layers.size() == 1);
  CHECK(std::find(subgraph.modules.begin(), subgraph.modules.end(), "model.layers.0.mlp.up_proj") !=
        subgraph.modules.end());
  CHECK(fired == 0);
}
