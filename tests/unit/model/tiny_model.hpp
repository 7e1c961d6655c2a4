// Checkpoint folders of a few kilobytes for the tests of model/.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>

#include "base/json.hpp"
#include "checkpoint/checkpoint.hpp"
#include "model/causal_lm.hpp"

namespace autoround::model::test {

using Tensors = std::map<std::string, at::Tensor>;

/// A folder with a config.json and one safetensors file; removed with the object.
class TinyFolder {
 public:
  TinyFolder(const Json& config, const Tensors& tensors);
  TinyFolder(const TinyFolder&) = delete;
  TinyFolder& operator=(const TinyFolder&) = delete;
  ~TinyFolder();
  std::shared_ptr<const checkpoint::Checkpoint> open() const;

 private:
  std::string directory_;
};

/// A llama of 2 layers, hidden 12, 3 query heads of 4 over 1 key head, intermediate 10, 17 tokens.
Json tiny_config();
/// All tensors that `spec` implies, random.
Tensors random_tensors(const DecoderSpec& spec, std::uint64_t seed = 1);
at::Tensor random_tensor(at::IntArrayRef shape, std::uint64_t seed);
DecoderSpec parse_spec(const Json& config);
/// A model over such a folder, in fp32.
CausalLm open_model(const TinyFolder& folder);

}  // namespace autoround::model::test
