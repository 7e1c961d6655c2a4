#include "checkpoint/hf_config.hpp"

#include <functional>

#include "support/catch.hpp"
#include "support/errors.hpp"

namespace autoround::checkpoint {
namespace {

using autoround::test::error_of;
using autoround::test::mentions;
using autoround::test::text_of;

TEST_CASE("config: model type, text part and dtype", "[checkpoint]") {
  const auto plain = HfConfig::parse(R"({"model_type":"llama","torch_dtype":"bfloat16","tie_word_embeddings":true})");
  CHECK(plain.model_type() == "llama");
  CHECK(plain.dtype() == DType::bf16);
  CHECK(plain.tie_word_embeddings(false));
  CHECK_FALSE(plain.is_quantized());

  const auto nested = HfConfig::parse(R"({"model_type":"gemma3","dtype":"float16","tie_word_embeddings":false,
      "text_config":{"model_type":"gemma3_text","hidden_size":8,"tie_word_embeddings":true}})");
  CHECK(nested.model_type() == "gemma3_text");
  CHECK(nested.text().integer("hidden_size", 1, 100) == 8);
  CHECK(nested.dtype() == DType::f16);
  CHECK(nested.tie_word_embeddings(false));

  CHECK_FALSE(HfConfig::parse("{}").dtype().has_value());
  CHECK_FALSE(HfConfig::parse(R"({"dtype":null,"torch_dtype":null})").dtype().has_value());
  CHECK(HfConfig::parse(R"({"dtype":"torch.float32","torch_dtype":"float16"})").dtype() == DType::f32);
  CHECK(HfConfig::parse("{}").tie_word_embeddings(true));
  CHECK(HfConfig::parse(R"({"quantization_config":{}})").is_quantized());
  CHECK(HfConfig::parse(R"({"text_config":{"quantization_config":{}}})").is_quantized());
  CHECK_FALSE(HfConfig::parse(R"({"quantization_config":null})").is_quantized());
}

TEST_CASE("config: the order of keys is kept", "[checkpoint]") {
  CHECK(HfConfig::parse(R"({"z":1,"a":{"y":2,"b":3}})").json().dump() == R"({"z":1,"a":{"y":2,"b":3}})");
}

TEST_CASE("config: bad values name file and key", "[checkpoint]") {
  struct Case {
    std::string text;
    Code code;
    std::string mention;
    std::function<void(const HfConfig&)> read;
  };
  const Case cases[] = {
      {"{}", Code::unsupported, "`model_type` is missing", [](const HfConfig& c) { c.model_type(); }},
      {R"({"model_type":null})", Code::unsupported, "`model_type`", [](const HfConfig& c) { c.model_type(); }},
      {R"({"model_type":7})", Code::parse, "`model_type` is 7", [](const HfConfig& c) { c.model_type(); }},
      {R"({"text_config":{}})", Code::unsupported, "text_config", [](const HfConfig& c) { c.model_type(); }},
      {R"({"text_config":3})", Code::parse, "`text_config` is 3", [](const HfConfig& c) { c.text(); }},
      {R"({"torch_dtype":"int4"})", Code::unsupported, "`torch_dtype` is `int4`", [](const HfConfig& c) { c.dtype(); }},
      {R"({"dtype":16})", Code::parse, "`dtype` is 16", [](const HfConfig& c) { c.dtype(); }},
      {R"({"tie_word_embeddings":"yes"})", Code::parse, "`tie_word_embeddings`",
       [](const HfConfig& c) { c.tie_word_embeddings(false); }},
      {R"({"rope_scaling":"linear"})", Code::parse, "`rope_scaling`", [](const HfConfig& c) { c.rope_parameters(); }},
      {R"({"rope_theta":"1e4"})", Code::parse, "`rope_theta`", [](const HfConfig& c) { c.rope_parameters(); }},
      {R"({"rope_theta":-1})", Code::parse, "`rope_theta` is -1", [](const HfConfig& c) { c.rope_parameters(); }},
      {R"({"rope_theta":0})", Code::parse, "`rope_theta` is 0", [](const HfConfig& c) { c.rope_parameters(); }},
      {R"({"rope_parameters":{"rope_type":1}})", Code::parse, "`rope_type`",
       [](const HfConfig& c) { c.rope_parameters(); }},
      {R"({"rope_parameters":{"full_attention":{}}})", Code::parse, "each kind of layer",
       [](const HfConfig& c) { c.rope_parameters(); }},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const auto config = HfConfig::parse(c.text, "dir/config.json");
    const Error error = error_of([&] { c.read(config); });
    CAPTURE(text_of(error));
    CHECK(error.code() == c.code);
    CHECK(mentions(error, "dir/config.json"));
    CHECK(mentions(error, c.mention));
  }
  CHECK(mentions(error_of([] { HfConfig::parse("[1]", "dir/config.json"); }), "dir/config.json: is an array"));
  CHECK(error_of([] { HfConfig::parse("", "dir/config.json"); }).code() == Code::parse);
}

TEST_CASE("config: rope of both transformers generations becomes one object", "[checkpoint]") {
  struct Case {
    std::string config;
    std::string layer_type;
    std::string expected;
  };
  const std::string gemma_v5 =
      R"({"rope_parameters":{"full_attention":{"rope_type":"linear","factor":8.0,"rope_theta":1000000.0},
      "sliding_attention":{"rope_type":"default","rope_theta":10000.0}}})";
  const std::string gemma_v4 =
      R"({"rope_theta":1000000.0,"rope_local_base_freq":10000.0,"rope_scaling":{"rope_type":"linear","factor":8.0}})";
  const std::string gemma_short = R"({"rope_theta":1000000.0,"rope_scaling":{"rope_type":"linear","factor":8.0}})";
  const Case cases[] = {
      {"{}", "", R"({"rope_type":"default","rope_theta":10000.0})"},
      {R"({"rope_theta":5e5,"rope_scaling":null})", "", R"({"rope_type":"default","rope_theta":500000.0})"},
      {R"({"rope_theta":100000})", "full_attention", R"({"rope_type":"default","rope_theta":100000.0})"},
      {R"({"rope_theta":5e5,"rope_scaling":{"type":"linear","factor":2.0}})", "",
       R"({"factor":2.0,"rope_type":"linear","rope_theta":500000.0})"},
      {R"({"rope_theta":5e5,"rope_scaling":{"rope_type":"llama3","type":"x","factor":8.0,"low_freq_factor":1.0}})", "",
       R"({"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"rope_theta":500000.0})"},
      {R"({"rope_parameters":{"rope_type":"yarn","rope_theta":1e6,"factor":4.0}})", "",
       R"({"rope_type":"yarn","rope_theta":1000000.0,"factor":4.0})"},
      {R"({"rope_theta":7.0,"rope_parameters":{"rope_type":"default"}})", "",
       R"({"rope_type":"default","rope_theta":7.0})"},
      {R"({"rope_scaling":{"type":"su","long_factor":[1]}})", "",
       R"({"long_factor":[1],"rope_type":"longrope","rope_theta":10000.0})"},
      {R"({"rope_scaling":{"type":"mrope","mrope_section":[1]}})", "",
       R"({"mrope_section":[1],"rope_type":"default","rope_theta":10000.0})"},
      {R"({"text_config":{"rope_theta":9.0},"rope_theta":1.0})", "", R"({"rope_type":"default","rope_theta":9.0})"},
      {gemma_v5, "full_attention", R"({"rope_type":"linear","factor":8.0,"rope_theta":1000000.0})"},
      {gemma_v5, "sliding_attention", R"({"rope_type":"default","rope_theta":10000.0})"},
      {gemma_v4, "full_attention", R"({"rope_type":"linear","factor":8.0,"rope_theta":1000000.0})"},
      {gemma_v4, "sliding_attention", R"({"rope_type":"default","rope_theta":10000.0})"},
      {gemma_short, "sliding_attention", R"({"rope_type":"default","rope_theta":10000.0})"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.config, c.layer_type);
    CHECK(HfConfig::parse(c.config).rope_parameters(c.layer_type).dump() == c.expected);
  }
  CHECK(HfConfig::parse("{}").rope_parameters("", 250.0)["rope_theta"] == 250.0);
}

}  // namespace
}  // namespace autoround::checkpoint
