#include "tuner/block_loss.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"

namespace autoround::tuner {
namespace {

at::Tensor random(at::IntArrayRef sizes, at::ScalarType dtype, std::uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::randn(sizes, generator).to(dtype);
}

}  // namespace

TEST_CASE("block loss: equals the sum of squares and its gradient, padding left out", "[tuner]") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const std::int64_t length = 5, hidden = 37;  // not a multiple of any vector width
  const std::vector<std::int64_t> lengths{5, 2, 0};
  const auto prediction = random({15, hidden}, dtype, 1), target = random({15, hidden}, dtype, 2);
  const auto mask = at::zeros({3, length, 1});
  for (std::int64_t i = 0; i < 3; ++i) mask[i].narrow(0, 0, lengths[static_cast<std::size_t>(i)]).fill_(1.0);
  const auto difference = (prediction.to(at::kFloat) - target.to(at::kFloat)) * mask.view({15, 1});

  auto gradient = at::full_like(prediction, 7.0);
  const double sum = squared_error(prediction, target, lengths, length, &gradient, 0.25f);
  CHECK(sum == Approx(difference.to(at::kDouble).square().sum().item<double>()).epsilon(1e-6));
  CHECK(at::equal(gradient, (2.0 * difference * 0.25).to(dtype)));
  CHECK(squared_error(prediction, target, lengths, length) == sum);
}

TEST_CASE("block loss: the same bits with any number of threads", "[tuner]") {
  const auto prediction = random({256, 64}, at::kBFloat16, 3), target = random({256, 64}, at::kBFloat16, 4);
  const std::vector<std::int64_t> lengths(8, 32);
  const double whole = squared_error(prediction, target, lengths, 32);
  double parts = 0.0;  // rows in order, one thread each
  for (std::int64_t row = 0; row < 256; ++row) {
    parts += squared_error(prediction.narrow(0, row, 1), target.narrow(0, row, 1), std::vector<std::int64_t>{1}, 1);
  }
  CHECK(whole == parts);
}

TEST_CASE("block loss: NaN on a real token shows, on padding it does not", "[tuner]") {
  auto prediction = random({4, 16}, at::kFloat, 5);
  const auto target = random({4, 16}, at::kFloat, 6);
  prediction[3][0] = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isfinite(squared_error(prediction, target, std::vector<std::int64_t>{3}, 4)));
  CHECK(std::isnan(squared_error(prediction, target, std::vector<std::int64_t>{4}, 4)));
}

}  // namespace autoround::tuner
