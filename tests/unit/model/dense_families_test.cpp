#include <cmath>

#include "expect_error.hpp"
#include "tiny_model.hpp"

namespace autoround::model {
namespace {

using autoround::test::expect_error;
using test::parse_spec;

Json config_of(const char* model_type) {
  Json config = test::tiny_config();
  config["model_type"] = model_type;
  for (const char* key : {"rms_norm_eps", "hidden_act", "tie_word_embeddings"}) config.erase(key);
  return config;
}

TEST_CASE("dense families: gemma's norms multiply by 1 + weight, its embeddings are scaled in the compute type",
          "[model]") {
  Json config = config_of("gemma");
  const DecoderSpec spec = parse_spec(config);
  CHECK(spec.norm.kind == NormKind::rms);
  CHECK((spec.norm.wide && spec.norm.unit_offset));
  CHECK(spec.embedding_multiplier == std::sqrt(12.0));
  CHECK(spec.embedding_multiplier_typed);
  CHECK(spec.tie_word_embeddings);
  CHECK(spec.layers[0].attention.head_dim == 256);
  CHECK(spec.layers[0].mlp.activation == Activation::gelu_tanh);
  CHECK(spec.names.attention_output_norm.empty());
  config["hidden_act"] = "gelu";
  CHECK(parse_spec(config).layers[0].mlp.activation == Activation::gelu);
}

TEST_CASE("dense families: gemma2 has four norms, limits, and windows on every other layer", "[model]") {
  Json config = config_of("gemma2");
  config["query_pre_attn_scalar"] = 64;
  DecoderSpec spec = parse_spec(config);
  CHECK(spec.names.attention_output_norm == "post_attention_layernorm");
  CHECK(spec.names.mlp_input_norm == "pre_feedforward_layernorm");
  CHECK(spec.names.mlp_output_norm == "post_feedforward_layernorm");
  CHECK(spec.layers[0].attention.scale == 0.125);
  CHECK(spec.layers[0].attention.softcap == 50.0);
  CHECK(spec.logits_softcap == 30.0);
  CHECK(spec.layers[0].attention.window == 4096);
  CHECK(spec.layers[1].attention.window == 0);
  config["attn_logit_softcapping"] = config["final_logit_softcapping"] = nullptr;
  config["layer_types"] = {"full_attention", "sliding_attention"};
  config["sliding_window"] = 5;
  spec = parse_spec(config);
  CHECK(spec.layers[0].attention.softcap == 0.0);
  CHECK(spec.logits_softcap == 0.0);
  CHECK(spec.layers[0].attention.window == 0);
  CHECK(spec.layers[1].attention.window == 5);
}

TEST_CASE("dense families: gemma3 has two ropes, and sizes that its multimodal checkpoints leave out", "[model]") {
  const Json text{{"model_type", "gemma3_text"}, {"hidden_size", 2560},
                  {"intermediate_size", 10240},  {"num_hidden_layers", 34},
                  {"sliding_window", 1024},      {"rope_scaling", {{"rope_type", "linear"}, {"factor", 8.0}}}};
  const DecoderSpec spec = parse_spec({{"model_type", "gemma3"}, {"text_config", text}});
  CHECK(spec.vocab_size == 262208);
  REQUIRE(spec.layers.size() == 34);
  const AttentionSpec &local = spec.layers[4].attention, &global = spec.layers[5].attention;
  CHECK(local.heads == 8);
  CHECK(local.kv_heads == 4);
  CHECK(local.head_dim == 256);
  CHECK(local.qk_norm == QkNorm::head);
  CHECK(local.window == 1024);
  CHECK(local.rope->type == RopeType::standard);
  CHECK(local.rope->theta == 10000.0);
  CHECK(global.window == 0);
  CHECK(global.rope->type == RopeType::linear);
  CHECK(global.rope->factor == 8.0);
  CHECK(global.rope->theta == 1e6);
  CHECK(global.softcap == 0.0);
}

TEST_CASE("dense families: olmo2 norms what its branches give", "[model]") {
  const DecoderSpec spec = parse_spec(config_of("olmo2"));
  CHECK(spec.names.attention_input_norm.empty());
  CHECK(spec.names.mlp_input_norm.empty());
  CHECK(spec.names.attention_output_norm == "post_attention_layernorm");
  CHECK(spec.names.mlp_output_norm == "post_feedforward_layernorm");
  CHECK(spec.layers[0].attention.qk_norm == QkNorm::whole);
  CHECK((spec.norm.wide && !spec.norm.unit_offset));
  CHECK(spec.norm_eps == 1e-5);
}

TEST_CASE("dense families: starcoder2 has layer norms, a plain MLP and biases by one switch", "[model]") {
  Json config = config_of("starcoder2");
  config["norm_epsilon"] = 1e-3;
  config["sliding_window"] = 9;
  DecoderSpec spec = parse_spec(config);
  CHECK(spec.norm.kind == NormKind::layer);
  CHECK(spec.norm.bias);
  CHECK(spec.norm_eps == 1e-3);
  const LayerSpec& layer = spec.layers[0];
  CHECK_FALSE(layer.mlp.gated);
  CHECK((layer.mlp.bias && layer.attention.qkv_bias && layer.attention.out_bias));
  CHECK(layer.attention.window == 9);
  CHECK(spec.names.up == "c_fc");
  config["use_bias"] = false;
  CHECK_FALSE(parse_spec(config).layers[0].mlp.bias);
}

TEST_CASE("dense families: gpt_neox rotates a quarter, and adds its branches at once unless told otherwise",
          "[model]") {
  Json config = config_of("gpt_neox");
  config["hidden_size"] = 48;  // heads of 16
  DecoderSpec spec = parse_spec(config);
  CHECK(spec.layer_name(1) == "gpt_neox.layers.1");
  CHECK(spec.embed_tokens() == "gpt_neox.embed_in");
  CHECK(spec.layers[0].parallel);
  CHECK(spec.layers[0].attention.kv_heads == 3);  // whatever config.json says of them
  CHECK(spec.layers[0].attention.qkv_by_head);
  CHECK(spec.layers[0].attention.rope->rotary_dim == 4);
  config["rotary_pct"] = 0.5;
  config["rotary_emb_base"] = 500;
  config["use_parallel_residual"] = false;
  spec = parse_spec(config);
  CHECK_FALSE(spec.layers[0].parallel);
  CHECK(spec.layers[0].attention.rope->rotary_dim == 8);
  CHECK(spec.layers[0].attention.rope->theta == 500.0);
}

TEST_CASE("dense families: opt learns its positions and norms before or after", "[model]") {
  Json config = config_of("opt");
  config["ffn_dim"] = 20;
  DecoderSpec spec = parse_spec(config);
  CHECK(spec.layer_name(0) == "model.decoder.layers.0");
  CHECK(spec.positions.offset == 2);
  CHECK_FALSE(spec.layers[0].attention.rope.has_value());
  CHECK(spec.layers[0].mlp.intermediate == 20);
  CHECK(spec.layers[0].mlp.activation == Activation::relu);
  CHECK(spec.names.mlp_prefix("model.decoder.layers.0") == "model.decoder.layers.0.");
  CHECK(spec.names.attention_input_norm == "self_attn_layer_norm");
  CHECK(spec.names.mlp_input_norm == "final_layer_norm");
  CHECK(spec.final_norm() == "model.decoder.final_layer_norm");
  CHECK_FALSE(spec.embedding_size.has_value());
  config["do_layer_norm_before"] = false;
  config["word_embed_proj_dim"] = 6;
  spec = parse_spec(config);
  CHECK(spec.names.attention_input_norm.empty());
  CHECK(spec.names.attention_sum_norm == "self_attn_layer_norm");
  CHECK(spec.names.mlp_sum_norm == "final_layer_norm");
  CHECK(spec.final_norm().empty());
  CHECK(spec.embedding_size == 6);
}

TEST_CASE("dense families: glm4 and cohere rotate neighbours", "[model]") {
  const DecoderSpec glm4 = parse_spec(config_of("glm4"));
  CHECK(glm4.layers[0].attention.rope->interleaved);
  CHECK(glm4.layers[0].attention.rope->rotary_dim == 64);
  CHECK((glm4.layers[0].attention.qkv_bias && !glm4.layers[0].attention.out_bias));
  CHECK(glm4.layers[0].mlp.fused_gate_up);
  CHECK(glm4.names.attention_output_norm == "post_self_attn_layernorm");
  CHECK(glm4.names.mlp_input_norm == "post_attention_layernorm");

  Json config = config_of("cohere");
  config["use_qk_norm"] = true;
  const DecoderSpec cohere = parse_spec(config);
  CHECK(cohere.layers[0].attention.rope->interleaved);
  CHECK(cohere.layers[0].attention.rope->theta == 500000.0);
  CHECK(cohere.layers[0].attention.qk_norm == QkNorm::heads);
  CHECK(cohere.layers[0].parallel);
  CHECK(cohere.names.mlp_input_norm.empty());
  CHECK(cohere.logits_scaling == 16.0);

  config = config_of("cohere2");
  config["num_hidden_layers"] = 4;
  const DecoderSpec cohere2 = parse_spec(config);
  CHECK(cohere2.layers[0].attention.window == 4096);
  CHECK(cohere2.layers[0].attention.rope.has_value());
  CHECK(cohere2.layers[3].attention.window == 0);
  CHECK_FALSE(cohere2.layers[3].attention.rope.has_value());
}

TEST_CASE("dense families: what is not supported is refused by its key", "[model]") {
  struct Case {
    const char *model_type, *key;
    Json value;
    Code code;
    std::vector<std::string> words;
  };
  const auto c = GENERATE(values<Case>({
      {"gemma", "use_bidirectional_attention", true, Code::unsupported, {"use_bidirectional_attention"}},
      {"gemma2", "hidden_activation", "xielu", Code::unsupported, {"hidden_activation", "xielu"}},
      {"gemma2", "query_pre_attn_scalar", 0, Code::parse, {"query_pre_attn_scalar", "0"}},
      {"gemma2", "attn_logit_softcapping", -1, Code::parse, {"attn_logit_softcapping", "-1"}},
      {"gemma2", "sliding_window", nullptr, Code::parse, {"sliding_window"}},
      {"gemma3_text", "layer_types", {"full_attention", "x"}, Code::unsupported, {"layer_types[1]", "x"}},
      {"gemma3_text", "sliding_window_pattern", 0, Code::parse, {"sliding_window_pattern"}},
      {"olmo2", "rms_norm_eps", 2, Code::parse, {"rms_norm_eps"}},
      {"olmo2", "partial_rotary_factor", 0.5, Code::unsupported, {"partial_rotary_factor"}},
      {"starcoder2", "norm_epsilon", 0, Code::parse, {"norm_epsilon"}},
      {"gpt_neox", "rotary_pct", 0.3, Code::parse, {"partial_rotary_factor", "0.3"}},
      {"opt", "ffn_dim", nullptr, Code::parse, {"ffn_dim"}},
      {"opt", "activation_function", "tanh", Code::unsupported, {"activation_function", "tanh"}},
      {"opt", "word_embed_proj_dim", 0, Code::parse, {"word_embed_proj_dim"}},
      {"glm4", "rope_scaling", Json{{"rope_type", "spiral"}}, Code::unsupported, {"spiral"}},
      {"cohere", "logit_scale", 0, Code::parse, {"logit_scale"}},
      {"cohere2", "layer_types", {"full_attention"}, Code::parse, {"layer_types", "2"}},
  }));
  INFO(c.model_type << ": " << c.key << " = " << c.value.dump());
  Json config = config_of(c.model_type);
  if (std::string_view(c.model_type) == "opt") config["ffn_dim"] = 20;
  config[c.key] = c.value;
  expect_error(c.code, c.words, [&] { parse_spec(config); });
}

}  // namespace
}  // namespace autoround::model
