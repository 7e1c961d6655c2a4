#include "tiny_block.hpp"

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "recipe/scheme.hpp"

namespace autoround::tuner::test {

namespace {

/// Every tensor of the layer: weights and biases random, norms one (or 1 + 0).
void add_weights(MapWeights& weights, const model::DecoderSpec& spec, const at::Generator& generator) {
  const auto random = [&](at::IntArrayRef shape) { return at::randn(shape, generator).mul_(0.1).to(at::kBFloat16); };
  const auto linear = [&](const std::string& suffix, std::int64_t out, std::int64_t in, bool bias) {
    weights.tensors[linear_name(suffix) + ".weight"] = random({out, in});
    if (bias) weights.tensors[linear_name(suffix) + ".bias"] = random({out});
  };
  const auto norm = [&](const std::string& suffix, at::IntArrayRef shape) {
    if (suffix.empty()) return;
    weights.tensors[linear_name(suffix) + ".weight"] =
        at::full(shape, spec.norm.unit_offset ? 0.0 : 1.0, at::kBFloat16);
    if (spec.norm.bias) weights.tensors[linear_name(suffix) + ".bias"] = at::zeros(shape, at::kBFloat16);
  };
  const model::LayerNames& names = spec.names;
  const model::AttentionSpec& attention = spec.layers.front().attention;
  const model::MlpSpec& mlp = spec.layers.front().mlp;
  const std::int64_t hidden = spec.hidden_size, width = attention.heads * attention.head_dim;
  const std::int64_t kv_width = attention.kv_heads * attention.head_dim;
  const std::string attn = names.attention + ".", feed = names.mlp + ".";
  if (attention.fused_qkv) {
    linear(attn + names.qkv, width + 2 * kv_width, hidden, attention.qkv_bias);
  } else {
    linear(attn + names.q, width, hidden, attention.qkv_bias);
    linear(attn + names.k, kv_width, hidden, attention.qkv_bias);
    linear(attn + names.v, kv_width, hidden, attention.qkv_bias);
  }
  linear(attn + names.out, hidden, width, attention.out_bias);
  if (mlp.gated) linear(feed + names.gate, mlp.intermediate, hidden, mlp.bias);
  linear(feed + names.up, mlp.intermediate, hidden, mlp.bias);
  linear(feed + names.down, hidden, mlp.intermediate, mlp.bias);
  if (attention.qk_norm != model::QkNorm::none) {
    norm(attn + names.q_norm, model::qk_norm_shape(attention.qk_norm, attention.heads, attention.head_dim));
    norm(attn + names.k_norm, model::qk_norm_shape(attention.qk_norm, attention.kv_heads, attention.head_dim));
  }
  for (const auto& name : {names.attention_input_norm, names.attention_output_norm, names.attention_sum_norm,
                           names.mlp_input_norm, names.mlp_output_norm, names.mlp_sum_norm})
    norm(name, {hidden});
}

}  // namespace

TinyBlock::TinyBlock(at::ScalarType compute_type, BlockShape shape, std::uint64_t seed,
                     void (*customize)(model::DecoderSpec&))
    : dtype(compute_type) {
  model::LayerSpec layer_spec;
  auto& attention = layer_spec.attention;
  attention.heads = shape.heads;
  attention.kv_heads = shape.kv_heads;
  attention.head_dim = shape.head_dim;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
  attention.rope.emplace();
  attention.rope->rotary_dim = shape.head_dim;
  layer_spec.mlp.intermediate = shape.intermediate;
  spec.model_type = "llama";
  spec.vocab_size = 32;
  spec.hidden_size = shape.hidden;
  spec.max_position = 128;
  spec.layers = {layer_spec};
  if (customize != nullptr) customize(spec);

  const auto generator = at::detail::createCPUGenerator(seed);
  add_weights(weights, spec, generator);
  if (const auto& of_layer = spec.layers.front().attention.rope) rope = model::make_rope_table(*of_layer, shape.length);
  data.length = shape.length;
  data.lengths.assign(static_cast<std::size_t>(shape.samples), shape.length);
  data.input = at::randn({shape.samples * shape.length, shape.hidden}, generator).to(dtype);
  data.target = reference();
}

std::unique_ptr<model::DecoderLayer> TinyBlock::layer() const {
  return model::DecoderLayer::load(spec, 0, weights, dtype);
}

at::Tensor TinyBlock::reference() const {
  model::AtenOps ops;
  return run_block(view(*layer()), data.input, data.length, 4, ops, {});
}

void make_sparse(TinyBlock& block, std::int64_t top_k) {
  auto generator = at::detail::createCPUGenerator(21);
  const std::int64_t hidden = block.spec.hidden_size, width = 32;
  model::ExpertsSpec spec;
  spec.router.scores = model::RouterSpec::Scores::sigmoid;
  spec.router.experts = sparse_experts;
  spec.router.top_k = top_k;
  spec.router.correction = true;
  spec.router.normalize = true;
  spec.intermediate = width;
  spec.shared_intermediate = width;
  block.spec.layers[0].experts = spec;

  const auto add = [&](const std::string& name, at::IntArrayRef shape, double spread) {
    block.weights.tensors[linear_name("mlp." + name)] = at::randn(shape, generator).mul_(spread).to(at::kBFloat16);
  };
  const auto network = [&](const std::string& name) {
    add(name + ".gate_proj.weight", {width, hidden}, 0.2);
    add(name + ".up_proj.weight", {width, hidden}, 0.2);
    add(name + ".down_proj.weight", {hidden, width}, 0.2);
  };
  add("gate.weight", {sparse_experts, hidden}, 0.2);
  at::Tensor correction = at::zeros({sparse_experts});
  correction[2] = -9.0;
  block.weights.tensors[linear_name("mlp.gate.e_score_correction_bias")] = correction;
  for (std::int64_t i = 0; i < sparse_experts; ++i) network("experts." + std::to_string(i));
  network("shared_experts");
  block.data.target = block.reference();
}

quant::WeightFormat int_format(int bits, std::int64_t group, bool symmetric) {
  quant::WeightFormat format;
  format.bits = bits;
  format.group = group;
  format.symmetric = symmetric;
  return format;
}

quant::WeightFormat preset_format(const std::string& preset) {
  recipe::QuantizationScheme scheme = recipe::preset_scheme(preset);
  if (scheme.weights->group_size == 128) scheme.weights->group_size = 32;
  return quant::weight_format(scheme, at::kBFloat16);
}

std::map<std::string, quant::WeightFormat> all_linears(model::DecoderLayer& layer, const quant::WeightFormat& format) {
  std::map<std::string, quant::WeightFormat> formats;
  for (const auto* projection : layer.projections()) {
    for (const auto& part : projection->parts) formats[part.name] = format;
  }
  return formats;
}

at::Tensor weight_of(model::DecoderLayer& layer, const std::string& name) {
  for (const auto* projection : layer.projections()) {
    for (const auto& part : projection->parts) {
      if (part.name == name) return projection->weight.narrow(0, part.row, part.rows);
    }
  }
  fail(Code::not_found, name, "no such linear");
}

std::string model_directory() {
  if (const char* given = std::getenv("AUTOROUND_TEST_MODEL")) return given;
  const std::string made = AUTOROUND_SOURCE_DIR "/.cache/models/SmolLM2-135M-Instruct";
  return std::ifstream(made + "/config.json") ? made : "";
}

bool same_codes(const BlockResult& a, const BlockResult& b) {
  if (a.weights.size() != b.weights.size()) return false;
  for (std::size_t i = 0; i < a.weights.size(); ++i) {
    if (!at::equal(a.weights[i].codes, b.weights[i].codes)) return false;
    if (!at::equal(a.weights[i].scales, b.weights[i].scales)) return false;
  }
  return true;
}

}  // namespace autoround::tuner::test
