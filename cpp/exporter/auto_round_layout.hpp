// What the readers of auto-round, GPTQ and AWQ load: the containers of transposed_packing.hpp with their configs.
#pragma once

#include <memory>

#include "exporter/layout.hpp"

namespace autoround::exporter {

/// As auto-round itself chooses: auto_round:auto_gptq where all is symmetric, auto_round:auto_awq where all is
/// asymmetric with 4 bits, else its own packing, which vLLM does not read.
std::unique_ptr<const Layout> auto_round_layout();
std::unique_ptr<const Layout> auto_round_gptq_layout();
std::unique_ptr<const Layout> auto_round_awq_layout();
std::unique_ptr<const Layout> auto_gptq_layout();
std::unique_ptr<const Layout> auto_awq_layout();

}  // namespace autoround::exporter
