// Whole runs below a limit: the same result, and nothing of it left in the process.
#include <ATen/ATen.h>
#include <malloc.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/json.hpp"
#include "session/layer.hpp"
#include "session/predict.hpp"
#include "session/session.hpp"
#include "support/agreement.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "toy.hpp"

namespace autoround::session {
namespace {

namespace fs = std::filesystem;

/// Streams of 8 MB and batches of 20 MB, beside which nothing else of this model counts.
constexpr std::int64_t sample_count = 256, length = 128, batch = 32;
constexpr std::int64_t margin = 7'000'000;  // that the process may grow by from one look at its memory to the next

recipe::Recipe recipe_of_run() {
  recipe::Recipe recipe;
  recipe.scheme = recipe::preset_scheme("W4A16");
  recipe.scheme->weights->group_size = 32;
  recipe.ignore = {"lm_head"};
  recipe.iters = 3;
  recipe.batch_size = batch;
  recipe.nsamples = sample_count;
  return recipe;
}

std::shared_ptr<calibration::SampleSet> samples(std::int64_t count = sample_count) {
  auto set = std::make_shared<calibration::SampleSet>(length, Logger());
  for (std::int64_t sample = 0; sample < count; ++sample) {
    std::vector<std::int64_t> ids(static_cast<std::size_t>(length - sample % 3));
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = (7 * sample + 13 * static_cast<std::int64_t>(i * i)) % 64;
    set->add_tokens(ids);
  }
  return set;
}

struct Scene {
  Scene() {
    options.compute_dtype = "fp32";
    run(0);  // what a first run brings into memory stays there
  }
  Json plan() const {
    ::malloc_trim(0);  // so that the memory that a plan starts from does not shrink until the run
    return parse_json(session::plan(*toy.model, recipe_of_run(), data.get(), options), "plan")["memory"];
  }
  std::shared_ptr<const Result> run(std::int64_t limit) {
    options.memory_limit["cpu"] = limit;
    return oneshot(toy.model, recipe_of_run(), data, options);
  }
  std::int64_t asked() {
    options.memory_limit.clear();
    return static_cast<std::int64_t>(limit_for(plan()["predicted_bytes"].get<std::uint64_t>()));
  }
  /// Of what is named for any process, what is enough for this one: more would not always take files and small passes.
  std::int64_t smallest() {
    options.memory_limit.clear();
    return plan()["smallest_limit_bytes"].get<std::int64_t>() - static_cast<std::int64_t>(start_noise) + margin;
  }

  test::ToyModel toy;
  std::shared_ptr<calibration::SampleSet> data = samples();
  Options options;
};

struct Holdings {
  std::ptrdiff_t descriptors = 0, files = 0, scratch = 0;
  std::int64_t resident = 0;
};
Holdings holdings() {
  Holdings held;
  held.descriptors = std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    held.files += line.find('/') != std::string::npos;
    held.scratch += line.find("(deleted)") != std::string::npos;
  }
  ::malloc_trim(0);  // holes in the heap are not held
  held.resident = static_cast<std::int64_t>(resident_bytes());
  return held;
}

/// Largest resident set since the kernel was last told to forget it.
std::int64_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  std::int64_t kilobytes = 0;
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) kilobytes = std::stoll(line.substr(6));
  return 1024 * kilobytes;
}

TEST_CASE("memory limit: streams in files change no bit", "[session]") {
  Scene scene;
  const auto free_run = scene.run(0);
  auto limited = scene.run(scene.asked() - margin);
  // Where the system takes idle pages of the process away between plan and run, the limit may be enough as it is.
  for (int i = 0; i < 5 && !limited->memory.mode.streams_outside; ++i) limited = scene.run(scene.asked() - margin);
  CHECK_FALSE(free_run->memory.mode.streams_outside);
  REQUIRE(limited->memory.mode.streams_outside);
  REQUIRE(limited->memory.mode.micro_batch == batch);
  CHECK(test::agreement(free_run->tensors, limited->tensors) == 1.0);
  for (std::size_t i = 0; i < free_run->blocks.size(); ++i) {
    CHECK(limited->blocks[i].losses == free_run->blocks[i].losses);
    CHECK(limited->blocks[i].loss == free_run->blocks[i].loss);
  }
  const Json report = parse_json(limited->report_json, "report")["memory"];
  CHECK(report["streams"] == "files");
  CHECK(report["micro_batch"] == batch);
  CHECK(report["predicted_bytes"].get<std::uint64_t>() == limited->memory.bytes);
}

TEST_CASE("memory limit: the smallest that a plan names can be kept, by the order of sums alone", "[session]") {
  Scene scene;
  const auto free_run = scene.run(0), limited = scene.run(scene.smallest());
  REQUIRE(limited->memory.mode.streams_outside);
  REQUIRE(limited->memory.mode.micro_batch < batch);  // how far depends on what this process holds besides
  CHECK(test::agreement(free_run->tensors, limited->tensors) > 0.99);
  for (std::size_t i = 0; i < free_run->blocks.size(); ++i) {
    CHECK(limited->blocks[i].rtn_loss == Approx(free_run->blocks[i].rtn_loss).epsilon(1e-3));
    CHECK(limited->blocks[i].loss == Approx(free_run->blocks[i].loss).epsilon(0.01));
    for (std::size_t step = 0; step < free_run->blocks[i].losses.size(); ++step)
      CHECK(limited->blocks[i].losses[step] == Approx(free_run->blocks[i].losses[step]).epsilon(0.01));
  }
}

TEST_CASE("memory limit: what cannot be kept is refused before work, with what can", "[session]") {
  Scene scene;
  scene.options.outputs = {{scene.toy.folder / "out", "compressed-tensors"}};
  scene.options.event_mask = EventKind::progress;
  bool started = false;
  scene.options.on_event = [&](const Event&) { return started = true; };
  const Error error = test::error_of([&] { scene.run(1'000'000); });
  CHECK(error.code() == Code::invalid_argument);
  CHECK(error.subject() == "memory_limit");
  CHECK(test::says(error, "the smallest limit that it can keep is"));
  CHECK_FALSE(started);
  CHECK_FALSE(fs::exists(scene.toy.folder / "out"));
  const Json plan = scene.plan();  // which is a look, and refuses nothing
  CHECK(plan["limit_bytes"] == 1'000'000);
  CHECK(plan["streams"] == "files");
}

TEST_CASE("memory limit: runs leave nothing behind, whether they end or not", "[session]") {
  Scene scene;
  scene.run(scene.smallest());
  const Holdings before = holdings();
  CHECK(before.scratch == 0);
  for (int i = 0; i < 4; ++i) {
    scene.options.event_mask = i % 2 == 0 ? 0 : EventKind::iteration | EventKind::block_inputs;
    Holdings inside;
    scene.options.on_event = [&](const Event& event) {
      inside = holdings();
      return event.kind == EventKind::block_inputs;  // the first iteration stops the run
    };
    const std::int64_t limit = scene.smallest();
    if (i % 2 == 0) {
      scene.run(limit);
    } else {
      CHECK(test::error_of([&] { scene.run(limit); }).code() == Code::cancelled);
      CHECK(inside.scratch > 0);
    }
    const Holdings after = holdings();
    CHECK(after.descriptors == before.descriptors);
    CHECK(after.files == before.files);
    CHECK(after.scratch == 0);
    CHECK(after.resident < before.resident + margin);
  }
}

TEST_CASE("memory limit: all files are there from the start, and go when a run fails", "[session]") {
  toy_shape shape = toy_default();
  shape.layers = 4;
  const test::ToyModel toy(shape);
  const auto data = samples(2 * sample_count);  // streams that differ by more than what the process holds
  recipe::Recipe recipe = recipe_of_run();
  recipe.iters = 1;
  recipe.nblocks = 2;
  recipe.nsamples = 2 * sample_count;
  Options options;
  options.compute_dtype = "fp32";
  options.event_mask = EventKind::progress | EventKind::block_begin | EventKind::iteration;
  std::vector<std::ptrdiff_t> files;
  options.on_event = [&](const Event& event) {
    files.push_back(holdings().scratch);
    return event.block <= 0;  // the second block has an input from the first, and layers between which a stream is
  };
  const Json memory = parse_json(session::plan(*toy.model, recipe, data.get(), options), "plan")["memory"];
  options.memory_limit["cpu"] = memory["smallest_limit_bytes"].get<std::int64_t>() + 2 * margin;
  Session session(toy.model, recipe, data, options);
  session.initialize();
  session.start();
  const Error error = test::error_of([&] {
    while (session.next_block()) session.sequential_epoch_end();
  });
  CHECK(error.code() == Code::cancelled);
  CHECK(session.state() == State::failed);
  CHECK(holdings().scratch == 0);  // the session is still there
  CHECK(most_streams(1) == 3);
  CHECK(files == std::vector<std::ptrdiff_t>(files.size(), most_streams(2)));
}

TEST_CASE("memory limit: of a layer's inputs, given in one call, one sample at a time is in the process", "[session]") {
  std::ofstream forget("/proc/self/clear_refs");
  if (!forget) {
    WARN("skipped: the peak of this process cannot be forgotten");
    return;
  }
  constexpr std::int64_t width = 64, count = 16 * sample_count, stream = 4 * count * length * width;
  const at::Tensor inputs = at::randn({count, length, width}).to(at::kBFloat16);
  Layer layer("layer", at::randn({width, width}), {}, Logger());
  layer.add_inputs(inputs, {});
  recipe::Recipe recipe = recipe_of_run();
  Options options;
  options.compute_dtype = "fp32";
  const auto free_run = layer.tune(recipe, options);  // what a first run brings into memory stays there
  const std::int64_t before = holdings().resident;
  options.memory_limit["cpu"] = static_cast<std::int64_t>(free_run->memory.smallest);
  REQUIRE(forget << "5" << std::flush);  // the peak is what there is now
  const auto result = layer.tune(recipe, options);
  REQUIRE(result->memory.mode.streams_outside);
  CHECK(peak_bytes() < before + stream / 2);
}

}  // namespace
}  // namespace autoround::session
