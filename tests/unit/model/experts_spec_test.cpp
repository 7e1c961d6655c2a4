// Families with experts: what config.json says about them, and the modules that follow.
#include <ATen/ATen.h>

#include "expect_error.hpp"
#include "tiny_model.hpp"

namespace autoround::model {
namespace {

using autoround::test::expect_error;
using recipe::ModuleInfo;
using test::parse_spec;

Json config_of(const char* model_type, Json more = Json::object()) {
  Json config = test::tiny_config();
  config["model_type"] = model_type;
  config["hidden_size"] = 16;
  config["num_attention_heads"] = config["num_key_value_heads"] = 4;
  config["num_hidden_layers"] = 4;
  config["num_experts_per_tok"] = 2;
  config["moe_intermediate_size"] = 6;
  config.update(more);
  return config;
}

std::vector<bool> with_experts(const DecoderSpec& spec) {
  std::vector<bool> layers;
  for (const LayerSpec& layer : spec.layers) layers.push_back(layer.experts.has_value());
  return layers;
}

}  // namespace

TEST_CASE("spec: the number of experts is found under each of its names", "[model]") {
  for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts"}) {
    const DecoderSpec spec = parse_spec(config_of("qwen3_moe", {{key, 12}}));
    CHECK(spec.layers[0].experts->router.experts == 12);
    CHECK(spec.layers[0].experts->router.top_k == 2);
    CHECK(spec.layers[0].experts->intermediate == 6);
  }
}

TEST_CASE("spec: layers with experts are those that the family's keys name", "[model]") {
  using Layers = std::vector<bool>;
  CHECK(with_experts(parse_spec(config_of("qwen3_moe"))) == Layers{true, true, true, true});
  CHECK(with_experts(parse_spec(config_of("qwen3_moe", {{"decoder_sparse_step", 2}}))) ==
        Layers{false, true, false, true});
  CHECK(with_experts(parse_spec(config_of("qwen2_moe", {{"mlp_only_layers", {0, 3}}}))) ==
        Layers{false, true, true, false});
  CHECK(with_experts(parse_spec(config_of("glm4_moe"))) == Layers{false, true, true, true});
  CHECK(with_experts(parse_spec(config_of("deepseek_v3"))) == Layers{false, false, false, true});
  CHECK(with_experts(parse_spec(config_of("deepseek_v2", {{"first_k_dense_replace", 9}}))) ==
        Layers{false, false, false, false});
}

TEST_CASE("spec: latent attention has heads of the two parts, and a scale that follows YaRN", "[model]") {
  const Json yarn{
      {"rope_type", "yarn"}, {"factor", 40.0}, {"mscale_all_dim", 1.0}, {"original_max_position_embeddings", 32}};
  const AttentionSpec attention =
      parse_spec(config_of("deepseek_v3", {{"rope_parameters", yarn}, {"q_lora_rank", nullptr}})).layers[0].attention;
  REQUIRE(attention.latent.has_value());
  CHECK(attention.latent->q_rank == 0);
  CHECK(attention.latent->kv_rank == 512);
  CHECK(attention.head_dim == 128 + 64);
  CHECK(attention.rope->rotary_dim == 64);
  const double mscale = 0.1 * std::log(40.0) + 1.0;
  CHECK(attention.scale == Approx(mscale * mscale / std::sqrt(192.0)));
}

TEST_CASE("spec: experts that cannot be are refused with key, value and wish", "[model]") {
  struct Case {
    const char* model_type;
    Json keys;
    Code code;
    std::vector<std::string> words;
  };
  const auto found = GENERATE(values<Case>({
      {"mixtral", {{"num_local_experts", 0}}, Code::parse, {"num_local_experts", "0"}},
      {"mixtral", {{"num_local_experts", 1}}, Code::parse, {"num_experts_per_tok", "2"}},
      {"qwen3_moe", {{"mlp_only_layers", 3}}, Code::parse, {"mlp_only_layers", "array"}},
      {"qwen3_moe", {{"decoder_sparse_step", 0}}, Code::parse, {"decoder_sparse_step", "0"}},
      {"glm4_moe", {{"n_group", 3}}, Code::parse, {"n_group", "3", "128"}},
      {"deepseek_v3", {{"n_routed_experts", 8}, {"topk_group", 1}}, Code::parse, {"n_group", "8", "2"}},
      {"deepseek_v3",
       {{"n_routed_experts", 16}, {"topk_group", 1}, {"num_experts_per_tok", 3}},
       Code::parse,
       {"num_experts_per_tok", "3", "topk_group", "2"}},
      {"deepseek_v3", {{"num_key_value_heads", 2}}, Code::parse, {"num_key_value_heads", "2", "4"}},
      {"deepseek_v3", {{"scoring_func", "softmax"}}, Code::unsupported, {"scoring_func", "softmax", "sigmoid"}},
      {"deepseek_v2", {{"topk_method", "noaux_tc"}}, Code::unsupported, {"noaux_tc", "group_limited_greedy"}},
      {"deepseek_v2", {{"norm_topk_prob", true}}, Code::unsupported, {"norm_topk_prob", "true"}},
      {"gpt_oss", Json::object(), Code::unsupported, {"rope_parameters"}},
      {"gpt_oss", {{"rope_theta", 1e4}, {"swiglu_limit", 5.0}}, Code::unsupported, {"rope_parameters"}},
      {"gpt_oss",
       {{"rope_parameters", Json::object()}, {"swiglu_limit", 5.0}},
       Code::unsupported,
       {"swiglu_limit", "5", "7"}},
  }));
  INFO(found.model_type << " with " << found.keys.dump());
  expect_error(found.code, found.words, [&] { parse_spec(config_of(found.model_type, found.keys)); });
}

TEST_CASE("modules: experts are linears, routers and gates are not", "[model]") {
  const Json config =
      config_of("qwen2_moe", {{"num_experts", 2}, {"num_hidden_layers", 1}, {"shared_expert_intermediate_size", 10}});
  const DecoderSpec spec = parse_spec(config);
  test::Tensors tensors = test::random_tensors(spec);
  const std::string block = "model.layers.0.mlp.";
  for (const char* name : {"gate_proj", "up_proj", "down_proj"})
    tensors[block + "shared_expert." + name + ".weight"] = tensors[block + name + ".weight"];
  for (const char* expert : {"experts.0.", "experts.1."}) {
    tensors[block + expert + "gate_proj.weight"] = tensors[block + expert + "up_proj.weight"] = at::zeros({6, 16});
    tensors[block + expert + "down_proj.weight"] = at::zeros({16, 6});
  }
  tensors[block + "gate.weight"] = at::zeros({2, 16});
  tensors[block + "shared_expert_gate.weight"] = at::zeros({1, 16});

  const test::TinyFolder folder(config, tensors);
  const std::vector<ModuleInfo> modules = list_modules(spec, *folder.open());
  const std::vector<std::pair<std::string, std::string>> expected{
      {"mlp", "Qwen2MoeSparseMoeBlock"},
      {"mlp.gate", "Qwen2MoeTopKRouter"},
      {"mlp.experts", "Qwen2MoeExperts"},
      {"mlp.experts.0.gate_proj", "Linear"},
      {"mlp.experts.0.up_proj", "Linear"},
      {"mlp.experts.0.down_proj", "Linear"},
      {"mlp.experts.1.gate_proj", "Linear"},
      {"mlp.experts.1.up_proj", "Linear"},
      {"mlp.experts.1.down_proj", "Linear"},
      {"mlp.experts.act_fn", "SiLUActivation"},
      {"mlp.shared_expert", "Qwen2MoeMLP"},
      {"mlp.shared_expert.gate_proj", "Linear"},
      {"mlp.shared_expert.up_proj", "Linear"},
      {"mlp.shared_expert.down_proj", "Linear"},
      {"mlp.shared_expert.act_fn", "SiLUActivation"},
      {"mlp.shared_expert_gate", "SharedExpertGate"},
  };
  const auto first = std::find_if(modules.begin(), modules.end(),
                                  [](const ModuleInfo& module) { return module.name == "model.layers.0.mlp"; });
  REQUIRE(modules.end() - first > static_cast<std::ptrdiff_t>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const ModuleInfo& module = first[static_cast<std::ptrdiff_t>(i)];
    CHECK(module.name == "model.layers.0." + expected[i].first);
    CHECK(module.class_name == expected[i].second);
    const bool expert = module.name.find(".experts.") != std::string::npos && module.class_name == "Linear";
    CHECK((module.fused_with == recipe::fused_experts) == expert);
  }

  tensors.erase(block + "experts.1.down_proj.weight");
  const test::TinyFolder incomplete(config, tensors);
  expect_error(Code::parse, {"mlp.experts.1.down_proj.weight", "[16, 6]"},
               [&] { list_modules(spec, *incomplete.open()); });
}

TEST_CASE("modules: experts that are one tensor are linears that name it", "[model]") {
  Json config = config_of("gpt_oss", {{"num_local_experts", 2},
                                      {"num_hidden_layers", 1},
                                      {"intermediate_size", 6},
                                      {"head_dim", 4},
                                      {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 1e4}}}});
  const DecoderSpec spec = parse_spec(config);
  test::Tensors tensors = test::random_tensors(spec);
  const std::string block = "model.layers.0.mlp.", all = block + "experts";
  tensors["model.layers.0.self_attn.sinks"] = at::zeros({4});
  tensors[block + "router.weight"] = at::zeros({2, 16});
  tensors[block + "router.bias"] = at::zeros({2});
  tensors[all + ".gate_up_proj_bias"] = at::zeros({2, 12});
  tensors[all + ".down_proj_bias"] = at::zeros({2, 16});
  test::Tensors plain = tensors;
  plain[all + ".gate_up_proj"] = at::zeros({2, 16, 12});
  plain[all + ".down_proj"] = at::zeros({2, 6, 16});
  const auto expert_of = [&](const test::Tensors& stored) {
    const test::TinyFolder folder(config, stored);
    const std::vector<ModuleInfo> modules = list_modules(spec, *folder.open());
    return *std::find_if(modules.begin(), modules.end(),
                         [&](const ModuleInfo& module) { return module.name == all + ".1.down_proj"; });
  };
  const ModuleInfo expert = expert_of(plain);
  CHECK(expert.class_name == "Linear");
  CHECK(expert.shape == std::vector<std::int64_t>{16, 6});
  CHECK(expert.weight == all + ".1.down_proj.weight");
  CHECK(expert.stack == all);
  CHECK(expert.fused_with == recipe::fused_experts);
  plain[all + ".down_proj"] = at::zeros({2, 6, 15});
  expect_error(Code::parse, {"experts.down_proj", "[2, 6, 16]", "[2, 6, 15]"}, [&] { expert_of(plain); });

  // What somebody quantized has other tensors for them, and the same biases.
  config["quantization_config"] = {{"quant_method", "mxfp4"}};
  tensors[all + ".down_proj_blocks"] = at::zeros({2, 16, 1, 16}, at::kByte);
  const ModuleInfo quantized = expert_of(tensors);
  CHECK(quantized.weight.empty());
  CHECK(quantized.stack.empty());
}

}  // namespace autoround::model
