#include <cmath>

#include "host.hpp"

namespace {

double perplexity(const std::string& directory, const host::Calibration& data) {
  const host::Model model = host::open(directory);
  double value = 0.0;
  host::ok(autoround_model_perplexity, model.get(), static_cast<const autoround_calibration*>(data.get()),
           static_cast<const autoround_options*>(nullptr), &value);
  return value;
}

std::string plan_of(const host::Toy& toy, const autoround_options* options) {
  return host::make<host::Text>(autoround_model_plan, static_cast<const autoround_model*>(toy.model.get()),
                                static_cast<const autoround_recipe*>(toy.recipe.get()),
                                static_cast<const autoround_calibration*>(toy.data.get()), options)
      .get();
}

}  // namespace

TEST_CASE("oneshot: writes a folder that opens, measures and knows that it is quantized", "[capi][oneshot]") {
  host::Toy toy;
  toy.write_to("out");
  const host::Result result = toy.oneshot();
  const auto files = host::contents(toy.output());
  CHECK(files.count("model.safetensors") == 1);
  CHECK(files.count("config.json") == 1);
  CHECK(files.count("recipe.yaml") == 1);
  CHECK(files.at("config.json").find("compressed-tensors") != std::string::npos);

  const double before = perplexity(toy.directory(), toy.data), after = perplexity(toy.output(), toy.data);
  CHECK(std::isfinite(before));
  CHECK(after == Approx(before).epsilon(0.2));
  CHECK(after != before);

  const host::Model quantized = host::open(toy.output());
  autoround_result* none = nullptr;
  const host::Failure again = host::failure(
      autoround_oneshot, quantized.get(), static_cast<const autoround_recipe*>(toy.recipe.get()),
      static_cast<const autoround_calibration*>(toy.data.get()), static_cast<const autoround_options*>(nullptr), &none);
  CHECK(again.status == AUTOROUND_ERROR_UNSUPPORTED);
  CHECK(again.message.find("already quantized") != std::string::npos);
}

TEST_CASE("oneshot: the same seed gives the same bytes, another seed others", "[capi][oneshot]") {
  host::Toy toy(toy_default(), 40);
  const auto bytes_with_seed = [&](uint64_t seed, const char* name) {
    toy.options = host::make<host::Options>(autoround_options_new);
    host::ok(autoround_options_set_seed, toy.options.get(), seed);
    toy.write_to(name);
    toy.oneshot();
    return host::contents(toy.output(name)).at("model.safetensors");
  };
  const std::string first = bytes_with_seed(5, "a");
  CHECK(first == bytes_with_seed(5, "b"));
  CHECK(first != bytes_with_seed(6, "c"));
}

TEST_CASE("oneshot: the largest seed makes a recipe that can be read again", "[capi][oneshot]") {
  host::Toy toy;
  host::ok(autoround_options_set_seed, toy.options.get(), uint64_t{INT64_MAX});
  toy.write_to("out");
  toy.oneshot();
  const auto recipe = host::make<host::Recipe>(autoround_recipe_load, (toy.output() + "/recipe.yaml").c_str());
  const auto seed =
      host::make<host::Text>(autoround_recipe_get, static_cast<const autoround_recipe*>(recipe.get()), "seed");
  CHECK(seed.get() == std::to_string(INT64_MAX));
}

TEST_CASE("oneshot: a host that changes its folder meanwhile gets the files of its model", "[capi][oneshot]") {
  namespace fs = std::filesystem;
  host::Toy toy;
  toy.folder.write("model/vocab.txt", "of the model");
  toy.folder.write("elsewhere/model/vocab.txt", "of another model");
  toy.write_to("out");
  const fs::path before = fs::current_path();
  fs::current_path(toy.folder.path());
  toy.model = host::open("model");
  const host::Session session = toy.session();
  host::ok(autoround_session_initialize, session.get());
  host::ok(autoround_session_start, session.get());
  fs::current_path(toy.folder / "elsewhere");
  while (host::ok(autoround_session_next_block, session.get(), static_cast<size_t*>(nullptr)) == AUTOROUND_OK)
    host::ok(autoround_session_sequential_epoch_end, session.get());
  const auto result = host::make<host::Result>(autoround_session_finalize, session.get());
  fs::current_path(before);
  CHECK(host::contents(toy.output()).at("vocab.txt") == "of the model");
  const auto report =
      host::make<host::Text>(autoround_result_report, static_cast<const autoround_result*>(result.get()));
  CHECK(std::string(report.get()).find("\"directory\": \"model\"") != std::string::npos);
}

TEST_CASE("oneshot: round-to-nearest needs no data", "[capi][oneshot]") {
  host::Toy toy(toy_default(), 0);
  toy.data.reset();
  toy.write_to("out");
  const host::Result result = toy.oneshot();
  CHECK(autoround_result_block_count(result.get()) == 2);
  CHECK(std::isnan(autoround_result_block_loss_after(result.get(), 0)));
  CHECK(host::contents(toy.output()).count("model.safetensors") == 1);

  host::ok(autoround_recipe_set_int, toy.recipe.get(), "iters", int64_t{3});
  toy.options = host::make<host::Options>(autoround_options_new);
  const host::Failure said = toy.failing_oneshot();
  CHECK(said.status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(said.message.find("calibration data") != std::string::npos);
}

TEST_CASE("oneshot: data changed or freed after session_new does not matter", "[capi][oneshot]") {
  host::Toy toy;
  toy.write_to("reference");
  toy.oneshot();
  toy.options = host::make<host::Options>(autoround_options_new);
  toy.write_to("later");
  const host::Session session = toy.session();
  for (int i = 0; i < 100; ++i) {
    const int64_t ids[] = {1, 2, 3};
    host::ok(autoround_calibration_add_tokens, toy.data.get(), static_cast<const int64_t*>(ids), size_t{3});
  }
  host::ok(autoround_recipe_set_int, toy.recipe.get(), "iters", int64_t{1});
  toy.data.reset();
  toy.recipe.reset();
  toy.model.reset();
  toy.options.reset();
  host::ok(autoround_session_initialize, session.get());
  host::ok(autoround_session_start, session.get());
  size_t block = 0;
  while (host::ok(autoround_session_next_block, session.get(), &block) == AUTOROUND_OK)
    host::ok(autoround_session_sequential_epoch_end, session.get());
  host::ok(autoround_session_finalize, session.get(), static_cast<autoround_result**>(nullptr));
  CHECK(host::contents(toy.output("reference")).at("model.safetensors") ==
        host::contents(toy.output("later")).at("model.safetensors"));
}

TEST_CASE("oneshot: asymmetric weights keep their zero points", "[capi][oneshot]") {
  host::Toy toy;
  host::ok(autoround_recipe_set_bool, toy.recipe.get(), "weights.symmetric", int32_t{0});
  const host::Result result = toy.oneshot();
  const auto zeros = host::make<host::Tensor>(
      autoround_result_layer_tensor, static_cast<const autoround_result*>(result.get()), size_t{0}, "zero_points");
  const auto* values = static_cast<const uint8_t*>(autoround_tensor_data(zeros.get()));
  const size_t count = autoround_tensor_byte_size(zeros.get());
  REQUIRE(count > 0);
  CHECK(std::any_of(values, values + count, [&](uint8_t z) { return z != values[0]; }));
}

TEST_CASE("oneshot: lm_head of a tied model is untied when it is targeted", "[capi][oneshot]") {
  host::Toy toy(toy_default(), 0);
  toy.recipe = host::make<host::Recipe>(autoround_recipe_new);
  host::ok(autoround_recipe_set_string, toy.recipe.get(), "scheme", "W8A16");
  host::ok(autoround_recipe_set_int, toy.recipe.get(), "weights.group_size", int64_t{32});
  host::ok(autoround_recipe_set_int, toy.recipe.get(), "iters", int64_t{0});
  toy.write_to("out");
  const host::Result result = toy.oneshot();
  const std::string config = host::contents(toy.output()).at("config.json");
  CHECK(config.find("\"tie_word_embeddings\": false") != std::string::npos);
  CHECK(perplexity(toy.output(), toy.data) == Approx(perplexity(toy.directory(), toy.data)).epsilon(0.05));
}

TEST_CASE("oneshot: a predicted need above the memory limit is refused before work starts", "[capi][oneshot]") {
  host::Toy toy;
  toy.write_to("out");
  host::ok(autoround_options_set_memory_limit, toy.options.get(), "cpu", int64_t{1} << 20);
  const host::Failure said = toy.failing_oneshot();
  CHECK(said.status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(said.subject == "memory_limit");
  CHECK(host::siblings(toy).size() == 1);
}

TEST_CASE("plan: says what would happen to every linear layer", "[capi][oneshot]") {
  const host::Toy toy;
  const std::string text = plan_of(toy, nullptr);
  CHECK(text.find("\"memory_bytes\"") != std::string::npos);
  CHECK(text.find("\"disk_bytes\"") != std::string::npos);
  CHECK(text.find("model.layers.1.mlp.down_proj") != std::string::npos);
  CHECK(text.find("ignored") != std::string::npos);
}

TEST_CASE("plan: every output counts, and is checked as initialize checks it", "[capi][oneshot]") {
  host::Toy toy;
  host::ok(autoround_recipe_set_string, toy.recipe.get(), "scale_dtype", "float16");
  const auto disk_bytes = [&] {
    const std::string text = plan_of(toy, toy.options.get()), key = "\"disk_bytes\": ";
    return std::stoll(text.substr(text.find(key) + key.size()));
  };
  std::map<std::string, long long> alone;
  for (const char* format : {"compressed-tensors", "auto_round", "fake"}) {
    toy.options = host::make<host::Options>(autoround_options_new);
    toy.write_to(format, format);
    alone[format] = disk_bytes();
  }
  toy.write_to("compressed-tensors");
  toy.write_to("auto_round", "auto_round");
  CHECK(disk_bytes() == alone["compressed-tensors"] + alone["auto_round"] + alone["fake"]);
  CHECK(plan_of(toy, toy.options.get()).find("\"fake, compressed-tensors, auto_round\"") != std::string::npos);

  toy.write_to("auto_awq", "auto_awq");
  host::ok(autoround_recipe_set_int, toy.recipe.get(), "weights.num_bits", int64_t{8});
  char* none = nullptr;
  const host::Failure planned = host::failure(
      autoround_model_plan, static_cast<const autoround_model*>(toy.model.get()),
      static_cast<const autoround_recipe*>(toy.recipe.get()), static_cast<const autoround_calibration*>(toy.data.get()),
      static_cast<const autoround_options*>(toy.options.get()), &none);
  const host::Failure refused = toy.failing_oneshot();
  CHECK(planned.status == refused.status);
  CHECK(planned.message == refused.message);
}

TEST_CASE("oneshot: several formats of one run hold the same weights", "[capi][oneshot]") {
  host::Toy toy;
  host::ok(autoround_recipe_set_string, toy.recipe.get(), "scale_dtype", "float16");  // that all of them store
  const std::vector<std::string> formats = {"compressed-tensors", "auto_round", "auto_gptq"};
  for (const std::string& format : formats)
    host::ok(autoround_options_set_output, toy.options.get(), toy.output(format).c_str(), format.c_str());
  toy.oneshot();
  const double expected = perplexity(toy.output(formats[0]), toy.data);
  CHECK(perplexity(toy.output(formats[1]), toy.data) == expected);
  CHECK(perplexity(toy.output(formats[2]), toy.data) == expected);
}

TEST_CASE("oneshot: formats that store scales of different types are refused together", "[capi][oneshot]") {
  host::Toy toy;
  toy.write_to("first");
  host::ok(autoround_options_set_output, toy.options.get(), toy.output("second").c_str(), "auto_gptq");
  const host::Failure failure = toy.failing_oneshot();
  CHECK(failure.status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(failure.subject == "scale_dtype");
}
