#include <ATen/ATen.h>

#include "expect_error.hpp"
#include "tiny_model.hpp"

namespace autoround::model {
namespace {

using autoround::test::expect_error;
using recipe::ModuleInfo;
using test::TinyFolder;

std::vector<ModuleInfo> modules_of(const Json& config, const test::Tensors& tensors) {
  const TinyFolder folder(config, tensors);
  const auto checkpoint = folder.open();
  return list_modules(read_spec(*checkpoint), *checkpoint);
}

const ModuleInfo& find(const std::vector<ModuleInfo>& modules, const std::string& name) {
  for (const ModuleInfo& module : modules)
    if (module.name == name) return module;
  FAIL("no module " << name);
  return modules.front();
}

TEST_CASE("modules: names and classes are those of named_modules", "[model]") {
  Json config = test::tiny_config();
  config["model_type"] = "qwen3";
  config["num_hidden_layers"] = 1;
  const auto modules = modules_of(config, test::random_tensors(test::parse_spec(config)));
  const std::vector<std::pair<std::string, std::string>> expected{
      {"", "Qwen3ForCausalLM"},
      {"model", "Qwen3Model"},
      {"model.embed_tokens", "Embedding"},
      {"model.layers", "ModuleList"},
      {"model.layers.0", "Qwen3DecoderLayer"},
      {"model.layers.0.self_attn", "Qwen3Attention"},
      {"model.layers.0.self_attn.q_proj", "Linear"},
      {"model.layers.0.self_attn.k_proj", "Linear"},
      {"model.layers.0.self_attn.v_proj", "Linear"},
      {"model.layers.0.self_attn.o_proj", "Linear"},
      {"model.layers.0.self_attn.q_norm", "Qwen3RMSNorm"},
      {"model.layers.0.self_attn.k_norm", "Qwen3RMSNorm"},
      {"model.layers.0.mlp", "Qwen3MLP"},
      {"model.layers.0.mlp.gate_proj", "Linear"},
      {"model.layers.0.mlp.up_proj", "Linear"},
      {"model.layers.0.mlp.down_proj", "Linear"},
      {"model.layers.0.mlp.act_fn", "SiLUActivation"},
      {"model.layers.0.input_layernorm", "Qwen3RMSNorm"},
      {"model.layers.0.post_attention_layernorm", "Qwen3RMSNorm"},
      {"model.norm", "Qwen3RMSNorm"},
      {"model.rotary_emb", "Qwen3RotaryEmbedding"},
      {"lm_head", "Linear"},
  };
  REQUIRE(modules.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(modules[i].name == expected[i].first);
    CHECK(modules[i].class_name == expected[i].second);
  }
}

TEST_CASE("modules: shapes, weights, blocks and fused groups are filled", "[model]") {
  const Json config = test::tiny_config();
  const auto modules = modules_of(config, test::random_tensors(test::parse_spec(config)));
  const ModuleInfo& key = find(modules, "model.layers.1.self_attn.k_proj");
  CHECK(key.shape == std::vector<std::int64_t>{4, 12});
  CHECK(key.weight == "model.layers.1.self_attn.k_proj.weight");
  CHECK(key.block == 1);
  CHECK(key.fused_with == "qkv");
  CHECK(find(modules, "model.layers.0.mlp.up_proj").fused_with == "gate_up");
  CHECK(find(modules, "model.layers.0.mlp.down_proj").fused_with.empty());
  CHECK(find(modules, "model.layers.0.mlp").weight.empty());
  CHECK(find(modules, "model.norm").block == -1);
  CHECK(find(modules, "lm_head").weight == "lm_head.weight");
}

TEST_CASE("modules: a tensor that config.json implies must be there in its shape", "[model]") {
  Json config = test::tiny_config();
  config["attention_bias"] = true;
  const test::Tensors complete = test::random_tensors(test::parse_spec(config));
  const std::string name = GENERATE("model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
                                    "model.layers.1.self_attn.v_proj.bias", "model.layers.1.input_layernorm.weight",
                                    "model.norm.weight", "lm_head.weight");
  test::Tensors tensors = complete;
  tensors.erase(name);
  expect_error(Code::parse, {name}, [&] { modules_of(config, tensors); });
  tensors[name] = at::zeros({3, 2});
  expect_error(Code::parse, {name, "[3, 2]"}, [&] { modules_of(config, tensors); });
}

TEST_CASE("modules: a tied head is the embedding, and a stored copy must equal it", "[model]") {
  Json config = test::tiny_config();
  config["tie_word_embeddings"] = true;
  test::Tensors tensors = test::random_tensors(test::parse_spec(config));
  CHECK(find(modules_of(config, tensors), "lm_head").weight == "model.embed_tokens.weight");
  tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone();
  CHECK(find(modules_of(config, tensors), "lm_head").weight == "model.embed_tokens.weight");
  tensors["lm_head.weight"][16][11] += 1.0;
  expect_error(Code::parse, {"lm_head.weight", "tie_word_embeddings"}, [&] { modules_of(config, tensors); });

  config["tie_word_embeddings"] = false;
  tensors.erase("lm_head.weight");
  expect_error(Code::parse, {"lm_head.weight", "tie_word_embeddings"}, [&] { modules_of(config, tensors); });
}

TEST_CASE("modules: linears of a quantized checkpoint are listed without a weight", "[model]") {
  Json config = test::tiny_config();
  config["quantization_config"] = {{"quant_method", "compressed-tensors"}};
  test::Tensors tensors = test::random_tensors(test::parse_spec(config));
  const std::string name = "model.layers.0.mlp.down_proj";
  tensors.erase(name + ".weight");
  tensors[name + ".weight_packed"] = at::zeros({12, 2}, at::kInt);
  const auto modules = modules_of(config, tensors);
  CHECK(find(modules, name).weight.empty());
  CHECK(find(modules, name).shape == std::vector<std::int64_t>{12, 10});
  CHECK(find(modules, "lm_head").weight == "lm_head.weight");
}

}  // namespace
}  // namespace autoround::model
