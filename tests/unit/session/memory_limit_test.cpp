// Whole runs below a limit: the same result, and nothing of it left in the process.
#include <ATen/ATen.h>
#include <malloc.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/json.hpp"
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

std::shared_ptr<calibration::SampleSet> samples() {
  auto set = std::make_shared<calibration::SampleSet>(length, Logger());
  for (std::int64_t sample = 0; sample < sample_count; ++sample) {
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
  std::int64_t smallest() { return plan()["smallest_limit_bytes"].get<std::int64_t>(); }

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

TEST_CASE("memory limit: streams in files change no bit", "[session]") {
  Scene scene;
  const auto free_run = scene.run(0), limited = scene.run(scene.asked() - margin);
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
  const auto free_run = scene.run(0), limited = scene.run(scene.smallest() + margin);
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
  scene.run(scene.smallest() + margin);
  const Holdings before = holdings();
  CHECK(before.scratch == 0);
  for (int i = 0; i < 4; ++i) {
    scene.options.event_mask = i % 2 == 0 ? 0 : EventKind::iteration | EventKind::block_inputs;
    Holdings inside;
    scene.options.on_event = [&](const Event& event) {
      inside = holdings();
      return event.kind == EventKind::block_inputs;  // the first iteration stops the run
    };
    const std::int64_t limit = scene.smallest() + margin;
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

}  // namespace
}  // namespace autoround::session
