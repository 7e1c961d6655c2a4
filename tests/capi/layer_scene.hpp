// A layer that a host brings, and the calls that it makes with it.
#pragma once

#include <cstring>
#include <random>

#include "host.hpp"

namespace layer_scene {

inline constexpr int64_t out_features = 48, in_features = 128;

/// Values as a model's are: inputs that depend on one another, some channels much louder than others.
inline std::vector<float> correlated(int64_t rows, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::mt19937 fixed(99);
  std::vector<float> mixing(16 * in_features), values;
  for (float& weight : mixing) weight = normal(fixed);
  for (int64_t row = 0; row < rows; ++row) {
    float hidden[16];
    for (float& h : hidden) h = normal(engine);
    for (int64_t column = 0; column < in_features; ++column) {
      float value = 0.1f * normal(engine);
      for (int64_t k = 0; k < 16; ++k) value += hidden[k] * mixing[static_cast<size_t>(k * in_features + column)];
      values.push_back(column % 31 == 0 ? 4.0f * value : 0.3f * value);
    }
  }
  return values;
}

inline std::vector<float> random_values(size_t count, uint32_t seed, float scale = 0.05f) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(engine);
  return values;
}

inline host::Tensor tensor(const char* dtype, std::vector<int64_t> sizes, const void* data, size_t length) {
  return host::make<host::Tensor>(autoround_tensor_new, dtype, static_cast<const int64_t*>(sizes.data()), sizes.size(),
                                  data, length);
}
inline host::Tensor tensor(std::vector<int64_t> sizes, const std::vector<float>& values) {
  return tensor("F32", std::move(sizes), values.data(), values.size() * sizeof(float));
}
/// The upper halves of fp32 values: BF16 by truncation.
inline host::Tensor bf16_tensor(std::vector<int64_t> sizes, const std::vector<float>& values) {
  std::vector<uint16_t> halves;
  for (const float value : values) {
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    halves.push_back(static_cast<uint16_t>(bits >> 16));
  }
  return tensor("BF16", std::move(sizes), halves.data(), halves.size() * sizeof(uint16_t));
}

inline host::Layer layer_of(const host::Tensor& weight, const autoround_tensor* bias = nullptr,
                            const char* name = "proj") {
  return host::make<host::Layer>(autoround_layer_new, static_cast<autoround_context*>(nullptr), name,
                                 static_cast<const autoround_tensor*>(weight.get()), bias);
}
inline void add(const host::Layer& layer, const host::Tensor& inputs, const autoround_tensor* targets = nullptr) {
  host::ok(autoround_layer_add_inputs, layer.get(), static_cast<const autoround_tensor*>(inputs.get()), targets);
}

/// 32 samples of 8 tokens.
inline host::Layer plain_layer() {
  host::Layer layer = layer_of(tensor({out_features, in_features}, random_values(out_features * in_features, 1)));
  add(layer, tensor({32, 8, in_features}, correlated(32 * 8, 2)));
  return layer;
}

inline host::Recipe recipe(const char* scheme, int64_t iters = 40, int64_t group = 0) {
  host::Recipe made = host::make<host::Recipe>(autoround_recipe_new);
  host::ok(autoround_recipe_set_string, made.get(), "scheme", scheme);
  host::ok(autoround_recipe_set_int, made.get(), "iters", iters);
  if (group != 0) host::ok(autoround_recipe_set_int, made.get(), "weights.group_size", group);
  return made;
}

inline host::Options fp32_options() {
  host::Options options = host::make<host::Options>(autoround_options_new);
  host::ok(autoround_options_set_compute_dtype, options.get(), "fp32");
  return options;
}

inline host::Result tune(const host::Layer& layer, const host::Recipe& recipe,
                         const autoround_options* options = nullptr) {
  return host::make<host::Result>(autoround_layer_tune, static_cast<const autoround_layer*>(layer.get()),
                                  static_cast<const autoround_recipe*>(recipe.get()), options);
}
inline host::Failure failing_tune(const host::Layer& layer, const host::Recipe& recipe,
                                  const autoround_options* options = nullptr) {
  autoround_result* none = nullptr;
  const host::Failure said = host::failure(autoround_layer_tune, static_cast<const autoround_layer*>(layer.get()),
                                           static_cast<const autoround_recipe*>(recipe.get()), options, &none);
  CHECK(none == nullptr);
  return said;
}

inline host::Tensor part(const host::Result& result, const char* name) {
  return host::make<host::Tensor>(autoround_result_layer_tensor, static_cast<const autoround_result*>(result.get()),
                                  size_t{0}, name);
}
inline bool has_part(const host::Result& result, const char* name) {
  autoround_tensor* out = nullptr;
  autoround_error* error = nullptr;
  const autoround_status status = autoround_result_layer_tensor(result.get(), 0, name, &out, &error);
  const host::Tensor owned(out);
  const host::Error said(error);
  REQUIRE((status == AUTOROUND_OK || status == AUTOROUND_ERROR_NOT_FOUND));
  return status == AUTOROUND_OK;
}
inline std::string bytes(const host::Tensor& tensor) {
  return {static_cast<const char*>(autoround_tensor_data(tensor.get())), autoround_tensor_byte_size(tensor.get())};
}

}  // namespace layer_scene
