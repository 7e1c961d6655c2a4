// The modules of a model as recipes see them: names, classes and weight shapes, as transformers' named_modules lists
// them.
#pragma once

#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "model/spec.hpp"
#include "recipe/matching.hpp"

namespace autoround::model {

/// Named modules of the language model, the root (named "") first, in named_modules order but for the order within a
/// layer, which is the forward pass's. Modules around the language model are left out. Shapes come from the spec and
/// are checked against the checkpoint; the linears of an already quantized checkpoint may lack their `.weight`. A tied
/// `lm_head` names the embedding's tensor as its weight.
/// @throws Error parse: a tensor that the config implies is missing or has another shape; a tied head is stored too,
/// with other values than the embedding.
std::vector<recipe::ModuleInfo> list_modules(const DecoderSpec& spec, const checkpoint::Checkpoint& checkpoint);

}  // namespace autoround::model
