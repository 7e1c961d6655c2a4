#include "recipe/scheme.hpp"

#include <map>

#include "recipe/args_fields.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

namespace autoround::recipe {

using test::error_of;
using test::says;

namespace {

/// Arguments in one line, as compressed-tensors 0.20.0 prints those of its presets.
std::string line(const std::optional<QuantizationArgs>& args) {
  if (!args) return "-";
  std::string text = (args->type == NumberType::integer ? "int" : "float") + std::to_string(args->num_bits);
  text += " " + std::string(strategy_name(args->strategy));
  if (args->group_size) text += " " + std::to_string(*args->group_size);
  if (args->block_structure)
    text += " " + std::to_string((*args->block_structure)[0]) + "x" + std::to_string((*args->block_structure)[1]);
  if (args->super_group_size)
    text += " super " + std::to_string(*args->super_group_size) + "x" + std::to_string(args->super_bits.value());
  if (!args->symmetric) text += " asym";
  if (args->dynamic == Dynamic::yes) text += " dynamic";
  if (args->dynamic == Dynamic::local) text += " local";
  if (!args->scale_dtype.empty()) text += " " + args->scale_dtype;
  if (!args->observer.empty()) text += " " + args->observer;
  return text;
}

}  // namespace

TEST_CASE("presets: all of compressed-tensors 0.20, and the types of GGUF", "[recipe]") {
  const std::string i8 = "int8 token dynamic";
  const std::string i4 = "int4 token dynamic";
  const std::string f8 = "float8 token dynamic";
  const std::string f8g = "float8 group 128 dynamic";
  const std::string nv = "float4 tensor_group 16";
  const std::string e4m3 = " torch.float8_e4m3fn";
  const std::string mx8 = "float8 group 32 dynamic torch.uint8";
  const std::map<std::string, std::pair<std::string, std::string>> expected = {
      {"UNQUANTIZED", {"-", "-"}},
      {"W2A16", {"int2 group 128", "-"}},
      {"W3A16", {"int3 group 128", "-"}},
      {"W4A16", {"int4 group 128", "-"}},
      {"W5A16", {"int5 group 128", "-"}},
      {"W6A16", {"int6 group 128", "-"}},
      {"W7A16", {"int7 group 128", "-"}},
      {"W8A16", {"int8 group 128", "-"}},
      {"W4A16_ASYM", {"int4 group 128 asym", "-"}},
      {"W2A8", {"int2 group 128", i8}},
      {"W3A8", {"int3 group 128", i8}},
      {"W4A8", {"int4 group 128", i8}},
      {"W5A8", {"int5 group 128", i8}},
      {"W6A8", {"int6 group 128", i8}},
      {"W7A8", {"int7 group 128", i8}},
      {"W2A4", {"int2 group 128", i4}},
      {"W3A4", {"int3 group 128", i4}},
      {"W4A4", {"int4 group 128", i4}},
      {"W8A8", {"int8 channel", i8}},
      {"INT8", {"int8 channel", i8}},
      {"W4AFP8", {"int4 group 128", f8}},
      {"FP8", {"float8 tensor", "float8 tensor static_minmax"}},
      {"FP8_DYNAMIC", {"float8 channel", f8}},
      {"FP8_BLOCK", {"float8 block 128x128", f8g}},
      {"NVFP4A16", {nv + e4m3, "-"}},
      {"NVFP4", {nv + e4m3, nv + " local" + e4m3 + " static_minmax"}},
      {"MXFP4A16", {"float4 group 32 torch.uint8", "-"}},
      {"MXFP4", {"float4 group 32 torch.uint8", "float4 group 32 dynamic torch.uint8"}},
      {"MXFP4XFP8", {"float4 group 32 torch.uint8", f8g}},
      {"MXFP6A16", {"float6 group 32 torch.uint8", "-"}},
      {"MXFP6A8", {"float6 group 32 torch.uint8", mx8}},
      {"MXFP8A16", {"float8 group 32 torch.uint8", "-"}},
      {"MXFP8", {"float8 group 32 torch.uint8", mx8}},
      {"GGUF:Q4_0", {"int4 group 32", "-"}},
      {"GGUF:Q4_1", {"int4 group 32 asym", "-"}},
      {"GGUF:Q5_0", {"int5 group 32", "-"}},
      {"GGUF:Q5_1", {"int5 group 32 asym", "-"}},
      {"GGUF:Q8_0", {"int8 group 32", "-"}},
      {"GGUF:Q2_K", {"int2 group 16 super 16x4 asym", "-"}},
      {"GGUF:Q3_K", {"int3 group 16 super 16x6", "-"}},
      {"GGUF:Q4_K", {"int4 group 32 super 8x6 asym", "-"}},
      {"GGUF:Q5_K", {"int5 group 32 super 8x6 asym", "-"}},
      {"GGUF:Q6_K", {"int6 group 16 super 16x8", "-"}},
  };
  CHECK(preset_names().size() == expected.size());
  for (const auto& name : preset_names()) {
    INFO(name);
    REQUIRE(expected.count(name) == 1);
    const auto scheme = preset_scheme(name);
    CHECK(line(scheme.weights) == expected.at(name).first);
    CHECK(line(scheme.input_activations) == expected.at(name).second);
    CHECK(!scheme.output_activations);
    CHECK(scheme.preset == name);
    CHECK(describe(scheme) == name);
    CHECK_NOTHROW(validate(scheme, "scheme"));
  }
}

TEST_CASE("presets: names are case-insensitive and a typo finds the nearest", "[recipe]") {
  CHECK(preset_scheme("w4a16_Asym") == preset_scheme("W4A16_ASYM"));
  const auto error = error_of([] { preset_scheme("w4a61"); });
  CHECK(error.code() == Code::invalid_argument);
  CHECK(error.subject() == "scheme");
  CHECK(says(error, "w4a61"));
  CHECK(says(error, "did you mean `W4A16`"));
}

TEST_CASE("scheme: describe without a preset", "[recipe]") {
  auto scheme = preset_scheme("W4A8");
  scheme.preset.clear();
  scheme.weights->symmetric = false;
  scheme.weights->group_size = 64;
  CHECK(describe(scheme) == "int4 group 64 asym, inputs int8");
  CHECK(describe(QuantizationScheme{}) == "unquantized");
}

TEST_CASE("arguments: which do not fit together", "[recipe]") {
  struct Case {
    std::string name;
    QuantizationArgs args;
    Role role;
    std::string words;
  };
  const QuantizationArgs group = *preset_scheme("W4A16").weights;
  const auto with = [](QuantizationArgs args, auto change) {
    change(args);
    return args;
  };
  const std::vector<Case> cases = {
      {"bits 1", with(group, [](auto& a) { a.num_bits = 1; }), Role::weights, "found num_bits 1, wanted 2 to 8"},
      {"bits 9", with(group, [](auto& a) { a.num_bits = 9; }), Role::weights, "found num_bits 9"},
      {"float 5", with(group, [](auto& a) { a.num_bits = 5, a.type = NumberType::floating; }), Role::weights,
       "wanted 4, 6 or 8"},
      {"float asym", with(group, [](auto& a) { a.type = NumberType::floating, a.symmetric = false; }), Role::weights,
       "no zero point"},
      {"group without size", with(group, [](auto& a) { a.group_size.reset(); }), Role::weights,
       "needs a positive group_size"},
      {"group of -1", with(group, [](auto& a) { a.group_size = -1; }), Role::weights, "needs a positive group_size"},
      {"size 0", with(group, [](auto& a) { a.group_size = 0; }), Role::weights, "found group_size 0"},
      {"size 2048", with(group, [](auto& a) { a.group_size = 2048; }), Role::weights, "found group_size 2048"},
      {"channel with size", with(group, [](auto& a) { a.strategy = Strategy::channel; }), Role::weights,
       "wanted strategy `group`"},
      {"block without structure", with(group, [](auto& a) { a.strategy = Strategy::block, a.group_size.reset(); }),
       Role::weights, "needs block_structure"},
      {"structure without block", with(group, [](auto& a) { a.block_structure = {128, 128}; }), Role::weights,
       "goes with strategy `block`"},
      {"static token", {.strategy = Strategy::token}, Role::activations, "needs dynamic true"},
      {"dynamic weights", with(group, [](auto& a) { a.dynamic = Dynamic::yes; }), Role::weights,
       "dynamic must be false"},
      {"dynamic attn_head",
       {.strategy = Strategy::attn_head, .dynamic = Dynamic::yes},
       Role::activations,
       "wanted token, tensor"},
      {"local group",
       {.strategy = Strategy::group, .group_size = 16, .dynamic = Dynamic::local},
       Role::activations,
       "wanted tensor_group"},
      {"channel activations", {.strategy = Strategy::channel}, Role::activations, "is not one for activations"},
      {"attn_head weights", {.strategy = Strategy::attn_head}, Role::weights, "is not one for weights"},
      {"super groups of others", with(group, [](auto& a) { a.super_group_size = 8; }), Role::weights,
       "than a K type of GGUF has"},
      {"super bits of others", with(*preset_scheme("GGUF:Q4_K").weights, [](auto& a) { a.super_bits = 4; }),
       Role::weights, "group_size 32, super_group_size 8, super_bits 6 (GGUF:Q4_K)"},
      {"actorder of activations", {.actorder = "weight"}, Role::activations, "weights only"},
  };
  for (const auto& c : cases) {
    INFO(c.name);
    const auto error = error_of([&] { validate(c.args, c.role, "some.key"); });
    CHECK(error.code() == Code::invalid_argument);
    CHECK(error.subject() == "some.key");
    INFO(error.what());
    CHECK(says(error, c.words));
  }
  CHECK(infer_strategy(std::nullopt) == Strategy::tensor);
  CHECK(infer_strategy(-1) == Strategy::channel);
  CHECK(infer_strategy(64) == Strategy::group);
}

TEST_CASE("scheme: super groups give way where they do not fill a row", "[recipe]") {
  auto scheme = preset_scheme("GGUF:Q4_K");
  scheme.targets = {"Linear"};
  CHECK(fit_to(scheme, 512) == scheme);
  CHECK(describe(fit_to(scheme, 576)) == "GGUF:Q5_0");
  CHECK(fit_to(scheme, 576).targets == scheme.targets);
  for (const auto& [name, plain] : std::map<std::string, std::string>{{"GGUF:Q2_K", "GGUF:Q4_0"},
                                                                      {"GGUF:Q3_K", "GGUF:Q4_0"},
                                                                      {"GGUF:Q5_K", "GGUF:Q5_1"},
                                                                      {"GGUF:Q6_K", "GGUF:Q8_0"},
                                                                      {"GGUF:Q4_1", "GGUF:Q4_1"},
                                                                      {"W4A16", "W4A16"}})
    CHECK(describe(fit_to(preset_scheme(name), 96)) == plain);
}

TEST_CASE("scheme: activations alone are refused", "[recipe]") {
  auto scheme = preset_scheme("W8A8");
  scheme.weights.reset();
  CHECK(says(error_of([&] { validate(scheme, "scheme"); }), "no weights"));
}

}  // namespace autoround::recipe
