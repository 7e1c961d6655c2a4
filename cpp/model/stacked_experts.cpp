#include "model/stacked_experts.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "base/error.hpp"
#include "checkpoint/limits.hpp"
#include "model/weight_source.hpp"

namespace autoround::model {
namespace {

/// What a stack holds of each expert.
struct Kind {
  std::string_view stack, linear, tensor;  // "gate_up_proj_bias" holds the "bias" of "gate_proj"
  std::int64_t first, step;
  std::size_t dimensions;
};
constexpr std::array<Kind, 6> kinds{{
    {"gate_up_proj", "gate_proj", "weight", 0, 2, 3},
    {"gate_up_proj", "up_proj", "weight", 1, 2, 3},
    {"down_proj", "down_proj", "weight", 0, 1, 3},
    {"gate_up_proj_bias", "gate_proj", "bias", 0, 2, 2},
    {"gate_up_proj_bias", "up_proj", "bias", 1, 2, 2},
    {"down_proj_bias", "down_proj", "bias", 0, 1, 2},
}};
constexpr std::string_view folder = ".experts.";

ExpertPart make_part(const checkpoint::TensorInfo& stack, std::string_view prefix, const Kind& kind,
                     std::int64_t expert) {
  const std::int64_t out = stack.shape.back() / kind.step;
  ExpertPart part{.stack = stack.name, .expert = expert, .first = kind.first, .step = kind.step};
  part.name.append(prefix).append(std::to_string(expert)).append(".");
  part.name.append(kind.linear).append(".").append(kind.tensor);
  part.shape = kind.dimensions == 3 ? std::vector<std::int64_t>{out, stack.shape[1]} : std::vector<std::int64_t>{out};
  return part;
}

// A tensor without elements can claim any number of experts, and has none.
bool is_stack(const checkpoint::TensorInfo& tensor, const Kind& kind) {
  return tensor.shape.size() == kind.dimensions && tensor.shape.back() % kind.step == 0 && tensor.element_count() > 0 &&
         tensor.shape.front() <= checkpoint::max_experts;
}

}  // namespace

std::optional<ExpertPart> find_expert_part(const checkpoint::Checkpoint& checkpoint, const std::string& name) {
  const std::size_t found = name.rfind(folder);
  if (found == std::string::npos || checkpoint.find(name) != nullptr) return std::nullopt;
  const std::string_view prefix = std::string_view(name).substr(0, found + folder.size());
  std::string_view rest = std::string_view(name).substr(prefix.size());
  std::int64_t expert = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), expert);
  if (error != std::errc() || expert < 0) return std::nullopt;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  for (const Kind& kind : kinds) {
    if (rest != "." + std::string(kind.linear) + "." + std::string(kind.tensor)) continue;
    const checkpoint::TensorInfo* stack = checkpoint.find(std::string(prefix).append(kind.stack));
    if (stack == nullptr || !is_stack(*stack, kind) || expert >= stack->shape.front()) return std::nullopt;
    return make_part(*stack, prefix, kind, expert);
  }
  return std::nullopt;
}

std::vector<ExpertPart> expert_parts(const checkpoint::TensorInfo& tensor) {
  std::vector<ExpertPart> parts;
  const std::size_t found = tensor.name.rfind(folder);
  if (found == std::string::npos) return parts;
  const std::string_view prefix = std::string_view(tensor.name).substr(0, found + folder.size());
  for (const Kind& kind : kinds) {
    if (tensor.name.substr(prefix.size()) != kind.stack || !is_stack(tensor, kind)) continue;
    for (std::int64_t expert = 0; expert < tensor.shape.front(); ++expert)
      parts.push_back(make_part(tensor, prefix, kind, expert));
  }
  return parts;
}

at::Tensor view_of_part(const at::Tensor& slice, const ExpertPart& part) {
  const at::Tensor columns = slice.slice(-1, part.first, c10::nullopt, part.step);
  return columns.dim() == 2 ? columns.t() : columns;
}

at::Tensor read_expert_part(const checkpoint::Checkpoint& checkpoint, const ExpertPart& part) {
  const checkpoint::TensorInfo& stack = *checkpoint.find(part.stack);
  at::Tensor slice = at::empty(at::IntArrayRef(stack.shape).slice(1), torch_type(stack.dtype));
  checkpoint.read(part.stack, static_cast<std::uint64_t>(part.expert) * slice.nbytes(), bytes_of(slice));
  return view_of_part(slice, part).contiguous();
}

at::Tensor read_stored(const checkpoint::Checkpoint& checkpoint, const std::string& name) {
  const checkpoint::TensorInfo* info = checkpoint.find(name);
  if (info == nullptr) {
    const auto part = find_expert_part(checkpoint, name);
    if (!part) fail(Code::not_found, name, "the checkpoint has no such tensor");
    return read_expert_part(checkpoint, *part);
  }
  at::Tensor tensor = at::empty(info->shape, torch_type(info->dtype));
  checkpoint.read(name, 0, bytes_of(tensor));
  return tensor;
}

}  // namespace autoround::model
