// The checkpoint with the values that its quantized weights have: for engines that read full precision only, and for
// measuring what a scheme costs. Nothing is smaller.
#pragma once

#include <memory>

#include "exporter/layout.hpp"

namespace autoround::exporter {

std::unique_ptr<const Layout> fake_layout();

}  // namespace autoround::exporter
