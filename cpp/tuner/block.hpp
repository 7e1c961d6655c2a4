// What is tuned together: linear layers and the forward pass through them, up to the output whose error is measured.
// Of a model that is one decoder layer, or several in a row; a host with model code of its own brings single linears.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "model/decoder_layer.hpp"

namespace autoround::tuner {

/// A view: the weights belong to who made it and must outlive it.
class Block {
 public:
  virtual ~Block() = default;

  virtual const std::string& name() const noexcept = 0;
  /// In forward order. Their weights may be replaced.
  virtual std::vector<model::Projection*> projections() const = 0;
  /// x [samples * length, in] -> [samples * length, out]
  virtual at::Tensor forward(const at::Tensor& x, std::int64_t samples, model::Ops& ops) const = 0;
};

/// Decoder layers that follow one another.
class DecoderBlock final : public Block {
 public:
  struct Step {
    model::DecoderLayer* layer = nullptr;
    const model::RopeTable* rope = nullptr;  // null: the layer has none
  };
  DecoderBlock(model::DecoderLayer& layer, const model::RopeTable* rope)
      : DecoderBlock(std::vector<Step>{{&layer, rope}}) {}
  explicit DecoderBlock(std::vector<Step> steps);

  const std::string& name() const noexcept override { return name_; }  // "model.layers.3", "model.layers.3-4"
  std::vector<model::Projection*> projections() const override;
  at::Tensor forward(const at::Tensor& x, std::int64_t samples, model::Ops& ops) const override;

 private:
  std::vector<Step> steps_;
  std::string name_;
};

/// One projection and nothing around it: every row of x stands alone.
class LinearBlock final : public Block {
 public:
  explicit LinearBlock(model::Projection& projection) : projection_(projection) {}

  const std::string& name() const noexcept override { return projection_.parts.front().name; }
  std::vector<model::Projection*> projections() const override { return {&projection_}; }
  at::Tensor forward(const at::Tensor& x, std::int64_t, model::Ops& ops) const override {
    return ops.linear(projection_, x);
  }

 private:
  model::Projection& projection_;
};

}  // namespace autoround::tuner
