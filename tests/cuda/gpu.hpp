// The device that these tests run on, where there is one.
#pragma once

#include <cstdio>

#include "device/device.hpp"

namespace autoround {

inline const c10::Device gpu(c10::DeviceType::CUDA, 0);

/// Whether the CPU stands in for a GPU (on_host/plugin.cpp). Its attention in bf16 is that of fp32, rounded once.
inline bool is_stand_in() { return device::kernels(gpu).name(0) == "the CPU in place of a GPU"; }

/// Catch2 2 cannot skip a case: it passes, and says so.
inline bool no_gpu() {
  if (device::has_cuda()) return false;
  std::fputs("skipped: no CUDA device\n", stderr);
  return true;
}

}  // namespace autoround
