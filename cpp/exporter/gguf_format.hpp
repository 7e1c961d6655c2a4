// GGUF, one file that llama.cpp loads: every weight as it was tuned, in blocks that hold the same integers.
// docs/formats.md
#pragma once

#include <memory>

#include "exporter/exporter.hpp"

namespace autoround::exporter {

std::unique_ptr<Exporter> gguf_format();

}  // namespace autoround::exporter
