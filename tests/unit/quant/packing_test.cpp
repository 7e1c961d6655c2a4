#include "quant/packing.hpp"

#include <ATen/ATen.h>

#include "base/error.hpp"
#include "rounding_cases.hpp"
#include "support/catch.hpp"

using namespace autoround::quant;

namespace {

at::Tensor codes(std::vector<int> values) { return at::tensor(values, at::kByte).unsqueeze(0); }

std::vector<std::uint32_t> words(const at::Tensor& packed) {
  const at::Tensor flat = packed.contiguous();
  const auto* data = reinterpret_cast<const std::uint32_t*>(flat.const_data_ptr<std::int32_t>());
  return {data, data + flat.numel()};
}

std::vector<int> counting(int count, int modulo) {
  std::vector<int> values(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) values[static_cast<std::size_t>(i)] = i % modulo;
  return values;
}

/// The definition, one bit at a time.
at::Tensor pack_bit_by_bit(const at::Tensor& matrix, int bits) {
  const std::int64_t rows = matrix.size(0), columns = matrix.size(1);
  at::Tensor packed = at::zeros({rows, (columns * bits + 31) / 32}, at::kInt);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t bit = 0; bit < columns * bits; ++bit) {
      const unsigned code = matrix[row][bit / bits].item<std::uint8_t>();
      const unsigned set = code >> (bit % bits) & 1u;
      packed.data_ptr<std::int32_t>()[row * packed.size(1) + bit / 32] |= static_cast<std::int32_t>(set << (bit % 32));
    }
  }
  return packed;
}

}  // namespace

TEST_CASE("packing: the words that formats document", "[quant]") {
  using Words = std::vector<std::uint32_t>;
  CHECK(words(pack_rows(codes(counting(16, 16)), 4)) == Words{0x76543210, 0xfedcba98});
  CHECK(words(pack_rows(codes({0, 127, 128, 255}), 8)) == Words{0xff807f00});
  CHECK(words(pack_rows(codes({0, 8, 15, 9, 7}), 4)) == Words{0x00079f80});
  CHECK(words(pack_rows(codes(counting(16, 4)), 2)) == Words{0xe4e4e4e4});
  CHECK(words(pack_rows(codes(counting(32, 8)), 3)) == Words{0x88fac688, 0xc688fac6, 0xfac688fa});
  CHECK(words(pack_rows(codes(counting(32, 32)), 5)) ==
        Words{0x8a418820, 0xc5a92839, 0xca307b9a, 0x38bdab49, 0xffbbcdeb});
  CHECK(words(pack_columns(codes({4, 5, 6, 7, 8, 9, 10, 11}).t(), 4)) == Words{0xba987654});
}

TEST_CASE("packing: any width and length follows the definition and comes back", "[quant]") {
  for (int bits = 1; bits <= 8; ++bits) {
    for (const std::int64_t count : {1, 7, 8, 9, 31, 32, 33, 77}) {
      INFO(bits << " bits, " << count << " codes");
      const at::Tensor matrix =
          (test::normal({3, count}, 19).abs() * 1000).to(at::kLong).remainder(1 << bits).to(at::kByte);
      const at::Tensor packed = pack_rows(matrix, bits);
      CHECK(at::equal(packed, pack_bit_by_bit(matrix, bits)));
      CHECK(at::equal(unpack_rows(packed, bits, count), matrix));
      const at::Tensor columns = pack_columns(matrix.t(), bits);
      CHECK(columns.is_contiguous());
      CHECK(at::equal(columns, packed.t()));
      CHECK(at::equal(unpack_columns(columns, bits, count), matrix.t()));
    }
  }
}

TEST_CASE("packing: wrong widths, shapes and dtypes are refused", "[quant]") {
  const at::Tensor matrix = at::zeros({2, 8}, at::kByte);
  CHECK_THROWS_AS(pack_rows(matrix, 0), autoround::Error);
  CHECK_THROWS_AS(pack_rows(matrix, 9), autoround::Error);
  CHECK_THROWS_AS(pack_rows(matrix.to(at::kInt), 4), autoround::Error);
  CHECK_THROWS_AS(pack_columns(matrix[0], 4), autoround::Error);
  CHECK_THROWS_AS(unpack_rows(at::zeros({2, 2}, at::kInt), 4, 8), autoround::Error);
  CHECK(unpack_rows(at::zeros({2, 1}, at::kInt), 4, 8).sizes() == at::IntArrayRef({2, 8}));
}
