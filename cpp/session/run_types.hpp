// What a run computes with: its device, in which types weights and activations are computed and scales
// are stored.
#pragma once

#include <cstdint>
#include <string>

#include "checkpoint/tensor_info.hpp"
#include "quant/weight_format.hpp"
#include "recipe/recipe.hpp"
#include "session/options.hpp"

namespace autoround::session {

/// The device of the run, ready for use. @throws Error as device::parse and device::require
at::Device compute_device(const Options& options);
/// The host's choice, or what the device multiplies in hardware.
at::ScalarType compute_type(const Options& options);
/// Whether the run has the same bytes each time. On the CPU it always has: nothing is faster without.
bool is_deterministic(const Options& options);
/// The first output's format; without an output, the default one: what it would store decides how tensors are tuned.
const std::string& leading_format(const Options& options);
/// The formats of all outputs, "compressed-tensors, gguf"; without an output, the leading one.
std::string format_names(const Options& options);
/// The version of the LibTorch that is loaded, which need not be the one that this library was compiled with.
std::string libtorch_version();
/// @param weights the type of the full-precision weights
/// @throws Error invalid_argument: the outputs store scales in different types and the recipe does not settle it
quant::ScaleFormat scale_format(checkpoint::DType weights, const recipe::Recipe& recipe, const Options& options);

}  // namespace autoround::session
