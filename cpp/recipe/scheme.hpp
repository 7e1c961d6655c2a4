// Quantization schemes in the vocabulary of compressed-tensors: arguments of one tensor kind, and a scheme that says
// what happens to the weights and activations of the modules it is given to. Plain data with its rules. Source:
// compressed-tensors 0.20 QuantizationArgs / QuantizationScheme (docs/formats.md).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace autoround::recipe {

enum class Strategy { tensor, channel, group, block, token, tensor_group, attn_head };
enum class NumberType { integer, floating };
enum class Dynamic { no, yes, local };

struct QuantizationArgs {
  int num_bits = 8;
  NumberType type = NumberType::integer;
  bool symmetric = true;
  Strategy strategy = Strategy::tensor;
  std::optional<std::int64_t> group_size;  // as given: -1 and absent both mean channel
  std::optional<std::array<std::int64_t, 2>> block_structure;
  Dynamic dynamic = Dynamic::no;
  std::string actorder;     // "", "weight" or "static"; changes nothing on disk
  std::string scale_dtype;  // "" or "torch.float8_e4m3fn" ...
  std::string zp_dtype;
  std::string observer;
  // Of the K types of GGUF: groups whose scales are integers in units of one scale, and the bits of those integers.
  std::optional<std::int64_t> super_group_size;
  std::optional<int> super_bits;

  bool operator==(const QuantizationArgs&) const = default;
};

struct QuantizationScheme {
  std::vector<std::string> targets;
  std::optional<QuantizationArgs> weights;
  std::optional<QuantizationArgs> input_activations;
  std::optional<QuantizationArgs> output_activations;
  std::string format;  // "" means inferred
  std::string preset;  // the preset's name when the scheme came from one, e.g. "W4A16"; for display

  bool operator==(const QuantizationScheme&) const = default;
};

std::string_view strategy_name(Strategy strategy) noexcept;
/// @throws Error invalid_argument, subject = `key`: none of the names.
Strategy parse_strategy(std::string_view name, const std::string& key);
/// The strategy of arguments that name none: absent -> tensor, -1 -> channel, positive -> group.
Strategy infer_strategy(std::optional<std::int64_t> group_size) noexcept;

/// What a set of arguments is for: weights are quantized once, activations at run time, the cache as attention writes
/// it.
enum class Role { weights, activations, kv_cache };
/// The one place that says which arguments fit together. @throws Error invalid_argument, subject = `key`.
void validate(const QuantizationArgs& args, Role role, const std::string& key);
/// Each kind of tensor with its arguments. A scheme without any (UNQUANTIZED) leaves its modules alone.
/// @throws Error invalid_argument, subject = `key` or `key`.weights ...
void validate(const QuantizationScheme& scheme, const std::string& key);

/// A short name for logs and results: the preset, or "int4 group 64 asym".
std::string describe(const QuantizationScheme& scheme);

/// The scheme as it fits a row of so many columns: super groups that do not divide it give way to the plain groups that
/// llama.cpp's own quantizer falls back to.
QuantizationScheme fit_to(const QuantizationScheme& scheme, std::int64_t columns);

/// Names of all presets ("W4A16", ...), in the order of docs and help.
const std::vector<std::string>& preset_names();
/// @throws Error invalid_argument, subject = `key`, with the nearest name. Case-insensitive.
QuantizationScheme preset_scheme(std::string_view name, const std::string& key = "scheme");

}  // namespace autoround::recipe
