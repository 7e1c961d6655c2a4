// compressed-tensors' layout, read by vLLM and transformers unmodified: each scheme in the container that
// compressed-tensors infers for it (stored_module.hpp). docs/formats.md
#pragma once

#include <memory>

#include "exporter/layout.hpp"

namespace autoround::exporter {

std::unique_ptr<const Layout> compressed_tensors_layout();

}  // namespace autoround::exporter
