#include "session/predict.hpp"

#include <ATen/ATen.h>

#include "support/catch.hpp"
#include "toy.hpp"

using namespace autoround;

TEST_CASE("predict: more samples, longer ones and more weights need more memory", "[session]") {
  const test::ToyModel toy;
  const recipe::Recipe recipe;
  const auto memory = [&](std::int64_t samples, std::int64_t length, std::int64_t weights) {
    return session::predict_memory(toy.model->spec(), recipe, {samples, length, 2, weights, weights});
  };
  const auto base = memory(16, 256, 1'000'000);
  CHECK(memory(64, 256, 1'000'000) > base);
  CHECK(memory(16, 512, 1'000'000) > base);
  CHECK(memory(16, 256, 9'000'000) >= base + 8'000'000 * 9);  // at least W, W' and V
}

TEST_CASE("predict: time grows with iterations", "[session]") {
  const test::ToyModel toy;
  recipe::Recipe few, many;
  few.iters = 50;
  many.iters = 5000;
  const session::RunShape shape{32, 256, 4, 4'000'000, 100'000'000};
  CHECK(session::predict_seconds(toy.model->spec(), many, shape) >
        10 * session::predict_seconds(toy.model->spec(), few, shape));
}
