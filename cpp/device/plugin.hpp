// libautoround_cuda.so, and with it LibTorch's CUDA libraries, taken into the process.
#pragma once

#include "device/kernels.hpp"

namespace autoround::device {

/// Names a file to load instead of the libautoround_cuda.so that the dynamic loader finds.
inline constexpr const char* kPluginVariable = "AUTOROUND_CUDA_LIBRARY";

/// Stays loaded for good. @throws Error unsupported: not found, not loadable, or made for another libautoround.so
const Kernels& load_plugin();

}  // namespace autoround::device
