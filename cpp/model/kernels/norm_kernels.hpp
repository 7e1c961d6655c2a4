// RMSNorm and LayerNorm of rows. V: vectors.hpp, T: what rows are of, W: what weights are of.
#pragma once

#include "model/kernels/vectors.hpp"

namespace autoround::model::kernels {
namespace {

template <typename V, typename T>
struct RmsNorm {
  static void forward(const RmsNormForward& a, std::int64_t begin, std::int64_t end) {
    a.wide_weight ? forward_rows<float>(a, begin, end) : forward_rows<T>(a, begin, end);
  }
  static void backward(const RmsNormBackward& a, std::int64_t begin, std::int64_t end) {
    a.wide_weight ? backward_rows<float>(a, begin, end) : backward_rows<T>(a, begin, end);
  }

 private:
  template <typename W>
  static void forward_rows(const RmsNormForward& a, std::int64_t begin, std::int64_t end) {
    const auto* weight = static_cast<const W*>(a.weight);
    const std::int64_t ahead = reach(a.width);
    for (std::int64_t row = begin; row < end; ++row) {
      const T* x = static_cast<const T*>(a.x) + row * a.width;
      auto squares = V::all(0.0f);
      if (a.delta != nullptr) {
        const T* delta = static_cast<const T*>(a.delta) + row * a.width;
        T* h = static_cast<T*>(a.h) + row * a.width;
        each_vector<V>(a.width, [&](std::int64_t i, std::int64_t n) {
          fetch(x, i, ahead);
          fetch(delta, i, ahead);
          fetch(h, i, ahead);
          const auto sum = rounded<V, T>(load<V>(x + i, n) + load<V>(delta + i, n));
          store<V>(h + i, sum, n);
          squares = V::fma(sum, sum, squares);
        });
        x = h;
      } else {
        each_vector<V>(a.width, [&](std::int64_t i, std::int64_t n) {
          fetch(x, i, ahead);
          const auto value = load<V>(x + i, n);
          squares = V::fma(value, value, squares);
        });
      }
      const auto rstd = V::all(inverse_rms(V::sum(squares), a.width, a.eps));
      T* y = static_cast<T*>(a.y) + row * a.width;
      each_vector<V>(a.width, [&](std::int64_t i, std::int64_t n) {
        fetch(y, i, ahead);
        const auto norm = load<V>(x + i, n) * rstd;
        store<V>(y + i, (sizeof(W) > sizeof(T) ? norm : rounded<V, T>(norm)) * load<V>(weight + i, n), n);
      });
    }
  }

  /// dh = rstd (w g - h rstd^2 mean(w g h))
  template <typename W>
  static void backward_rows(const RmsNormBackward& a, std::int64_t begin, std::int64_t end) {
    const auto* weight = static_cast<const W*>(a.weight);
    const std::int64_t ahead = reach(a.width);
    for (std::int64_t row = begin; row < end; ++row) {
      const T* h = static_cast<const T*>(a.h) + row * a.width;
      const T* grad_y = static_cast<const T*>(a.grad_y) + row * a.width;
      auto squares = V::all(0.0f), dot = V::all(0.0f);
      each_vector<V>(a.width, [&](std::int64_t i, std::int64_t n) {
        fetch(h, i, ahead);
        fetch(grad_y, i, ahead);
        const auto value = load<V>(h + i, n);
        squares = V::fma(value, value, squares);
        dot = V::fma(load<V>(grad_y + i, n) * load<V>(weight + i, n), value, dot);
      });
      const float inverse = inverse_rms(V::sum(squares), a.width, a.eps);
      const auto rstd = V::all(inverse);
      const auto pull = V::all(-inverse * inverse * V::sum(dot) / static_cast<float>(a.width));
      const T* grad_h = a.grad_h == nullptr ? nullptr : static_cast<const T*>(a.grad_h) + row * a.width;
      T* grad_x = static_cast<T*>(a.grad_x) + row * a.width;
      each_vector<V>(a.width, [&](std::int64_t i, std::int64_t n) {
        if (grad_h != nullptr) fetch(grad_h, i, ahead);
        fetch(grad_x, i, ahead);
        const auto own = V::fma(pull, load<V>(h + i, n), load<V>(grad_y + i, n) * load<V>(weight + i, n));
        const auto passed = grad_h == nullptr ? V::all(0.0f) : load<V>(grad_h + i, n);
        store<V>(grad_x + i, V::fma(own, rstd, passed), n);
      });
    }
  }

  static float inverse_rms(float squares, std::int64_t width, float eps) {
    return 1.0f / __builtin_sqrtf(squares / static_cast<float>(width) + eps);
  }
};

template <typename V, typename T>
struct LayerNorm {
  static void forward(const LayerNormForward& a, std::int64_t begin, std::int64_t end) {
    a.wide_weight ? forward_rows<float>(a, begin, end) : forward_rows<T>(a, begin, end);
  }
  static void backward(const LayerNormBackward& a, std::int64_t begin, std::int64_t end) {
    a.wide_weight ? backward_rows<float>(a, begin, end) : backward_rows<T>(a, begin, end);
  }

 private:
  struct Moments {
    float mean, rstd;
  };
  static Moments moments(const T* x, std::int64_t width, float eps) {
    auto sum = V::all(0.0f), squares = V::all(0.0f);
    each_vector<V>(width, [&](std::int64_t i, std::int64_t n) { sum = sum + load<V>(x + i, n); });
    const float mean = V::sum(sum) / static_cast<float>(width);
    each_vector<V>(width, [&](std::int64_t i, std::int64_t n) {
      const auto off = first_lanes<V>(load<V>(x + i, n) - V::all(mean), n);
      squares = V::fma(off, off, squares);
    });
    return {mean, 1.0f / __builtin_sqrtf(V::sum(squares) / static_cast<float>(width) + eps)};
  }

  template <typename W, class Arguments>
  static const W* weights_of(const Arguments& a, const void* weights, std::int64_t row) {
    return weights == nullptr ? nullptr : static_cast<const W*>(weights) + row % a.weight_rows * a.width;
  }

  template <typename W>
  static void forward_rows(const LayerNormForward& a, std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const T* x = static_cast<const T*>(a.x) + row * a.width;
      const W *weight = weights_of<W>(a, a.weight, row), *bias = weights_of<W>(a, a.bias, row);
      T* y = static_cast<T*>(a.y) + row * a.width;
      const Moments m = moments(x, a.width, a.eps);
      each_vector<V>(a.width, [&](std::int64_t i, std::int64_t n) {
        auto value = (load<V>(x + i, n) - V::all(m.mean)) * V::all(m.rstd);
        if (weight != nullptr) value = value * load<V>(weight + i, n);
        if (bias != nullptr) value = value + load<V>(bias + i, n);
        store<V>(y + i, value, n);
      });
    }
  }

  /// With h = (x - mean) rstd and g = w grad_y: dx = rstd (g - mean(g) - h mean(g h)).
  template <typename W>
  static void backward_rows(const LayerNormBackward& a, std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const T* x = static_cast<const T*>(a.x) + row * a.width;
      const T* grad_y = static_cast<const T*>(a.grad_y) + row * a.width;
      const W* weight = weights_of<W>(a, a.weight, row);
      T* grad_x = static_cast<T*>(a.grad_x) + row * a.width;
      const Moments m = moments(x, a.width, a.eps);
      const auto mean = V::all(m.mean), rstd = V::all(m.rstd);
      const auto passed = [&](std::int64_t i, std::int64_t n) {
        const auto grad = load<V>(grad_y + i, n);
        return weight != nullptr ? grad * load<V>(weight + i, n) : grad;
      };
      auto sum = V::all(0.0f), dot = V::all(0.0f);
      each_vector<V>(a.width, [&](std::int64_t i, std::int64_t n) {
        const auto grad = passed(i, n);
        sum = sum + grad;
        dot = V::fma(grad, (load<V>(x + i, n) - mean) * rstd, dot);
      });
      const auto shift = V::all(-V::sum(sum) / static_cast<float>(a.width));
      const auto pull = V::all(-V::sum(dot) / static_cast<float>(a.width));
      each_vector<V>(a.width, [&](std::int64_t i, std::int64_t n) {
        const auto own = passed(i, n) + V::fma(pull, (load<V>(x + i, n) - mean) * rstd, shift);
        store<V>(grad_x + i, own * rstd, n);
      });
    }
  }
};

}  // namespace
}  // namespace autoround::model::kernels
