#include <thread>

#include "layer_scene.hpp"

using namespace layer_scene;

namespace {

/// Mean squared error of the layer with weights `used` on what plain_layer() is given.
double output_error(const float* used) {
  const std::vector<float> original = random_values(out_features * in_features, 1), x = correlated(32 * 8, 2);
  double sum = 0.0;
  for (int64_t row = 0; row < 32 * 8; ++row) {
    for (int64_t o = 0; o < out_features; ++o) {
      double difference = 0.0;
      for (int64_t i = 0; i < in_features; ++i) {
        const auto at = static_cast<size_t>(o * in_features + i);
        difference += (static_cast<double>(used[at]) - static_cast<double>(original[at])) *
                      static_cast<double>(x[static_cast<size_t>(row * in_features + i)]);
      }
      sum += difference * difference;
    }
  }
  return sum / static_cast<double>(32 * 8 * out_features);
}

}  // namespace

TEST_CASE("layer: tuning beats rounding to nearest, by the library's figures and by the host's own", "[capi][layer]") {
  const host::Layer layer = plain_layer();
  CHECK(autoround_layer_sample_count(layer.get()) == 32);
  CHECK(autoround_layer_token_count(layer.get()) == 256);
  const host::Options options = fp32_options();
  const host::Recipe plain = recipe("W4A16", 0, 32);
  host::ok(autoround_recipe_set_bool, plain.get(), "disable_opt_rtn", int32_t{1});
  const host::Result nearest = tune(layer, plain, options.get()),
                     optimised = tune(layer, recipe("W4A16", 0, 32), options.get()),
                     tuned = tune(layer, recipe("W4A16", 100, 32), options.get());
  const double before = autoround_result_block_loss_before(tuned.get(), 0),
               after = autoround_result_block_loss_after(tuned.get(), 0);
  CAPTURE(before, after);
  CHECK(after < 0.8 * before);
  CHECK(autoround_result_block_best_iteration(tuned.get(), 0) >= 0);
  CHECK(autoround_result_block_loss_after(nearest.get(), 0) == before);
  CHECK(autoround_result_block_loss_after(optimised.get(), 0) < before);
  CHECK(output_error(static_cast<const float*>(autoround_tensor_data(part(nearest, "weight").get()))) ==
        Approx(before).epsilon(1e-3));
  CHECK(output_error(static_cast<const float*>(autoround_tensor_data(part(tuned, "weight").get()))) ==
        Approx(after).epsilon(1e-3));

  REQUIRE(autoround_result_block_count(tuned.get()) == 1);
  REQUIRE(autoround_result_layer_count(tuned.get()) == 1);
  CHECK(std::string(autoround_result_block_name(tuned.get(), 0)) == "proj");
  CHECK(std::string(autoround_result_layer_name(tuned.get(), 0)) == "proj");
  CHECK(std::string(autoround_result_layer_scheme(tuned.get(), 0)) != "");
  const host::Tensor codes = part(tuned, "qweight"), scales = part(tuned, "scales");
  CHECK(std::string(autoround_tensor_dtype(codes.get())) == "U8");
  CHECK(autoround_tensor_size(codes.get(), 0) == out_features);
  CHECK(autoround_tensor_size(codes.get(), 1) == in_features);
  CHECK(autoround_tensor_size(scales.get(), 1) == in_features / 32);
  CHECK_FALSE(has_part(tuned, "zero_points"));

  autoround_result* result = tuned.get();
  const host::Text json = host::make<host::Text>(autoround_result_report, static_cast<const autoround_result*>(result));
  CHECK(std::string(json.get()).find("\"tokens\": 256") != std::string::npos);
  CHECK(host::make<host::Text>(autoround_result_report_html, static_cast<const autoround_result*>(result)) != nullptr);
}

TEST_CASE("layer: the same seed gives the same codes, and a layer may be tuned again", "[capi][layer]") {
  const host::Layer layer = plain_layer();
  const host::Recipe w4 = recipe("W4A16", 20, 32);
  const std::string first = bytes(part(tune(layer, w4), "qweight"));
  CHECK(bytes(part(tune(layer, recipe("W8A16", 5, 32)), "qweight")) != first);
  CHECK(bytes(part(tune(layer, w4), "qweight")) == first);
  CHECK(bytes(part(tune(plain_layer(), w4), "qweight")) == first);
  host::Options options = host::make<host::Options>(autoround_options_new);
  host::ok(autoround_options_set_seed, options.get(), uint64_t{7});
  CHECK(bytes(part(tune(layer, w4, options.get()), "qweight")) != first);
}

TEST_CASE("layer: two threads tune one layer at once", "[capi][layer]") {
  const host::Layer layer = plain_layer();
  const host::Recipe w4 = recipe("W4A16", 20, 32), w8 = recipe("W8A16", 20, 32);
  const std::string alone4 = bytes(part(tune(layer, w4), "qweight")), alone8 = bytes(part(tune(layer, w8), "qweight"));
  // No Catch in the other thread: its assertions are not thread-safe.
  autoround_result* other = nullptr;
  autoround_status status = AUTOROUND_ERROR_INTERNAL;
  std::thread thread([&] { status = autoround_layer_tune(layer.get(), w8.get(), nullptr, &other, nullptr); });
  const host::Result result = tune(layer, w4);
  thread.join();
  const host::Result owned(other);
  REQUIRE(status == AUTOROUND_OK);
  CHECK(bytes(part(result, "qweight")) == alone4);
  CHECK(bytes(part(owned, "qweight")) == alone8);
}

TEST_CASE("layer: element types, biases, and calls in parts", "[capi][layer]") {
  const std::vector<float> weight = random_values(out_features * in_features, 1), x = correlated(32 * 8, 2),
                           bias = random_values(out_features, 5, 1.0f);
  const host::Recipe w4 = recipe("W4A16", 30, 32);
  const host::Options options = fp32_options();
  std::vector<uint16_t> ones(out_features * in_features, 0x3c00);  // 1.0 in F16
  const auto half_layer = layer_of(tensor("F16", {out_features, in_features}, ones.data(), 2 * ones.size()));
  add(half_layer, tensor({32, 8, in_features}, x));
  CHECK(std::string(autoround_tensor_dtype(part(tune(half_layer, w4), "scales").get())) == "F16");

  const auto bf16_layer = layer_of(bf16_tensor({out_features, in_features}, weight));
  add(bf16_layer, bf16_tensor({32, 8, in_features}, x));
  const host::Result bf16 = tune(bf16_layer, w4, options.get());
  CHECK(std::string(autoround_tensor_dtype(part(bf16, "scales").get())) == "BF16");
  CHECK(autoround_result_block_loss_after(bf16.get(), 0) < 0.8 * autoround_result_block_loss_before(bf16.get(), 0));

  // A bias shifts outputs and targets alike.
  const auto biased = layer_of(tensor({out_features, in_features}, weight), tensor({out_features}, bias).get());
  add(biased, tensor({32, 8, in_features}, x));
  CHECK(autoround_result_block_loss_before(tune(biased, w4, options.get()).get(), 0) ==
        Approx(autoround_result_block_loss_before(tune(plain_layer(), w4, options.get()).get(), 0)).epsilon(1e-3));

  // The same samples, one call each.
  const auto parts = layer_of(tensor({out_features, in_features}, weight));
  for (int sample = 0; sample < 32; ++sample) {
    const auto begin = x.begin() + sample * 8 * in_features;
    add(parts, tensor({8, in_features}, {begin, begin + 8 * in_features}));
  }
  CHECK(autoround_layer_sample_count(parts.get()) == 32);
  CHECK(bytes(part(tune(parts, w4), "qweight")) == bytes(part(tune(plain_layer(), w4), "qweight")));
}

TEST_CASE("layer: samples of different lengths are padded, and padding counts for nothing", "[capi][layer]") {
  const auto layer = layer_of(tensor({out_features, in_features}, random_values(out_features * in_features, 1)));
  add(layer, tensor({16, 8, in_features}, correlated(16 * 8, 2)));
  add(layer, tensor({3, in_features}, correlated(3, 3)));
  add(layer, tensor({2, 1, in_features}, correlated(2, 4)));
  CHECK(autoround_layer_sample_count(layer.get()) == 19);
  CHECK(autoround_layer_token_count(layer.get()) == 133);
  const host::Result result = tune(layer, recipe("W4A16", 40, 32));
  CHECK(autoround_result_block_loss_after(result.get(), 0) < autoround_result_block_loss_before(result.get(), 0));
}

TEST_CASE("layer: targets of the host are what is tuned for", "[capi][layer]") {
  const std::vector<float> weight = random_values(out_features * in_features, 1), x = correlated(32 * 8, 2);
  std::vector<float> targets(32 * 8 * out_features);
  for (int64_t row = 0; row < 32 * 8; ++row)
    for (int64_t o = 0; o < out_features; ++o)
      for (int64_t i = 0; i < in_features; ++i)
        targets[static_cast<size_t>(row * out_features + o)] +=
            weight[static_cast<size_t>(o * in_features + i)] * x[static_cast<size_t>(row * in_features + i)];
  const host::Recipe w4 = recipe("W4A16", 40, 32);
  const host::Options options = fp32_options();
  const auto own = [&](float shift) {
    std::vector<float> wanted = targets;
    for (float& value : wanted) value += shift;
    const auto layer = layer_of(tensor({out_features, in_features}, weight));
    add(layer, tensor({32, 8, in_features}, x), tensor({32, 8, out_features}, wanted).get());
    return tune(layer, w4, options.get());
  };
  const double computed = autoround_result_block_loss_before(tune(plain_layer(), w4, options.get()).get(), 0);
  CHECK(autoround_result_block_loss_before(own(0.0f).get(), 0) == Approx(computed).epsilon(1e-3));
  CHECK(autoround_result_block_loss_before(own(2.0f).get(), 0) > computed + 3.0);
}

TEST_CASE("layer: floating-point formats and quantized inputs", "[capi][layer]") {
  const host::Layer layer = plain_layer();
  struct Row {
    const char* scheme;
    const char* scales;
    bool global, input_scale, input_global;
  };
  const Row row = GENERATE(values<Row>({{"FP8", "F32", false, true, false},
                                        {"FP8_DYNAMIC", "F32", false, false, false},
                                        {"MXFP4", "U8", false, false, false},
                                        {"NVFP4", "F8_E4M3", true, false, true},
                                        {"NVFP4A16", "F8_E4M3", true, false, false},
                                        {"INT8", "F32", false, false, false}}));
  CAPTURE(row.scheme);
  const host::Result result = tune(layer, recipe(row.scheme, 40));
  const double before = autoround_result_block_loss_before(result.get(), 0),
               after = autoround_result_block_loss_after(result.get(), 0);
  CAPTURE(before, after);
  CHECK(after <= before);
  if (std::string(row.scheme).find("FP4") != std::string::npos) CHECK(after < 0.95 * before);
  CHECK(std::string(autoround_tensor_dtype(part(result, "scales").get())) == row.scales);
  CHECK(has_part(result, "global_scale") == row.global);
  CHECK(has_part(result, "input_scale") == row.input_scale);
  CHECK(has_part(result, "input_global_scale") == row.input_global);
  CHECK(autoround_tensor_byte_size(part(result, "weight").get()) == out_features * in_features * 4);
}

TEST_CASE("layer: asymmetric codes have zero points", "[capi][layer]") {
  const host::Result result = tune(plain_layer(), recipe("W4A16_ASYM", 10, 32));
  const host::Tensor zeros = part(result, "zero_points");
  CHECK(std::string(autoround_tensor_dtype(zeros.get())) == "U8");
  CHECK(autoround_tensor_size(zeros.get(), 1) == in_features / 32);
}

TEST_CASE("layer: the recipe's rules for a module of that name", "[capi][layer]") {
  const auto layer = layer_of(tensor({out_features, in_features}, random_values(out_features * in_features, 1)),
                              nullptr, "model.layers.0.mlp.up_proj");
  const host::Recipe made = recipe("W4A16", 0, 32);
  host::ok(autoround_recipe_set_string, made.get(), "layers.re:.*up_proj.scheme", "W8A16");
  host::ok(autoround_recipe_set_string, made.get(), "layers.lm_head.scheme", "W8A16");  // of another layer
  CHECK(std::string(autoround_result_layer_scheme(tune(layer, made).get(), 0)).find("8") != std::string::npos);
  host::ok(autoround_recipe_append, made.get(), "ignore", "re:.*mlp.*");
  CHECK(std::string(autoround_result_layer_scheme(tune(layer, made).get(), 0)).find("8") != std::string::npos);

  const host::Recipe ignoring = recipe("W4A16", 0, 32);
  host::ok(autoround_recipe_append, ignoring.get(), "ignore", "re:.*mlp.*");
  const host::Failure said = failing_tune(layer, ignoring);
  CHECK(said.status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(said.subject == "model.layers.0.mlp.up_proj");
  CHECK(said.message.find("ignored by `re:.*mlp.*`") != std::string::npos);
}

TEST_CASE("layer: events, and a callback that stops", "[capi][layer]") {
  struct Seen {
    int begin = 0, iterations = 0, end = 0, progress = 0, stop_at = -1;
    double fraction = 0.0;
  };
  const auto watch = [](void* user_data, const autoround_event* event) -> int32_t {
    Seen& seen = *static_cast<Seen*>(user_data);
    const autoround_event_kind what = autoround_event_what(event);
    seen.begin += what == AUTOROUND_EVENT_BLOCK_BEGIN;
    seen.end += what == AUTOROUND_EVENT_BLOCK_END;
    seen.progress += what == AUTOROUND_EVENT_PROGRESS;
    seen.iterations += what == AUTOROUND_EVENT_ITERATION;
    if (what != AUTOROUND_EVENT_PROGRESS) {
      CHECK(autoround_event_block(event) == 0);
      CHECK(std::string(autoround_event_name(event)) == "proj");
    }
    CHECK(autoround_event_fraction(event) >= seen.fraction);
    seen.fraction = autoround_event_fraction(event);
    return seen.iterations == seen.stop_at ? 1 : 0;
  };
  const host::Layer layer = plain_layer();
  const host::Recipe w4 = recipe("W4A16", 10, 32);
  const auto options_for = [&](Seen& seen) {
    host::Options options = host::make<host::Options>(autoround_options_new);
    host::ok(autoround_options_set_callback, options.get(), int32_t{31}, +watch, static_cast<void*>(&seen),
             static_cast<autoround_release_fn>(nullptr));
    return options;
  };
  Seen all;
  tune(layer, w4, options_for(all).get());
  CHECK(all.begin == 1);
  CHECK(all.iterations == 10);
  CHECK(all.end == 1);
  CHECK(all.progress == 2);
  CHECK(all.fraction == 1.0);
  Seen some;
  some.stop_at = 3;
  CHECK(failing_tune(layer, w4, options_for(some).get()).status == AUTOROUND_ERROR_CANCELLED);
  CHECK(some.iterations == 3);

  const host::Cancel cancel(autoround_cancel_new());
  autoround_cancel_request(cancel.get());
  host::Options cancelled = host::make<host::Options>(autoround_options_new);
  host::ok(autoround_options_set_cancel, cancelled.get(), cancel.get());
  CHECK(failing_tune(layer, w4, cancelled.get()).status == AUTOROUND_ERROR_CANCELLED);
}

TEST_CASE("layer: handles are counted and freed in any order", "[capi][layer]") {
  host::Tensor codes;
  {
    const host::Layer layer = plain_layer();
    CHECK(autoround_live_handles("layer") == 1);
    CHECK(autoround_live_handles("tensor") == 0);  // what the layer was made from is gone
    codes = part(tune(layer, recipe("W4A16", 2, 32)), "qweight");
  }
  CHECK(autoround_live_handles(nullptr) == 1);
  CHECK(bytes(codes).size() == out_features * in_features);
}
