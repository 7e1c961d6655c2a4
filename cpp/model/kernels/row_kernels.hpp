// The row functions, written once over a vector policy V (vectors.hpp). Sums run in one fixed order per row, so results
// depend neither on the thread count nor on how rows are split.
#pragma once

#include "model/kernels/vectors.hpp"

namespace autoround::model::kernels {
namespace {

/// Elements from what is computed to what is fetched meanwhile, where rows are `step` apart: the same place some rows
/// below, or further on in a long row. Rows are several streams of short pieces, which no processor foresees well.
inline std::int64_t reach(std::int64_t step) {
  constexpr std::int64_t least = 1024, most = 8192;
  return step > most ? least : (least + step - 1) / step * step;
}

/// Brings what lies `distance` elements after p + i nearer, once a line.
template <typename T>
inline void fetch(const T* p, std::int64_t i, std::int64_t distance) {
  if (i % static_cast<std::int64_t>(64 / sizeof(T)) == 0) __builtin_prefetch(p + i + distance);
}

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
  static void forward(const GatedForward& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t near = reach(a.width), far = reach(2 * a.width);
    for (std::int64_t row = begin; row < end; ++row) {
      const T *gate = static_cast<const T*>(a.gate_up) + row * 2 * a.width, *up = gate + a.width;
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

  static void backward(const GatedBackward& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t near = reach(a.width), far = reach(2 * a.width);
    for (std::int64_t row = begin; row < end; ++row) {
      const T *gate = static_cast<const T*>(a.gate_up) + row * 2 * a.width, *up = gate + a.width;
      const T* grad_y = static_cast<const T*>(a.grad_y) + row * a.width;
      T *grad_gate = static_cast<T*>(a.grad_gate_up) + row * 2 * a.width, *grad_up = grad_gate + a.width;
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

template <typename V, typename T, template <typename> class Act>
constexpr ActivationKernels activation_kernels() {
  return {Activated<V, T, Act>::forward, Activated<V, T, Act>::backward, Gated<V, T, Act>::forward,
          Gated<V, T, Act>::backward};
}

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
