#include "session/predict.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "model/compute_threads.hpp"
#include "model/linear_products.hpp"
#include "session/predict_work.hpp"
#include "support/catch.hpp"
#include "toy.hpp"

using namespace autoround;

namespace {

const auto cuda = c10::Device(c10::kCUDA, 0);

/// Of one layer, with 8 heads of 64 elements.
model::DecoderSpec one_layer(std::int64_t kv_heads = 8) {
  model::DecoderSpec spec;
  spec.hidden_size = 512;
  spec.layers.resize(1);
  spec.layers[0].attention.heads = 8;
  spec.layers[0].attention.kv_heads = kv_heads;
  spec.layers[0].attention.head_dim = 64;
  spec.layers[0].mlp.intermediate = 2048;
  return spec;
}

/// Scores of 8 heads of two samples of 512 tokens, of the block that has most: 256 queries meet 512 keys.
constexpr std::int64_t scores = 2 * 8 * 256 * 512;

session::RunShape shape_of(std::int64_t element_bytes, at::Device device = at::kCPU) {
  session::RunShape shape{16, 512, element_bytes, 1'000'000, 1'000'000};
  shape.device = device;
  return shape;
}

session::ScoreBytes score_bytes(const model::DecoderSpec& spec, const session::RunShape& shape,
                                std::int64_t layers = 1) {
  return session::score_bytes(spec, recipe::Recipe(), shape, layers, /*samples=*/2);
}

}  // namespace

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
  shape.tuned_weights = 1'000'000'000;  // their gradients are added up in fp32, which costs more than small passes save
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

TEST_CASE("predict: attention that no kernel fuses holds the scores of a block of queries", "[session]") {
  model::DecoderSpec spec = one_layer();
  spec.layers[0].attention.head_dim = 24;  // no kernel takes such heads
  const session::RunShape wide = shape_of(4);
  const auto plain = score_bytes(spec, wide);
  CHECK(plain.trained > 3 * scores * 4);
  CHECK(plain.trained < 6 * scores * 4);
  CHECK(plain.passed > 2 * scores * 4);
  CHECK(plain.passed < plain.trained - scores * 4);

  recipe::Recipe recipe;
  const auto memory = [&](const model::DecoderSpec& of) {
    return static_cast<std::int64_t>(session::predict_memory(of, recipe, wide, {2, false}));
  };
  model::DecoderSpec windowed = spec;
  windowed.layers[0].attention.window = 64;
  const auto narrow = score_bytes(windowed, wide);
  CHECK(memory(spec) - memory(windowed) == plain.trained - narrow.trained);
  CHECK(plain.trained - narrow.trained > (scores - 2 * 8 * 256 * 319) * 3 * 4);

  spec.layers[0].attention.softcap = 30.0;
  CHECK(score_bytes(spec, wide).trained == plain.trained + scores * 8);
  spec.layers[0].attention.softcap = 0.0;
  spec.layers.resize(4, spec.layers[0]);
  CHECK(score_bytes(spec, wide).trained == plain.trained);
  CHECK(score_bytes(spec, wide, 2).trained > plain.trained);  // of one layer after the other, but for the heads
  CHECK(score_bytes(spec, wide, 2).trained < plain.trained + scores * 4);
  CHECK(score_bytes(spec, wide, 2).passed == plain.passed);
}

TEST_CASE("predict: attention that a kernel fuses holds no scores", "[session]") {
  model::DecoderSpec spec = one_layer();
  const session::RunShape narrow = shape_of(2), wide = shape_of(4);
  const bool fuses = model::LinearProducts::packs_bf16();  // there are bf16 kernels of both or of neither
  CHECK((score_bytes(spec, narrow).trained == 0) == fuses);
  CHECK(score_bytes(spec, wide).trained == 0);
  spec.layers[0].attention.sinks = true;
  CHECK(score_bytes(spec, wide).trained == 0);
  spec = one_layer();
  spec.layers[0].attention.head_dim = 24;
  CHECK(score_bytes(spec, narrow).trained > 3 * scores * 4);
  recipe::Recipe recipe;
  recipe.enable_torch_compile = false;
  CHECK(session::score_bytes(one_layer(), recipe, narrow, 1, 2).trained > 3 * scores * 4);
}

TEST_CASE("predict: what attention keeps on a device depends on what LibTorch fuses there", "[session]") {
  model::DecoderSpec spec = one_layer();
  model::AttentionSpec& attention = spec.layers[0].attention;
  session::RunShape narrow = shape_of(2, cuda), wide = shape_of(4, cuda);
  recipe::Recipe recipe;
  const auto memory = [&](const session::RunShape& shape) {
    return session::predict_memory(spec, recipe, shape, {2, true});
  };
  CHECK(score_bytes(spec, narrow).trained == 0);
  CHECK(score_bytes(spec, wide).trained == 0);
  const auto fused = memory(narrow);
  attention.window = 64;
  CHECK(score_bytes(spec, narrow).trained == 0);
  CHECK(score_bytes(spec, wide).trained > 0);
  narrow.deterministic = true;
  CHECK(score_bytes(spec, narrow).trained > 0);
  CHECK(memory(narrow) > fused);
  attention.window = 0;
  CHECK(score_bytes(spec, narrow).trained == 0);
  for (const bool sinks : {false, true}) {
    attention.sinks = sinks;
    attention.softcap = sinks ? 0.0 : 30.0;
    CHECK(score_bytes(spec, narrow).trained > 3 * scores * 4);
    CHECK(memory(narrow) - fused == static_cast<std::uint64_t>(score_bytes(spec, narrow).trained));
  }
}

TEST_CASE("predict: threads have memory of their own", "[session]") {
  model::DecoderSpec spec = one_layer();
  recipe::Recipe recipe;
  const auto memory = [&](int threads, const session::RunShape& shape) {
    const model::ThreadCount count(threads);
    return static_cast<std::int64_t>(session::predict_memory(spec, recipe, shape, {8, false}));
  };
  const std::int64_t attended = memory(32, shape_of(4)) - memory(2, shape_of(4));  // keys and values of a head each
  spec.layers[0].attention.head_dim = 24;                                          // LibTorch attends
  const std::int64_t wide = memory(32, shape_of(4)) - memory(2, shape_of(4));      // and multiplies
  CHECK(wide > 0);
  CHECK(attended > wide + 30 * 512 * 64 * 5 * 4);  // and the gradients of both
  CHECK(wide < 30 << 20);
  if (!model::LinearProducts::packs_bf16()) return;
  // Panels as deep as gate and up are wide, where a block is tuned, and as deep as what comes from them, in two passes.
  const std::int64_t panels = 64 * 2 * (4096 + 2 * 2048), narrow = memory(32, shape_of(2)) - memory(2, shape_of(2));
  CHECK(narrow > wide + 30 * panels);
  const auto layer = [&](int threads, std::int64_t depth) {
    const model::ThreadCount count(threads);
    return static_cast<std::int64_t>(
        session::predict_layer_memory(1024, depth, recipe, shape_of(2), {recipe.batch_size, false}));
  };
  CHECK(layer(32, 4096) - layer(2, 4096) > layer(32, 1024) - layer(2, 1024));
}

TEST_CASE("predict: attention head by head has gradients of keys and values for each", "[session]") {
  if (!model::LinearProducts::packs_bf16()) return;
  const model::ThreadCount count(1);
  recipe::Recipe recipe;
  const auto bytes = [&](std::int64_t kv_heads, std::int64_t samples, std::int64_t batch) {
    recipe.batch_size = batch;
    return session::thread_bytes(one_layer(kv_heads), recipe, shape_of(2), samples);
  };
  const std::int64_t head = 2 * 512 * 64 * 4, few = bytes(2, 4, 4);
  CHECK(few > bytes(2, 5, 5) + (4 * 8 - 2) * head);        // eight groups of four heads, and ten
  CHECK(bytes(2, 5, 7) == bytes(2, 5, 5) + 2 * 8 * head);  // a last pass of two samples
  CHECK(bytes(4, 1, 1) > bytes(8, 1, 1) + 6 * head);       // where each has keys for itself a task's are enough
  recipe.iters = 0;
  CHECK(bytes(2, 4, 4) == few - 4 * 8 * head);
}

TEST_CASE("predict: a device holds what is loaded and not tuned, and what plain steps need", "[session]") {
  const model::DecoderSpec spec = one_layer();
  recipe::Recipe recipe;
  session::RunShape shape = shape_of(2, cuda);
  shape.tuned_weights = 10'000'000;
  const auto memory = [&] {
    return static_cast<std::int64_t>(session::predict_memory(spec, recipe, shape, {8, false}));
  };
  const std::int64_t base = memory();
  shape.other_weights = 1'000'000;
  CHECK(memory() == base + 2 * shape.other_weights);
  shape.other_weights = 0;
  shape.lone_weights = 1'000'000'000;  // alone, when the blocks are gone
  CHECK(memory() > 4 * shape.lone_weights);
  CHECK(memory() < 5 * shape.lone_weights);
  shape.lone_weights = 0;
  recipe.momentum = 0.9;
  CHECK(memory() == base + shape.tuned_weights * (2 + 24 + 4));  // V in numbers, temporaries, what the last step was
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

TEST_CASE("predict: a single layer on a device is what lies there, whatever the process holds", "[session]") {
  recipe::Recipe recipe;
  session::RunShape shape{16, 256, 2, 1 << 20, 1 << 20};
  shape.device = cuda;
  const auto memory = [&] {
    return session::predict_layer_memory(1024, 1024, recipe, shape, {recipe.batch_size, false});
  };
  const std::uint64_t base = memory();
  shape.resident = 1'000'000'000'000;
  CHECK(memory() == base);
  shape.samples *= 2;
  CHECK(memory() == base + 16 * 256 * 3 * 1024 * 2);  // input, target and output; passes are as before
}

TEST_CASE("predict: time grows with iterations", "[session]") {
  recipe::Recipe few, many;
  few.iters = 50;
  many.iters = 5000;
  const session::RunShape shape{32, 256, 4, 4'000'000, 100'000'000};
  const double flops = session::measured_flops(64, 4);
  CHECK(session::predict_seconds(many, shape, flops) > 10 * session::predict_seconds(few, shape, flops));
}
