#include "quant/packing.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.hpp"
#include "model/mapped_memory.hpp"

namespace autoround::quant {
namespace {

static_assert(std::endian::native == std::endian::little, "streams are written as the bytes of little-endian words");

std::int64_t words_of(std::int64_t codes, int bits) { return (codes * bits + 31) / 32; }

/// Eight codes fill `kBits` bytes, whatever the width: the unit in which rows are packed.
template <int kBits>
std::uint64_t join(const std::uint8_t* codes) {
  std::uint64_t word = 0;
  for (int i = 0; i < 8; ++i) word |= std::uint64_t{codes[i]} << (i * kBits);
  return word;
}

template <int kBits>
void split(std::uint64_t word, std::uint8_t* codes) {
  for (int i = 0; i < 8; ++i) codes[i] = static_cast<std::uint8_t>(word >> (i * kBits)) & ((1 << kBits) - 1);
}

/// Bytes of a stream of `codes` codes that lie at its end, after all whole units of eight.
std::size_t rest_bytes(std::int64_t codes, int bits) { return static_cast<std::size_t>((codes % 8 * bits + 7) / 8); }

template <int kBits>
void pack_row(const std::uint8_t* codes, std::int64_t count, std::uint8_t* packed, std::int64_t packed_bytes) {
  std::uint8_t* const end = packed + packed_bytes;
  for (std::int64_t i = 0; i + 8 <= count; i += 8, packed += kBits) {
    const std::uint64_t word = join<kBits>(codes + i);
    std::memcpy(packed, &word, kBits);
  }
  std::uint8_t rest[8] = {};
  std::copy_n(codes + count / 8 * 8, count % 8, rest);
  const std::uint64_t word = join<kBits>(rest);
  std::memcpy(packed, &word, rest_bytes(count, kBits));
  packed += rest_bytes(count, kBits);
  std::fill(packed, end, std::uint8_t{0});
}

template <int kBits>
void unpack_row(const std::uint8_t* packed, std::int64_t count, std::uint8_t* codes) {
  for (std::int64_t i = 0; i + 8 <= count; i += 8, packed += kBits) {
    std::uint64_t word = 0;
    std::memcpy(&word, packed, kBits);
    split<kBits>(word, codes + i);
  }
  std::uint64_t word = 0;
  std::memcpy(&word, packed, rest_bytes(count, kBits));
  std::uint8_t rest[8];
  split<kBits>(word, rest);
  std::copy_n(rest, count % 8, codes + count / 8 * 8);
}

/// Calls body with the width as a constant, so that shifts are constants too.
template <class Body>
void with_bits(int bits, const Body& body) {
  switch (bits) {
    case 1:
      return body(std::integral_constant<int, 1>{});
    case 2:
      return body(std::integral_constant<int, 2>{});
    case 3:
      return body(std::integral_constant<int, 3>{});
    case 4:
      return body(std::integral_constant<int, 4>{});
    case 5:
      return body(std::integral_constant<int, 5>{});
    case 6:
      return body(std::integral_constant<int, 6>{});
    case 7:
      return body(std::integral_constant<int, 7>{});
    case 8:
      return body(std::integral_constant<int, 8>{});
    default:
      fail(Code::invalid_argument, "bits", "Codes of " + std::to_string(bits) + " bits cannot be packed; 1 to 8 can.");
  }
}

void check_matrix(const at::Tensor& tensor, at::ScalarType dtype, const char* what) {
  if (tensor.dim() != 2 || tensor.scalar_type() != dtype || !tensor.is_cpu()) {
    fail(Code::invalid_argument, what,
         std::string("Expected a matrix of ") + at::toString(dtype) + " on the CPU, found " +
             at::toString(tensor.scalar_type()) + " of " + std::to_string(tensor.dim()) + " dimensions.");
  }
}

std::int64_t grain(std::int64_t columns) {
  return std::max<std::int64_t>(1, 65536 / std::max<std::int64_t>(1, columns));
}

}  // namespace

at::Tensor pack_rows(const at::Tensor& codes, int bits) {
  check_matrix(codes, at::kByte, "codes");
  // Mapped: in the heap of the thread that writes, they would leave holes between the small things that stay.
  const at::Tensor source = codes.is_contiguous() ? codes : model::mapped_copy(codes);
  const std::int64_t rows = source.size(0), columns = source.size(1), words = words_of(columns, bits);
  at::Tensor packed = model::mapped_tensor({rows, words}, at::kInt);
  const std::uint8_t* from = source.const_data_ptr<std::uint8_t>();
  auto* to = reinterpret_cast<std::uint8_t*>(packed.data_ptr<std::int32_t>());
  with_bits(bits, [&](auto width) {
    at::parallel_for(0, rows, grain(columns), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        pack_row<width.value>(from + row * columns, columns, to + row * words * 4, words * 4);
      }
    });
  });
  return packed;
}

at::Tensor unpack_rows(const at::Tensor& packed, int bits, std::int64_t columns) {
  check_matrix(packed, at::kInt, "packed");
  const at::Tensor source = packed.contiguous();
  const std::int64_t rows = source.size(0), words = source.size(1);
  if (columns < 0 || words != words_of(columns, bits)) {
    fail(Code::invalid_argument, "packed",
         std::to_string(columns) + " codes of " + std::to_string(bits) + " bits take " +
             std::to_string(words_of(columns, bits)) + " words; the stream has " + std::to_string(words) + ".");
  }
  at::Tensor codes = at::empty({rows, columns}, at::kByte);
  const auto* from = reinterpret_cast<const std::uint8_t*>(source.const_data_ptr<std::int32_t>());
  std::uint8_t* to = codes.data_ptr<std::uint8_t>();
  with_bits(bits, [&](auto width) {
    at::parallel_for(0, rows, grain(columns), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        unpack_row<width.value>(from + row * words * 4, columns, to + row * columns);
      }
    });
  });
  return codes;
}

at::Tensor pack_columns(const at::Tensor& codes, int bits) {
  check_matrix(codes, at::kByte, "codes");
  return model::mapped_copy(pack_rows(codes.t(), bits).t());
}

at::Tensor unpack_columns(const at::Tensor& packed, int bits, std::int64_t rows) {
  check_matrix(packed, at::kInt, "packed");
  return unpack_rows(packed.t(), bits, rows).t().contiguous();
}

}  // namespace autoround::quant
