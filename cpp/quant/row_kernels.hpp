// The source that kernels_portable.cpp, kernels_avx2.cpp and kernels_avx512.cpp compile, each with its own
// AUTOROUND_ISA (a namespace) and AUTOROUND_LANES (floats in a register). Everything but the table has internal linkage
// and nothing of the standard library is instantiated, so that no function compiled for a newer processor is shared
// with other files.
#pragma once

#include "quant/kernels.hpp"

namespace autoround::quant::AUTOROUND_ISA {
namespace {

constexpr int kLanes = AUTOROUND_LANES;
constexpr int kBlock = 32;  // columns that are processed together: four vectors of eight, the unit of at::sum
constexpr int kVectors = kBlock / kLanes;

using Float = float __attribute__((vector_size(kLanes * 4)));
using Word = std::uint32_t __attribute__((vector_size(kLanes * 4)));
using Int = std::int32_t __attribute__((vector_size(kLanes * 4)));
using Short = std::uint16_t __attribute__((vector_size(kLanes * 2)));
using Byte = std::uint8_t __attribute__((vector_size(kLanes)));

using Bf16 = std::uint16_t;

Float load(const float* from) {
  Float value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}
Float load(const Bf16* from) {
  Short bits;
  __builtin_memcpy(&bits, from, sizeof bits);
  return (Float)(__builtin_convertvector(bits, Word) << 16);
}
void store(float* to, Float value) { __builtin_memcpy(to, &value, sizeof value); }

/// The bits of the nearest bf16, ties to even, in the low half of each word. A NaN that arithmetic made stays one.
Word bf16_bits(Float value) {
  const Word bits = (Word)value;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
void store(Bf16* to, Float value) {
  const Short bits = __builtin_convertvector(bf16_bits(value), Short);
  __builtin_memcpy(to, &bits, sizeof bits);
}

float as_float(std::uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}
std::uint32_t as_bits(float value) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}

float round_to_bf16(float value) {
  const std::uint32_t bits = as_bits(value);
  return as_float((bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u);
}
/// The nearest fp16 value, ties to even: normal, subnormal (steps of 2^-24, the ulp of 0.5) and overflow to infinity.
float round_to_f16(float value) {
  const std::uint32_t sign = as_bits(value) & 0x80000000u;
  const std::uint32_t bits = as_bits(value) & 0x7fffffffu;
  const float magnitude = as_float(bits);
  const float normal = as_float((bits + 0xfffu + ((bits >> 13) & 1u)) & 0xffffe000u);
  const float subnormal = (magnitude + 0.5f) - 0.5f;
  float rounded = magnitude < 0x1p-14f ? subnormal : normal;
  rounded = magnitude >= 65520.f ? __builtin_inff() : rounded;
  rounded = magnitude != magnitude ? magnitude : rounded;
  return as_float(as_bits(rounded) | sign);
}

template <ScaleType kType>
float round_scale(float value) {
  if (kType == ScaleType::f16) return round_to_f16(value);
  if (kType == ScaleType::bf16) return round_to_bf16(value);
  return value;
}

float clamp(float value, float low, float high) { return value < low ? low : value > high ? high : value; }
Float clamp(Float value, float low, float high) {
  const Float floor = low - Float{}, ceiling = high - Float{};
  value = value < floor ? floor : value;
  return value > ceiling ? ceiling : value;
}

/// Nearest integer, ties to even, never -0, for magnitudes below 2^22.
template <class T>
T round_even(T value) {
  constexpr float kMagic = 0x1.8p23f;
  return (value + kMagic) - kMagic;
}

float sign_of(float value) { return value > 0.f ? 1.f : value < 0.f ? -1.f : 0.f; }

// ---------------------------------------------------------------------------------------------------------------------
// Scales of groups

struct GroupRange {
  float low, high;  // symmetric: magnitude of the negative side and of the positive side
  float raw;        // scale before the threshold
};

template <bool kSymmetric, ScaleType kType>
GroupRange group_range(const ScaleRule& rule, const Ranges& ranges, std::int64_t i) {
  const float low = ranges.weight_min[i] * clamp(ranges.min_scale[i], 0.f, 1.f);
  const float high = ranges.weight_max[i] * clamp(ranges.max_scale[i], 0.f, 1.f);
  if (!kSymmetric) return {low, high, round_scale<kType>((high - low) / (rule.levels - 1.f))};
  const float negative = -low;
  const float extreme = high < negative ? negative : -high;  // the larger side is mapped to the most negative code
  return {negative, high, round_scale<kType>(extreme / (rule.levels * 0.5f))};
}

template <bool kSymmetric, ScaleType kType>
void scales_of(const ScaleRule& rule, const Ranges& ranges, float* scale, float* zero) {
  const float threshold = rule.threshold, top = rule.levels - 1.f;
  for (std::int64_t i = 0; i < ranges.count; ++i) {
    ranges.min_scale[i] = clamp(ranges.min_scale[i], 0.f, 1.f);
    ranges.max_scale[i] = clamp(ranges.max_scale[i], 0.f, 1.f);
    const GroupRange range = group_range<kSymmetric, kType>(rule, ranges, i);
    const float positive = range.raw < threshold ? threshold : range.raw;
    if (kSymmetric) {
      const float negative = range.raw > -threshold ? -threshold : range.raw;
      scale[i] = range.raw < 0.f ? negative : positive;
      zero[i] = rule.levels * 0.5f;
    } else {
      scale[i] = positive;
      // A scale that was rounded down can put the zero point one past the codes; it is stored as a code, so it stops
      // there.
      zero[i] = clamp(round_even(clamp(-range.low / positive, 0.f, rule.levels)), 0.f, top);
    }
  }
}

/// The chain from a scale's gradient to the two factors, as autograd walks it: docs/algorithm.md. Partial gradients of
/// an fp16 scale are rounded to fp16 as autograd rounds them; those of a bf16 scale stay fp32, where autograd would
/// lose most of their bits to cancellation.
template <bool kSymmetric, ScaleType kType>
void step_of(const ScaleRule& rule, const Ranges& ranges, const float* scale, const GradientSums& sums, float rate) {
  constexpr ScaleType kGradient = kType == ScaleType::f16 ? ScaleType::f16 : ScaleType::f32;
  const auto partial = [](float value) { return round_scale<kGradient>(value); };
  for (std::int64_t i = 0; i < ranges.count; ++i) {
    const GroupRange range = group_range<kSymmetric, kType>(rule, ranges, i);
    float of_scale = partial(partial(sums.product[i]) + partial(sums.quotient[i]));
    float of_min, of_max;
    if (kSymmetric) {
      const bool kept = range.raw < 0.f ? range.raw <= -rule.threshold : range.raw >= rule.threshold;
      const float direction = range.high < range.low ? 1.f : -1.f;
      const float whole = (kept ? of_scale : 0.f) / (rule.levels * 0.5f) * direction;
      const float share = range.low == range.high ? whole * 0.5f : whole;
      of_max = range.high < range.low ? 0.f : share;
      of_min = range.low < range.high ? -0.f : -share;
    } else {
      const float of_zero = sums.inside[i] - sums.all[i];
      of_scale = partial(of_scale + partial(-of_zero * ((-range.low / scale[i]) / scale[i])));
      of_max = (range.raw >= rule.threshold ? of_scale : 0.f) / (rule.levels - 1.f);
      of_min = -of_max - of_zero / scale[i];
    }
    ranges.min_scale[i] -= rate * sign_of(of_min * ranges.weight_min[i]);
    ranges.max_scale[i] -= rate * sign_of(of_max * ranges.weight_max[i]);
  }
}

void scales(const ScaleRule& rule, const Ranges& ranges, float* scale, float* zero) {
  using enum ScaleType;
  if (rule.symmetric) {
    if (rule.type == f16) return scales_of<true, f16>(rule, ranges, scale, zero);
    if (rule.type == bf16) return scales_of<true, bf16>(rule, ranges, scale, zero);
    return scales_of<true, f32>(rule, ranges, scale, zero);
  }
  if (rule.type == f16) return scales_of<false, f16>(rule, ranges, scale, zero);
  if (rule.type == bf16) return scales_of<false, bf16>(rule, ranges, scale, zero);
  return scales_of<false, f32>(rule, ranges, scale, zero);
}

void step(const ScaleRule& rule, const Ranges& ranges, const float* scale, const GradientSums& sums, float rate) {
  using enum ScaleType;
  if (rule.symmetric) {
    if (rule.type == f16) return step_of<true, f16>(rule, ranges, scale, sums, rate);
    if (rule.type == bf16) return step_of<true, bf16>(rule, ranges, scale, sums, rate);
    return step_of<true, f32>(rule, ranges, scale, sums, rate);
  }
  if (rule.type == f16) return step_of<false, f16>(rule, ranges, scale, sums, rate);
  if (rule.type == bf16) return step_of<false, bf16>(rule, ranges, scale, sums, rate);
  return step_of<false, f32>(rule, ranges, scale, sums, rate);
}

// ---------------------------------------------------------------------------------------------------------------------
// Elements of a row

/// A group of a row: where its codes lie relative to its zero point.
struct Group {
  float scale, low, high;  // codes run from low = -zero to high = levels - 1 - zero around the zero point
};

Group group_of(const Row& row, std::int64_t index) {
  const float zero = row.zero[index];
  return {row.scale[index], 0.f - zero, row.levels - 1.f - zero};  // a code of zero is +0, whatever the zero point
}

struct Code {
  Float quotient;  // w / s
  Float rounded;   // nearest integer to w / s + V, one step beyond the codes at most
};

Code code_of(const Group& group, Float weight, Float value) {
  const Float quotient = weight / group.scale;
  return {quotient, round_even(clamp(quotient + value, group.low - 1.f, group.high + 1.f))};
}

void store_codes(std::uint8_t* to, const Group& group, Float centred) {
  const Byte bytes = __builtin_convertvector(__builtin_convertvector(centred - group.low, Int), Byte);
  __builtin_memcpy(to, &bytes, sizeof bytes);
}

/// Calls body(offset, count) for each block of each group of a row: count == kBlock except at the end of a group.
template <class Begin, class Body>
void for_each_block(const Row& row, const Begin& begin, const Body& body) {
  for (std::int64_t index = 0, first = 0; first < row.columns; ++index, first += row.group) {
    const std::int64_t last = first + row.group < row.columns ? first + row.group : row.columns;
    begin(index);
    for (std::int64_t offset = first; offset < last; offset += kBlock) {
      body(offset, last - offset < kBlock ? static_cast<int>(last - offset) : kBlock);
    }
  }
}

/// Up to a block of elements copied out of a row and padded with zeros, so that ends of groups take the same path.
template <class T>
struct Padded {
  T data[kBlock] = {};
  Padded(const T* from, int count) {
    if (from) __builtin_memcpy(data, from, count * sizeof(T));
  }
};

template <class T, class Emit>
void code_blocks(const Row& row, const Emit& emit) {
  const T* weight = static_cast<const T*>(row.weight);
  Group group{};
  const auto block = [&](const T* w, const float* v, std::int64_t offset, int count) {
    Float centred[kVectors];
    for (int k = 0; k < kVectors; ++k) {
      const Code code = code_of(group, load(w + k * kLanes), v ? load(v + k * kLanes) : Float{});
      centred[k] = clamp(code.rounded, group.low, group.high);
    }
    emit(group, centred, offset, count);
  };
  for_each_block(
      row, [&](std::int64_t index) { group = group_of(row, index); },
      [&](std::int64_t offset, int count) {
        const float* value = row.value ? row.value + offset : nullptr;
        if (count == kBlock) return block(weight + offset, value, offset, count);
        const Padded<T> w(weight + offset, count);
        const Padded<float> v(value, count);
        block(w.data, v.data, offset, count);
      });
}

template <class T, bool kRound>
void forward_row(const Row& row, T* output) {
  code_blocks<T>(row, [&](const Group& group, const Float* centred, std::int64_t offset, int count) {
    T padded[kBlock];
    T* to = count == kBlock ? output + offset : padded;
    for (int k = 0; k < kVectors; ++k) {
      Float product = centred[k] * group.scale;
      if (kRound) product = (Float)(bf16_bits(product) << 16);
      store(to + k * kLanes, product);
    }
    if (count != kBlock) __builtin_memcpy(output + offset, padded, count * sizeof(T));
  });
}

template <class T>
void encode_row(const Row& row, std::uint8_t* codes) {
  code_blocks<T>(row, [&](const Group& group, const Float* centred, std::int64_t offset, int count) {
    std::uint8_t padded[kBlock];
    std::uint8_t* to = count == kBlock ? codes + offset : padded;
    for (int k = 0; k < kVectors; ++k) store_codes(to + k * kLanes, group, centred[k]);
    if (count != kBlock) __builtin_memcpy(codes + offset, padded, count);
  });
}

void forward(const Row& row, void* output, bool round_to_bf16_values) {
  if (row.element == Element::bf16) return forward_row<Bf16, false>(row, static_cast<Bf16*>(output));
  if (round_to_bf16_values) return forward_row<float, true>(row, static_cast<float*>(output));
  forward_row<float, false>(row, static_cast<float*>(output));
}

void encode(const Row& row, std::uint8_t* codes) {
  row.element == Element::bf16 ? encode_row<Bf16>(row, codes) : encode_row<float>(row, codes);
}

// ---------------------------------------------------------------------------------------------------------------------
// Sums in the order of at::sum, and the update

/// One sum over a group. at::sum adds blocks of 32 lane by lane, every 16 blocks into the next of four levels; whole
/// vectors of eight that are left over go to the first eight lanes; the last elements come before the lanes. One level
/// is enough for groups of fewer than 16 blocks.
template <int kLevels>
class OrderedSum {
 public:
  void add(const Float* terms) {
    for (int k = 0; k < kVectors; ++k) level_[0][k] += terms[k];
  }

  void carry(std::int64_t blocks_done, int power) {
    const std::int64_t mask = (std::int64_t{1} << power) - 1;
    if (blocks_done & mask) return;
    for (int j = 1; j < kLevels; ++j) {
      for (int k = 0; k < kVectors; ++k) {
        level_[j][k] += level_[j - 1][k];
        level_[j - 1][k] = Float{};
      }
      if (blocks_done & (mask << (j * power))) return;
    }
  }

  float finish(const float* rest, int count) const {
    float lanes[kBlock];
    for (int k = 0; k < kVectors; ++k) {
      Float sum = level_[0][k];
      for (int j = 1; j < kLevels; ++j) sum += level_[j][k];
      store(lanes + k * kLanes, sum);
    }
    const int whole = count / 8 * 8;
    for (int i = 0; i < whole; i += 8) {
      for (int k = 0; k < 8; ++k) lanes[k] += rest[i + k];
    }
    float total = 0.f;
    for (int i = whole; i < count; ++i) total += rest[i];
    for (int k = 0; k < 8; ++k) lanes[k] = ((lanes[k] + lanes[8 + k]) + lanes[16 + k]) + lanes[24 + k];
    for (int k = 0; k < 8; ++k) total += lanes[k];
    return total;
  }

 private:
  Float level_[kLevels][kVectors] = {};
};

/// Length in blocks of the first level of at::sum, as a power of two.
int level_power(std::int64_t blocks) {
  int log = 0;
  while ((std::int64_t{1} << log) < blocks) ++log;
  return log / 4 > 4 ? log / 4 : 4;
}

template <class T, int kSums>
struct BlockUpdate {
  Group group;
  float rate;
  Float terms[kSums + 1][kVectors];  // one more than needed: no array of length zero

  void operator()(const T* weight, float* value, const T* gradient, std::uint8_t* codes) {
    const float s = group.scale;
    const Float step_up = rate - Float{}, step_down = -step_up, none{};
    for (int k = 0; k < kVectors; ++k) {
      const Float v = load(value + k * kLanes), g = load(gradient + k * kLanes);
      const Code code = code_of(group, load(weight + k * kLanes), v);
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
      if (codes) store_codes(codes + k * kLanes, group, centred);
      store(value + k * kLanes, v - (of_value > none ? step_up : of_value < none ? step_down : none));
    }
  }
};

template <class T, int kSums, int kLevels>
void update_row(const Row& row, float* value, const T* gradient, float rate, std::uint8_t* codes,
                const GradientSums& sums) {
  const T* weight = static_cast<const T*>(row.weight);
  float* const targets[4] = {sums.product, sums.quotient, sums.inside, sums.all};
  const std::int64_t whole_blocks = row.group / kBlock;
  const int rest = static_cast<int>(row.group % kBlock);
  const int power = level_power(whole_blocks);
  BlockUpdate<T, kSums> update{{}, rate, {}};
  float tail[kSums + 1][kBlock];
  for (std::int64_t index = 0, first = 0; first < row.columns; ++index, first += row.group) {
    const std::int64_t last = first + row.group < row.columns ? first + row.group : row.columns;
    update.group = group_of(row, index);
    OrderedSum<kLevels> totals[kSums + 1];
    std::int64_t done = 0;
    if (rest) __builtin_memset(tail, 0, sizeof tail);
    for (std::int64_t offset = first; offset < last; offset += kBlock) {
      if (last - offset >= kBlock) {
        update(weight + offset, value + offset, gradient + offset, codes ? codes + offset : nullptr);
      } else {
        const int count = static_cast<int>(last - offset);
        const Padded<T> w(weight + offset, count), g(gradient + offset, count);
        Padded<float> v(value + offset, count);
        std::uint8_t padded[kBlock];
        update(w.data, v.data, g.data, codes ? padded : nullptr);
        __builtin_memcpy(value + offset, v.data, count * sizeof(float));
        if (codes) __builtin_memcpy(codes + offset, padded, count);
      }
      if (done < whole_blocks) {
        ++done;
        for (int i = 0; i < kSums; ++i) {
          totals[i].add(update.terms[i]);
          if (kLevels > 1) totals[i].carry(done, power);
        }
      } else {
        for (int i = 0; i < kSums; ++i) {
          for (int k = 0; k < kVectors; ++k) store(tail[i] + k * kLanes, update.terms[i][k]);
        }
      }
    }
    for (int i = 0; i < kSums; ++i) targets[i][index] = totals[i].finish(tail[i], rest);
  }
}

template <class T>
void update_as(const Row& row, float* value, const T* gradient, float rate, std::uint8_t* codes,
               const GradientSums& sums) {
  const bool deep = row.group >= 16 * kBlock;
  if (!sums.product) return update_row<T, 0, 1>(row, value, gradient, rate, codes, sums);
  if (!sums.all) {
    return deep ? update_row<T, 2, 4>(row, value, gradient, rate, codes, sums)
                : update_row<T, 2, 1>(row, value, gradient, rate, codes, sums);
  }
  deep ? update_row<T, 4, 4>(row, value, gradient, rate, codes, sums)
       : update_row<T, 4, 1>(row, value, gradient, rate, codes, sums);
}

void update(const Row& row, float* value, const void* gradient, float rate, std::uint8_t* codes,
            const GradientSums& sums) {
  if (row.element == Element::bf16) {
    return update_as(row, value, static_cast<const Bf16*>(gradient), rate, codes, sums);
  }
  update_as(row, value, static_cast<const float*>(gradient), rate, codes, sums);
}

}  // namespace

#define AUTOROUND_TEXT_(text) #text
#define AUTOROUND_TEXT(text) AUTOROUND_TEXT_(text)
extern const Kernels table;
const Kernels table = {AUTOROUND_TEXT(AUTOROUND_ISA), scales, forward, encode, update, step};

}  // namespace autoround::quant::AUTOROUND_ISA
