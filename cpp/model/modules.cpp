#include "model/modules.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "model/attention.hpp"
#include "model/stacked_experts.hpp"
#include "model/weight_source.hpp"

namespace autoround::model {
namespace {

using checkpoint::Checkpoint;
using checkpoint::TensorInfo;
using recipe::ModuleInfo;
using Names = std::vector<std::string>;

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
  ModuleList(const DecoderSpec& spec, const Checkpoint& checkpoint)
      : spec_(spec), checkpoint_(checkpoint), quantized_(checkpoint.config().is_quantized()) {}

  void set_block(std::int64_t block) { block_ = block; }

  ModuleInfo& add(std::string name, std::string class_name, Names bases = {}) {
    std::string alias = spec_.alias(name);
    return modules_.emplace_back(ModuleInfo{.name = std::move(name),
                                            .alias = std::move(alias),
                                            .class_name = std::move(class_name),
                                            .bases = std::move(bases),
                                            .block = block_});
  }

  ModuleInfo& add_weighted(const std::string& name, std::string class_name, std::vector<std::int64_t> shape) {
    ModuleInfo& module = add(name, std::move(class_name));
    module.weight = name + ".weight";
    require(module.weight, shape);
    module.shape = std::move(shape);
    return module;
  }

  /// Families have embeddings of their own, which are still nn.Embeddings.
  void add_embedding(const std::string& name, std::string class_name, std::vector<std::int64_t> shape) {
    ModuleInfo& module = add_weighted(name, std::move(class_name), std::move(shape));
    if (module.class_name != "Embedding") module.bases = {"Embedding"};
  }

  void add_linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias, std::string fused_with = {}) {
    ModuleInfo& module = add(name, "Linear");
    module.shape = {out, in};
    module.fused_with = std::move(fused_with);
    if (require_weight(name + ".weight", module.shape)) module.weight = name + ".weight";
    if (bias) require(name + ".bias", {out});
  }

  /// Of an expert whose weight is a part of a tensor of `stack`, which is there.
  void add_stacked_linear(const std::string& name, std::int64_t out, std::int64_t in, const std::string& stack) {
    ModuleInfo& module = add(name, "Linear");
    module.shape = {out, in};
    module.weight = name + ".weight";
    module.fused_with = recipe::fused_experts;
    module.stack = stack;
  }

  void add_norm(const std::string& name, std::vector<std::int64_t> shape) {
    ModuleInfo& module = add(name, spec_.norm_class);
    if (spec_.norm.bias) require(name + ".bias", shape);
    if (!spec_.norm.weight) return;
    module.weight = name + ".weight";
    require(module.weight, shape);
    module.shape = std::move(shape);
  }

  void add_head() {
    const std::string head = spec_.lm_head + ".weight", embedding = spec_.embed_tokens() + ".weight";
    const std::int64_t width = spec_.embedding_size.value_or(spec_.hidden_size);
    const TensorInfo* stored = checkpoint_.find(head);
    if (!spec_.tie_word_embeddings) {
      if (!stored && !quantized_)
        fail(Code::parse, head,
             "the checkpoint has no such tensor and `tie_word_embeddings` is false; a model whose "
             "head is its embedding says so with `tie_word_embeddings`: true in config.json");
      return add_linear(spec_.lm_head, spec_.vocab_size, width, /*bias=*/false);
    }
    if (const TensorInfo* embedded = checkpoint_.find(embedding);
        stored && embedded && !same_bytes(checkpoint_, *stored, *embedded))
      fail(Code::parse, head,
           "`tie_word_embeddings` is true, but the checkpoint stores a head that differs from " + embedding +
               "; set it to false in config.json to use that head");
    ModuleInfo& module = add(spec_.lm_head, "Linear");
    module.shape = {spec_.vocab_size, width};
    module.weight = embedding;
  }

  /// A quantized checkpoint may store a weight in another form: false then.
  bool has_weight(const std::string& tensor) const { return !quantized_ || checkpoint_.find(tensor) != nullptr; }

  bool require_weight(const std::string& tensor, const std::vector<std::int64_t>& shape) const {
    if (!has_weight(tensor)) return false;
    require(tensor, shape);
    return true;
  }

  void require(const std::string& tensor, const std::vector<std::int64_t>& shape) const {
    if (const auto part = find_expert_part(checkpoint_, tensor)) return require_shape(tensor, part->shape, shape);
    const TensorInfo* found = checkpoint_.find(tensor);
    if (!found)
      fail(Code::parse, tensor,
           "the checkpoint has no such tensor; config.json implies one of shape " + checkpoint::shape_text(shape));
    require_shape(tensor, found->shape, shape);
  }

  std::vector<ModuleInfo> take() { return std::move(modules_); }

 private:
  const DecoderSpec& spec_;
  const Checkpoint& checkpoint_;
  bool quantized_;
  std::int64_t block_ = -1;
  std::vector<ModuleInfo> modules_;
};

/// What leads to queries, keys and values. `prefix` ends in a dot.
void add_latents(ModuleList& modules, const DecoderSpec& spec, const AttentionSpec& attention,
                 const std::string& prefix) {
  const LatentSpec& latent = *attention.latent;
  const std::int64_t hidden = spec.hidden_size, query = attention.heads * attention.key_dim();
  const bool reduced = latent.q_rank > 0;
  const std::string fused = reduced ? "fused_qkv_a" : "";
  if (reduced) {
    modules.add_linear(prefix + "q_a_proj", latent.q_rank, hidden, latent.bias, fused);
    modules.add_weighted(prefix + "q_a_layernorm", spec.norm_class, {latent.q_rank});
    modules.add_linear(prefix + "q_b_proj", query, latent.q_rank, /*bias=*/false);
  } else {
    modules.add_linear(prefix + "q_proj", query, hidden, /*bias=*/false);
  }
  modules.add_linear(prefix + "kv_a_proj_with_mqa", latent.kv_rank + latent.rope_dim, hidden, latent.bias, fused);
  modules.add_weighted(prefix + "kv_a_layernorm", spec.norm_class, {latent.kv_rank});
  modules.add_linear(prefix + "kv_b_proj", attention.heads * (latent.nope_dim + latent.value_dim), latent.kv_rank,
                     /*bias=*/false);
}

void add_attention(ModuleList& modules, const DecoderSpec& spec, const AttentionSpec& attention,
                   const std::string& name) {
  const LayerNames& names = spec.names;
  const std::int64_t hidden = spec.hidden_size;
  const std::int64_t query = attention.heads * attention.head_dim, key = attention.kv_heads * attention.head_dim;
  const std::string prefix = name + ".";
  modules.add(name, spec.attention_class);
  if (attention.latent) {
    add_latents(modules, spec, attention, prefix);
  } else if (attention.fused_qkv) {
    modules.add_linear(prefix + names.qkv, query + 2 * key, hidden, attention.qkv_bias);
  } else {
    modules.add_linear(prefix + names.q, query, hidden, attention.qkv_bias, "qkv");
    modules.add_linear(prefix + names.k, key, hidden, attention.qkv_bias, "qkv");
    modules.add_linear(prefix + names.v, key, hidden, attention.qkv_bias, "qkv");
  }
  modules.add_linear(prefix + names.out, hidden, attention.heads * attention.value_dim(), attention.out_bias);
  if (attention.sinks) modules.require(prefix + "sinks", {attention.heads});
  if (attention.qk_norm == QkNorm::none) return;
  modules.add_norm(prefix + names.q_norm, qk_norm_shape(attention.qk_norm, attention.heads, attention.head_dim));
  modules.add_norm(prefix + names.k_norm, qk_norm_shape(attention.qk_norm, attention.kv_heads, attention.head_dim));
}

/// @param prefix of its linears, with its dot
void add_mlp(ModuleList& modules, const DecoderSpec& spec, const MlpSpec& mlp, const std::string& prefix) {
  const LayerNames& names = spec.names;
  if (!mlp.gated) {
    modules.add_linear(prefix + names.up, mlp.intermediate, spec.hidden_size, mlp.bias);
  } else if (mlp.fused_gate_up) {
    modules.add_linear(prefix + names.gate_up, 2 * mlp.intermediate, spec.hidden_size, mlp.bias);
  } else {
    modules.add_linear(prefix + names.gate, mlp.intermediate, spec.hidden_size, mlp.bias, "gate_up");
    modules.add_linear(prefix + names.up, mlp.intermediate, spec.hidden_size, mlp.bias, "gate_up");
  }
  modules.add_linear(prefix + names.down, spec.hidden_size, mlp.intermediate, mlp.bias);
  modules.add(prefix + names.activation, mlp.activation_class);
}

/// Experts are linears of their own, as the checkpoint stores them. Router and gate of the shared expert are no Linear:
/// readers compute both in full precision.
void add_experts(ModuleList& modules, const DecoderSpec& spec, const LayerSpec& layer, const std::string& name) {
  const ExpertsSpec& experts = *layer.experts;
  const RouterSpec& router = experts.router;
  const std::int64_t hidden = spec.hidden_size, width = experts.intermediate;
  const std::string block = name + "." + experts.block, gate = block + "." + experts.gate, all = block + ".experts";
  modules.add(block, experts.block_class);
  modules.add_weighted(gate, experts.router_class, {router.experts, hidden});
  if (router.bias) modules.require(gate + ".bias", {router.experts});
  if (router.correction) modules.require(gate + ".e_score_correction_bias", {router.experts});
  const bool stacked = experts.stacked && modules.has_weight(all + ".gate_up_proj");
  modules.add(all, experts.experts_class, stacked ? Names{recipe::fused_experts_class} : Names{});
  if (stacked) {
    modules.require(all + ".gate_up_proj", {router.experts, hidden, 2 * width});
    modules.require(all + ".gate_up_proj_bias", {router.experts, 2 * width});
    modules.require(all + ".down_proj", {router.experts, width, hidden});
    modules.require(all + ".down_proj_bias", {router.experts, hidden});
  }
  const auto add_linear = [&](const std::string& linear, std::int64_t out, std::int64_t in) {
    if (stacked) return modules.add_stacked_linear(linear, out, in, all);
    modules.add_linear(linear, out, in, /*bias=*/experts.stacked, recipe::fused_experts);
  };
  for (std::int64_t i = 0; i < router.experts; ++i) {
    const std::string expert = all + "." + std::to_string(i) + ".";
    add_linear(expert + experts.gate_proj, width, hidden);
    add_linear(expert + experts.up_proj, width, hidden);
    add_linear(expert + experts.down_proj, hidden, width);
  }
  if (!experts.stacked) modules.add(all + ".act_fn", layer.mlp.activation_class);
  if (experts.shared_intermediate > 0) {
    MlpSpec shared = layer.mlp;
    shared.intermediate = experts.shared_intermediate;
    modules.add(block + "." + experts.shared, spec.mlp_class);
    add_mlp(modules, spec, shared, block + "." + experts.shared + ".");
  }
  if (experts.shared_gate) modules.add_weighted(block + ".shared_expert_gate", "SharedExpertGate", {1, hidden});
}

void add_layer(ModuleList& modules, const DecoderSpec& spec, std::size_t index) {
  const LayerNames& names = spec.names;
  const LayerSpec& layer = spec.layers[index];
  const std::string name = spec.layer_name(index);
  modules.add(name, spec.layer_class, {"GradientCheckpointingLayer"});
  add_attention(modules, spec, layer.attention, name + "." + names.attention);
  if (layer.experts) {
    add_experts(modules, spec, layer, name);
  } else {
    if (!names.mlp.empty()) modules.add(name + "." + names.mlp, spec.mlp_class);
    add_mlp(modules, spec, layer.mlp, names.mlp_prefix(name));
  }
  for (const std::string& norm : {names.attention_input_norm, names.attention_output_norm, names.attention_sum_norm,
                                  names.mlp_input_norm, names.mlp_output_norm, names.mlp_sum_norm})
    if (!norm.empty()) modules.add_norm(name + "." + norm, {spec.hidden_size});
}

}  // namespace

std::vector<ModuleInfo> list_modules(const DecoderSpec& spec, const Checkpoint& checkpoint) {
  ModuleList modules(spec, checkpoint);
  const std::vector<std::string> bases{spec.pretrained_class, "PreTrainedModel"};
  const std::int64_t embedding_size = spec.embedding_size.value_or(spec.hidden_size);
  const std::string model = spec.prefix.substr(0, spec.prefix.size() - 1);
  modules.add("", spec.architecture, bases);
  modules.add(model, spec.model_class, bases);
  modules.add_embedding(spec.embed_tokens(), spec.embedding_class, {spec.vocab_size, embedding_size});
  if (const PositionSpec& positions = spec.positions; !positions.name.empty())
    modules.add_embedding(spec.prefix + positions.name, positions.class_name,
                          {spec.max_position + positions.offset, spec.hidden_size});
  if (spec.embedding_size) {
    modules.add_linear(spec.project_out(), embedding_size, spec.hidden_size, /*bias=*/false);
    modules.add_linear(spec.project_in(), spec.hidden_size, embedding_size, /*bias=*/false);
  }
  modules.add(spec.prefix + "layers", "ModuleList");
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    modules.set_block(static_cast<std::int64_t>(i));
    add_layer(modules, spec, i);
  }
  modules.set_block(-1);
  if (!spec.norm_name.empty()) modules.add_norm(spec.final_norm(), {spec.hidden_size});
  if (!spec.rotary_class.empty()) modules.add(spec.prefix + "rotary_emb", spec.rotary_class);
  modules.add_head();
  return modules.take();
}

}  // namespace autoround::model
