// Bytes of blocks were put together from ggml's description of them and read back by the gguf package.
#include <ATen/ATen.h>

#include "base/error.hpp"
#include "exporter/gguf_types.hpp"
#include "folder_fixture.hpp"
#include "quant/rounding.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

using autoround::test::error_of;
using autoround::test::random_weight;
namespace exporter = autoround::exporter;
namespace gguf = autoround::exporter::gguf;
namespace quant = autoround::quant;

namespace {

struct Golden {
  const exporter::GgufType& type;
  int levels;
  std::array<std::uint16_t, 4> scales;
  std::uint8_t zero;
  std::string hex;
};

constexpr std::array<std::uint16_t, 4> half{0x3800, 0x3800, 0x3800, 0x3800};  // 0.5 as fp16

const std::vector<Golden>& golden_blocks() {
  static const std::vector<Golden> blocks = {
      {gguf::q4_0, 16, half, 0, "00381087fe65dc43ba21980f76ed54cb32a9"},
      {gguf::q4_1, 16, half, 3, "003800be1087fe65dc43ba21980f76ed54cb32a9"},
      {gguf::q5_0, 32, half, 0, "0038983367ce1087fe65dc43ba21980f76ed54cb32a9"},
      {gguf::q5_1, 32, half, 21, "003840c9983367ce1087fe65dc43ba21980f76ed54cb32a9"},
      {gguf::q8_0, 256, half, 0, "003880878e959ca3aab1b8bfc6cdd4dbe2e9f1f8ff060d141b222930373e454c535a"},
      {gguf::q2_k, 4, half, 2,
       "21212121212121212121212121212121887722dd887722dd887722dd887722dddd887722dd887722dd887722dd8877228877"
       "22dd887722dd887722dd887722dddd887722dd887722dd887722dd88772200380038"},
      {gguf::q3_k, 8, half, 0,
       "cc999933336666cccc999933336666cccccc999933336666cccc999933336666887722dd887722dd887722dd887722dddd88"
       "7722dd887722dd887722dd887722887722dd887722dd887722dd887722dddd887722dd887722dd887722dd88772211111111"
       "11111111aaaaaaaa0038"},
      {gguf::q4_k, 16, half, 11,
       "00380038010101010b0b0b0bb1b1b1b120970e75ec53ca31a81f86fd64db42b931a81f86fd64db42b920970e75ec53ca64db"
       "42b920970e75ec53ca31a81f86fd75ec53ca31a81f86fd64db42b920970ea81f86fd64db42b920970e75ec53ca31b920970e"
       "75ec53ca31a81f86fd64db42ec53ca31a81f86fd64db42b920970e75fd64db42b920970e75ec53ca31a81f86"},
      {gguf::q5_k, 32, half, 21,
       "0038003801010101555555555151515100e0fe3f0380f8ff0f01e0fc3f0780f0ff0f01e0fc3f0780f0ff1f01c0fc7f072097"
       "0e75ec53ca31a81f86fd64db42b931a81f86fd64db42b920970e75ec53ca64db42b920970e75ec53ca31a81f86fd75ec53ca"
       "31a81f86fd64db42b920970ea81f86fd64db42b920970e75ec53ca31b920970e75ec53ca31a81f86fd64db42ec53ca31a81f"
       "86fd64db42b920970e75fd64db42b920970e75ec53ca31a81f86"},
      {gguf::q6_k, 64, half, 0,
       "40b72e950c73ea51c83fa61d84fb62d951c83fa61d84fb62d940b72e950c73ea62d940b72e950c73ea51c83fa61d84fb73ea"
       "51c83fa61d84fb62d940b72e950cc83fa61d84fb62d940b72e950c73ea51d940b72e950c73ea51c83fa61d84fb62ea51c83f"
       "a61d84fb62d940b72e950c73fb62d940b72e950c73ea51c83fa61d848888dcdd2d226277778b88d8dd1d222277778b88d8dd"
       "1d222277778b88d8dd1d88dcdd2d226277778888dcdd2d226277778888dcdd2d226277778b88d8dd1d220101010101010101"
       "01010101010101010038"},
      {gguf::mxfp4, 16, {126, 126, 126, 126}, 0, "7e1087fe65dc43ba21980f76ed54cb32a9"},
      {gguf::nvfp4,
       16,
       {0x30, 0x38, 0x40, 0x31},
       0,
       "3038403180f76ed54cb32a9191087fe65dc43ba2a21980f76ed54cb3b32a91087fe65dc4"},
  };
  return blocks;
}

exporter::GgufBlock block_of(const Golden& golden) {
  exporter::GgufBlock block;
  for (std::int64_t i = 0; i < golden.type.values; ++i)
    block.codes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>((7 * i + i / 16) % golden.levels);
  block.scales = golden.scales;
  block.factors.fill(1);
  block.minimum = golden.scales[0];
  block.minimum_factors.fill(static_cast<std::int8_t>(golden.zero));
  return block;
}

std::string hex_of(const std::vector<std::uint8_t>& bytes) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) (text += digits[byte >> 4]) += digits[byte & 15];
  return text;
}

quant::WeightFormat integers(int bits, bool symmetric, std::int64_t group) {
  quant::WeightFormat format;
  format.bits = bits;
  format.symmetric = symmetric;
  format.group = group;
  return format;
}

std::string_view type_name(const quant::WeightFormat& format, std::int64_t columns) {
  const exporter::GgufType* type = exporter::gguf_type_of(format, columns);
  return type == nullptr ? "" : type->name;
}

}  // namespace

TEST_CASE("gguf: bytes of a block of every type", "[exporter]") {
  for (const Golden& golden : golden_blocks()) {
    INFO(golden.type.name);
    const exporter::GgufBlock block = block_of(golden);
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(golden.type.bytes), 0xee);
    golden.type.pack(block, bytes.data());
    CHECK(hex_of(bytes) == golden.hex);
    exporter::GgufBlock found;
    golden.type.unpack(bytes.data(), found);
    CHECK(found.codes == block.codes);
    CHECK(found.scales == block.scales);
    CHECK(std::equal(found.minimum_factors.begin(), found.minimum_factors.begin() + 8, block.minimum_factors.begin()));
    if (golden.type.values < 256) continue;
    CHECK(std::equal(found.factors.begin(), found.factors.begin() + 8, block.factors.begin()));
  }
}

TEST_CASE("gguf: factors of every group come back", "[exporter]") {
  struct Factors {
    const exporter::GgufType& type;
    int groups, first, step, first_minimum, step_of_minima;
  };
  const std::vector<Factors> cases = {{gguf::q2_k, 16, 0, 1, 15, -1},
                                      {gguf::q3_k, 16, -32, 4, 0, 0},
                                      {gguf::q4_k, 8, 0, 9, 63, -9},
                                      {gguf::q5_k, 8, 63, -9, 0, 9},
                                      {gguf::q6_k, 16, -128, 17, 0, 0}};
  for (const Factors& factors : cases) {
    INFO(factors.type.name);
    exporter::GgufBlock block, found;
    block.scales = half;
    if (factors.step_of_minima != 0) block.minimum = 0x3555;
    for (int i = 0; i < factors.groups; ++i) {
      const auto place = static_cast<std::size_t>(i);
      block.factors[place] = static_cast<std::int8_t>(factors.first + factors.step * i);
      block.minimum_factors[place] = static_cast<std::int8_t>(factors.first_minimum + factors.step_of_minima * i);
    }
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(factors.type.bytes), 0xee);
    factors.type.pack(block, bytes.data());
    factors.type.unpack(bytes.data(), found);
    CHECK(found.factors == block.factors);
    CHECK(found.minimum_factors == block.minimum_factors);
    CHECK(found.minimum == block.minimum);
    CHECK(found.scales == block.scales);
  }
}

TEST_CASE("gguf: the type that holds a scheme", "[exporter]") {
  CHECK(type_name(integers(4, true, 32), 64) == "Q4_0");
  CHECK(type_name(integers(4, true, -1), 96) == "Q4_0");
  CHECK(type_name(integers(4, true, 0), 96) == "Q4_0");
  CHECK(type_name(integers(5, true, 96), 96) == "Q5_0");
  CHECK(type_name(integers(8, true, 128), 256) == "Q8_0");
  CHECK(type_name(integers(4, false, 32), 256) == "Q4_1");
  CHECK(type_name(integers(5, false, 128), 256) == "Q5_1");
  CHECK(type_name(integers(4, false, -1), 96) == "Q4_1");  // rows that are not blocks of 256
  CHECK(type_name(integers(4, false, 256), 512) == "Q4_K");
  CHECK(type_name(integers(5, false, -1), 256) == "Q5_K");
  CHECK(type_name(integers(2, false, 512), 512) == "Q2_K");
  CHECK(type_name(integers(3, true, 256), 256) == "Q3_K");
  CHECK(type_name(integers(6, true, 0), 256) == "Q6_K");
}

TEST_CASE("gguf: schemes that no type holds", "[exporter]") {
  CHECK(type_name(integers(4, true, 16), 64).empty());
  CHECK(type_name(integers(4, true, 48), 96).empty());
  CHECK(type_name(integers(4, true, -1), 80).empty());  // rows that are not blocks
  CHECK(type_name(integers(3, true, 128), 256).empty());
  CHECK(type_name(integers(2, true, 256), 256).empty());
  CHECK(type_name(integers(6, false, 256), 256).empty());
  CHECK(type_name(integers(7, true, 32), 64).empty());
  CHECK(type_name(integers(8, false, 32), 64).empty());
  quant::WeightFormat format = integers(8, true, -1);
  for (const quant::Number number : {quant::Number::fp8, quant::Number::mxfp6, quant::Number::mxfp8}) {
    format.number = number;
    CHECK(type_name(format, 256).empty());
  }
  format.number = quant::Number::nvfp4;
  CHECK(type_name(format, 96).empty());  // rows that are not blocks of 64
}

TEST_CASE("gguf: weights come back from their blocks", "[exporter]") {
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const bool symmetric : {true, false}) {
      for (const std::int64_t group : {32, 64, 256, -1, 0}) {
        const quant::WeightFormat format = integers(bits, symmetric, group);
        const exporter::GgufType* type = exporter::gguf_type_of(format, 512);
        if (type == nullptr) continue;
        INFO(type->name << " group " << group);
        const quant::QuantizedWeight weight = random_weight("m", 6, 512, format);
        const at::Tensor packed = exporter::pack_blocks(weight, *type);
        CHECK(packed.sizes() == at::IntArrayRef({6, 512 / type->values * type->bytes}));
        const quant::QuantizedWeight found = exporter::unpack_blocks("m", format, *type, packed);
        CHECK(at::equal(found.codes, weight.codes));
        CHECK(at::equal(found.scales, weight.scales));
        if (!symmetric) CHECK(at::equal(found.zero_points, weight.zero_points));
      }
    }
  }
}

TEST_CASE("gguf: weights in super groups come back from their blocks", "[exporter]") {
  for (const int bits : {2, 3, 4, 5, 6}) {
    quant::WeightFormat format = integers(bits, bits == 3 || bits == 6, bits == 4 || bits == 5 ? 32 : 16);
    format.super_group = 256 / format.group;
    format.super_bits = bits == 2 ? 4 : bits == 6 ? 8 : 6;
    const exporter::GgufType* type = exporter::gguf_type_of(format, 512);
    REQUIRE(type != nullptr);
    INFO(type->name);
    CHECK(type->name == "Q" + std::to_string(bits) + "_K");
    CHECK(exporter::gguf_type_of(format, 288) == nullptr);
    const quant::QuantizedWeight weight =
        quant::quantize(quant::make_rounding_state(format, at::randn({6, 512}), false, false), "m");
    const quant::QuantizedWeight found =
        exporter::unpack_blocks("m", format, *type, exporter::pack_blocks(weight, *type));
    CHECK(at::equal(found.codes, weight.codes));
    CHECK(at::equal(quant::dequantize(found, at::kFloat), quant::dequantize(weight, at::kFloat)));
    CHECK(at::equal(found.super.scale_factors, weight.super.scale_factors));
  }
}

TEST_CASE("gguf: floating-point weights come back from their blocks", "[exporter]") {
  quant::WeightFormat format;
  format.group = 32;
  format.number = quant::Number::mxfp4;
  format.scale_type = at::kByte;
  quant::QuantizedWeight weight{"m", format, at::randint(16, {3, 128}, at::kByte), {}, {}};
  weight.scales = at::randint(255, {3, 4}, at::kByte);
  const at::Tensor blocks = exporter::pack_blocks(weight, gguf::mxfp4);
  quant::QuantizedWeight found = exporter::unpack_blocks("m", format, gguf::mxfp4, blocks);
  CHECK(at::equal(found.codes, weight.codes));
  CHECK(at::equal(found.scales, weight.scales));

  format.group = 16;
  format.number = quant::Number::nvfp4;
  format.scale_type = at::kFloat8_e4m3fn;
  weight.format = format;
  weight.scales = at::randint(127, {3, 8}, at::kByte).view(at::kFloat8_e4m3fn);
  found = exporter::unpack_blocks("m", format, gguf::nvfp4, exporter::pack_blocks(weight, gguf::nvfp4));
  CHECK(at::equal(found.codes, weight.codes));
  CHECK(at::equal(found.scales.view(at::kByte), weight.scales.view(at::kByte)));
}

TEST_CASE("gguf: a minimum that fp16 cannot hold is an error", "[exporter]") {
  quant::QuantizedWeight weight = random_weight("m", 2, 32, integers(4, false, 32));
  weight.scales.fill_(6000.0);
  weight.zero_points.fill_(11);
  const autoround::Error error = error_of([&] { exporter::pack_blocks(weight, gguf::q4_1); });
  CHECK(error.code() == autoround::Code::numeric);
  CHECK(error.subject() == "m");
  weight.zero_points.fill_(10);
  CHECK_NOTHROW(exporter::pack_blocks(weight, gguf::q4_1));
}
