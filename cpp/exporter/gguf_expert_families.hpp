// The part of the table of gguf_families.cpp that families with experts need: names of tensors, keys and checks.
#pragma once

#include <gsl/span>

#include "exporter/gguf_architectures.hpp"

namespace autoround::exporter {

gsl::span<const GgufName> mixtral_names();
gsl::span<const GgufName> qwen_moe_names();
gsl::span<const GgufName> glm4_moe_names();
gsl::span<const GgufName> deepseek_names();
gsl::span<const GgufName> gpt_oss_names();

/// Experts after some dense layers, and a network that every token goes through.
void add_later_experts(const std::string& prefix, const model::DecoderSpec& spec, GgufMetadata& metadata);
void add_deepseek(const std::string& prefix, const model::DecoderSpec& spec, GgufMetadata& metadata);

void check_normalized_experts(const model::DecoderSpec& spec, Offences& offences);
void check_plain_experts(const model::DecoderSpec& spec, Offences& offences);
void check_groups(const model::DecoderSpec& spec, Offences& offences);
void check_deepseek(const model::DecoderSpec& spec, Offences& offences);
void check_gpt_oss(const model::DecoderSpec& spec, Offences& offences);

}  // namespace autoround::exporter
