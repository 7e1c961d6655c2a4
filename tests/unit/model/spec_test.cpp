#include <limits>

#include "expect_error.hpp"
#include "tiny_model.hpp"

namespace autoround::model {
namespace {

using autoround::test::expect_error;
using test::parse_spec;
using test::tiny_config;

Json config_of(const std::string& model_type) {
  Json config = tiny_config();
  config["model_type"] = model_type;
  return config;
}

TEST_CASE("spec: a llama is read with its sizes, class names and defaults", "[model]") {
  const DecoderSpec spec = parse_spec(tiny_config());
  CHECK(spec.architecture == "LlamaForCausalLM");
  CHECK(spec.layer_class == "LlamaDecoderLayer");
  CHECK(spec.norm_class == "LlamaRMSNorm");
  CHECK(spec.vocab_size == 17);
  CHECK(spec.norm_eps == 1e-5);
  REQUIRE(spec.layers.size() == 2);
  const LayerSpec& layer = spec.layers[1];
  CHECK(layer.attention.heads == 3);
  CHECK(layer.attention.kv_heads == 1);
  CHECK(layer.attention.head_dim == 4);
  CHECK(layer.attention.scale == 0.5);
  CHECK(layer.attention.window == 0);
  CHECK_FALSE(layer.attention.qkv_bias);
  CHECK(layer.attention.qk_norm == QkNorm::none);
  CHECK(layer.attention.rope->type == RopeType::standard);
  CHECK(layer.attention.rope->theta == 10000.0);
  CHECK(layer.attention.rope->rotary_dim == 4);
  CHECK(layer.mlp.activation == Activation::silu);
  CHECK(spec.layer_name(1) == "model.layers.1");
}

TEST_CASE("spec: llama biases are switched by attention_bias and mlp_bias", "[model]") {
  Json config = tiny_config();
  config["attention_bias"] = true;
  config["mlp_bias"] = true;
  const LayerSpec layer = parse_spec(config).layers[0];
  CHECK(layer.attention.qkv_bias);
  CHECK(layer.attention.out_bias);
  CHECK(layer.mlp.bias);
}

TEST_CASE("spec: mistral's window is 4096 when absent and none when null", "[model]") {
  Json config = config_of("mistral");
  CHECK(parse_spec(config).layers[0].attention.window == 4096);
  config["sliding_window"] = nullptr;
  CHECK(parse_spec(config).layers[0].attention.window == 0);
  config["sliding_window"] = 5;
  config["head_dim"] = 6;
  const AttentionSpec attention = parse_spec(config).layers[1].attention;
  CHECK(attention.window == 5);
  CHECK(attention.head_dim == 6);
}

TEST_CASE("spec: qwen2 has q, k, v biases and windows from max_window_layers or layer_types", "[model]") {
  Json config = config_of("qwen2");
  config["sliding_window"] = 7;
  config["max_window_layers"] = 1;
  DecoderSpec spec = parse_spec(config);
  CHECK(spec.layers[0].attention.qkv_bias);
  CHECK_FALSE(spec.layers[0].attention.out_bias);
  CHECK(spec.layers[1].attention.window == 0);  // use_sliding_window is off by default

  config["use_sliding_window"] = true;
  spec = parse_spec(config);
  CHECK(spec.layers[0].attention.window == 0);
  CHECK(spec.layers[1].attention.window == 7);

  config["layer_types"] = {"sliding_attention", "full_attention"};
  spec = parse_spec(config);
  CHECK(spec.layers[0].attention.window == 7);
  CHECK(spec.layers[1].attention.window == 0);
}

TEST_CASE("spec: qwen3 has q/k norms and heads of 128 unless it says otherwise", "[model]") {
  Json config = config_of("qwen3");
  const AttentionSpec attention = parse_spec(config).layers[0].attention;
  CHECK(attention.qk_norm == QkNorm::head);
  CHECK(attention.head_dim == 128);
  config["head_dim"] = nullptr;
  CHECK(parse_spec(config).layers[0].attention.head_dim == 4);
}

TEST_CASE("spec: granite's multipliers are read, and must be positive", "[model]") {
  Json config = config_of("granite");
  CHECK(parse_spec(config).layers[0].attention.scale == 1.0);  // not the root of the head dimension
  config["attention_multiplier"] = 0.25;
  config["residual_multiplier"] = 0.5;
  config["embedding_multiplier"] = 12;
  config["logits_scaling"] = 8;
  const DecoderSpec spec = parse_spec(config);
  CHECK(spec.layers[1].attention.scale == 0.25);
  CHECK(spec.layers[1].residual_multiplier == 0.5);
  CHECK(spec.embedding_multiplier == 12.0);
  CHECK(spec.logits_scaling == 8.0);
  config["logits_scaling"] = 0;
  expect_error(Code::parse, {"logits_scaling", "0"}, [&] { parse_spec(config); });
}

TEST_CASE("spec: smollm3 leaves rope out of every fourth layer or where no_rope_layers is 0", "[model]") {
  Json config = config_of("smollm3");
  config["num_hidden_layers"] = 4;
  config.erase("tie_word_embeddings");
  DecoderSpec spec = parse_spec(config);
  CHECK(spec.tie_word_embeddings);
  CHECK(spec.layers[2].attention.rope.has_value());
  CHECK_FALSE(spec.layers[3].attention.rope.has_value());
  config["no_rope_layers"] = {0, 1, 1, 0};
  config["use_sliding_window"] = true;
  config["sliding_window"] = 5;
  spec = parse_spec(config);
  CHECK_FALSE(spec.layers[0].attention.rope.has_value());
  CHECK(spec.layers[0].attention.window == 5);
  CHECK(spec.layers[1].attention.window == 0);
  config["no_rope_layers"] = {0, 1};
  expect_error(Code::parse, {"no_rope_layers", "4"}, [&] { parse_spec(config); });
}

TEST_CASE("spec: rope parameters are read in the spelling of transformers 4 and 5", "[model]") {
  Json old_spelling = tiny_config(), new_spelling = tiny_config();
  const Json parameters{
      {"factor", 8.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 32}};
  old_spelling["rope_theta"] = 5e5;
  old_spelling["rope_scaling"] = parameters;
  old_spelling["rope_scaling"]["type"] = "llama3";
  new_spelling["rope_parameters"] = parameters;
  new_spelling["rope_parameters"]["rope_type"] = "llama3";
  new_spelling["rope_parameters"]["rope_theta"] = 5e5;
  const RopeSpec rope = *parse_spec(old_spelling).layers[0].attention.rope;
  CHECK(rope == *parse_spec(new_spelling).layers[0].attention.rope);
  CHECK(rope.type == RopeType::llama3);
  CHECK(rope.theta == 5e5);
  CHECK(rope.factor == 8.0);
  CHECK(rope.original_max_position == 32.0);
}

TEST_CASE("spec: a config that cannot be is refused with key, value and wish", "[model]") {
  struct Case {
    const char* key;
    Json value;
    Code code;
    std::vector<std::string> words;
  };
  const auto key = GENERATE(values<Case>({
      {"hidden_size", -1, Code::parse, {"hidden_size", "-1"}},
      {"hidden_size", 0, Code::parse, {"hidden_size", "0"}},
      {"hidden_size", (1 << 20) + 1, Code::parse, {"hidden_size", "1048577"}},
      {"hidden_size", std::uint64_t{1} << 63, Code::parse, {"hidden_size"}},
      {"hidden_size", "4096", Code::parse, {"hidden_size"}},
      {"vocab_size", (1 << 22) + 1, Code::parse, {"vocab_size"}},
      {"num_hidden_layers", 2000000000, Code::parse, {"num_hidden_layers", "2000000000"}},
      {"num_attention_heads", 0, Code::parse, {"num_attention_heads"}},
      {"num_attention_heads", 5, Code::parse, {"num_attention_heads", "5", "hidden_size", "12"}},
      {"num_attention_heads", 12, Code::parse, {"1", "even"}},
      {"num_key_value_heads", 2, Code::parse, {"num_key_value_heads", "2", "divide", "3"}},
      {"num_key_value_heads", 6, Code::parse, {"num_key_value_heads", "6"}},
      {"intermediate_size", 0, Code::parse, {"intermediate_size"}},
      {"rms_norm_eps", -1e-6, Code::parse, {"rms_norm_eps"}},
      {"hidden_act", "xielu", Code::unsupported, {"hidden_act", "xielu", "silu"}},
      {"model_type", "lama", Code::unsupported, {"lama", "llama", "mistral", "qwen2", "qwen3", "did you mean"}},
      {"model_type",
       nullptr,
       Code::unsupported,
       {"`model_type` is missing", "gemma2, gemma3_text, glm4", "mixtral", "qwen3_moe"}},
      {"rope_theta", -5, Code::parse, {"rope_theta"}},
      {"rope_scaling", Json{{"rope_type", "spiral"}}, Code::unsupported, {"spiral", "yarn"}},
      {"rope_scaling", Json{{"rope_type", "linear"}}, Code::parse, {"factor"}},
      {"rope_scaling", Json{{"rope_type", "linear"}, {"factor", 0}}, Code::parse, {"factor", "0"}},
      {"partial_rotary_factor", 0.5, Code::unsupported, {"partial_rotary_factor"}},
  }));
  INFO(key.key << " = " << key.value.dump());
  Json config = tiny_config();
  config[key.key] = key.value;
  expect_error(key.code, key.words, [&] { parse_spec(config); });
}

TEST_CASE("spec: layer_types must name a known kind for each layer", "[model]") {
  Json config = config_of("qwen3");
  config["layer_types"] = {"full_attention"};
  expect_error(Code::parse, {"layer_types", "2"}, [&] { parse_spec(config); });
  config["layer_types"] = {"full_attention", "chunked_attention"};
  expect_error(Code::unsupported, {"layer_types[1]", "chunked_attention"}, [&] { parse_spec(config); });
  config["layer_types"] = {"full_attention", "sliding_attention"};
  expect_error(Code::parse, {"layer_types[1]", "use_sliding_window"}, [&] { parse_spec(config); });
}

TEST_CASE("spec: the names of a language model inside a multimodal checkpoint are found", "[model]") {
  Json config{{"model_type", "outer"}, {"text_config", tiny_config()}};
  for (const auto& [prefix, lm_head] : {std::pair{"model.", "lm_head"}, std::pair{"model.language_model.", "lm_head"},
                                        std::pair{"language_model.model.", "language_model.lm_head"}}) {
    DecoderSpec stored = parse_spec(config);
    stored.prefix = prefix;
    stored.lm_head = lm_head;
    const test::TinyFolder folder(config, test::random_tensors(stored));
    const DecoderSpec spec = read_spec(*folder.open());
    CHECK(spec.prefix == prefix);
    CHECK(spec.lm_head == lm_head);
  }
}

}  // namespace
}  // namespace autoround::model
