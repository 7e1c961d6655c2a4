// What a GGUF file will hold, decided before it is written.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "exporter/exporter.hpp"
#include "exporter/gguf_architectures.hpp"
#include "exporter/gguf_file.hpp"

namespace autoround::exporter {

/// A tensor of the file, or a slice of one, and what it is made of: a tensor of the checkpoint, a module that is
/// quantized, or values.
struct GgufEntry {
  GgufTensor tensor;
  std::string source = {};  // of the checkpoint or of a stack of experts, converted; else ""
  std::string module = {};  // quantized; else ""
  at::Tensor values = {};   // of neither
  GgufRows rows = {};       // of the first two
  double added = 0.0;       // to what is copied
};

struct GgufPlan {
  std::string file_name;
  GgufMetadata metadata;
  std::vector<GgufEntry> entries;  // slices of a tensor follow each other
  std::vector<std::string> notes;  // what readers will not get

  checkpoint::ShardLayout layout() const;  // with a place for each entry
};

/// @throws Error unsupported, invalid_argument: as Exporter::check; parse: tokenizer.json.
GgufPlan plan_gguf(const ExportPlan& plan);

}  // namespace autoround::exporter
