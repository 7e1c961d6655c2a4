// The source that kernels_portable.cpp, kernels_avx2.cpp and kernels_avx512.cpp compile, each with its own
// AUTOROUND_ISA and AUTOROUND_LANES: the elements of a row, and the table of all kernels.
#pragma once

#include "quant/float_row_kernels.hpp"
#include "quant/float_scale_kernels.hpp"
#include "quant/group_search_kernels.hpp"
#include "quant/input_kernels.hpp"
#include "quant/ordered_sum.hpp"
#include "quant/scale_kernels.hpp"
#include "quant/trial_kernels.hpp"

namespace autoround::quant::AUTOROUND_ISA {
namespace {

/// A group of a row: where its codes lie relative to its zero point.
struct Group {
  float scale, low, high;              // codes run from low = -zero to high = levels - 1 - zero around the zero point
  float minimum = 0.f, inverse = 0.f;  // with kMinimum
};

template <bool kMinimum>
Group group_of(const Row& row, std::int64_t index) {
  const float zero = row.zero[index];
  // A code of zero is +0, whatever the zero point.
  Group group{row.scale[index], 0.f - zero, row.levels - 1.f - zero};
  if (kMinimum) {
    group.minimum = row.minimum[index];
    group.inverse = __builtin_fabsf(group.scale) >= kNextToNothing ? 1.f / group.scale : 0.f;
  }
  return group;
}

struct Code {
  Float quotient;  // w / s
  Float rounded;   // nearest integer to w / s + V, one step beyond the codes at most
};

template <bool kMinimum>
Code code_of(const Group& group, Float weight, Float value) {
  const Float quotient = kMinimum ? (weight + group.minimum) * group.inverse : weight / group.scale;
  return {quotient, round_even(clamp(quotient + value, group.low - 1.f, group.high + 1.f))};
}

void store_codes(std::uint8_t* to, const Group& group, Float centred) {
  const Byte bytes = __builtin_convertvector(__builtin_convertvector(centred - group.low, Int), Byte);
  __builtin_memcpy(to, &bytes, sizeof bytes);
}

/// Calls emit(group, centred, offset, count) for each register of codes of each group of a row: count == kLanes except
/// at the end of a group.
template <class T, bool kMinimum, class V, class Emit>
void for_each_code(const Row& row, const ValuesOf<V>& values, const Emit& emit) {
  const T* weight = static_cast<const T*>(row.weight);
  for (std::int64_t index = 0, first = 0; first < row.columns; ++index, first += row.group) {
    const std::int64_t last = first + row.group < row.columns ? first + row.group : row.columns;
    const Group group = group_of<kMinimum>(row, index);
    const auto centred = [&](Float w, Float v) {
      return clamp(code_of<kMinimum>(group, w, v).rounded, group.low, group.high);
    };
    for (std::int64_t offset = first; offset < last; offset += kLanes) {
      const V* value = values.data ? values.data + offset : nullptr;
      if (offset % kBlock == 0) {
        fetch_ahead(weight + offset);
        if (value) fetch_ahead(value);
      }
      if (last - offset >= kLanes) {
        emit(group, centred(load(weight + offset), value ? values.of(load(value)) : Float{}), offset, kLanes);
      } else {
        const int count = static_cast<int>(last - offset);
        const Padded<T> w(weight + offset, count);
        const Padded<V> v(value, count);
        emit(group, centred(load(w.data), values.of(load(v.data))), offset, count);
      }
    }
  }
}

template <class T, bool kRound, bool kMinimum>
void forward_row(const Row& row, T* output) {
  const auto emit = [&](const Group& group, Float centred, std::int64_t offset, int count) {
    if (offset % kBlock == 0) fetch_ahead(output + offset);
    Float product = centred * group.scale;
    if (kMinimum) product -= group.minimum;
    if (kRound) product = round_to_bf16(product);
    if (count == kLanes) return store(output + offset, product);
    T padded[kLanes];
    store(padded, product);
    __builtin_memcpy(output + offset, padded, static_cast<std::size_t>(count) * sizeof(T));
  };
  with_values(row.value, [&](const auto& values) { for_each_code<T, kMinimum>(row, values, emit); });
}

template <class T, bool kMinimum>
void encode_row(const Row& row, std::uint8_t* codes) {
  const auto emit = [&](const Group& group, Float centred, std::int64_t offset, int count) {
    if (count == kLanes) return store_codes(codes + offset, group, centred);
    std::uint8_t padded[kLanes];
    store_codes(padded, group, centred);
    __builtin_memcpy(codes + offset, padded, static_cast<std::size_t>(count));
  };
  with_values(row.value, [&](const auto& values) { for_each_code<T, kMinimum>(row, values, emit); });
}

template <bool kMinimum>
void forward_as(const Row& row, void* output, bool round_to_bf16_values) {
  if (row.element == Element::bf16) return forward_row<Bf16, false, kMinimum>(row, static_cast<Bf16*>(output));
  if (round_to_bf16_values) return forward_row<float, true, kMinimum>(row, static_cast<float*>(output));
  forward_row<float, false, kMinimum>(row, static_cast<float*>(output));
}

void forward(const Row& row, void* output, bool round_to_bf16_values) {
  row.minimum ? forward_as<true>(row, output, round_to_bf16_values)
              : forward_as<false>(row, output, round_to_bf16_values);
}

template <bool kMinimum>
void encode_as(const Row& row, std::uint8_t* codes) {
  row.element == Element::bf16 ? encode_row<Bf16, kMinimum>(row, codes) : encode_row<float, kMinimum>(row, codes);
}

void encode(const Row& row, std::uint8_t* codes) {
  row.minimum ? encode_as<true>(row, codes) : encode_as<false>(row, codes);
}

// ---------------------------------------------------------------------------------------------------------------------
// The update

template <class T, class V, int kSums, bool kMinimum>
struct BlockUpdate {
  ValuesOf<V> values;
  float rate;  // counted
  Group group;
  Float terms[kSums + 1][kVectors];  // one more than needed: no array of length zero

  void operator()(const T* weight, V* value, const T* gradient, std::uint8_t* codes) {
    for (int k = 0; k < kVectors; ++k) {
      const int at = k * kLanes;
      step(k, weight + at, value + at, gradient + at, codes ? codes + at : nullptr);
    }
  }

  /// Of a block that ends after `count` elements.
  void part(int count, const T* weight, V* value, const T* gradient, std::uint8_t* codes) {
    for (int k = 0; k < kVectors; ++k) {
      const int at = k * kLanes, left = count - at;
      std::uint8_t* const to = codes ? codes + at : nullptr;
      if (left >= kLanes) {
        step(k, weight + at, value + at, gradient + at, to);
      } else if (left > 0) {
        const Padded<T> w(weight + at, left), g(gradient + at, left);
        Padded<V> v(value + at, left);
        std::uint8_t padded[kLanes];
        step(k, w.data, v.data, g.data, to ? padded : nullptr);
        __builtin_memcpy(value + at, v.data, static_cast<std::size_t>(left) * sizeof(V));
        if (to) __builtin_memcpy(to, padded, static_cast<std::size_t>(left));
      } else {
        for (int i = 0; i < kSums; ++i) terms[i][k] = Float{};
      }
    }
  }

 private:
  void step(int k, const T* weight, V* value, const T* gradient, std::uint8_t* codes) {
    const float s = group.scale;
    const Float step_up = rate - Float{}, step_down = -step_up, none{};
    const Float count = load(value), g = load(gradient);
    const Code code = code_of<kMinimum>(group, load(weight), values.of(count));
    const Float centred = clamp(code.rounded, group.low, group.high);
    const Float of_code = g * s;
    const Float of_value = centred == code.rounded ? of_code : none;
    if (kSums >= 2) {
      terms[0][k] = g * centred;
      terms[1][k] = -of_value * (code.quotient / s);
    }
    if (kSums >= 4) {
      terms[2][k] = of_value;
      terms[3][k] = of_code;
    }
    if (codes) store_codes(codes, group, centred);
    store(value, count - (of_value > none ? step_up : of_value < none ? step_down : none));
  }
};

template <class T, class V, int kSums, int kLevels, bool kMinimum = false>
void update_row(const Row& row, const ValuesOf<V>& values, const T* gradient, float rate, std::uint8_t* codes,
                const GradientSums& sums) {
  V* const value = values.data;
  const T* weight = static_cast<const T*>(row.weight);
  float* const targets[4] = {sums.product, sums.quotient, sums.inside, sums.all};
  LaneSums group_sums[kSums + 1];
  for (int i = 0; i < kSums; ++i) group_sums[i].begin(targets[i]);
  const std::int64_t whole_blocks = row.group / kBlock;
  const int rest = static_cast<int>(row.group % kBlock);
  const int power = level_power(whole_blocks);
  BlockUpdate<T, V, kSums, kMinimum> update{values, values.counted(rate), {}, {}};
  float tail[kSums + 1][kBlock];
  for (std::int64_t index = 0, first = 0; first < row.columns; ++index, first += row.group) {
    const std::int64_t last = first + row.group < row.columns ? first + row.group : row.columns;
    update.group = group_of<kMinimum>(row, index);
    OrderedSum<Float, kLevels> totals[kSums + 1];
    std::int64_t done = 0;
    int in_tail = 0;
    for (std::int64_t offset = first; offset < last; offset += kBlock) {
      fetch_ahead(weight + offset);
      fetch_ahead(value + offset);
      if (codes) fetch_ahead(codes + offset);
      if (last - offset >= kBlock) {
        update(weight + offset, value + offset, gradient + offset, codes ? codes + offset : nullptr);
      } else {
        update.part(static_cast<int>(last - offset), weight + offset, value + offset, gradient + offset,
                    codes ? codes + offset : nullptr);
      }
      if (done < whole_blocks) {
        ++done;
        for (int i = 0; i < kSums; ++i) {
          totals[i].add(update.terms[i]);
          if (kLevels > 1) totals[i].carry(done, power);
        }
      } else {
        in_tail = rest;
        for (int i = 0; i < kSums; ++i) {
          for (int k = 0; k < kVectors; ++k) store(tail[i] + k * kLanes, update.terms[i][k]);
        }
      }
    }
    for (int i = 0; i < kSums; ++i) group_sums[i].add(totals[i], tail[i], in_tail);
  }
  for (int i = 0; i < kSums; ++i) group_sums[i].finish();
}

template <class T, class V>
void update_as(const Row& row, const ValuesOf<V>& values, const T* gradient, float rate, std::uint8_t* codes,
               const GradientSums& sums) {
  const bool deep = is_deep(row.group);
  if (row.minimum) return update_row<T, V, 0, 1, true>(row, values, gradient, rate, codes, sums);
  if (!sums.product) return update_row<T, V, 0, 1>(row, values, gradient, rate, codes, sums);
  if (!sums.all) {
    return deep ? update_row<T, V, 2, 4>(row, values, gradient, rate, codes, sums)
                : update_row<T, V, 2, 1>(row, values, gradient, rate, codes, sums);
  }
  deep ? update_row<T, V, 4, 4>(row, values, gradient, rate, codes, sums)
       : update_row<T, V, 4, 1>(row, values, gradient, rate, codes, sums);
}

void update(const Row& row, const void* gradient, float rate, std::uint8_t* codes, const GradientSums& sums) {
  with_values(row.value, [&](const auto& values) {
    row.element == Element::bf16 ? update_as(row, values, static_cast<const Bf16*>(gradient), rate, codes, sums)
                                 : update_as(row, values, static_cast<const float*>(gradient), rate, codes, sums);
  });
}

}  // namespace

#define AUTOROUND_TEXT_(text) #text
#define AUTOROUND_TEXT(text) AUTOROUND_TEXT_(text)
extern const Kernels table;
const Kernels table = {AUTOROUND_TEXT(AUTOROUND_ISA),
                       scales,
                       forward,
                       encode,
                       update,
                       step,
                       float_scales,
                       float_forward,
                       float_encode,
                       float_update,
                       range,
                       input_scales,
                       clip_gradient,
                       trial_errors,
                       search_groups};

}  // namespace autoround::quant::AUTOROUND_ISA
