// The row functions, written once over a vector policy V (vectors.hpp). Sums run in one fixed order per row, so results
// depend neither on the thread count nor on how rows are split.
#pragma once

#include "model/kernels/activation_kernels.hpp"
#include "model/kernels/norm_kernels.hpp"

namespace autoround::model::kernels {
namespace {

template <typename V, typename T>
struct Copies {
  static void sum(const SumCopies& a, std::int64_t begin, std::int64_t end) {
    const T* rows = static_cast<const T*>(a.rows);
    for (std::int64_t token = begin; token < end; ++token) {
      T* y = static_cast<T*>(a.y) + token * a.width;
      each_vector<V>(a.width, [&](std::int64_t i, std::int64_t n) {
        auto sum = V::all(0.0f);
        for (std::int64_t k = 0; k < a.copies; ++k) {
          auto x = load<V>(rows + a.position[k * a.tokens + token] * a.width + i, n);
          if (a.weights != nullptr) x = x * V::all(a.weights[token * a.copies + k]);
          sum = sum + (a.narrow_weights ? rounded<V, T>(x) : x);
        }
        store<V>(y + i, sum, n);
      });
    }
  }

  static void backward(const SumCopiesBackward& a, std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token) {
      const T* grad_y = static_cast<const T*>(a.grad_y) + token * a.width;
      for (std::int64_t k = 0; k < a.copies; ++k) {
        const std::int64_t row = a.position[k * a.tokens + token] * a.width, weight = token * a.copies + k;
        const T* x = static_cast<const T*>(a.rows) + row;
        T* grad_x = static_cast<T*>(a.grad_rows) + row;
        const auto factor = V::all(a.weights[weight]);
        auto dot = V::all(0.0f);
        each_vector<V>(a.width, [&](std::int64_t i, std::int64_t n) {
          const auto grad = load<V>(grad_y + i, n);
          dot = V::fma(grad, load<V>(x + i, n), dot);
          store<V>(grad_x + i, grad * factor, n);
        });
        a.grad_weights[weight] = V::sum(dot);
      }
    }
  }
};

template <typename V, typename T>
constexpr RowKernels row_kernels() {
  return {RmsNorm<V, T>::forward,
          RmsNorm<V, T>::backward,
          LayerNorm<V, T>::forward,
          LayerNorm<V, T>::backward,
          activation_kernels<V, T, Silu>(),
          activation_kernels<V, T, Gelu>(),
          activation_kernels<V, T, GeluTanh>(),
          activation_kernels<V, T, Relu>(),
          Copies<V, T>::sum,
          Copies<V, T>::backward};
}

}  // namespace
}  // namespace autoround::model::kernels
