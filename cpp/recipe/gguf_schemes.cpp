#include "recipe/gguf_schemes.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"

namespace autoround::recipe {
namespace {

constexpr std::int64_t kSuperColumns = 256;

QuantizationArgs plain(int bits, bool symmetric) {
  return {.num_bits = bits, .symmetric = symmetric, .strategy = Strategy::group, .group_size = 32};
}

QuantizationArgs with_super_groups(int bits, bool symmetric, std::int64_t group, int super_bits) {
  QuantizationArgs args = plain(bits, symmetric);
  args.group_size = group;
  args.super_group_size = kSuperColumns / group;
  args.super_bits = super_bits;
  return args;
}

/// What llama.cpp's quantizer takes for rows that no super groups fill: source, llama-quant.cpp.
std::string fallback(int bits) {
  if (bits <= 3) return "GGUF:Q4_0";
  if (bits == 4) return "GGUF:Q5_0";
  return bits == 5 ? "GGUF:Q5_1" : "GGUF:Q8_0";
}

}  // namespace

const std::vector<std::pair<std::string, QuantizationArgs>>& gguf_schemes() {
  static const std::vector<std::pair<std::string, QuantizationArgs>> schemes = {
      {"GGUF:Q4_0", plain(4, true)},
      {"GGUF:Q4_1", plain(4, false)},
      {"GGUF:Q5_0", plain(5, true)},
      {"GGUF:Q5_1", plain(5, false)},
      {"GGUF:Q8_0", plain(8, true)},
      {"GGUF:Q2_K", with_super_groups(2, false, 16, 4)},
      {"GGUF:Q3_K", with_super_groups(3, true, 16, 6)},
      {"GGUF:Q4_K", with_super_groups(4, false, 32, 6)},
      {"GGUF:Q5_K", with_super_groups(5, false, 32, 6)},
      {"GGUF:Q6_K", with_super_groups(6, true, 16, 8)},
  };
  return schemes;
}

void check_super_groups(const QuantizationArgs& args, const std::string& key) {
  if (!args.super_group_size && !args.super_bits) return;
  std::vector<std::string> known;
  for (const auto& [name, scheme] : gguf_schemes()) {
    if (!scheme.super_bits) continue;
    const bool same = args.num_bits == scheme.num_bits && args.symmetric == scheme.symmetric &&
                      args.group_size == scheme.group_size && args.super_group_size == scheme.super_group_size &&
                      args.super_bits == scheme.super_bits;
    if (same && args.type == NumberType::integer && args.strategy == Strategy::group) return;
    known.push_back(std::to_string(scheme.num_bits) + " bits " + (scheme.symmetric ? "symmetric" : "asymmetric") +
                    " with group_size " + std::to_string(*scheme.group_size) + ", super_group_size " +
                    std::to_string(*scheme.super_group_size) + ", super_bits " + std::to_string(*scheme.super_bits) +
                    " (" + name + ")");
  }
  fail(Code::invalid_argument, key,
       "found super_group_size or super_bits with other arguments than a K type of GGUF has: " + join(known, "; "));
}

QuantizationScheme fit_to(const QuantizationScheme& scheme, std::int64_t columns) {
  if (!scheme.weights || !scheme.weights->super_bits || columns % kSuperColumns == 0) return scheme;
  QuantizationScheme fitted = preset_scheme(fallback(scheme.weights->num_bits));
  fitted.targets = scheme.targets;
  return fitted;
}

}  // namespace autoround::recipe
