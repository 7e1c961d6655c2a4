// Every preset scheme through the whole run: tuned, written, opened again and measured.
#include <cmath>
#include <map>

#include "host.hpp"

namespace {

/// Rows of 128 and 256 elements, which every preset's groups and blocks divide.
toy_shape wide_toy() {
  toy_shape shape = toy_default();
  shape.hidden = 128;
  shape.intermediate = 256;
  return shape;
}

struct SchemeToy : host::Toy {
  explicit SchemeToy(const std::string& scheme, int64_t iters = 4) : host::Toy(wide_toy(), iters) {
    recipe = host::make<host::Recipe>(autoround_recipe_new);
    host::ok(autoround_recipe_set_string, recipe.get(), "scheme", scheme.c_str());
    host::ok(autoround_recipe_append, recipe.get(), "ignore", "lm_head");
    host::ok(autoround_recipe_set_int, recipe.get(), "iters", iters);
    host::ok(autoround_recipe_set_int, recipe.get(), "batch_size", int64_t{4});
  }
};

double perplexity(const host::Model& model, const host::Toy& toy) {
  double value = 0.0;
  host::ok(autoround_model_perplexity, model.get(), static_cast<const autoround_calibration*>(toy.data.get()),
           static_cast<const autoround_options*>(nullptr), &value);
  return value;
}

std::string dtype(const host::Result& result, const char* part, size_t layer = 0) {
  const auto tensor = host::make<host::Tensor>(autoround_result_layer_tensor,
                                               static_cast<const autoround_result*>(result.get()), layer, part);
  return autoround_tensor_dtype(tensor.get());
}

}  // namespace

TEST_CASE("schemes: every preset is tuned, written, opened and measured", "[capi][schemes]") {
  for (size_t i = 0; i < autoround_scheme_count(); ++i) {
    const std::string name = autoround_scheme_name(i);
    if (name == "UNQUANTIZED") continue;
    CAPTURE(name);
    SchemeToy toy(name);
    const bool gguf = name.starts_with("GGUF:");
    toy.write_to("out", gguf ? "gguf" : "compressed-tensors");
    const host::Result result = toy.oneshot();
    for (size_t block = 0; block < 2; ++block) {
      CHECK(std::isfinite(autoround_result_block_loss_after(result.get(), block)));
      CHECK(autoround_result_block_loss_after(result.get(), block) <=
            autoround_result_block_loss_before(result.get(), block));
    }
    if (gguf) continue;  // other programs read these
    const double before = perplexity(toy.model, toy), after = perplexity(host::open(toy.output()), toy);
    CHECK(after == Approx(before).epsilon(name[0] == 'W' && name[1] < '4' ? 0.6 : 0.25));
    CHECK(after != before);
  }
}

TEST_CASE("schemes: parts of a result in super groups, and layers that they do not fit", "[capi][schemes]") {
  const host::Result result = SchemeToy("GGUF:Q4_K").oneshot();
  size_t layers = 0;
  for (size_t layer = 0; layer < autoround_result_layer_count(result.get()); ++layer) {
    const std::string name = autoround_result_layer_name(result.get(), layer);
    const std::string scheme = autoround_result_layer_scheme(result.get(), layer);
    if (scheme.empty()) continue;
    const bool wide = name.ends_with("down_proj");  // 256 columns
    CHECK(scheme == (wide ? "GGUF:Q4_K" : "GGUF:Q5_0"));
    if (!wide) continue;
    ++layers;
    for (const auto& [part, type] : std::map<std::string, std::string>{{"scales", "F16"},
                                                                       {"minima", "F16"},
                                                                       {"scale_factors", "I8"},
                                                                       {"minimum_factors", "I8"},
                                                                       {"weight", "F32"}})
      CHECK(dtype(result, part.c_str(), layer) == type);
  }
  CHECK(layers == 2);
  SchemeToy folder("GGUF:Q4_K");
  folder.write_to("out");
  autoround_result* none = nullptr;
  const auto refused =
      host::failure(autoround_oneshot, folder.model.get(), static_cast<const autoround_recipe*>(folder.recipe.get()),
                    static_cast<const autoround_calibration*>(folder.data.get()),
                    static_cast<const autoround_options*>(folder.options.get()), &none);
  INFO(refused.message);
  CHECK(refused.status == AUTOROUND_ERROR_UNSUPPORTED);
  CHECK(refused.message.find("which only gguf stores") != std::string::npos);
}

TEST_CASE("schemes: what has no momentum is refused before a weight is read", "[capi][schemes]") {
  for (const char* scheme : {"MXFP4A16", "GGUF:Q6_K"}) {
    SchemeToy toy(scheme);
    host::ok(autoround_recipe_set_double, toy.recipe.get(), "momentum", 0.9);
    const host::Session session = toy.session();
    const auto refused = host::failure(autoround_session_initialize, session.get());
    CHECK(refused.status == AUTOROUND_ERROR_UNSUPPORTED);
    CHECK(refused.subject == "momentum");
  }
}

TEST_CASE("schemes: parts of a floating-point result", "[capi][schemes]") {
  const host::Result nvfp4 = SchemeToy("NVFP4").oneshot();
  CHECK(dtype(nvfp4, "qweight") == "U8");
  CHECK(dtype(nvfp4, "scales") == "F8_E4M3");
  CHECK(dtype(nvfp4, "global_scale") == "F32");
  CHECK(dtype(nvfp4, "input_global_scale") == "F32");
  const host::Result fp8 = SchemeToy("FP8").oneshot();
  CHECK(dtype(fp8, "scales") == "BF16");
  CHECK(dtype(fp8, "input_scale") == "BF16");
  const host::Result mxfp4 = SchemeToy("MXFP4A16").oneshot();
  CHECK(dtype(mxfp4, "scales") == "U8");
  autoround_tensor* none = nullptr;
  CHECK(host::failure(autoround_result_layer_tensor, static_cast<const autoround_result*>(mxfp4.get()), size_t{0},
                      "global_scale", &none)
            .status == AUTOROUND_ERROR_NOT_FOUND);
}

TEST_CASE("schemes: static scales need calibration data, dynamic ones none", "[capi][schemes]") {
  for (const auto& [name, needs] : {std::pair("FP8", true), std::pair("NVFP4", true), std::pair("FP8_DYNAMIC", false),
                                    std::pair("MXFP4", false), std::pair("NVFP4A16", false)}) {
    CAPTURE(name);
    SchemeToy toy(name, 0);
    toy.data.reset();
    if (!needs) {
      CHECK_NOTHROW(toy.oneshot());
      continue;
    }
    const host::Failure said = toy.failing_oneshot();
    CHECK(said.status == AUTOROUND_ERROR_INVALID_ARGUMENT);
    CHECK(said.subject == "calibration");
  }
}

TEST_CASE("schemes: the cache gets scales that calibration finds, and a resumed run keeps them", "[capi][schemes]") {
  SchemeToy toy("W4A16");
  const std::string text =
      "AutoRoundModifier:\n  scheme: W4A16\n  ignore: [lm_head]\n  iters: 4\n  batch_size: 4\n"
      "  kv_cache_scheme: {num_bits: 8, type: float, strategy: tensor, symmetric: true, dynamic: false}\n";
  toy.recipe = host::make<host::Recipe>(autoround_recipe_parse, text.c_str(), text.size(), "yaml");
  CHECK(toy.failing_oneshot().subject == "kv_cache_scheme");  // no output directory
  toy.write_to("out");
  toy.oneshot();
  const std::string weights = host::contents(toy.output()).at("model.safetensors");
  for (const char* name : {"model.layers.0.self_attn.k_scale", "model.layers.1.self_attn.v_scale"})
    CHECK(weights.find(name) != std::string::npos);
  CHECK(host::contents(toy.output()).at("config.json").find("\"kv_cache_scheme\": {") != std::string::npos);
  host::ok(autoround_recipe_set_int, toy.recipe.get(), "iters", int64_t{0});
  toy.options = host::make<host::Options>(autoround_options_new);
  toy.write_to("nearest");
  toy.data.reset();
  CHECK(toy.failing_oneshot().subject == "calibration");
}

TEST_CASE("schemes: several in one model", "[capi][schemes]") {
  SchemeToy toy("NVFP4A16");
  host::ok(autoround_recipe_set_string, toy.recipe.get(), "layers.re:.*down_proj.scheme", "FP8_DYNAMIC");
  host::ok(autoround_recipe_set_string, toy.recipe.get(), "layers.model.layers.0.self_attn.o_proj.scheme", "W8A16");
  toy.write_to("out");
  toy.oneshot();
  CHECK(perplexity(host::open(toy.output()), toy) == Approx(perplexity(toy.model, toy)).epsilon(0.25));
  const std::string config = host::contents(toy.output()).at("config.json");
  for (const char* format : {"mixed-precision", "nvfp4-pack-quantized", "float-quantized", "pack-quantized"})
    CHECK(config.find(format) != std::string::npos);
}
