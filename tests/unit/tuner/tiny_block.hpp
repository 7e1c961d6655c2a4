// A small random decoder layer with data for it, made in memory.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "model/causal_lm.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround::tuner::test {

/// Tensors by name, as a checkpoint would give them.
class MapWeights final : public model::WeightSource {
 public:
  std::map<std::string, at::Tensor> tensors;

  bool has(const std::string& name) const override { return tensors.count(name) != 0; }
  at::Tensor load(const std::string& name, at::ScalarType dtype) const override {
    return find(name).to(dtype, /*non_blocking=*/false, /*copy=*/true);
  }
  void load_into(const std::string& name, at::Tensor out) const override { out.copy_(find(name).view(out.sizes())); }
  at::Tensor load_rows(const std::string& name, const at::Tensor& ids, at::ScalarType dtype) const override {
    return find(name).index_select(0, ids).to(dtype);
  }

 private:
  const at::Tensor& find(const std::string& name) const {
    const auto found = tensors.find(name);
    if (found == tensors.end()) fail(Code::not_found, name, "no such tensor");
    return found->second;
  }
};

struct BlockShape {
  std::int64_t hidden = 64, heads = 4, kv_heads = 2, head_dim = 16, intermediate = 96;
  std::int64_t samples = 12, length = 16;
};

/// One layer named model.layers.0 and both streams of calibration data. The target is what the full-precision layer
/// makes of the input. Bit for bit the same for the same arguments.
struct TinyBlock {
  /// @param customize makes another family's layer of the llama's
  explicit TinyBlock(at::ScalarType dtype = at::kFloat, BlockShape shape = {}, std::uint64_t seed = 1,
                     void (*customize)(model::DecoderSpec&) = nullptr);
  TinyBlock(const TinyBlock&) = delete;  // views point to rope
  TinyBlock& operator=(const TinyBlock&) = delete;

  /// A fresh layer with the original weights.
  std::unique_ptr<model::DecoderLayer> layer() const;
  /// `layer` as the tuner sees it.
  DecoderBlock view(model::DecoderLayer& layer) const { return {layer, rope_table()}; }
  const model::RopeTable* rope_table() const { return rope.cos.defined() ? &rope : nullptr; }
  /// Output of the original layer on data.input.
  at::Tensor reference() const;

  at::ScalarType dtype;
  model::DecoderSpec spec;
  MapWeights weights;
  model::RopeTable rope;  // empty where the layer has none
  BlockData data;
};

constexpr std::int64_t sparse_experts = 6;
/// Gives the block so many experts in place of its feed-forward network; no token ever goes to the third.
void make_sparse(TinyBlock& block, std::int64_t top_k);

/// Linears of the layer in forward order.
inline const char* const linear_names[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                           "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                           "mlp.down_proj"};
inline std::string linear_name(const std::string& suffix) { return "model.layers.0." + suffix; }

quant::WeightFormat int_format(int bits, std::int64_t group, bool symmetric = true);
/// Groups of 128 become groups of 32, of which a small layer has several.
quant::WeightFormat preset_format(const std::string& preset);
/// Every linear of the layer in one format.
std::map<std::string, quant::WeightFormat> all_linears(model::DecoderLayer& layer, const quant::WeightFormat& format);
/// The part of a projection of `layer` that holds the linear's weight.
at::Tensor weight_of(model::DecoderLayer& layer, const std::string& name);
/// Folder of a real checkpoint: $AUTOROUND_TEST_MODEL, or the one that scripts/make_model.py makes; "" when absent.
std::string model_directory();
bool same_codes(const BlockResult& a, const BlockResult& b);

}  // namespace autoround::tuner::test
