#include <thread>

#include "host.hpp"

TEST_CASE("errors: a path that is not there gives NOT_FOUND with the path", "[capi][errors]") {
  autoround_model* model = nullptr;
  const host::Failure said = host::failure(autoround_model_open, static_cast<autoround_context*>(nullptr),
                                           "/no/such/model", static_cast<const autoround_options*>(nullptr), &model);
  CHECK(said.status == AUTOROUND_ERROR_NOT_FOUND);
  CHECK((said.subject + said.message).find("/no/such/model") != std::string::npos);
  CHECK(model == nullptr);
}

TEST_CASE("errors: an error object outlives everything and may be read in another thread", "[capi][errors]") {
  autoround_error* error = nullptr;
  {
    const auto recipe = host::make<host::Recipe>(autoround_recipe_new);
    REQUIRE(autoround_recipe_set_int(recipe.get(), "no_such_key", 1, &error) == AUTOROUND_ERROR_INVALID_ARGUMENT);
  }
  std::string subject;
  std::thread([&] { subject = autoround_error_subject(error); }).join();
  CHECK(subject == "no_such_key");
  autoround_error_free(error);
}

TEST_CASE("errors: output inside the model, unknown format, two outputs in one place", "[capi][errors]") {
  host::Toy toy;
  const host::Failure unknown =
      host::failure(autoround_options_set_output, toy.options.get(), "x", "compresed-tensors");
  CHECK(unknown.status == AUTOROUND_ERROR_UNSUPPORTED);
  CHECK(unknown.message.find("compressed-tensors") != std::string::npos);

  host::ok(autoround_options_set_output, toy.options.get(), (toy.directory() + "/quantized").c_str(),
           "compressed-tensors");
  CHECK(toy.failing_oneshot().status == AUTOROUND_ERROR_INVALID_ARGUMENT);

  toy.options = host::make<host::Options>(autoround_options_new);
  std::filesystem::create_directory_symlink(toy.directory(), toy.folder / "link");
  host::ok(autoround_options_set_output, toy.options.get(), (toy.folder / "link").c_str(), "compressed-tensors");
  CHECK(toy.failing_oneshot().status == AUTOROUND_ERROR_INVALID_ARGUMENT);

  toy.options = host::make<host::Options>(autoround_options_new);
  toy.write_to("a");
  toy.write_to("a");
  CHECK(toy.failing_oneshot().status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(host::contents(toy.directory()).size() == 2);  // config and weights, untouched
}

TEST_CASE("errors: a device that is not there is told from a name that is none", "[capi][errors]") {
  const auto options = host::make<host::Options>(autoround_options_new);
  const host::Failure absent = host::failure(autoround_options_set_device, options.get(), "cuda:99");
  CHECK(absent.status == AUTOROUND_ERROR_UNSUPPORTED);
  CHECK(absent.subject == "device");
  const host::Failure misspelt = host::failure(autoround_options_set_device, options.get(), "cuda0");
  CHECK(misspelt.status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(misspelt.message.find("`cuda0`") != std::string::npos);
  host::ok(autoround_options_set_device, options.get(), "cpu");
  host::ok(autoround_options_set_memory_limit, options.get(), "cuda:99", int64_t{1});  // for another machine, perhaps

  if (autoround_has_feature("cuda"))
    host::ok(autoround_options_set_device, options.get(), "cuda");
  else
    CHECK(host::failure(autoround_options_set_device, options.get(), "cuda").status == AUTOROUND_ERROR_UNSUPPORTED);
}

TEST_CASE("errors: token ids outside the vocabulary", "[capi][errors]") {
  const host::Toy toy;
  const int64_t ids[] = {1, 64, 2};
  host::ok(autoround_calibration_add_tokens, toy.data.get(), static_cast<const int64_t*>(ids), size_t{3});
  const host::Failure said = toy.failing_oneshot();
  CHECK(said.status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(said.message.find("sample 8, token 1: id 64") != std::string::npos);
}

TEST_CASE("errors: layers that readers fuse must share a scheme", "[capi][errors]") {
  host::Toy toy;
  host::ok(autoround_recipe_append, toy.recipe.get(), "ignore", "re:.*v_proj");
  toy.write_to("out");
  const host::Failure said = toy.failing_oneshot();
  CHECK(said.status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(said.message.find("v_proj") != std::string::npos);
  CHECK(host::siblings(toy).size() == 1);
}

TEST_CASE("errors: weights that are not finite name the tensor", "[capi][errors]") {
  host::Toy toy;
  {
    std::fstream file(toy.directory() + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-70 * 2, std::ios::end);  // inside the last layer's weights
    const char not_a_number[] = {'\xC0', '\x7F'};
    for (int i = 0; i < 70; ++i) file.write(not_a_number, 2);
  }
  toy.write_to("out");
  const host::Failure said = toy.failing_oneshot();
  CHECK((said.status == AUTOROUND_ERROR_PARSE || said.status == AUTOROUND_ERROR_NUMERIC));
  CHECK((said.subject + said.message).find("model.layers.1") != std::string::npos);
  CHECK(host::siblings(toy).size() == 1);
}
