// Activations, gated or not, of rows. V: vectors.hpp, T: what rows are of.
#pragma once

#include "model/kernels/vectors.hpp"

namespace autoround::model::kernels {
namespace {

/// e^x to about 1e-7 of itself, for x limited to [-87, 87] where it and its inverse are normal; NaN stays NaN.
template <typename V>
inline typename V::Float exp(typename V::Float x) {
  using F = typename V::Float;
  x = V::limit(x, -87.0f, 87.0f);
  const F magic = V::all(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
  const F whole = V::fma(x, V::all(1.44269504f), magic) - magic;
  const F r = V::fma(whole, V::all(-1.42860677e-6f), V::fma(whole, V::all(-0.693145752f), x));  // x - whole * ln 2
  F p = V::all(1.3836844e-3f);
  p = V::fma(p, r, V::all(8.3748158e-3f));
  p = V::fma(p, r, V::all(4.1668225e-2f));
  p = V::fma(p, r, V::all(1.6666420e-1f));
  p = V::fma(p, r, V::all(4.9999991e-1f));
  p = V::fma(p, r, V::all(1.0f));
  p = V::fma(p, r, V::all(1.0f));
  return V::times_power_of_two(p, whole);
}

template <typename V>
inline typename V::Float sigmoid(typename V::Float x) {
  return V::reciprocal(V::all(1.0f) + exp<V>(V::all(0.0f) - x));
}

template <typename V>
struct ValueAndSlope {
  typename V::Float value, slope;
};

/// x s(w) and its slope, where w(x) has slope `dw` and s is the sigmoid: the form of SiLU and of GELU's tanh formula.
template <typename V>
inline ValueAndSlope<V> gate_by_sigmoid(typename V::Float x, typename V::Float w, typename V::Float dw) {
  const auto s = sigmoid<V>(w);
  return {x * s, V::fma(x * dw, s * (V::all(1.0f) - s), s)};
}

template <typename V>
struct Silu {
  static ValueAndSlope<V> at(typename V::Float x) { return gate_by_sigmoid<V>(x, x, V::all(1.0f)); }
};

template <typename V>
struct GeluTanh {  // 0.5 x (1 + tanh(u)) = x s(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
  static ValueAndSlope<V> at(typename V::Float x) {
    const auto two_root = V::all(1.59576912f), cubic = V::all(0.044715f * 1.59576912f);
    return gate_by_sigmoid<V>(x, x * V::fma(cubic * x, x, two_root), V::fma(V::all(3.0f) * cubic * x, x, two_root));
  }
};

template <typename V>
struct Gelu {  // x P(x), where P is the normal distribution: Abramowitz and Stegun 7.1.26, to 1e-7
  static ValueAndSlope<V> at(typename V::Float x) {
    const auto square = x * x, one = V::all(1.0f), size = V::limit(V::max(x, -x), 0.0f, 1e4f);
    const auto t = V::reciprocal(V::fma(V::all(0.3275911f * 0.707106781f), size, one));
    auto p = V::all(0.5f * 1.061405429f);
    p = V::fma(p, t, V::all(0.5f * -1.453152027f));
    p = V::fma(p, t, V::all(0.5f * 1.421413741f));
    p = V::fma(p, t, V::all(0.5f * -0.284496736f));
    p = V::fma(p, t, V::all(0.5f * 0.254829592f));
    const auto bell = exp<V>(V::all(-0.5f) * square), tail = p * t * bell;  // tail: P(-|x|)
    const auto upper = V::above_zero(x), share = V::fma(one - (upper + upper), tail, upper);
    return {x * share, V::fma(x * V::all(0.398942280f), bell, share)};
  }
};

template <typename V>
struct Relu {
  static ValueAndSlope<V> at(typename V::Float x) {
    const auto slope = V::above_zero(x);
    return {V::relu(x), slope};
  }
};

template <typename V, typename T, template <typename> class Act>
struct Activated {
  static void forward(const ActivationForward& a, std::int64_t begin, std::int64_t end) {
    const T* x = static_cast<const T*>(a.x) + begin * a.width;
    T* y = static_cast<T*>(a.y) + begin * a.width;
    each_vector<V>((end - begin) * a.width,
                   [&](std::int64_t i, std::int64_t n) { store<V>(y + i, Act<V>::at(load<V>(x + i, n)).value, n); });
  }

  static void backward(const ActivationBackward& a, std::int64_t begin, std::int64_t end) {
    const T *x = static_cast<const T*>(a.x) + begin * a.width,
            *grad_y = static_cast<const T*>(a.grad_y) + begin * a.width;
    T* grad_x = static_cast<T*>(a.grad_x) + begin * a.width;
    each_vector<V>((end - begin) * a.width, [&](std::int64_t i, std::int64_t n) {
      store<V>(grad_x + i, load<V>(grad_y + i, n) * Act<V>::at(load<V>(x + i, n)).slope, n);
    });
  }
};

template <typename V, typename T, template <typename> class Act>
struct Gated {
  static void forward(const ActivationForward& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t near = reach(a.width), far = reach(2 * a.width);
    for (std::int64_t row = begin; row < end; ++row) {
      const T *gate = static_cast<const T*>(a.x) + row * 2 * a.width, *up = gate + a.width;
      T* y = static_cast<T*>(a.y) + row * a.width;
      each_vector<V>(a.width, [&](std::int64_t i, std::int64_t n) {
        fetch(gate, i, far);
        fetch(up, i, far);
        fetch(y, i, near);
        const auto act = rounded<V, T>(Act<V>::at(load<V>(gate + i, n)).value);
        store<V>(y + i, act * load<V>(up + i, n), n);
      });
    }
  }

  static void backward(const ActivationBackward& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t near = reach(a.width), far = reach(2 * a.width);
    for (std::int64_t row = begin; row < end; ++row) {
      const T *gate = static_cast<const T*>(a.x) + row * 2 * a.width, *up = gate + a.width;
      const T* grad_y = static_cast<const T*>(a.grad_y) + row * a.width;
      T *grad_gate = static_cast<T*>(a.grad_x) + row * 2 * a.width, *grad_up = grad_gate + a.width;
      each_vector<V>(a.width, [&](std::int64_t i, std::int64_t n) {
        fetch(gate, i, far);
        fetch(up, i, far);
        fetch(grad_y, i, near);
        fetch(grad_gate, i, far);
        fetch(grad_up, i, far);
        const auto act = Act<V>::at(load<V>(gate + i, n));
        const auto grad = load<V>(grad_y + i, n);
        store<V>(grad_gate + i, grad * load<V>(up + i, n) * act.slope, n);
        store<V>(grad_up + i, grad * rounded<V, T>(act.value), n);
      });
    }
  }
};

template <typename V, typename T, template <typename> class Act>
constexpr ActivationKernels activation_kernels() {
  return {Activated<V, T, Act>::forward, Gated<V, T, Act>::forward, Activated<V, T, Act>::backward,
          Gated<V, T, Act>::backward};
}

}  // namespace
}  // namespace autoround::model::kernels
