// How alike two results are.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <vector>

#include "quant/weight_format.hpp"

namespace autoround::test {

/// Share of the codes that are the same.
inline double agreement(const std::vector<quant::QuantizedWeight>& a, const std::vector<quant::QuantizedWeight>& b) {
  double same = 0, all = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    same += a[i].codes.eq(b.at(i).codes).sum().item<double>();
    all += static_cast<double>(a[i].codes.numel());
  }
  return same / all;
}

}  // namespace autoround::test
