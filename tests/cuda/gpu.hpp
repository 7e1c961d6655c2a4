// The device that these tests run on, where there is one.
#pragma once

#include <cstdio>

#include "device/device.hpp"

namespace autoround {

inline const c10::Device gpu(c10::DeviceType::CUDA, 0);

/// Catch2 2 cannot skip a case: it passes, and says so.
inline bool no_gpu() {
  if (device::has_cuda()) return false;
  std::fputs("skipped: no CUDA device\n", stderr);
  return true;
}

}  // namespace autoround
