// Gradients of whole decoder layers against differences of their outputs: what families do beside the common operations
// has a backward of its own (arrange.hpp).
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <stdexcept>

#include "model/decoder_layer.hpp"
#include "support/catch.hpp"
#include "tiny_model.hpp"

namespace autoround::model {
namespace {

/// Heads of 16 elements, which kernels take.
Json config_of(const std::string& model_type, const Json& changes) {
  Json config = test::tiny_config();
  for (const char* key : {"rms_norm_eps", "hidden_act", "tie_word_embeddings"}) config.erase(key);
  config["model_type"] = model_type;
  config["hidden_size"] = 48;
  config.update(changes);
  return config;
}

/// Random numbers for every tensor that is asked for.
class RandomWeights : public WeightSource {
 public:
  bool has(const std::string& /*name*/) const override { return true; }
  at::Tensor load(const std::string& /*name*/, at::ScalarType /*dtype*/) const override {
    throw std::logic_error("load");
  }
  void load_into(const std::string& name, at::Tensor out) const override {
    out.copy_(test::random_tensor(out.sizes(), std::hash<std::string>()(name)).mul(0.3));
  }
  at::Tensor load_rows(const std::string& /*name*/, const at::Tensor& /*ids*/, at::ScalarType) const override {
    throw std::logic_error("load_rows");
  }
};

struct Family {
  const char* model_type;
  Json changes;
};

const Json latent{{"num_key_value_heads", 3},
                  {"qk_nope_head_dim", 16},
                  {"qk_rope_head_dim", 8},
                  {"v_head_dim", 12},
                  {"kv_lora_rank", 20},
                  {"q_lora_rank", 24},
                  {"first_k_dense_replace", 2},
                  {"n_routed_experts", 4},
                  {"num_experts_per_tok", 2},
                  {"n_group", 1},
                  {"topk_group", 1},
                  {"moe_intermediate_size", 8},
                  {"n_shared_experts", 1}};

Json with(Json config, const Json& changes) {
  config.update(changes);
  return config;
}

}  // namespace

TEST_CASE("decoder layer: gradients are the slopes of its output", "[model]") {
  const auto family = GENERATE_COPY(values<Family>({
      {"llama", Json::object()},
      {"cohere", {{"use_qk_norm", true}, {"layer_norm_eps", 1e-5}}},
      {"glm4", {{"head_dim", 16}}},
      {"olmo2", Json::object()},
      {"gemma3_text", {{"head_dim", 16}, {"query_pre_attn_scalar", 16}, {"sliding_window", 5}}},
      {"gpt_neox", Json::object()},
      {"opt", {{"ffn_dim", 20}}},
      {"starcoder2", Json::object()},
      {"deepseek_v3", latent},
      {"deepseek_v3", with(latent, {{"q_lora_rank", nullptr}, {"v_head_dim", 24}})},
  }));
  const bool fused = GENERATE(false, true);
  CAPTURE(family.model_type, fused);
  const DecoderSpec spec = test::parse_spec(config_of(family.model_type, family.changes));
  const auto layer = DecoderLayer::load(spec, 0, RandomWeights(), at::kFloat);
  const auto& rotation = spec.layers[0].attention.rope;
  const RopeTable table = rotation ? make_rope_table(*rotation, 7) : RopeTable();
  const auto ops = make_ops(at::kCPU, {.fused = fused});
  const auto forward = [&](const at::Tensor& x) { return layer->forward(x, 2, rotation ? &table : nullptr, *ops); };

  const at::Tensor x = test::random_tensor({2 * 7, 48}, 20), weight = test::random_tensor({2 * 7, 48}, 21);
  const at::Tensor leaf = x.clone().requires_grad_(true);
  const at::Tensor gradient = torch::autograd::grad({forward(leaf)}, {leaf}, {weight})[0];
  const at::Tensor any = test::random_tensor({2 * 7, 48}, 22);
  const at::Tensor direction = any + gradient * (any.norm() / gradient.norm());  // not by chance across the gradient
  const double step = 2e-3;
  const at::Tensor difference = forward(x + step * direction) - forward(x - step * direction);
  const double slope = (difference * weight).sum(at::kDouble).item<double>() / (2 * step);
  const double size = (gradient.norm() * direction.norm()).item<double>();
  CHECK(std::abs((gradient * direction).sum(at::kDouble).item<double>() - slope) < 2e-3 * size);
  CHECK(slope > 0.1 * size);
}

}  // namespace autoround::model
