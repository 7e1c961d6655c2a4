// compressed-tensors' pack-quantized layout, read by vLLM and transformers unmodified: integer weights of 2 to 8 bits,
// symmetric or not, with scales by group, row or tensor. docs/formats.md
#pragma once

#include <memory>

#include "exporter/layout.hpp"

namespace autoround::exporter {

std::unique_ptr<const Layout> compressed_tensors_layout();

}  // namespace autoround::exporter
