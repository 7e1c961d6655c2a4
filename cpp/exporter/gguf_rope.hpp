// Rotary positions as llama.cpp is told of them: keys for most ways of scaling, tensors of divisors for two of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "exporter/folder_rules.hpp"
#include "exporter/gguf_architectures.hpp"
#include "exporter/gguf_file.hpp"
#include "model/spec.hpp"

namespace autoround::exporter {

void check_rope(const GgufArchitecture& architecture, const model::DecoderSpec& spec, Offences& offences);
void add_rope_keys(const std::string& prefix, const model::DecoderSpec& spec, GgufMetadata& metadata);
/// What the frequencies are divided by, by name of the tensor; none for most models. fp32 [rotary_dim / 2]
std::vector<std::pair<std::string, at::Tensor>> rope_tensors(const model::DecoderSpec& spec);

}  // namespace autoround::exporter
