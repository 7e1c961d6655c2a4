// Experts that a checkpoint holds in one tensor for all of them (gpt_oss), taken apart into linears of their own.
// experts.gate_up_proj [E, H, 2 I], gate and up in turn along its last dimension, becomes experts.0.gate_proj.weight
// [I, H], experts.0.up_proj.weight [I, H] ...; experts.down_proj [E, I, H] becomes experts.0.down_proj.weight [H, I]
// ... Biases, experts.gate_up_proj_bias [E, 2 I] and experts.down_proj_bias [E, H], likewise.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"

namespace autoround::model {

/// A weight or a bias of one expert, and where it lies: every `step`-th column from `first` on, transposed.
struct ExpertPart {
  std::string name;   // "model.layers.0.mlp.experts.3.up_proj.weight"
  std::string stack;  // "model.layers.0.mlp.experts.gate_up_proj"
  std::int64_t expert = 0, first = 0, step = 1;
  std::vector<std::int64_t> shape;  // [out, in] or [out]
};

/// The part called `name`; nullopt: the checkpoint has such a tensor itself, or no stack that would hold it.
std::optional<ExpertPart> find_expert_part(const checkpoint::Checkpoint& checkpoint, const std::string& name);

/// All parts of a tensor, expert by expert; none where it is no stack.
std::vector<ExpertPart> expert_parts(const checkpoint::TensorInfo& tensor);

/// The part as a view of its expert's slice of the stack.
at::Tensor view_of_part(const at::Tensor& slice, const ExpertPart& part);
/// Contiguous, in the type of the stack.
at::Tensor read_expert_part(const checkpoint::Checkpoint& checkpoint, const ExpertPart& part);

/// A whole tensor of the checkpoint, or else the part called `name`, in the type that is stored.
/// @throws Error not_found: neither is there.
at::Tensor read_stored(const checkpoint::Checkpoint& checkpoint, const std::string& name);

}  // namespace autoround::model
