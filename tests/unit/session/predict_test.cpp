#include "session/predict.hpp"

#include <ATen/ATen.h>

#include "support/catch.hpp"
#include "toy.hpp"

using namespace autoround;

TEST_CASE("predict: more samples, longer ones and more weights need more memory", "[session]") {
  const test::ToyModel toy;
  recipe::Recipe recipe;
  const auto memory = [&](std::int64_t samples, std::int64_t length, std::int64_t weights) {
    return session::predict_memory(toy.model->spec(), recipe, {samples, length, 2, weights, weights},
                                   {recipe.batch_size, false});
  };
  const auto base = memory(16, 256, 1'000'000);
  CHECK(memory(64, 256, 1'000'000) > base);
  CHECK(memory(16, 512, 1'000'000) > base);
  CHECK(memory(16, 256, 9'000'000) >= base + 8'000'000 * 7);  // W, W', V and the best codes
  recipe.iters = 1000;
  CHECK(memory(16, 256, 1'000'000) == base + 1'000'000 * 2);  // V in numbers
}

TEST_CASE("predict: layers that are tuned together are held together", "[session]") {
  toy_shape five = toy_default();
  five.layers = 5;
  const test::ToyModel toy(five);
  recipe::Recipe recipe;
  recipe.scheme = recipe::preset_scheme("W4A16");
  recipe.scheme->weights->group_size = 32;
  const auto shape = [&](std::int64_t nblocks) {
    recipe.nblocks = nblocks;
    return session::run_shape(recipe::assign(recipe, toy.model->modules(), Logger()), recipe, nullptr, {});
  };
  const auto alone = shape(1), pairs = shape(2), all = shape(5);
  CHECK(pairs.tuned_weights == 2 * alone.tuned_weights);
  CHECK(all.tuned_weights == 5 * alone.tuned_weights);
  CHECK(all.tuned_weights_total == alone.tuned_weights_total);
  const auto memory = [&](std::int64_t nblocks) {
    recipe.nblocks = nblocks;
    return static_cast<double>(
        session::predict_memory(toy.model->spec(), recipe, {128, 2048, 2, 1'000'000, 0}, {recipe.batch_size, false}));
  };
  const double more = memory(5) - memory(2);
  CHECK(more == Approx(3 * (memory(3) - memory(2))).epsilon(0.02));  // activations
  CHECK(more > 1e7);
}

TEST_CASE("predict: streams in files and smaller passes need less", "[session]") {
  const test::ToyModel toy;
  recipe::Recipe recipe;
  session::RunShape shape{128, 2048, 2, 1'000'000, 1'000'000};
  const auto memory = [&](std::int64_t micro_batch, bool files) {
    return static_cast<double>(session::predict_memory(toy.model->spec(), recipe, shape, {micro_batch, files}));
  };
  const double asked = memory(8, false), stream = static_cast<double>(session::stream_bytes(shape, 64));
  CHECK(asked - memory(8, true) > stream);
  CHECK(asked - memory(8, true) < 3 * stream);
  CHECK(memory(1, true) < memory(8, true));
  shape.tuned_weights = 100'000'000;  // their gradients are added up in fp32, which costs more than small passes save
  CHECK(memory(1, true) > memory(8, true));
  shape.resident = 1 << 30;
  shape.kept = 1 << 20;
  const double with_others = memory(8, true);
  shape.resident = shape.kept = 0;
  CHECK(with_others - memory(8, true) == (1 << 30) + (1 << 20));
}

TEST_CASE("predict: a device needs less with its streams on the host and with smaller passes", "[session]") {
  const test::ToyModel toy;
  session::RunShape shape{128, 2048, 2, 1'000'000, 1'000'000};
  shape.device = c10::Device(c10::kCUDA, 0);
  const auto memory = [&](std::int64_t micro_batch, bool host) {
    return session::predict_memory(toy.model->spec(), recipe::Recipe(), shape, {micro_batch, host});
  };
  const std::uint64_t stream = session::stream_bytes(shape, 64);
  CHECK(memory(8, false) - memory(8, true) >= 2 * stream);
  CHECK(memory(8, false) - memory(8, true) <= 3 * stream);
  CHECK(memory(4, true) < memory(8, true));
}

TEST_CASE("predict: a single layer", "[session]") {
  recipe::Recipe recipe;
  const auto memory = [&](std::int64_t samples, std::int64_t out) {
    return session::predict_layer_memory(out, 1024, recipe, {samples, 256, 2, out * 1024, out * 1024},
                                         {recipe.batch_size, false});
  };
  CHECK(memory(64, 1024) > memory(16, 1024));
  CHECK(memory(16, 4096) >= memory(16, 1024) + 3 * 1024 * 1024 * 9);
}

TEST_CASE("predict: time grows with iterations", "[session]") {
  recipe::Recipe few, many;
  few.iters = 50;
  many.iters = 5000;
  const session::RunShape shape{32, 256, 4, 4'000'000, 100'000'000};
  const double flops = session::measured_flops(64, 4);
  CHECK(session::predict_seconds(many, shape, flops) > 10 * session::predict_seconds(few, shape, flops));
}
