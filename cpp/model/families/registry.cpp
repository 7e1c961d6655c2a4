#include <array>

#include "base/error.hpp"
#include "base/text.hpp"
#include "model/families/family.hpp"

namespace autoround::model {

gsl::span<const Family> families() {
  static constexpr std::array<Family, 24> table{{
      {"cohere", read_cohere},
      {"cohere2", read_cohere2},
      {"deepseek_v2", read_deepseek_v2},
      {"deepseek_v3", read_deepseek_v3},
      {"gemma", read_gemma},
      {"gemma2", read_gemma2},
      {"gemma3_text", read_gemma3},
      {"glm4", read_glm4},
      {"glm4_moe", read_glm4_moe},
      {"gpt_neox", read_gpt_neox},
      {"gpt_oss", read_gpt_oss},
      {"granite", read_granite},
      {"llama", read_llama},
      {"mistral", read_mistral},
      {"mixtral", read_mixtral},
      {"olmo2", read_olmo2},
      {"opt", read_opt},
      {"phi3", read_phi3},
      {"qwen2", read_qwen2},
      {"qwen2_moe", read_qwen2_moe},
      {"qwen3", read_qwen3},
      {"qwen3_moe", read_qwen3_moe},
      {"smollm3", read_smollm3},
      {"starcoder2", read_starcoder2},
  }};
  return table;
}

std::vector<std::string> supported_families() {
  std::vector<std::string> names;
  for (const Family& family : families()) names.emplace_back(family.model_type);
  return names;
}

std::string DecoderSpec::alias(const std::string& module) const {
  for (const auto& [stored, named] : renamed)
    if (module == stored || module.starts_with(stored + ".")) return named + module.substr(stored.size());
  return "";
}

DecoderSpec read_spec(const checkpoint::HfConfig& config) {
  const auto known = supported_families();
  const std::string supported = "supported are " + join(known, ", ");
  if (!config.text().has("model_type"))
    fail(Code::unsupported, config.text().subject(), "the key `model_type` is missing; " + supported);
  const std::string model_type = config.model_type();
  for (const Family& family : families())
    if (family.model_type == model_type) return family.read(config);
  fail(Code::unsupported, config.view().subject(),
       "model_type " + quote(model_type) + " is not supported" + hint(model_type, known) + "; " + supported);
}

DecoderSpec read_spec(const checkpoint::Checkpoint& checkpoint) {
  DecoderSpec spec = read_spec(checkpoint.config());
  // Where checkpoints keep the language model, and what transformers calls that place.
  struct Layout {
    std::string prefix, lm_head, place;
  };
  const auto stores = [&](const std::string& module) { return checkpoint.find(module + ".weight") != nullptr; };
  const std::string own = spec.prefix, head = spec.lm_head;
  const std::string inner = "model.language_model.";
  for (const auto& [prefix, lm_head, place] :
       {Layout{own, head, own}, Layout{inner, head, inner},
        Layout{"language_model." + own, "language_model." + head, inner}, Layout{"decoder.", head, own}}) {
    if (!stores(prefix + spec.embeddings)) continue;
    const auto name = [](const std::string& path) { return path.substr(0, path.size() - 1); };
    if (prefix != place) spec.renamed.emplace_back(name(prefix), name(place));
    if (lm_head != head) spec.renamed.emplace_back(lm_head, head);
    spec.prefix = prefix;
    spec.lm_head = lm_head;
    break;
  }
  if (spec.model_type == "gpt_neox" && stores("embed_out")) {  // the head's name before transformers 5
    spec.renamed.emplace_back("embed_out", head);
    spec.lm_head = "embed_out";
  }
  return spec;
}

}  // namespace autoround::model
