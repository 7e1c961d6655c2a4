#include "model/token_groups.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "support/catch.hpp"

namespace autoround::model {
namespace {

at::Tensor ids(std::vector<std::int64_t> values, std::int64_t columns) {
  return at::tensor(values, at::kLong).view({-1, columns});
}

}  // namespace

TEST_CASE("token groups: each expert gets its tokens in order, and those without any are left out", "[model]") {
  const TokenGroups groups(ids({3, 1, 1, 0, 3, 0}, 2), 5,
                           c10::make_intrusive<BufferPool>());  // three tokens, two experts each
  const at::Tensor x = at::arange(6, at::kFloat).view({3, 2});
  const auto split = groups.split(x);
  REQUIRE(split.size() == 3);
  const auto check = [&](std::size_t i, std::int64_t expert, std::vector<std::int64_t> tokens) {
    CHECK(split[i].first == expert);
    CHECK(at::equal(split[i].second, x.index_select(0, at::tensor(tokens, at::kLong))));
  };
  check(0, 0, {1, 2});
  check(1, 1, {0, 1});
  check(2, 3, {0, 2});
}

TEST_CASE("token groups: combining weighs and adds what the experts made of each token", "[model]") {
  const at::Tensor experts = ids({3, 1, 1, 0, 3, 0}, 2);
  const TokenGroups groups(experts, 5, c10::make_intrusive<BufferPool>());
  const at::Tensor x = at::arange(1, 7, at::kFloat).view({3, 2});
  const at::Tensor weights = at::tensor({0.75f, 0.25f, 0.5f, 2.0f, 1.0f, 0.0f}).view({3, 2});
  std::vector<at::Tensor> outputs;
  for (const auto& [expert, rows] : groups.split(x)) outputs.push_back(rows * static_cast<double>(expert + 1));
  const at::Tensor factor = ((experts + 1) * weights).sum(1, /*keepdim=*/true);
  CHECK(at::allclose(groups.combine(outputs, weights), x * factor));
}

TEST_CASE("token groups: sums of bf16 rows are rounded once", "[model]") {
  const TokenGroups groups(ids({0, 1, 2, 3}, 4), 4, c10::make_intrusive<BufferPool>());
  const std::vector<at::Tensor> rows(4, at::ones({1, 1}, at::kBFloat16));
  const at::Tensor weights = at::tensor({256.0f, 0.5f, 0.5f, 1.0f}).view({1, 4});  // one by one each would get lost
  CHECK(groups.combine(rows, weights).item<float>() == 258.0f);
}

TEST_CASE("token groups: products with weights of the rows' own type are rounded to it", "[model]") {
  at::manual_seed(7);
  const at::Tensor experts = at::tensor({0, 1, 2}, at::kLong).expand({5, 3}).contiguous();
  const TokenGroups groups(experts, 3, c10::make_intrusive<BufferPool>());
  const at::Tensor weights = at::randn({5, 3}).to(at::kBFloat16);
  std::vector<at::Tensor> rows;
  at::Tensor sum = at::zeros({5, 40});
  for (std::int64_t k = 0; k < 3; ++k) {
    rows.push_back(at::randn({5, 40}).to(at::kBFloat16));
    sum = sum + (rows.back() * weights.select(1, k).unsqueeze(1)).to(at::kFloat);
  }
  CHECK(at::equal(groups.combine(rows, weights), sum.to(at::kBFloat16)));
}

TEST_CASE("token groups: gradients are those of plain operations", "[model]") {
  at::manual_seed(5);
  const std::int64_t tokens = 7, copies = 3, count = 6, width = 4;
  const at::Tensor experts = at::rand({tokens, count}).argsort(std::int64_t{1}).narrow(1, 0, copies).contiguous();
  const at::Tensor scales = at::randn({count}), target = at::randn({tokens, width});
  const auto leaves = [&] {
    at::manual_seed(6);
    return std::pair{at::randn({tokens, width}).requires_grad_(), at::randn({tokens, copies}).requires_grad_()};
  };
  const at::AutoGradMode record(true);
  const auto [x, weights] = leaves();
  const TokenGroups groups(experts, count, c10::make_intrusive<BufferPool>());
  std::vector<at::Tensor> outputs;
  for (const auto& [expert, rows] : groups.split(x)) outputs.push_back((rows * scales[expert]).sin());
  const at::Tensor grouped = groups.combine(outputs, weights);
  (grouped - target).square().sum().backward();

  const auto [plain_x, plain_weights] = leaves();
  at::Tensor sum = at::zeros({tokens, width});
  for (std::int64_t k = 0; k < copies; ++k) {
    const at::Tensor scale = scales.index_select(0, experts.select(1, k)).unsqueeze(1);
    sum = sum + (plain_x * scale).sin() * plain_weights.select(1, k).unsqueeze(1);
  }
  (sum - target).square().sum().backward();
  CHECK(at::allclose(grouped, sum, 1e-5, 1e-6));
  CHECK(at::allclose(x.grad(), plain_x.grad(), 1e-5, 1e-5));
  CHECK(at::allclose(weights.grad(), plain_weights.grad(), 1e-5, 1e-5));
}

}  // namespace autoround::model
