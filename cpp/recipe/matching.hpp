// Which module gets which scheme. Class names, exact names and `re:` patterns with the semantics of Python's re.match
// (anchored at the start only), through PCRE2 with a match limit so that a hostile pattern cannot hang the host.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "recipe/recipe.hpp"

namespace autoround::recipe {

/// `fused_with` of all linears of a layer's experts.
inline constexpr const char* fused_experts = "experts";
/// Base class of experts that are one tensor, which readers of folders know by the name of all.
inline constexpr const char* fused_experts_class = "FusedExperts";

/// A module of the model as names see it, in named_modules order. Filled by model/.
struct ModuleInfo {
  std::string name;                 // "model.layers.0.self_attn.q_proj"
  std::string alias;                // a second name, by which transformers knows it; "" where there is none
  std::string class_name;           // "Linear", "LlamaDecoderLayer", "LlamaRMSNorm"
  std::vector<std::string> bases;   // other classes that a target may name
  std::int64_t block = -1;          // index of its decoder layer, -1 outside
  std::vector<std::int64_t> shape;  // of its weight: [out_features, in_features] for Linear; empty without one
  std::string weight;               // name of its weight tensor in the checkpoint, "" without one
  std::string fused_with;  // modules that readers fuse share this tag within a block: "qkv", "gate_up", "experts"
  std::string stack;  // the module whose tensors hold this weight and those of all experts; "" where it has its own
};

/// Refuses targets that can match nothing in any model: empty ones and invalid patterns.
/// @throws Error parse, subject = the target.
void check_target(const std::string& target);
/// @throws Error parse: the pattern is invalid or passes its match limit, subject = the target.
bool matches(const std::string& target, const ModuleInfo& module);

struct Assignment {
  struct Entry {
    const ModuleInfo* module = nullptr;
    std::optional<std::size_t> group;  // index into Recipe::groups()
    QuantizationScheme scheme;         // that of the group as it fits the module's columns; of no group: none
    std::string reason;                // why it is not quantized: "ignored by `lm_head`", "no group matches"
  };
  std::vector<Entry> linears;  // every module with a 2-D weight that a scheme could go to, in module order
};

/// Gives each Linear (and each Embedding that is targeted) its scheme: exact name, then regex, then class when several
/// groups match (compressed-tensors order). A target that matches nothing is an error; an ignore that matches nothing
/// warns, and so do rows that no super groups fill: fit_to().
/// @throws Error invalid_argument listing all offenders: unmatched targets, in_features not divisible by group_size.
Assignment assign(const Recipe& recipe, const std::vector<ModuleInfo>& modules, const Logger& log);

/// The scheme that the same rules give one module of a model whose others are not known: a target that does not match
/// it may well match one of them.
/// @throws Error invalid_argument: the recipe leaves it alone, with the reason; in_features not divisible by
/// group_size.
QuantizationScheme scheme_of(const Recipe& recipe, const ModuleInfo& module);

}  // namespace autoround::recipe
