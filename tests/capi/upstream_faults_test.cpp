// Known faults of the Python reference that this library must not have, one test each, by name.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "host.hpp"

namespace {

std::vector<uint8_t> codes(const host::Result& result, size_t layer) {
  const auto tensor = host::make<host::Tensor>(autoround_result_layer_tensor,
                                               static_cast<const autoround_result*>(result.get()), layer, "qweight");
  const auto* data = static_cast<const uint8_t*>(autoround_tensor_data(tensor.get()));
  return {data, data + autoround_tensor_byte_size(tensor.get())};
}

/// What a loader that computes in bf16 makes of a value: rounded to nearest, ties to even.
float to_bf16(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// 8 samples of 16 tokens in windows of `window` tokens.
void set_windows(host::Toy& toy, int64_t window) {
  toy.data = host::make<host::Calibration>(autoround_calibration_new, static_cast<autoround_context*>(nullptr), window);
  for (int sample = 0; sample < 8; ++sample) {
    std::vector<int64_t> ids;
    for (int i = 0; i < 16; ++i) ids.push_back((11 * sample + 5 * i * i + i) % toy.vocab);
    host::ok(autoround_calibration_add_tokens, toy.data.get(), static_cast<const int64_t*>(ids.data()), ids.size());
  }
}

}  // namespace

TEST_CASE("upstream fault: asymmetric zero points are lost", "[capi][faults]") {
  host::Toy toy;
  host::ok(autoround_recipe_set_bool, toy.recipe.get(), "weights.symmetric", int32_t{0});
  toy.write_to("out");
  toy.oneshot();
  // A folder whose zero points were all the same would measure far from the original.
  double before = 0.0, after = 0.0;
  const host::Model quantized = host::open(toy.output());
  const auto* data = static_cast<const autoround_calibration*>(toy.data.get());
  host::ok(autoround_model_perplexity, toy.model.get(), data, static_cast<const autoround_options*>(nullptr), &before);
  host::ok(autoround_model_perplexity, quantized.get(), data, static_cast<const autoround_options*>(nullptr), &after);
  CHECK(after == Approx(before).epsilon(0.2));
  CHECK(host::contents(toy.output()).at("model.safetensors").find("weight_zero_point") != std::string::npos);
}

TEST_CASE("upstream fault: the padding mask is ignored", "[capi][faults]") {
  host::Toy toy;
  set_windows(toy, 16);
  const host::Result exact = toy.oneshot();
  set_windows(toy, 24);  // the same samples, a third of each window is padding
  const host::Result padded = toy.oneshot();
  for (size_t block = 0; block < 2; ++block)
    CHECK(autoround_result_block_loss_before(padded.get(), block) ==
          Approx(autoround_result_block_loss_before(exact.get(), block)).epsilon(0.02));
  const auto a = codes(exact, 0), b = codes(padded, 0);
  size_t same = 0;
  for (size_t i = 0; i < a.size(); ++i) same += a[i] == b[i];
  CHECK(static_cast<double>(same) >
        0.98 * static_cast<double>(a.size()));  // sums run in another order, nothing else differs
}

TEST_CASE("upstream fault: short samples are dropped without a word", "[capi][faults]") {
  host::Toy toy;
  const int64_t one[] = {3};
  host::ok(autoround_calibration_add_tokens, toy.data.get(), static_cast<const int64_t*>(one), size_t{1});
  CHECK(autoround_calibration_sample_count(toy.data.get()) == 9);
  CHECK(autoround_calibration_token_count(toy.data.get()) == 122);
  const std::string report =
      host::make<host::Text>(autoround_result_report, static_cast<const autoround_result*>(toy.oneshot().get())).get();
  CHECK(report.find("\"samples\": 9") != std::string::npos);
  CHECK(report.find("\"tokens\": 122") != std::string::npos);
}

TEST_CASE("upstream fault: scales are rounded twice", "[capi][faults]") {
  // What the tuner rounded with is what is stored: every dequantized weight is code x stored scale, rounded once.
  const host::Toy toy;
  const host::Result result = toy.oneshot();
  const auto get = [&](const char* part) {
    return host::make<host::Tensor>(autoround_result_layer_tensor, static_cast<const autoround_result*>(result.get()),
                                    size_t{4}, part);
  };
  const host::Tensor code_tensor = get("qweight"), scale_tensor = get("scales"), weight_tensor = get("weight");
  CHECK(std::string(autoround_tensor_dtype(scale_tensor.get())) == "BF16");  // the checkpoint's own type
  const auto* code = static_cast<const uint8_t*>(autoround_tensor_data(code_tensor.get()));
  const auto* scale = static_cast<const uint16_t*>(autoround_tensor_data(scale_tensor.get()));
  const auto* weight = static_cast<const float*>(autoround_tensor_data(weight_tensor.get()));
  const auto columns = static_cast<size_t>(autoround_tensor_size(code_tensor.get(), 1));
  const auto groups = static_cast<size_t>(autoround_tensor_size(scale_tensor.get(), 1));
  size_t exact = 0;
  const size_t count = autoround_tensor_byte_size(code_tensor.get());
  for (size_t i = 0; i < count; ++i) {
    const size_t row = i / columns, group = i % columns / 32;
    const uint32_t bits = static_cast<uint32_t>(scale[row * groups + group]) << 16;
    float value = 0.0f;
    std::memcpy(&value, &bits, sizeof value);
    exact += weight[i] == to_bf16(static_cast<float>(code[i] - 8) * value);
  }
  CHECK(exact == count);
}

TEST_CASE("upstream fault: activation quantization is not simulated", "[capi][faults]") {
  // Equal weights, with and without inputs of 4 bits: only a block that rounds its inputs is so far from its target.
  host::Toy toy;
  const auto loss_of = [&](const char* scheme) {
    host::ok(autoround_recipe_set_string, toy.recipe.get(), "scheme", scheme);
    host::ok(autoround_recipe_set_int, toy.recipe.get(), "weights.group_size", int64_t{32});
    return autoround_result_block_loss_before(toy.oneshot().get(), 0);
  };
  CHECK(loss_of("W4A4") > 1.5 * loss_of("W4A16"));
}

TEST_CASE("upstream fault: block-wise FP8 dies in the middle of a run", "[capi][faults]") {
  toy_shape shape = toy_default();
  shape.hidden = 128;
  shape.intermediate = 384;  // inputs have groups of 128
  host::Toy toy(shape);
  host::ok(autoround_recipe_set_string, toy.recipe.get(), "scheme", "FP8_BLOCK");
  toy.write_to("out");
  toy.oneshot();
  CHECK(host::contents(toy.output()).at("config.json").find("\"block_structure\"") != std::string::npos);
}

TEST_CASE("upstream fault: one run leaks into the next", "[capi][faults]") {
  host::Toy toy;
  toy.write_to("first");
  toy.oneshot();
  {
    host::Toy other(toy_default(), 7);  // another seed and length in between
    host::ok(autoround_recipe_set_int, other.recipe.get(), "seed", int64_t{99});
    other.oneshot();
    other.write_to("out");
    host::ok(autoround_recipe_set_string, other.recipe.get(), "scheme", "W4A16");  // groups of 128, rows of 64
    other.failing_oneshot();
  }
  toy.options = host::make<host::Options>(autoround_options_new);
  toy.write_to("second");
  toy.oneshot();
  CHECK(host::contents(toy.output("first")) == host::contents(toy.output("second")));
}

TEST_CASE("upstream fault: library code ends the process when no sample is left", "[capi][faults]") {
  host::Toy toy;
  toy.data =
      host::make<host::Calibration>(autoround_calibration_new, static_cast<autoround_context*>(nullptr), int64_t{16});
  CHECK(toy.failing_oneshot().status == AUTOROUND_ERROR_INVALID_ARGUMENT);
}
