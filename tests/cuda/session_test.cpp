// Whole runs on a GPU: a checkpoint in, a folder out, its perplexity, and a layer of a host.
#include "session/session.hpp"

#include <ATen/ATen.h>

#include "gpu.hpp"
#include "session/layer.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "unit/session/toy.hpp"

namespace autoround::session {
namespace {

/// @param quantized_stream whether blocks get what the tuned ones before them made
recipe::Recipe recipe_of(const std::string& scheme, bool quantized_stream = true) {
  const std::string text = "[AutoRoundModifier]\nscheme = \"" + scheme +
                           "\"\ntargets = [\"Linear\"]\nignore = [\"lm_head\"]\niters = 40\nbatch_size = 4\n"
                           "nsamples = 12\nseqlen = 32\nenable_quanted_input = " +
                           (quantized_stream ? "true\n" : "false\n");
  return recipe::Recipe::parse(text, recipe::Syntax::toml);
}

/// Wide enough for groups of 128.
toy_shape wide() {
  toy_shape shape = toy_default();
  shape.hidden = 128;
  shape.intermediate = 256;
  return shape;
}

std::shared_ptr<calibration::SampleSet> samples() {
  auto set = std::make_shared<calibration::SampleSet>(32, Logger());
  for (std::int64_t sample = 0; sample < 12; ++sample) {
    std::vector<std::int64_t> ids(static_cast<std::size_t>(sample == 5 ? 20 : 32));  // one is padded
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = (7 * sample + 13 * static_cast<std::int64_t>(i)) % 64;
    set->add_tokens(ids);
  }
  return set;
}

Options options_for(const std::string& device, const std::string& output = "") {
  Options options;
  options.device = device;
  options.compute_dtype = "bf16";
  if (!output.empty()) options.outputs.push_back({output, "compressed-tensors"});
  return options;
}

}  // namespace

// What more than that is allowed is well above what the CPU's own kernels (AMX, AVX2, portable) make of it.
TEST_CASE("cuda session: a whole model, with losses within 2 % of the CPU's and the same perplexity", "[cuda]") {
  if (no_gpu()) return;
  const std::string scheme = GENERATE("W4A16", "W8A8", "NVFP4", "MXFP4A16");
  const std::string type = GENERATE("bf16", "fp32");
  const bool quantized_stream = GENERATE(true, false);
  INFO(scheme << ", " << type << (quantized_stream ? "" : ", full-precision inputs"));
  const bool rounds_inputs = scheme == "W8A8" || scheme == "NVFP4";
  const test::ToyModel toy(wide());
  const auto run = [&](const std::string& device) {
    const std::string output = toy.folder / ("out-" + device);
    Options options = options_for(device, output);
    options.compute_dtype = type;
    const auto result = oneshot(toy.model, recipe_of(scheme, quantized_stream), samples(), options);
    return std::pair(result, Model::open(output, Logger()));
  };
  const auto [cpu, cpu_model] = run("cpu");
  const auto [there, model] = run("cuda");
  REQUIRE(there->blocks.size() == cpu->blocks.size());
  // Last bits of bf16 decide many codes of inputs, and are a seventh of W8A8's loss: those kernels differ by 1.9 %.
  const double of_same_inputs = rounds_inputs && type == "bf16" ? 0.04 : 0.02;
  for (std::size_t i = 0; i < cpu->blocks.size(); ++i) {
    INFO("block " << i);
    // Signed steps make other codes of last bits, by which losses differ by 9 %, and those other inputs of the next
    // block, by 6 %.
    const bool same_inputs = i == 0 || !quantized_stream;
    CHECK(there->blocks[i].rtn_loss == Approx(cpu->blocks[i].rtn_loss).epsilon(same_inputs ? of_same_inputs : 0.1));
    CHECK(there->blocks[i].loss == Approx(cpu->blocks[i].loss).epsilon(0.15));
    CHECK(there->blocks[i].loss < there->blocks[i].rtn_loss);
  }
  const auto perplexity = [](const Model& measured, c10::Device device) {
    return measured.perplexity(*samples(), at::kFloat, device, CancelToken(), {}).perplexity;
  };
  // The largest input of a W8A8 token, where negative, is always on the edge of -128 and -127 (0.2 %); an input of
  // NVFP4 seldom is on one, but a single code that changes is seen (0.4 %).
  const double of_folder = rounds_inputs ? 0.01 : 1e-4;
  CHECK(perplexity(*model, gpu) == Approx(perplexity(*model, c10::Device(c10::kCPU))).epsilon(of_folder));
  // Weights are random and the perplexity twice that of guessing: tuned by those kernels it differs by up to 5 %.
  CHECK(perplexity(*model, gpu) == Approx(perplexity(*cpu_model, gpu)).epsilon(0.1));
}

TEST_CASE("cuda session: events give host memory, a limit is kept, and a plan knows the device", "[cuda]") {
  if (no_gpu()) return;
  const test::ToyModel toy(wide());
  Options options = options_for("cuda:0");
  options.event_mask = EventKind::block_inputs;
  bool on_host = false;
  options.on_event = [&](const Event& event) {
    on_host = !event.inputs.empty() && event.inputs.front().is_cpu();
    return true;
  };
  const auto result = oneshot(toy.model, recipe_of("W4A16"), samples(), options);
  CHECK(on_host);
  CHECK(result->tensors.front().codes.is_cpu());
  options.memory_limit["cuda:0"] = 1000;
  CHECK(test::error_of([&] { oneshot(toy.model, recipe_of("W4A16"), samples(), options); }).code() ==
        Code::invalid_argument);
  CHECK(plan(*toy.model, recipe_of("W4A16"), samples().get(), options).find("memory_bytes") != std::string::npos);
}

TEST_CASE("cuda session: streams on the host, in passes as small as it takes, change the order of sums alone",
          "[cuda]") {
  if (no_gpu()) return;
  const test::ToyModel toy(wide());
  Options options = options_for("cuda:0");
  const auto free_run = oneshot(toy.model, recipe_of("W4A16"), samples(), options);
  REQUIRE_FALSE(free_run->memory.mode.streams_outside);
  options.memory_limit["cuda:0"] = static_cast<std::int64_t>(free_run->memory.smallest);
  const auto limited = oneshot(toy.model, recipe_of("W4A16"), samples(), options);
  REQUIRE(limited->memory.mode.streams_outside);
  REQUIRE(limited->blocks.size() == free_run->blocks.size());
  CHECK(limited->blocks.front().rtn_loss == Approx(free_run->blocks.front().rtn_loss).epsilon(1e-3));
  for (std::size_t i = 0; i < limited->blocks.size(); ++i)
    CHECK(limited->blocks[i].loss == Approx(free_run->blocks[i].loss).epsilon(0.1));
}

TEST_CASE("cuda session: a layer of a host", "[cuda]") {
  if (no_gpu()) return;
  const at::Tensor weight = at::randn({64, 128}), inputs = at::randn({8, 16, 128});
  const auto loss_on = [&](const std::string& device) {
    Layer layer("layer", weight, {}, Logger());
    layer.add_inputs(inputs, {});
    return layer.tune(recipe_of("W4A16"), options_for(device))->blocks.front().loss;
  };
  CHECK(loss_on("cuda") == Approx(loss_on("cpu")).epsilon(0.02));
}

}  // namespace autoround::session
