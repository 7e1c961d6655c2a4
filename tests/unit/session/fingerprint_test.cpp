#include "session/fingerprint.hpp"

#include <caffe2/core/common.h>

#include <filesystem>

#include "session/run_types.hpp"
#include "support/catch.hpp"
#include "toy.hpp"

// In place of LibTorch's, for the whole program: as if another release were loaded.
const std::map<std::string, std::string>& caffe2::GetBuildOptions() {
  static const std::map<std::string, std::string> options{{"TORCH_VERSION", "98.7"}};
  return options;
}

namespace autoround::session {
namespace {

recipe::Recipe w4() { return recipe::Recipe::parse("AutoRoundModifier: {scheme: W4A16}", recipe::Syntax::yaml); }

calibration::SampleSet samples(std::vector<std::int64_t> ids) {
  calibration::SampleSet data(4, Logger());
  data.add_tokens(ids);
  return data;
}

}  // namespace

TEST_CASE("fingerprint: the same run is the same, and each change is named", "[session]") {
  const test::ToyModel toy;
  const calibration::SampleSet data = samples({1, 2, 3});
  Options options;
  options.outputs = {{"out", "compressed-tensors"}};
  const auto of = [&](const recipe::Recipe& recipe, const calibration::SampleSet* windows, const Options& chosen) {
    return fingerprint(*toy.model, recipe, windows, windows ? windows->size() : 0, chosen, 8);
  };
  const Fingerprint first = of(w4(), &data, options);
  CHECK_FALSE(first_difference(first, of(w4(), &data, options)));

  recipe::Recipe other = w4();
  other.iters = 7;
  const auto recipe = first_difference(first, of(other, &data, options));
  REQUIRE(recipe);
  CHECK(recipe->field == "recipe");
  CHECK(recipe->then == "iters = 200");
  CHECK(recipe->now == "iters = 7");

  const auto field = [&](const Fingerprint& now) { return first_difference(first, now).value().field; };
  const calibration::SampleSet changed = samples({1, 2, 4}), longer = samples({1, 2, 3, 0});
  CHECK(field(of(w4(), &changed, options)) == "calibration");
  CHECK(field(of(w4(), &longer, options)) == "calibration");  // padding is no token
  CHECK(field(of(w4(), nullptr, options)) == "calibration");
  Options fp32 = options, twice = options;
  fp32.compute_dtype = first[5].second == "Float" ? "bf16" : "fp32";
  CHECK(field(of(w4(), &data, fp32)) == "compute_dtype");
  twice.outputs.push_back({"out2", "compressed-tensors"});
  CHECK(field(of(w4(), &data, twice)) == "formats");
  CHECK(field(fingerprint(*toy.model, w4(), &data, data.size(), options, 4)) == "micro_batch");
}

TEST_CASE("fingerprint: LibTorch is the one that is loaded, not the one of the headers", "[session]") {
  const test::ToyModel toy;
  CHECK(fingerprint(*toy.model, w4(), nullptr, 0, {}, 8).at(1) ==
        std::pair<std::string, std::string>("libtorch", "98.7"));
}

TEST_CASE("run types: the CPU has the same bytes each time, a device when it is asked to", "[session]") {
  Options options;
  CHECK(is_deterministic(options));
  options.deterministic = false;
  CHECK(is_deterministic(options));
  options.device = "cuda:1";
  CHECK_FALSE(is_deterministic(options));
  options.deterministic.reset();
  CHECK_FALSE(is_deterministic(options));
  options.deterministic = true;
  CHECK(is_deterministic(options));
}

TEST_CASE("fingerprint: another model file is another model", "[session]") {
  const test::ToyModel toy;
  const std::string weights = toy.folder / "model/model.safetensors";
  const Fingerprint first = fingerprint(*toy.model, w4(), nullptr, 0, {}, 8);
  namespace fs = std::filesystem;
  fs::last_write_time(weights, fs::last_write_time(weights) + std::chrono::nanoseconds(1));
  const auto again = Model::open(toy.folder / "model", Logger());
  CHECK(first_difference(first, fingerprint(*again, w4(), nullptr, 0, {}, 8)).value().field == "weights");
}

TEST_CASE("fingerprint: the processor by its name, or by its numbers where it has none", "[session]") {
  CHECK(processor_name("processor\t: 0\nmodel\t\t: 85\nmodel name\t: A CPU @ 2.30GHz\nflags\t\t: fpu\n\n"
                       "processor\t: 1\nmodel name\t: another\n") == "A CPU @ 2.30GHz");
  CHECK(processor_name("processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd bf16\nCPU implementer\t: 0x41\n"
                       "CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd40\nCPU revision\t: 1\n\n"
                       "processor\t: 1\nCPU implementer\t: 0x41\nCPU part\t: 0xd05\n") ==
        "CPU implementer 0x41, CPU variant 0x1, CPU part 0xd40, CPU revision 1");
  CHECK(processor_name("") == "");
  CHECK(processor_name("no colon\nmodel name\t:\n: 3\n") == "");
}

TEST_CASE("fingerprint: lines and fields that only one side has", "[session]") {
  const auto difference = first_difference({{"a", "1\n2\n"}}, {{"a", "1\n"}});
  CHECK(difference.value().then == "2");
  CHECK(difference.value().now == "");
  CHECK(first_difference({}, {{"new", "x\ny"}}).value().now == "x");
  CHECK_FALSE(first_difference({{"gone", "x"}}, {}));
}

}  // namespace autoround::session
