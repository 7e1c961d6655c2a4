#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "model/causal_lm.hpp"
#include "support/catch.hpp"

namespace autoround::model {
namespace {

RopeSpec rope_spec(RopeType type) {
  RopeSpec spec;
  spec.type = type;
  spec.theta = 100.0;
  spec.rotary_dim = 8;
  spec.max_position = 64.0;
  spec.original_max_position = 64.0;
  return spec;
}

/// Frequency of pair `i`, from the table: the angle of position 1 (all below pi here).
double frequency(const RopeTable& table, std::int64_t i) {
  return std::atan2(table.sin[1][i].item<double>(), table.cos[1][i].item<double>());
}

double plain(std::int64_t i) { return std::pow(100.0, -2.0 * static_cast<double>(i) / 8.0); }

TEST_CASE("rope: the standard table holds cos and sin of position / theta^(2i/d)", "[model]") {
  const RopeTable table = make_rope_table(rope_spec(RopeType::standard), 5);
  REQUIRE(table.cos.sizes() == at::IntArrayRef({5, 4}));
  REQUIRE(table.cos.scalar_type() == at::kFloat);
  for (std::int64_t position = 0; position < 5; ++position)
    for (std::int64_t i = 0; i < 4; ++i) {
      const double angle = static_cast<double>(position) * plain(i);
      CHECK(table.cos[position][i].item<double>() == Approx(std::cos(angle)).margin(1e-6));
      CHECK(table.sin[position][i].item<double>() == Approx(std::sin(angle)).margin(1e-6));
    }
}

TEST_CASE("rope: linear scaling divides every frequency", "[model]") {
  RopeSpec spec = rope_spec(RopeType::linear);
  spec.factor = 4.0;
  const RopeTable table = make_rope_table(spec, 2);
  for (std::int64_t i = 0; i < 4; ++i) CHECK(frequency(table, i) == Approx(plain(i) / 4.0));
}

TEST_CASE("rope: dynamic scaling sets in beyond the training length", "[model]") {
  RopeSpec spec = rope_spec(RopeType::dynamic);
  spec.factor = 2.0;
  CHECK(frequency(make_rope_table(spec, 64), 3) == Approx(plain(3)));
  // base * ((factor * length / max) - (factor - 1)) ^ (d / (d - 2)), length 128: 3 ^ (8 / 6)
  const double base = 100.0 * std::pow(3.0, 8.0 / 6.0);
  CHECK(frequency(make_rope_table(spec, 128), 3) == Approx(std::pow(base, -0.75)));
}

TEST_CASE("rope: llama3 keeps short waves, divides long ones and blends between", "[model]") {
  RopeSpec spec = rope_spec(RopeType::llama3);
  spec.factor = 8.0;
  const RopeTable table = make_rope_table(spec, 2);  // wavelengths 6.3, 19.9, 62.8, 198.7 against bounds 16 and 64
  CHECK(frequency(table, 0) == Approx(plain(0)));
  const double smooth = (64.0 * plain(1) / (2.0 * std::numbers::pi) - 1.0) / 3.0;
  CHECK(frequency(table, 1) == Approx((1.0 - smooth) * plain(1) / 8.0 + smooth * plain(1)));
  CHECK(frequency(table, 3) == Approx(plain(3) / 8.0));
}

TEST_CASE("rope: yarn interpolates slow pairs and scales cos and sin", "[model]") {
  RopeSpec spec = rope_spec(RopeType::yarn);
  spec.factor = 4.0;
  const RopeTable table = make_rope_table(spec, 2);
  const double factor = 0.1 * std::log(4.0) + 1.0;
  CHECK(table.cos[0][0].item<double>() == Approx(factor));
  CHECK(frequency(table, 0) == Approx(plain(0)));
  // Turning 32 times and once belongs to dimensions -0.99 and 2.02; truncated outwards and clamped: 0 and 3.
  CHECK(frequency(table, 1) == Approx(plain(1) / 4.0 / 3.0 + plain(1) * 2.0 / 3.0));
  CHECK(frequency(table, 3) == Approx(plain(3) / 4.0));
  spec.truncate = false;
  const double ramp = 2.0 * std::log(100.0) / (8.0 * std::log(64.0 / (2.0 * std::numbers::pi)));
  CHECK(frequency(make_rope_table(spec, 2), 1) == Approx(plain(1) / 4.0 * ramp + plain(1) * (1.0 - ramp)));
  spec.mscale = 2.0;
  spec.mscale_all_dim = 1.0;
  CHECK(make_rope_table(spec, 1).cos[0][0].item<double>() == Approx((0.2 * std::log(4.0) + 1.0) / factor));
  spec.attention_factor = 1.5;
  CHECK(make_rope_table(spec, 1).cos[0][0].item<double>() == Approx(1.5));
}

TEST_CASE("rope: longrope has its own factor for each pair, by length", "[model]") {
  RopeSpec spec = rope_spec(RopeType::longrope);
  spec.factor = 4.0;
  spec.short_factor = {1.0, 2.0, 3.0, 4.0};
  spec.long_factor = {5.0, 6.0, 7.0, 8.0};
  const RopeTable near = make_rope_table(spec, 64), far = make_rope_table(spec, 65);
  CHECK(frequency(near, 2) == Approx(plain(2) / 3.0));
  CHECK(frequency(far, 2) == Approx(plain(2) / 7.0));
  CHECK(far.cos[0][0].item<double>() == Approx(std::sqrt(1.0 + std::log(4.0) / std::log(64.0))));
}

}  // namespace
}  // namespace autoround::model
