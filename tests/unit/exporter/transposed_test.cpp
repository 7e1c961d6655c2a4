// The containers of GPTQ and AWQ, and the formats that use them.
#include <ATen/ATen.h>

#include <fstream>
#include <functional>
#include <memory>

#include "base/error.hpp"
#include "base/file.hpp"
#include "exporter/auto_round_config.hpp"
#include "exporter/auto_round_layout.hpp"
#include "exporter/folder_format.hpp"
#include "exporter/quantized_source.hpp"
#include "exporter/transposed_packing.hpp"
#include "folder_fixture.hpp"
#include "support/catch.hpp"

using autoround::Code;
using autoround::Json;
using autoround::test::integer_scheme;
using autoround::test::open;
using autoround::test::random_weight;
using autoround::test::TinyModel;
namespace exporter = autoround::exporter;
namespace quant = autoround::quant;
namespace recipe = autoround::recipe;
using exporter::Container;

namespace {

/// With fp16 scales, which these formats store.
void apply(TinyModel& model, std::vector<std::pair<std::string, recipe::QuantizationScheme>> groups,
           std::vector<std::string> ignore = {"lm_head"}) {
  recipe::Recipe recipe;
  recipe.config_groups = std::move(groups);
  recipe.ignore = std::move(ignore);
  model.apply(recipe);
  for (auto& [name, format] : model.formats) {
    format.scale_type = at::kHalf;
    const auto shape = model.weights.at(name).codes.sizes();
    model.weights[name] = random_weight(name, shape[0], shape[1], format);
  }
}

void check_refused(const exporter::Layout& layout, const TinyModel& model, Code code,
                   const std::vector<std::string>& parts) {
  try {
    layout.check(model.plan());
    FAIL("the plan was accepted");
  } catch (const autoround::Error& error) {
    INFO(error.what());
    CHECK(error.code() == code);
    for (const auto& part : parts) CHECK(std::string(error.what()).find(part) != std::string::npos);
  }
}

std::vector<std::int32_t> words(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return {flat.const_data_ptr<std::int32_t>(), flat.const_data_ptr<std::int32_t>() + flat.numel()};
}

Json config_of(const std::string& directory) {
  return Json::parse(autoround::read_text_file(autoround::join_path(directory, "config.json"), 1 << 20));
}

}  // namespace

TEST_CASE("transposed: golden words", "[exporter]") {
  quant::QuantizedWeight weight{"m", {4, true, 32, at::kHalf}, {}, {}, {}};
  weight.codes = at::arange(32, at::kLong).remainder(16).to(at::kByte).unsqueeze(0).expand({32, 32}).contiguous();
  weight.scales = at::ones({32, 1}, at::kHalf);
  const auto gptq = exporter::pack_transposed(weight, Container::gptq);
  CHECK(gptq[0].sizes() == at::IntArrayRef{4, 32});  // input features 0 .. 7 of output 0 in the first word
  CHECK(words(gptq[0].select(1, 0)) == std::vector<std::int32_t>{0x76543210, static_cast<std::int32_t>(0xfedcba98),
                                                                 0x76543210, static_cast<std::int32_t>(0xfedcba98)});
  CHECK(words(gptq[1]) == std::vector<std::int32_t>(4, 0x77777777));  // 8 less one
  const auto v2 = exporter::pack_transposed(weight, Container::gptq_v2);
  CHECK(words(v2[1]) == std::vector<std::int32_t>(4, static_cast<std::int32_t>(0x88888888)));
  weight.codes = weight.codes.t().contiguous();  // now output feature j has the code j
  const auto awq = exporter::pack_transposed(weight, Container::awq);
  CHECK(awq[0].sizes() == at::IntArrayRef{32, 4});
  CHECK(words(awq[0][0])[0] == 0x75316420);  // outputs 0 2 4 6 1 3 5 7, least significant first
}

TEST_CASE("transposed: what is packed is unpacked, every width and container", "[exporter]") {
  for (const Container container : {Container::gptq, Container::gptq_v2, Container::awq}) {
    for (const int bits : {2, 3, 4, 8}) {
      for (const bool symmetric : {true, false}) {
        for (const std::int64_t group : {32, -1}) {
          if (container == Container::awq && bits != 4) continue;
          if (container == Container::gptq && !symmetric) continue;
          const quant::WeightFormat format{bits, symmetric, group, at::kHalf};
          const auto weight = random_weight("m", 64, 96, format);
          const auto stored = exporter::pack_transposed(weight, container);
          const auto infos = exporter::transposed_tensors("m", 64, 96, format, container);
          for (std::size_t i = 0; i < infos.size(); ++i) CHECK(stored[i].sizes() == at::IntArrayRef(infos[i].shape));
          const auto back = exporter::unpack_transposed("m", format, stored, container);
          CHECK(at::equal(back.codes, weight.codes));
          CHECK(at::equal(back.scales, weight.scales));
          CHECK(back.zero_points.defined() == !symmetric);
          if (!symmetric) CHECK(at::equal(back.zero_points, weight.zero_points));
        }
      }
    }
  }
}

TEST_CASE("transposed: a folder of each format is read back weight by weight", "[exporter]") {
  const std::vector<std::pair<std::unique_ptr<const exporter::Layout> (*)(), bool>> layouts = {
      {exporter::auto_round_layout, true},      {exporter::auto_round_layout, false},
      {exporter::auto_round_gptq_layout, true}, {exporter::auto_round_awq_layout, false},
      {exporter::auto_gptq_layout, true},       {exporter::auto_awq_layout, false}};
  for (const auto& [make, symmetric] : layouts) {
    TinyModel model;
    apply(model, {{"g", integer_scheme({"Linear"}, 4, symmetric, 32)}});
    exporter::FolderFormat format(make());
    const std::string output = model.folder.make("made" + std::to_string(&make - &layouts.front().first));
    const auto plan = model.plan();
    format.check(plan);
    format.begin(plan, output);
    for (const auto& [name, weight] : model.weights) {
      format.write(weight);
      CHECK(at::equal(format.read(name).codes, weight.codes));  // as a run that is resumed does
    }
    format.finish();
    const bool awq = !symmetric;
    CHECK(config_of(output)["torch_dtype"] == (awq ? "float16" : "bfloat16"));
    const auto source = exporter::open_weights(open(output));
    for (const auto& [name, weight] : model.weights)
      CHECK(at::equal(source->load(name + ".weight", at::kHalf), quant::dequantize(weight, at::kHalf)));
    CHECK(config_of(output)["quantization_config"] ==
          Json::parse(autoround::read_text_file(autoround::join_path(output, "quantization_config.json"), 1 << 20)));
  }
}

TEST_CASE("transposed: mixed schemes are written by name and read again", "[exporter]") {
  for (const auto make : {exporter::auto_round_layout, exporter::auto_gptq_layout}) {
    TinyModel model;
    apply(model,
          {{"down", integer_scheme({"model.layers.1.mlp.down_proj"}, 8, true, 32)},
           {"rest", integer_scheme({"Linear"}, 4, true, 32)}},
          {"lm_head", "re:.*layers.0.self_attn.[qkv]_proj"});
    exporter::FolderFormat format(make());
    model.run(format, model.output);
    const auto source = exporter::open_weights(open(model.output));
    for (const auto& [name, weight] : model.weights)
      CHECK(at::equal(source->load(name + ".weight", at::kHalf), quant::dequantize(weight, at::kHalf)));
    const Json config = config_of(model.output)["quantization_config"];
    CHECK(config["bits"] == 4);
    if (config["quant_method"] == "gptq") {
      CHECK(config["dynamic"]["+:^model\\.layers\\.1\\.mlp\\.down_proj$"]["bits"] == 8);
      CHECK(config["dynamic"].contains("-:^model\\.layers\\.0\\.self_attn\\.(q_proj|qkv_proj)$"));
    } else {
      CHECK(config["extra_config"]["model.layers.1.mlp.down_proj"]["bits"] == 8);
      CHECK(config["extra_config"]["model.layers.0.self_attn.v_proj"] == Json{{"bits", 16}});
      CHECK(config["extra_config"].size() == 4);
      CHECK(config["block_name_to_quantize"] == "model.layers");
    }
  }
}

TEST_CASE("transposed: experts that stay or differ are named together, as GPTQ's reader runs them", "[exporter]") {
  TinyModel model;
  for (auto& module : model.modules) {
    if (module.name.find("layers.1.mlp.") == std::string::npos) continue;
    module.name.insert(module.name.rfind('.'), ".experts.0");
    module.fused_with = recipe::fused_experts;
  }
  apply(model, {{"g", integer_scheme({"Linear"}, 4, true, 32)}}, {"lm_head", "re:.*experts.*"});
  const Json dynamic = exporter::gptq_config(model.plan())["dynamic"];
  CHECK(dynamic.contains("-:^model\\.layers\\.1\\.mlp\\.experts(\\.0\\.up_proj)?$"));
}

TEST_CASE("transposed: what a format has no place for is refused with all offenders", "[exporter]") {
  TinyModel model;
  apply(model, {{"g", integer_scheme({"Linear"}, 4, false, 32)}});
  check_refused(*exporter::auto_gptq_layout(), model, Code::unsupported,
                {"`model.layers.0.mlp.up_proj`", "asymmetric"});
  CHECK_NOTHROW(exporter::auto_awq_layout()->check(model.plan()));
  model.formats.begin()->second.scale_type = at::kBFloat16;
  check_refused(*exporter::auto_awq_layout(), model, Code::unsupported, {"scale_dtype"});

  apply(model, {{"g", integer_scheme({"Linear"}, 3, true, 32)}});
  check_refused(*exporter::auto_awq_layout(), model, Code::unsupported, {"3 bits, not 4"});
  apply(model, {{"g", integer_scheme({"Linear"}, 5, true, 32)}});
  check_refused(*exporter::auto_round_layout(), model, Code::unsupported, {"5 bits, and readers know 2, 3, 4 and 8"});
  apply(model, {{"g", integer_scheme({"Linear"}, 8, true, 0)}});
  check_refused(*exporter::auto_round_layout(), model, Code::unsupported, {"one scale for the whole tensor"});
  apply(model,
        {{"down", integer_scheme({"re:.*down_proj"}, 4, true, 16)}, {"g", integer_scheme({"Linear"}, 4, true, 32)}});
  check_refused(*exporter::auto_awq_layout(), model, Code::unsupported, {"down_proj` is int4 group 16 sym"});
  CHECK_NOTHROW(exporter::auto_gptq_layout()->check(model.plan()));

  apply(model, {{"g", integer_scheme({"Linear"}, 4, true, 8)}}, {});  // the head has 40 rows
  check_refused(*exporter::auto_gptq_layout(), model, Code::unsupported, {"`lm_head` is outside the decoder layers"});
  check_refused(*exporter::auto_round_layout(), model, Code::invalid_argument,
                {"`lm_head` is [40, 64], not multiples of 32"});
  apply(model, {{"v", integer_scheme({"re:.*v_proj"}, 8, true, 32)}, {"g", integer_scheme({"Linear"}, 4, true, 32)}});
  check_refused(*exporter::auto_gptq_layout(), model, Code::invalid_argument, {"readers fuse", "v_proj"});
}

TEST_CASE("transposed: a folder that does not fit its config is refused by the tensor's name", "[exporter]") {
  const auto changed = [](const std::function<void(Json&)>& change) {
    TinyModel model;
    apply(model, {{"g", integer_scheme({"Linear"}, 4, true, 32)}});
    exporter::FolderFormat format(exporter::auto_round_layout());
    model.run(format, model.output);
    Json config = config_of(model.output);
    change(config["quantization_config"]);
    std::ofstream(autoround::join_path(model.output, "config.json")) << config.dump();
    try {
      exporter::open_weights(open(model.output));
    } catch (const autoround::Error& error) {
      return std::make_pair(error.code(), error.subject() + ": " + error.what());
    }
    FAIL("the folder was read");
    return std::make_pair(Code::internal, std::string());
  };
  const auto groups = changed([](Json& config) { config["group_size"] = 64; });
  CHECK(groups.first == Code::parse);
  CHECK(groups.second.find("qzeros") != std::string::npos);
  CHECK(changed([](Json& config) { config["bits"] = 8; }).first == Code::parse);
  CHECK(changed([](Json& config) { config["bits"] = 16; }).first == Code::parse);
  CHECK(changed([](Json& config) { config["desc_act"] = true; }).first == Code::unsupported);
  const auto packing = changed([](Json& config) { config["packing_format"] = "auto_round:llm_compressor"; });
  CHECK(packing.first == Code::unsupported);
  CHECK(packing.second.find("auto_round:llm_compressor") != std::string::npos);
}
