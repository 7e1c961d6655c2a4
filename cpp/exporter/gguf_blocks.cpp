#include "exporter/gguf_blocks.hpp"

#include <c10/util/Half.h>

#include <cmath>
#include <cstring>

namespace autoround::exporter {
namespace {

// Bytes j hold codes j and j + half.
void put_nibbles(const std::uint8_t* codes, int half, std::uint8_t* to) {
  for (int j = 0; j < half; ++j) to[j] = static_cast<std::uint8_t>((codes[j] & 15) | codes[j + half] << 4);
}

void get_nibbles(const std::uint8_t* from, int half, std::uint8_t* codes) {
  for (int j = 0; j < half; ++j) {
    codes[j] = from[j] & 15;
    codes[j + half] = from[j] >> 4;
  }
}

// Bits [shift, shift + width) of codes l, l + 32, l + 64 ... follow each other in byte l.
void put_planes(const std::uint8_t* codes, int count, int shift, int width, std::uint8_t* to) {
  std::memset(to, 0, 32);
  for (int i = 0; i < count; ++i) {
    const int bits = (codes[i] >> shift) & ((1 << width) - 1);
    to[i % 32] = static_cast<std::uint8_t>(to[i % 32] | bits << (i / 32 * width));
  }
}

void add_planes(const std::uint8_t* from, int count, int shift, int width, std::uint8_t* codes) {
  for (int i = 0; i < count; ++i) {
    const int bits = (from[i % 32] >> (i / 32 * width)) & ((1 << width) - 1);
    codes[i] = static_cast<std::uint8_t>(codes[i] | bits << shift);
  }
}

void put_half(std::uint16_t bits, std::uint8_t* to) { std::memcpy(to, &bits, sizeof bits); }

std::uint16_t half_bits(const std::uint8_t* from) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, from, sizeof bits);
  return bits;
}

void get_scale(const std::uint8_t* from, GgufBlock& block) { block.scales.fill(half_bits(from)); }

float half_value(std::uint16_t bits) { return c10::Half(bits, c10::Half::from_bits()); }

// Types with a minimum store it, rounded to fp16, instead of the zero point.
void put_minimum(const GgufBlock& block, std::uint8_t* to) {
  put_half(c10::Half(-static_cast<float>(block.minimum_factors[0]) * half_value(block.scales[0])).x, to);
}

void get_minimum(const std::uint8_t* from, GgufBlock& block) {
  const float zero = -half_value(half_bits(from)) / half_value(block.scales[0]);
  block.minimum_factors.fill(static_cast<std::int8_t>(std::lround(zero)));
}

void pack_q4_0(const GgufBlock& block, std::uint8_t* to) {
  put_half(block.scales[0], to);
  put_nibbles(block.codes.data(), 16, to + 2);
}
void unpack_q4_0(const std::uint8_t* from, GgufBlock& block) {
  get_scale(from, block);
  get_nibbles(from + 2, 16, block.codes.data());
}

void pack_q4_1(const GgufBlock& block, std::uint8_t* to) {
  put_half(block.scales[0], to);
  put_minimum(block, to + 2);
  put_nibbles(block.codes.data(), 16, to + 4);
}
void unpack_q4_1(const std::uint8_t* from, GgufBlock& block) {
  get_scale(from, block);
  get_minimum(from + 2, block);
  get_nibbles(from + 4, 16, block.codes.data());
}

// The fifth bits of 32 codes are one word, then their nibbles.
void put_fives(const GgufBlock& block, std::uint8_t* to) {
  std::memset(to, 0, 4);
  for (int i = 0; i < 32; ++i) {
    to[i / 8] = static_cast<std::uint8_t>(to[i / 8] | (block.codes[static_cast<std::size_t>(i)] >> 4 & 1) << i % 8);
  }
  put_nibbles(block.codes.data(), 16, to + 4);
}
void get_fives(const std::uint8_t* from, GgufBlock& block) {
  get_nibbles(from + 4, 16, block.codes.data());
  for (int i = 0; i < 32; ++i) {
    std::uint8_t& code = block.codes[static_cast<std::size_t>(i)];
    code = static_cast<std::uint8_t>(code | (from[i / 8] >> i % 8 & 1) << 4);
  }
}

void pack_q5_0(const GgufBlock& block, std::uint8_t* to) {
  put_half(block.scales[0], to);
  put_fives(block, to + 2);
}
void unpack_q5_0(const std::uint8_t* from, GgufBlock& block) {
  get_scale(from, block);
  get_fives(from + 2, block);
}

void pack_q5_1(const GgufBlock& block, std::uint8_t* to) {
  put_half(block.scales[0], to);
  put_minimum(block, to + 2);
  put_fives(block, to + 4);
}
void unpack_q5_1(const std::uint8_t* from, GgufBlock& block) {
  get_scale(from, block);
  get_minimum(from + 2, block);
  get_fives(from + 4, block);
}

void pack_q8_0(const GgufBlock& block, std::uint8_t* to) {
  put_half(block.scales[0], to);
  for (int i = 0; i < 32; ++i) to[2 + i] = block.codes[static_cast<std::size_t>(i)] ^ 0x80;
}
void unpack_q8_0(const std::uint8_t* from, GgufBlock& block) {
  get_scale(from, block);
  for (int i = 0; i < 32; ++i) block.codes[static_cast<std::size_t>(i)] = from[2 + i] ^ 0x80;
}

// The low bits of a factor.
std::uint8_t bits_of(std::int8_t factor, int count) {
  return static_cast<std::uint8_t>(static_cast<std::uint8_t>(factor) & ((1 << count) - 1));
}

void pack_q2_k(const GgufBlock& block, std::uint8_t* to) {
  for (std::size_t i = 0; i < 16; ++i)
    to[i] = static_cast<std::uint8_t>(bits_of(block.factors[i], 4) | bits_of(block.minimum_factors[i], 4) << 4);
  for (int half = 0; half < 2; ++half) put_planes(block.codes.data() + 128 * half, 128, 0, 2, to + 16 + 32 * half);
  put_half(block.scales[0], to + 80);
  put_half(block.minimum, to + 82);
}
void unpack_q2_k(const std::uint8_t* from, GgufBlock& block) {
  for (std::size_t i = 0; i < 16; ++i) {
    block.factors[i] = static_cast<std::int8_t>(from[i] & 15);
    block.minimum_factors[i] = static_cast<std::int8_t>(from[i] >> 4);
  }
  for (int half = 0; half < 2; ++half) add_planes(from + 16 + 32 * half, 128, 0, 2, block.codes.data() + 128 * half);
  get_scale(from + 80, block);
  block.minimum = half_bits(from + 82);
}

void pack_q3_k(const GgufBlock& block, std::uint8_t* to) {
  put_planes(block.codes.data(), 256, 2, 1, to);
  for (int half = 0; half < 2; ++half) put_planes(block.codes.data() + 128 * half, 128, 0, 2, to + 32 + 32 * half);
  // Sixteen factors, 32 added: the low four bits of two in a byte, then the high two of four.
  std::memset(to + 96, 0, 12);
  for (std::size_t i = 0; i < 16; ++i) {
    const int factor = block.factors[i] + 32;
    to[96 + i % 8] = static_cast<std::uint8_t>(to[96 + i % 8] | (factor & 15) << i / 8 * 4);
    to[104 + i % 4] = static_cast<std::uint8_t>(to[104 + i % 4] | (factor >> 4) << i / 4 * 2);
  }
  put_half(block.scales[0], to + 108);
}
void unpack_q3_k(const std::uint8_t* from, GgufBlock& block) {
  for (int half = 0; half < 2; ++half) add_planes(from + 32 + 32 * half, 128, 0, 2, block.codes.data() + 128 * half);
  add_planes(from, 256, 2, 1, block.codes.data());
  for (std::size_t i = 0; i < 16; ++i) {
    const int low = from[96 + i % 8] >> i / 8 * 4 & 15, high = from[104 + i % 4] >> i / 4 * 2 & 3;
    block.factors[i] = static_cast<std::int8_t>((low | high << 4) - 32);
  }
  get_scale(from + 108, block);
}

// Eight factors of scales and minima of six bits in twelve bytes: of the first four each in a byte, of the others the
// low four bits in a byte of both and the high two above those of the first.
void put_k_factors(const GgufBlock& block, std::uint8_t* to) {
  put_half(block.scales[0], to);
  put_half(block.minimum, to + 2);
  const auto high = [](std::int8_t factor) { return bits_of(factor, 6) >> 4 << 6; };
  for (std::size_t i = 0; i < 4; ++i) {
    const std::int8_t scale = block.factors[4 + i], minimum = block.minimum_factors[4 + i];
    to[4 + i] = static_cast<std::uint8_t>(bits_of(block.factors[i], 6) | high(scale));
    to[8 + i] = static_cast<std::uint8_t>(bits_of(block.minimum_factors[i], 6) | high(minimum));
    to[12 + i] = static_cast<std::uint8_t>(bits_of(scale, 4) | bits_of(minimum, 4) << 4);
  }
}
void get_k_factors(const std::uint8_t* from, GgufBlock& block) {
  get_scale(from, block);
  block.minimum = half_bits(from + 2);
  for (std::size_t i = 0; i < 4; ++i) {
    block.factors[i] = static_cast<std::int8_t>(from[4 + i] & 63);
    block.minimum_factors[i] = static_cast<std::int8_t>(from[8 + i] & 63);
    block.factors[4 + i] = static_cast<std::int8_t>((from[12 + i] & 15) | from[4 + i] >> 6 << 4);
    block.minimum_factors[4 + i] = static_cast<std::int8_t>(from[12 + i] >> 4 | from[8 + i] >> 6 << 4);
  }
}

void pack_q4_k(const GgufBlock& block, std::uint8_t* to) {
  put_k_factors(block, to);
  for (int pair = 0; pair < 4; ++pair) put_nibbles(block.codes.data() + 64 * pair, 32, to + 16 + 32 * pair);
}
void unpack_q4_k(const std::uint8_t* from, GgufBlock& block) {
  get_k_factors(from, block);
  for (int pair = 0; pair < 4; ++pair) get_nibbles(from + 16 + 32 * pair, 32, block.codes.data() + 64 * pair);
}

void pack_q5_k(const GgufBlock& block, std::uint8_t* to) {
  put_k_factors(block, to);
  put_planes(block.codes.data(), 256, 4, 1, to + 16);
  for (int pair = 0; pair < 4; ++pair) put_nibbles(block.codes.data() + 64 * pair, 32, to + 48 + 32 * pair);
}
void unpack_q5_k(const std::uint8_t* from, GgufBlock& block) {
  get_k_factors(from, block);
  for (int pair = 0; pair < 4; ++pair) get_nibbles(from + 48 + 32 * pair, 32, block.codes.data() + 64 * pair);
  add_planes(from + 16, 256, 4, 1, block.codes.data());
}

void pack_q6_k(const GgufBlock& block, std::uint8_t* to) {
  for (int half = 0; half < 2; ++half) {
    put_nibbles(block.codes.data() + 128 * half, 64, to + 64 * half);
    put_planes(block.codes.data() + 128 * half, 128, 4, 2, to + 128 + 32 * half);
  }
  std::memcpy(to + 192, block.factors.data(), 16);
  put_half(block.scales[0], to + 208);
}
void unpack_q6_k(const std::uint8_t* from, GgufBlock& block) {
  for (int half = 0; half < 2; ++half) {
    get_nibbles(from + 64 * half, 64, block.codes.data() + 128 * half);
    add_planes(from + 128 + 32 * half, 128, 4, 2, block.codes.data() + 128 * half);
  }
  std::memcpy(block.factors.data(), from + 192, 16);
  get_scale(from + 208, block);
}

void pack_mxfp4(const GgufBlock& block, std::uint8_t* to) {
  to[0] = static_cast<std::uint8_t>(block.scales[0]);
  put_nibbles(block.codes.data(), 16, to + 1);
}
void unpack_mxfp4(const std::uint8_t* from, GgufBlock& block) {
  block.scales.fill(from[0]);
  get_nibbles(from + 1, 16, block.codes.data());
}

void pack_nvfp4(const GgufBlock& block, std::uint8_t* to) {
  for (std::size_t k = 0; k < 4; ++k) {
    to[k] = static_cast<std::uint8_t>(block.scales[k]);
    put_nibbles(block.codes.data() + 16 * k, 8, to + 4 + 8 * k);
  }
}
void unpack_nvfp4(const std::uint8_t* from, GgufBlock& block) {
  for (std::size_t k = 0; k < 4; ++k) {
    block.scales[k] = from[k];
    get_nibbles(from + 4 + 8 * k, 8, block.codes.data() + 16 * k);
  }
}

}  // namespace

namespace gguf {
const GgufType f32{"F32", 0, 0, 1, 4, nullptr, nullptr};
const GgufType f16{"F16", 1, 1, 1, 2, nullptr, nullptr};
const GgufType bf16{"BF16", 30, 32, 1, 2, nullptr, nullptr};
const GgufType q4_0{"Q4_0", 2, 2, 32, 18, pack_q4_0, unpack_q4_0};
const GgufType q4_1{"Q4_1", 3, 3, 32, 20, pack_q4_1, unpack_q4_1};
const GgufType q5_0{"Q5_0", 6, 8, 32, 22, pack_q5_0, unpack_q5_0};
const GgufType q5_1{"Q5_1", 7, 9, 32, 24, pack_q5_1, unpack_q5_1};
const GgufType q8_0{"Q8_0", 8, 7, 32, 34, pack_q8_0, unpack_q8_0};
const GgufType q2_k{"Q2_K", 10, 10, 256, 84, pack_q2_k, unpack_q2_k};
const GgufType q3_k{"Q3_K", 11, 11, 256, 110, pack_q3_k, unpack_q3_k};
const GgufType q4_k{"Q4_K", 12, 14, 256, 144, pack_q4_k, unpack_q4_k};
const GgufType q5_k{"Q5_K", 13, 16, 256, 176, pack_q5_k, unpack_q5_k};
const GgufType q6_k{"Q6_K", 14, 18, 256, 210, pack_q6_k, unpack_q6_k};
const GgufType mxfp4{"MXFP4", 39, 38, 32, 17, pack_mxfp4, unpack_mxfp4};
const GgufType nvfp4{"NVFP4", 40, 39, 64, 36, pack_nvfp4, unpack_nvfp4};
}  // namespace gguf

}  // namespace autoround::exporter
