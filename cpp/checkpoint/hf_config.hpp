// config.json of a Hugging Face checkpoint, with the spellings of transformers 4 and 5 made one. Typed, range-checked
// reads; what a key means for a model family is decided in model/.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/json.hpp"
#include "checkpoint/tensor_info.hpp"

namespace autoround::checkpoint {

class HfConfig {
 public:
  /// @throws Error parse with file, key, got and wanted.
  static HfConfig parse(std::string_view text, const std::string& file = "config.json");

  const Json& json() const noexcept { return *json_; }  // key order kept, for writing it back patched
  JsonView view() const { return JsonView(*json_, file_); }
  /// The part that describes the language model: `text_config` of a multimodal checkpoint, otherwise the whole.
  JsonView text() const;
  std::string model_type() const;      // of text(); @throws unsupported when absent
  std::optional<DType> dtype() const;  // `dtype` (v5) or `torch_dtype` (v4)
  bool is_quantized() const;           // has quantization_config
  bool tie_word_embeddings(bool fallback) const;
  /// rope_parameters (v5) or rope_theta + rope_scaling (v4) as one object {rope_type, rope_theta, factor, ...};
  /// `layer_type` picks the nested object of models that have one for each kind of layer.
  Json rope_parameters(const std::string& layer_type = "", double default_theta = 10000.0) const;

 private:
  std::shared_ptr<const Json> json_;
  std::string file_;
};

}  // namespace autoround::checkpoint
