#include "tiny_model.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace autoround::model::test {
namespace {

const char* const config_file = "/config.json";
const char* const weights_file = "/model.safetensors";

void write_safetensors(const std::string& path, const Tensors& tensors) {
  Json header = Json::object();
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", checkpoint::dtype_name(disk_type(tensor.scalar_type()))},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, offset + tensor.nbytes()}}};
    offset += tensor.nbytes();
  }
  const std::string text = header.dump();
  const std::uint64_t length = text.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof length) << text;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor contiguous = tensor.contiguous();
    file.write(static_cast<const char*>(contiguous.const_data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
  }
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

std::string new_directory() {
  const char* parent = std::getenv("TMPDIR");
  std::string path = std::string(parent ? parent : "/tmp") + "/autoround-model-XXXXXX";
  if (!mkdtemp(path.data())) throw std::runtime_error("cannot create " + path);
  return path;
}

}  // namespace

TinyFolder::TinyFolder(const Json& config, const Tensors& tensors) : directory_(new_directory()) {
  std::ofstream(directory_ + config_file) << config.dump(2);
  write_safetensors(directory_ + weights_file, tensors);
}

TinyFolder::~TinyFolder() {
  unlink((directory_ + config_file).c_str());
  unlink((directory_ + weights_file).c_str());
  rmdir(directory_.c_str());
}

std::shared_ptr<const checkpoint::Checkpoint> TinyFolder::open() const {
  return checkpoint::Checkpoint::open(directory_, Logger());
}

Json tiny_config() {
  return {{"model_type", "llama"},    {"architectures", {"LlamaForCausalLM"}},
          {"vocab_size", 17},         {"hidden_size", 12},
          {"intermediate_size", 10},  {"num_hidden_layers", 2},
          {"num_attention_heads", 3}, {"num_key_value_heads", 1},
          {"hidden_act", "silu"},     {"max_position_embeddings", 64},
          {"rms_norm_eps", 1e-5},     {"tie_word_embeddings", false}};
}

at::Tensor random_tensor(at::IntArrayRef shape, std::uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::TensorOptions(at::kFloat));
}

Tensors random_tensors(const DecoderSpec& spec, std::uint64_t seed) {
  Tensors tensors;
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    tensors[name] = random_tensor(shape, ++seed).mul(0.3);
  };
  const std::int64_t hidden = spec.hidden_size;
  add(spec.embed_tokens() + ".weight", {spec.vocab_size, hidden});
  add(spec.final_norm() + ".weight", {hidden});
  if (!spec.tie_word_embeddings) add(spec.lm_head + ".weight", {spec.vocab_size, hidden});
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const LayerSpec& layer = spec.layers[i];
    const AttentionSpec& attention = layer.attention;
    const MlpSpec& mlp = layer.mlp;
    const std::int64_t query = attention.heads * attention.head_dim, key = attention.kv_heads * attention.head_dim;
    const auto linear = [&](const char* name, std::int64_t out, std::int64_t in, bool bias) {
      add(spec.layer_name(i) + name + ".weight", {out, in});
      if (bias) add(spec.layer_name(i) + name + ".bias", {out});
    };
    linear(".self_attn.q_proj", query, hidden, attention.qkv_bias);
    linear(".self_attn.k_proj", key, hidden, attention.qkv_bias);
    linear(".self_attn.v_proj", key, hidden, attention.qkv_bias);
    linear(".self_attn.o_proj", hidden, query, attention.out_bias);
    linear(".mlp.gate_proj", mlp.intermediate, hidden, mlp.bias);
    linear(".mlp.up_proj", mlp.intermediate, hidden, mlp.bias);
    linear(".mlp.down_proj", hidden, mlp.intermediate, mlp.bias);
    add(spec.layer_name(i) + ".input_layernorm.weight", {hidden});
    add(spec.layer_name(i) + ".post_attention_layernorm.weight", {hidden});
    if (attention.qk_norm == QkNorm::none) continue;
    add(spec.layer_name(i) + ".self_attn.q_norm.weight", {attention.head_dim});
    add(spec.layer_name(i) + ".self_attn.k_norm.weight", {attention.head_dim});
  }
  return tensors;
}

DecoderSpec parse_spec(const Json& config) { return read_spec(checkpoint::HfConfig::parse(config.dump())); }

CausalLm open_model(const TinyFolder& folder) {
  const auto checkpoint = folder.open();
  return CausalLm(read_spec(*checkpoint), checkpoint_weights(checkpoint), at::kFloat);
}

}  // namespace autoround::model::test
