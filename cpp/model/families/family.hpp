// The families of decoder models that are known: one function each, from config.json to a DecoderSpec. A new family is
// a new file beside this one and a line in registry.cpp.
#pragma once

#include <gsl/span>
#include <string_view>

#include "model/spec.hpp"

namespace autoround::model {

struct Family {
  std::string_view model_type;  // as config.json spells it
  DecoderSpec (*read)(const checkpoint::HfConfig&);
};

gsl::span<const Family> families();

DecoderSpec read_cohere(const checkpoint::HfConfig& config);
DecoderSpec read_cohere2(const checkpoint::HfConfig& config);
DecoderSpec read_deepseek_v2(const checkpoint::HfConfig& config);
DecoderSpec read_deepseek_v3(const checkpoint::HfConfig& config);
DecoderSpec read_gemma(const checkpoint::HfConfig& config);
DecoderSpec read_gemma2(const checkpoint::HfConfig& config);
DecoderSpec read_gemma3(const checkpoint::HfConfig& config);
DecoderSpec read_glm4(const checkpoint::HfConfig& config);
DecoderSpec read_glm4_moe(const checkpoint::HfConfig& config);
DecoderSpec read_gpt_neox(const checkpoint::HfConfig& config);
DecoderSpec read_gpt_oss(const checkpoint::HfConfig& config);
DecoderSpec read_granite(const checkpoint::HfConfig& config);
DecoderSpec read_llama(const checkpoint::HfConfig& config);
DecoderSpec read_mistral(const checkpoint::HfConfig& config);
DecoderSpec read_mixtral(const checkpoint::HfConfig& config);
DecoderSpec read_olmo2(const checkpoint::HfConfig& config);
DecoderSpec read_opt(const checkpoint::HfConfig& config);
DecoderSpec read_phi3(const checkpoint::HfConfig& config);
DecoderSpec read_qwen2(const checkpoint::HfConfig& config);
DecoderSpec read_qwen2_moe(const checkpoint::HfConfig& config);
DecoderSpec read_qwen3(const checkpoint::HfConfig& config);
DecoderSpec read_qwen3_moe(const checkpoint::HfConfig& config);
DecoderSpec read_smollm3(const checkpoint::HfConfig& config);
DecoderSpec read_starcoder2(const checkpoint::HfConfig& config);

}  // namespace autoround::model
