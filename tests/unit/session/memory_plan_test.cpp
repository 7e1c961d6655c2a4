#include "session/memory_plan.hpp"

#include <unistd.h>

#include <filesystem>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "toy.hpp"

using namespace autoround;
using session::MemoryMode;
using session::MemoryPlan;
using session::RunShape;

namespace {

constexpr std::int64_t samples = 64, length = 2048, hidden = 1024;

/// Streams of 256 MiB each, and as much for every sample of a pass.
std::uint64_t need(const MemoryMode& mode) {
  const std::uint64_t stream = samples * length * hidden * 2;
  return (mode.streams_outside ? 0 : 3 * stream) + static_cast<std::uint64_t>(mode.micro_batch) * stream;
}

/// A little more than is predicted.
std::uint64_t limit_of(const MemoryMode& mode) { return session::limit_for(need(mode)); }

RunShape shape_of_run() { return {samples, length, 2, 1'000'000, 1'000'000}; }

MemoryPlan plan_for(std::uint64_t limit, const RunShape& shape = shape_of_run(),
                    const std::map<std::string, quant::WeightFormat>& formats = {}, bool alg_ext = false,
                    const std::string& device = "cpu") {
  recipe::Recipe recipe;
  recipe.batch_size = 8;
  recipe.enable_alg_ext = alg_ext;
  session::Options options;
  options.device = device;
  options.memory_limit[device] = static_cast<std::int64_t>(limit);
  return plan_memory(recipe, shape, formats, options, need);
}

}  // namespace

TEST_CASE("memory plan: the first of the ways that fits", "[session]") {
  const auto mode = [](std::uint64_t limit) { return plan_for(limit).mode; };
  CHECK(mode(0) == MemoryMode{8, false});
  CHECK(mode(limit_of({8, false})) == MemoryMode{8, false});
  CHECK(mode(limit_of({8, false}) - 1) == MemoryMode{8, true});
  CHECK(mode(limit_of({8, true}) - 1) == MemoryMode{4, false});
  CHECK(mode(limit_of({4, false}) - 1) == MemoryMode{4, true});
  CHECK(mode(limit_of({4, true}) - 1) == MemoryMode{2, true});
  CHECK(mode(limit_of({1, true})) == MemoryMode{1, true});
  CHECK(plan_for(limit_of({1, true})).fits());
}

TEST_CASE("memory plan: a limit that cannot be kept is refused with the smallest that can", "[session]") {
  const MemoryPlan plan = plan_for(1000);
  CHECK_FALSE(plan.fits());
  CHECK(plan.mode == MemoryMode{1, true});
  CHECK(plan.smallest == 307'000'000);  // of the next process too, which may hold 10 MB more at its start
  CHECK(plan.smallest >= session::limit_for(need({1, true}) + session::start_noise));
  const Error error = test::error_of([&] { session::check_memory(plan); });
  CHECK(error.code() == Code::invalid_argument);
  CHECK(error.subject() == "memory_limit");
  CHECK(test::says(error, "307 MB (307000000 bytes)"));
  CHECK(plan_for(plan.smallest).fits());
  CHECK(plan_for(plan.smallest).smallest == plan.smallest);
  // What is kept is not too small, though one would not be told it.
  const MemoryPlan just = plan_for(limit_of({1, true}));
  CHECK(just.fits());
  CHECK(just.smallest == just.limit);
}

TEST_CASE("memory plan: a device has its streams in the memory of the host", "[session]") {
  RunShape shape = shape_of_run();
  shape.device = c10::Device(c10::kCUDA, 0);
  const MemoryPlan plan = plan_for(limit_of({8, true}), shape, {}, false, "cuda:0");
  CHECK(plan.mode == MemoryMode{8, true});
  CHECK(session::memory_json(plan)["streams"] == "host");
  CHECK(make_streams(plan, {}, 3, 1 << 20, Logger()).is_on_host());
  CHECK(plan_for(limit_of({1, true}), shape, {}, false, "cuda:0").mode == MemoryMode{1, true});
  CHECK(plan_for(0, shape, {}, false, "cuda:0").smallest == limit_of({1, true}));  // the process is elsewhere
}

TEST_CASE("memory plan: no way but one without samples", "[session]") {
  RunShape shape = shape_of_run();
  shape.samples = 0;
  CHECK(plan_for(1000, shape).mode == MemoryMode{8, false});
}

TEST_CASE("memory plan: passes start at the samples that there are", "[session]") {
  RunShape shape = shape_of_run();
  shape.samples = 3;
  CHECK(plan_for(limit_of({8, true}) - 1, shape).mode == MemoryMode{2, false});
}

TEST_CASE("memory plan: batches whose outliers are found together are not taken apart", "[session]") {
  quant::WeightFormat format;
  format.bits = 2;
  CHECK(plan_for(1000, shape_of_run(), {{"linear", format}}, true).mode == MemoryMode{8, true});
  CHECK(plan_for(1000, shape_of_run(), {{"linear", format}}, false).mode == MemoryMode{1, true});
  format.bits = 4;
  CHECK(plan_for(1000, shape_of_run(), {{"linear", format}}, true).mode == MemoryMode{1, true});
}

TEST_CASE("memory plan: streams in files are beside the first output", "[session]") {
  const test::TemporaryDirectory folder;
  session::Options options;
  options.outputs = {{folder / "absent/out", "compressed-tensors"}};
  std::vector<std::string> warnings;
  const Logger log(LogLevel::warn, [&](LogLevel, std::string_view text) { warnings.emplace_back(text); });
  CHECK_FALSE(make_streams({.mode = {8, false}}, options, 3, 1 << 20, log).in_files());
  const Error error = test::error_of([&] { make_streams({.mode = {8, true}}, options, 3, 1 << 20, log); });
  CHECK(error.code() == Code::not_found);
  CHECK(error.subject() == folder / "absent");
  options.outputs.front().directory = folder / "out";
  CHECK(make_streams({.mode = {8, true}}, options, 3, 1 << 20, log).in_files());
  CHECK(warnings.empty());
  if (!std::filesystem::is_directory("/dev/shm")) return;
  options.outputs.front().directory = "/dev/shm/out";
  make_streams({.mode = {8, true}}, options, 3, 1 << 20, log);
  REQUIRE(warnings.size() == 1);
  CHECK(warnings.front().find("/dev/shm") == 0);

  // Of a link, beside what it leads to: the staging directory is there.
  const std::string elsewhere = "/dev/shm/autoround-test-" + std::to_string(::getpid());
  std::filesystem::create_directories(elsewhere + "/empty");
  std::filesystem::create_directory_symlink(elsewhere + "/empty", folder / "link");
  options.outputs.front().directory = folder / "link";
  make_streams({.mode = {8, true}}, options, 3, 1 << 20, log);
  std::filesystem::remove_all(elsewhere);
  REQUIRE(warnings.size() == 2);
  CHECK(warnings.back().find(elsewhere + ": ") == 0);
}
