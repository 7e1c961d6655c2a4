// Preset schemes as compressed-tensors 0.20 defines them, and the types of GGUF.
#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"
#include "recipe/gguf_schemes.hpp"
#include "recipe/scheme.hpp"

namespace autoround::recipe {
namespace {

using Args = QuantizationArgs;

Args int_group(int bits, bool symmetric = true) {
  return {.num_bits = bits, .symmetric = symmetric, .strategy = Strategy::group, .group_size = 128};
}
Args int8_channel() { return {.num_bits = 8, .strategy = Strategy::channel}; }
Args int_token(int bits) { return {.num_bits = bits, .strategy = Strategy::token, .dynamic = Dynamic::yes}; }
Args fp8(Strategy strategy, Dynamic dynamic = Dynamic::no) {
  return {.num_bits = 8, .type = NumberType::floating, .strategy = strategy, .dynamic = dynamic};
}
Args fp8_static() {
  Args args = fp8(Strategy::tensor);
  args.observer = "static_minmax";
  return args;
}
Args fp8_block() {
  Args args = fp8(Strategy::block);
  args.block_structure = {128, 128};
  return args;
}
Args fp8_group() {
  Args args = fp8(Strategy::group, Dynamic::yes);
  args.group_size = 128;
  return args;
}
Args nvfp4(Dynamic dynamic = Dynamic::no) {
  return {.num_bits = 4,
          .type = NumberType::floating,
          .strategy = Strategy::tensor_group,
          .group_size = 16,
          .dynamic = dynamic,
          .scale_dtype = "torch.float8_e4m3fn",
          .observer = dynamic == Dynamic::local ? "static_minmax" : ""};
}
Args mx(int bits, Dynamic dynamic = Dynamic::no) {
  return {.num_bits = bits,
          .type = NumberType::floating,
          .strategy = Strategy::group,
          .group_size = 32,
          .dynamic = dynamic,
          .scale_dtype = "torch.uint8"};
}

struct Preset {
  std::string name;
  std::optional<Args> weights;
  std::optional<Args> inputs;
};

std::vector<Preset> make_presets() {
  std::vector<Preset> all;
  for (int bits = 2; bits <= 8; ++bits) all.push_back({"W" + std::to_string(bits) + "A16", int_group(bits), {}});
  all.push_back({"W4A16_ASYM", int_group(4, false), {}});
  for (int bits = 2; bits <= 7; ++bits)
    all.push_back({"W" + std::to_string(bits) + "A8", int_group(bits), int_token(8)});
  all.push_back({"W8A8", int8_channel(), int_token(8)});
  all.push_back({"INT8", int8_channel(), int_token(8)});
  for (int bits = 2; bits <= 4; ++bits)
    all.push_back({"W" + std::to_string(bits) + "A4", int_group(bits), int_token(4)});
  all.push_back({"W4AFP8", int_group(4), fp8(Strategy::token, Dynamic::yes)});
  all.push_back({"FP8", fp8(Strategy::tensor), fp8_static()});
  all.push_back({"FP8_DYNAMIC", fp8(Strategy::channel), fp8(Strategy::token, Dynamic::yes)});
  all.push_back({"FP8_BLOCK", fp8_block(), fp8_group()});
  all.push_back({"NVFP4A16", nvfp4(), {}});
  all.push_back({"NVFP4", nvfp4(), nvfp4(Dynamic::local)});
  all.push_back({"MXFP4A16", mx(4), {}});
  all.push_back({"MXFP4", mx(4), mx(4, Dynamic::yes)});
  all.push_back({"MXFP4XFP8", mx(4), fp8_group()});
  all.push_back({"MXFP6A16", mx(6), {}});
  all.push_back({"MXFP6A8", mx(6), mx(8, Dynamic::yes)});
  all.push_back({"MXFP8A16", mx(8), {}});
  all.push_back({"MXFP8", mx(8), mx(8, Dynamic::yes)});
  all.push_back({"UNQUANTIZED", {}, {}});
  for (const auto& [name, weights] : gguf_schemes()) all.push_back({name, weights, {}});
  return all;
}

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = make_presets();
  return all;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

}  // namespace

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const auto& preset : presets()) list.push_back(preset.name);
    return list;
  }();
  return names;
}

QuantizationScheme preset_scheme(std::string_view name, const std::string& key) {
  const std::string wanted = upper(name);
  const auto& all = presets();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Preset& preset) { return preset.name == wanted; });
  if (found == all.end()) {
    fail(Code::invalid_argument, key,
         "found \"" + std::string(name) + "\", which is no preset scheme" + hint(wanted, preset_names()) +
             "; presets: " + join(preset_names(), ", "));
  }
  QuantizationScheme scheme;
  scheme.weights = found->weights;
  scheme.input_activations = found->inputs;
  scheme.preset = found->name;
  return scheme;
}

}  // namespace autoround::recipe
