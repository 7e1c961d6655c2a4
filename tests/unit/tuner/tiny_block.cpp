#include "tiny_block.hpp"

#include <cmath>
#include <cstdlib>
#include <fstream>

namespace autoround::tuner::test {

TinyBlock::TinyBlock(at::ScalarType compute_type, BlockShape shape, std::uint64_t seed) : dtype(compute_type) {
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

  auto generator = at::detail::createCPUGenerator(seed);
  const auto add = [&](const std::string& suffix, std::int64_t out, std::int64_t in) {
    weights.tensors[linear_name(suffix) + ".weight"] = at::randn({out, in}, generator).mul_(0.1).to(at::kBFloat16);
  };
  const auto width = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim;
  add("self_attn.q_proj", width, shape.hidden);
  add("self_attn.k_proj", kv_width, shape.hidden);
  add("self_attn.v_proj", kv_width, shape.hidden);
  add("self_attn.o_proj", shape.hidden, width);
  add("mlp.gate_proj", shape.intermediate, shape.hidden);
  add("mlp.up_proj", shape.intermediate, shape.hidden);
  add("mlp.down_proj", shape.hidden, shape.intermediate);
  for (const char* norm : {"input_layernorm", "post_attention_layernorm"}) {
    weights.tensors[linear_name(norm) + ".weight"] = at::ones({shape.hidden}, at::kBFloat16);
  }

  rope = model::make_rope_table(*attention.rope, shape.length);
  data.length = shape.length;
  data.lengths.assign(static_cast<std::size_t>(shape.samples), shape.length);
  data.rope = &rope;
  data.input = at::randn({shape.samples * shape.length, shape.hidden}, generator).to(dtype);
  data.target = reference();
}

std::unique_ptr<model::DecoderLayer> TinyBlock::layer() const {
  return model::DecoderLayer::load(spec, 0, weights, dtype);
}

at::Tensor TinyBlock::reference() const {
  model::AtenOps ops;
  return run_layer(*layer(), data.input, data.length, 4, &rope, ops, {});
}

quant::WeightFormat int_format(int bits, std::int64_t group, bool symmetric) {
  quant::WeightFormat format;
  format.bits = bits;
  format.group = group;
  format.symmetric = symmetric;
  return format;
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
