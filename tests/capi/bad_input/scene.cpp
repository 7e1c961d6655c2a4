#include "capi/bad_input/scene.hpp"

#include <cmath>

namespace bad_input {
namespace {

constexpr int64_t window = 16;

std::string bytes_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  REQUIRE(in);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const std::string& file, std::string_view bytes) {
  std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void collect(void* log, int32_t, const char* text, size_t length) {
  static_cast<std::string*>(log)->append(text, length) += '\n';
}

}  // namespace

Scene::Scene() {
  const toy_shape shape = toy_default();
  REQUIRE(toy_checkpoint_write(model.c_str(), &shape) == 0);
  folder.write("recipe.yaml",
               "AutoRoundModifier:\n"
               "  scheme:\n"
               "    weights: {num_bits: 4, group_size: 32}\n"
               "  ignore: [lm_head]\n"
               "  iters: 2\n"
               "  batch_size: 4\n");
  const std::string fixture = AUTOROUND_SOURCE_DIR "/tests/support/tiny_tokenizer/";
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
    folder.write(std::string("tokenizer/") + name, bytes_of(fixture + name));
  std::string lines;
  for (int sample = 0; sample < 4; ++sample) {
    lines += "{\"input_ids\": [" + std::to_string(sample);
    for (int i = 1; i < window; ++i) lines += ", " + std::to_string((7 * sample + 3 * i * i + i) % shape.vocab);
    lines += "]}\n";
  }
  folder.write("data.jsonl", lines);
}

void Scene::replace(const std::string& file, std::string_view from, std::string_view to) const {
  std::string bytes = bytes_of(file);
  const auto found = bytes.find(from);
  INFO(file << ": " << from);
  REQUIRE(found != std::string::npos);
  write(file, bytes.replace(found, from.size(), to));
}

void Scene::append(const std::string& file, std::string_view bytes) const { write(file, bytes_of(file).append(bytes)); }

void Scene::set_config(const std::string& key, const std::string& value) const {
  const std::string text = bytes_of(config()), start = "\"" + key + "\": ";
  const auto at = text.find(start);
  REQUIRE(at != std::string::npos);
  replace(config(), text.substr(at, text.find_first_of(",}", at) - at), start + value);
}

void Scene::add_config(const std::string& key, const std::string& value) const {
  replace(config(), "{", "{\"" + key + "\": " + value + ", ");
}

void Scene::write_recipe(const std::string& name, std::string_view text) { recipe = folder.write(name, text); }

Failed failure_of(const autoround_error* error) {
  REQUIRE(error != nullptr);
  CHECK(std::string(autoround_error_message(error)) != "");
  std::string said = autoround_error_subject(error);
  if (const int line = autoround_error_line(error)) said += " (line " + std::to_string(line) + ")";
  return {autoround_error_status(error), said + ": " + autoround_error_message(error)};
}

host::Context logging_context(Scene& scene) {
  host::Context context = host::make<host::Context>(autoround_context_new);
  host::ok(autoround_context_set_log, context.get(), int32_t{AUTOROUND_LOG_INFO}, &collect,
           static_cast<void*>(&scene.log), static_cast<autoround_release_fn>(nullptr));
  return context;
}

host::Model open(Scene& scene) {
  const host::Context context = logging_context(scene);
  return attempt_new<host::Model>(autoround_model_open, context.get(), scene.model.c_str(),
                                  static_cast<const autoround_options*>(nullptr));
}

host::Recipe load(const Scene& scene) { return attempt_new<host::Recipe>(autoround_recipe_load, scene.recipe.c_str()); }

namespace {

host::Calibration with_tokenizer(Scene& scene) {
  const host::Context context = logging_context(scene);
  host::Calibration data = host::make<host::Calibration>(autoround_calibration_new, context.get(), window);
  attempt(autoround_calibration_set_tokenizer, data.get(), scene.tokenizer.c_str());
  return data;
}

}  // namespace

host::Calibration read(Scene& scene) {
  host::Calibration data = with_tokenizer(scene);
  size_t added = 77;
  try {
    attempt(autoround_calibration_add_jsonl, data.get(), scene.data.c_str(), static_cast<const char*>(nullptr),
            size_t{0}, &added);
  } catch (const Failed&) {
    CHECK(added == 0);
    throw;
  }
  CHECK(added == autoround_calibration_sample_count(data.get()));
  return data;
}

void open_model(Scene& scene) { open(scene); }
void load_recipe(Scene& scene) { load(scene); }
void load_tokenizer(Scene& scene) { with_tokenizer(scene); }
void read_data(Scene& scene) { read(scene); }

void validate_recipe(Scene& scene) {
  const host::Recipe recipe = load(scene);
  const host::Model model = open(scene);
  attempt(autoround_recipe_validate, static_cast<const autoround_recipe*>(recipe.get()),
          static_cast<const autoround_model*>(model.get()));
}

void quantize(Scene& scene) {
  const host::Model model = open(scene);
  const host::Recipe recipe = load(scene);
  const host::Calibration data = read(scene);
  const host::Options options = host::make<host::Options>(autoround_options_new);
  host::ok(autoround_options_set_output, options.get(), scene.output.c_str(), "compressed-tensors");
  attempt_new<host::Result>(autoround_oneshot, model.get(), static_cast<const autoround_recipe*>(recipe.get()),
                            static_cast<const autoround_calibration*>(data.get()),
                            static_cast<const autoround_options*>(options.get()));
  const host::Model written = host::open(scene.output);
  double perplexity = 0.0;
  attempt(autoround_model_perplexity, written.get(), static_cast<const autoround_calibration*>(data.get()),
          static_cast<const autoround_options*>(nullptr), &perplexity);
  CHECK(std::isfinite(perplexity));
}

}  // namespace bad_input
