#include "model/linear_products.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "support/catch.hpp"

namespace autoround::model {
namespace {

at::Tensor random_bf16(std::int64_t rows, std::int64_t columns) { return at::randn({rows, columns}).to(at::kBFloat16); }

/// Exact sums of the same bf16 values, rounded to bf16 once: what the products differ from by the order of fp32 sums.
void check_near(const at::Tensor& actual, const at::Tensor& exact, std::int64_t depth) {
  REQUIRE(actual.sizes() == exact.sizes());
  CHECK(actual.scalar_type() == at::kBFloat16);
  const double scale = std::sqrt(static_cast<double>(depth));
  const auto error = (actual.to(at::kDouble) - exact).abs() - exact.abs() * 0.00391;  // half a step of bf16
  CHECK(error.max().item<double>() < 1e-5 * scale);
}

at::Tensor forward(LinearProducts& products, const at::Tensor& x, const at::Tensor& weight,
                   const at::Tensor& bias = {}) {
  at::Tensor y = at::full({x.size(0), weight.size(0)}, NAN, x.options());
  products.forward(y, x, weight, bias);
  return y;
}

at::Tensor input_gradient(LinearProducts& products, const at::Tensor& output_gradient, const at::Tensor& weight) {
  at::Tensor gradient = at::full({output_gradient.size(0), weight.size(1)}, NAN, weight.options());
  products.input_gradient(gradient, output_gradient, weight);
  return gradient;
}

struct Shape {
  std::int64_t tokens, inputs, outputs;
};

}  // namespace

TEST_CASE("linear products: every shape gives the sums of the definition", "[model]") {
#ifndef __x86_64__
  WARN("skipped: LibTorch's own sums of bf16 are not in fp32 here, where everything is computed in fp32");
  return;
#endif
  at::manual_seed(3);
  // Ends of panels (64), tiles (6, 16), slices (96, 256), groups of panels (6 of 256 pairs) and of the sums that stay
  // in registers (576, 2048); one row, few columns; a result of more than 1 MiB, with whole lines and without.
  const auto shape =
      GENERATE(Shape{64, 64, 64}, Shape{1, 2, 2}, Shape{7, 66, 10}, Shape{193, 130, 258}, Shape{97, 2050, 70},
               Shape{2051, 48, 34}, Shape{50, 96, 4100}, Shape{256, 576, 960}, Shape{16, 578, 32}, Shape{48, 610, 96},
               Shape{1100, 64, 2048}, Shape{1100, 64, 2050}, Shape{600, 1200, 600});
  const bool biased = GENERATE(false, true);
  INFO(shape.tokens << " tokens, " << shape.inputs << " inputs, " << shape.outputs << " outputs, bias " << biased);
  const auto x = random_bf16(shape.tokens, shape.inputs), weight = random_bf16(shape.outputs, shape.inputs);
  const auto output_gradient = random_bf16(shape.tokens, shape.outputs);
  const auto bias = biased ? at::randn({shape.outputs}).to(at::kBFloat16) : at::Tensor();
  const auto wide_x = x.to(at::kDouble), wide_weight = weight.to(at::kDouble);
  const auto wide_gradient = output_gradient.to(at::kDouble);

  LinearProducts products(GENERATE(true, false));
  auto exact = wide_x.mm(wide_weight.t());
  if (biased) exact += bias.to(at::kDouble);
  check_near(forward(products, x, weight, bias), exact, shape.inputs);
  check_near(input_gradient(products, output_gradient, weight), wide_gradient.mm(wide_weight), shape.outputs);

  at::Tensor gradient = at::full_like(weight, NAN);
  products.weight_gradient(output_gradient, x, [&](std::int64_t first, const at::Tensor& rows) {
    gradient.narrow(0, first, rows.size(0)).copy_(rows);
  });
  check_near(gradient, wide_gradient.t().mm(wide_x), shape.tokens);
}

TEST_CASE("linear products: operands may be rows and columns of larger matrices", "[model]") {
  at::manual_seed(4);
  const auto x = random_bf16(40, 100).narrow(1, 20, 64), weight = random_bf16(90, 80).narrow(0, 3, 70).narrow(1, 6, 64);
  const auto output_gradient = random_bf16(44, 96).narrow(0, 2, 40).narrow(1, 5, 70);
  LinearProducts fused(true);
  CHECK(at::equal(forward(fused, x, weight), forward(fused, x.contiguous(), weight.contiguous())));
  CHECK(at::equal(input_gradient(fused, output_gradient, weight),
                  input_gradient(fused, output_gradient.contiguous(), weight.contiguous())));
  const auto gradient_of = [&](const at::Tensor& dy, const at::Tensor& input) {
    at::Tensor gradient = at::empty({70, 64}, at::kBFloat16);
    fused.weight_gradient(dy, input, [&](std::int64_t first, const at::Tensor& rows) {
      gradient.narrow(0, first, rows.size(0)).copy_(rows);
    });
    return gradient;
  };
  CHECK(at::equal(gradient_of(output_gradient, x), gradient_of(output_gradient.contiguous(), x.contiguous())));
}

TEST_CASE("linear products: results depend neither on threads nor on what the memory held before", "[model]") {
  at::manual_seed(5);
  const auto x = random_bf16(300, 128), weight = random_bf16(200, 128);
  LinearProducts products(true);
  const auto threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = forward(products, x, weight);
  at::set_num_threads(threads);
  forward(products, at::full_like(x, NAN), weight);
  CHECK(at::equal(forward(products, x, weight), alone));
}

TEST_CASE("linear products: a deep product is the same after the memory of a larger one is there", "[model]") {
  at::manual_seed(7);
  const auto x = random_bf16(300, 12800), weight = random_bf16(600, 12800), output_gradient = random_bf16(300, 600);
  LinearProducts products(true);
  const auto before = forward(products, x, weight);
  products.weight_gradient(output_gradient, x, [](std::int64_t, const at::Tensor&) {});
  CHECK(at::equal(forward(products, x, weight), before));
}

TEST_CASE("linear products: other types and odd widths are LibTorch's", "[model]") {
  at::manual_seed(6);
  LinearProducts products(true);
  const auto x = at::randn({5, 8}), weight = at::randn({3, 8});
  CHECK(at::equal(forward(products, x, weight), x.mm(weight.t())));
  const auto odd_x = random_bf16(5, 7), odd_weight = random_bf16(3, 7);
  CHECK(at::equal(forward(products, odd_x, odd_weight), odd_x.mm(odd_weight.t())));
}

TEST_CASE("linear products: no tokens are no work, and teach nothing", "[model]") {
  const auto weight = random_bf16(6, 4), x = random_bf16(0, 4), output_gradient = random_bf16(0, 6);
  LinearProducts products(GENERATE(true, false));
  CHECK(forward(products, x, weight).sizes() == at::IntArrayRef({0, 6}));
  CHECK(input_gradient(products, output_gradient, weight).sizes() == at::IntArrayRef({0, 4}));
  at::Tensor gradient = at::full_like(weight, NAN);
  products.weight_gradient(output_gradient, x, [&](std::int64_t first, const at::Tensor& rows) {
    gradient.narrow(0, first, rows.size(0)).copy_(rows);
  });
  CHECK(at::equal(gradient, at::zeros_like(weight)));
}

}  // namespace autoround::model
