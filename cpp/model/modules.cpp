#include "model/modules.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "model/weight_source.hpp"

namespace autoround::model {
namespace {

using checkpoint::Checkpoint;
using checkpoint::TensorInfo;
using recipe::ModuleInfo;

bool same_bytes(const Checkpoint& checkpoint, const TensorInfo& a, const TensorInfo& b) {
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  constexpr std::uint64_t chunk = 4u << 20;
  std::vector<std::byte> left, right;
  for (std::uint64_t offset = 0; offset < a.byte_size(); offset += chunk) {
    const std::size_t count = std::min(chunk, a.byte_size() - offset);
    left.resize(count);
    right.resize(count);
    checkpoint.read(a.name, offset, left);
    checkpoint.read(b.name, offset, right);
    if (left != right) return false;
  }
  return true;
}

/// Collects modules and checks the tensors that each of them needs.
class ModuleList {
 public:
  explicit ModuleList(const Checkpoint& checkpoint)
      : checkpoint_(checkpoint), quantized_(checkpoint.config().is_quantized()) {}

  void set_block(std::int64_t block) { block_ = block; }

  ModuleInfo& add(std::string name, std::string class_name, std::vector<std::string> bases = {}) {
    return modules_.emplace_back(ModuleInfo{
        .name = std::move(name), .class_name = std::move(class_name), .bases = std::move(bases), .block = block_});
  }

  void add_weighted(const std::string& name, std::string class_name, std::vector<std::int64_t> shape) {
    ModuleInfo& module = add(name, std::move(class_name));
    module.weight = name + ".weight";
    require(module.weight, shape);
    module.shape = std::move(shape);
  }

  void add_linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias, std::string fused_with = {}) {
    ModuleInfo& module = add(name, "Linear");
    module.shape = {out, in};
    module.fused_with = std::move(fused_with);
    if (const std::string weight = name + ".weight"; !quantized_ || checkpoint_.find(weight)) {
      require(weight, module.shape);
      module.weight = weight;
    }
    if (bias) require(name + ".bias", {out});
  }

  void add_head(const DecoderSpec& spec) {
    const std::string head = spec.lm_head + ".weight", embedding = spec.embed_tokens() + ".weight";
    const TensorInfo* stored = checkpoint_.find(head);
    if (!spec.tie_word_embeddings) {
      if (!stored && !quantized_)
        fail(Code::parse, head,
             "the checkpoint has no such tensor and `tie_word_embeddings` is false; a model whose "
             "head is its embedding says so with `tie_word_embeddings`: true in config.json");
      return add_linear(spec.lm_head, spec.vocab_size, spec.hidden_size, /*bias=*/false);
    }
    if (const TensorInfo* embedded = checkpoint_.find(embedding);
        stored && embedded && !same_bytes(checkpoint_, *stored, *embedded))
      fail(Code::parse, head,
           "`tie_word_embeddings` is true, but the checkpoint stores a head that differs from " + embedding +
               "; set it to false in config.json to use that head");
    ModuleInfo& module = add(spec.lm_head, "Linear");
    module.shape = {spec.vocab_size, spec.hidden_size};
    module.weight = embedding;
  }

  std::vector<ModuleInfo> take() { return std::move(modules_); }

 private:
  void require(const std::string& tensor, const std::vector<std::int64_t>& shape) const {
    const TensorInfo* found = checkpoint_.find(tensor);
    if (!found)
      fail(Code::parse, tensor,
           "the checkpoint has no such tensor; config.json implies one of shape " + checkpoint::shape_text(shape));
    require_shape(tensor, found->shape, shape);
  }

  const Checkpoint& checkpoint_;
  bool quantized_;
  std::int64_t block_ = -1;
  std::vector<ModuleInfo> modules_;
};

void add_layer(ModuleList& modules, const DecoderSpec& spec, std::size_t index) {
  const AttentionSpec& attention = spec.layers[index].attention;
  const MlpSpec& mlp = spec.layers[index].mlp;
  const std::int64_t hidden = spec.hidden_size;
  const std::int64_t query = attention.heads * attention.head_dim, key = attention.kv_heads * attention.head_dim;
  const std::string name = spec.layer_name(index);

  modules.add(name, spec.layer_class, {"GradientCheckpointingLayer"});
  modules.add(name + ".self_attn", spec.attention_class);
  if (attention.fused_qkv) {
    modules.add_linear(name + ".self_attn.qkv_proj", query + 2 * key, hidden, attention.qkv_bias);
  } else {
    modules.add_linear(name + ".self_attn.q_proj", query, hidden, attention.qkv_bias, "qkv");
    modules.add_linear(name + ".self_attn.k_proj", key, hidden, attention.qkv_bias, "qkv");
    modules.add_linear(name + ".self_attn.v_proj", key, hidden, attention.qkv_bias, "qkv");
  }
  modules.add_linear(name + ".self_attn.o_proj", hidden, query, attention.out_bias);
  if (attention.qk_norm) {
    modules.add_weighted(name + ".self_attn.q_norm", spec.norm_class, {attention.head_dim});
    modules.add_weighted(name + ".self_attn.k_norm", spec.norm_class, {attention.head_dim});
  }
  modules.add(name + ".mlp", spec.mlp_class);
  if (mlp.fused_gate_up) {
    modules.add_linear(name + ".mlp.gate_up_proj", 2 * mlp.intermediate, hidden, mlp.bias);
  } else {
    modules.add_linear(name + ".mlp.gate_proj", mlp.intermediate, hidden, mlp.bias, "gate_up");
    modules.add_linear(name + ".mlp.up_proj", mlp.intermediate, hidden, mlp.bias, "gate_up");
  }
  modules.add_linear(name + ".mlp.down_proj", hidden, mlp.intermediate, mlp.bias);
  modules.add(name + ".mlp.act_fn", mlp.activation_class);
  modules.add_weighted(name + ".input_layernorm", spec.norm_class, {hidden});
  modules.add_weighted(name + ".post_attention_layernorm", spec.norm_class, {hidden});
}

}  // namespace

std::vector<ModuleInfo> list_modules(const DecoderSpec& spec, const Checkpoint& checkpoint) {
  ModuleList modules(checkpoint);
  const std::vector<std::string> bases{spec.pretrained_class, "PreTrainedModel"};
  modules.add("", spec.architecture, bases);
  modules.add(spec.prefix.substr(0, spec.prefix.size() - 1), spec.model_class, bases);
  modules.add_weighted(spec.embed_tokens(), "Embedding", {spec.vocab_size, spec.hidden_size});
  modules.add(spec.prefix + "layers", "ModuleList");
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    modules.set_block(static_cast<std::int64_t>(i));
    add_layer(modules, spec, i);
  }
  modules.set_block(-1);
  modules.add_weighted(spec.final_norm(), spec.norm_class, {spec.hidden_size});
  modules.add(spec.prefix + "rotary_emb", spec.rotary_class);
  modules.add_head(spec);
  return modules.take();
}

}  // namespace autoround::model
