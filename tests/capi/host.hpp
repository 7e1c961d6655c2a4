// What the tests of the C ABI share: owners for handles, a toy model on disk, a recipe that takes a moment.
#pragma once

#include <autoround/autoround.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/temporary_directory.hpp"
#include "support/toy_checkpoint.h"

namespace host {

template <class T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* handle) const noexcept { Free(handle); }
};
template <class T, void (*Free)(T*)>
using Handle = std::unique_ptr<T, Deleter<T, Free>>;

using Error = Handle<autoround_error, autoround_error_free>;
using Context = Handle<autoround_context, autoround_context_free>;
using Cancel = Handle<autoround_cancel, autoround_cancel_free>;
using Recipe = Handle<autoround_recipe, autoround_recipe_free>;
using Model = Handle<autoround_model, autoround_model_free>;
using Calibration = Handle<autoround_calibration, autoround_calibration_free>;
using Options = Handle<autoround_options, autoround_options_free>;
using Layer = Handle<autoround_layer, autoround_layer_free>;
using Session = Handle<autoround_session, autoround_session_free>;
using Result = Handle<autoround_result, autoround_result_free>;
using Tensor = Handle<autoround_tensor, autoround_tensor_free>;
using Text = Handle<char, autoround_string_free>;

/// Calls function(arguments..., &error) and requires OK (or DONE); the message shows when it is not.
template <class Function, class... Arguments>
autoround_status ok(Function function, Arguments... arguments) {
  autoround_error* raw = nullptr;
  const autoround_status status = function(arguments..., &raw);
  const Error error(raw);
  INFO(autoround_error_subject(raw) << ": " << autoround_error_message(raw));
  REQUIRE(status >= AUTOROUND_OK);
  REQUIRE(raw == nullptr);
  return status;
}

template <class Owner, class Function, class... Arguments>
Owner make(Function function, Arguments... arguments) {
  typename Owner::pointer out = nullptr;
  ok(function, arguments..., &out);
  REQUIRE(out != nullptr);
  return Owner(out);
}

struct Failure {
  autoround_status status;
  std::string subject, message;
  int line, column;
};

/// Calls function(arguments..., &error), requires that it fails, and gives what it said.
template <class Function, class... Arguments>
Failure failure(Function function, Arguments... arguments) {
  autoround_error* raw = nullptr;
  const autoround_status status = function(arguments..., &raw);
  const Error error(raw);
  REQUIRE(status < AUTOROUND_OK);
  REQUIRE(raw != nullptr);
  REQUIRE(autoround_error_status(raw) == status);
  REQUIRE(std::string(autoround_error_message(raw)) != "");
  return {status, autoround_error_subject(raw), autoround_error_message(raw), autoround_error_line(raw),
          autoround_error_column(raw)};
}

inline Model open(const std::string& directory) {
  return make<Model>(autoround_model_open, static_cast<autoround_context*>(nullptr), directory.c_str(),
                     static_cast<const autoround_options*>(nullptr));
}

/// A toy checkpoint on disk, opened, with token windows to calibrate on and a recipe: int4, group 32, 4 iterations.
struct Toy {
  explicit Toy(toy_shape shape = toy_default(), int64_t iters = 4) : vocab(shape.vocab) {
    REQUIRE(toy_checkpoint_write(directory().c_str(), &shape) == 0);
    model = open(directory());
    recipe = make<Recipe>(autoround_recipe_new);
    ok(autoround_recipe_set_string, recipe.get(), "scheme", "W4A16");
    ok(autoround_recipe_set_int, recipe.get(), "weights.group_size", int64_t{32});
    ok(autoround_recipe_append, recipe.get(), "ignore", "lm_head");
    ok(autoround_recipe_set_int, recipe.get(), "iters", iters);
    ok(autoround_recipe_set_int, recipe.get(), "batch_size", int64_t{4});
    data = make<Calibration>(autoround_calibration_new, static_cast<autoround_context*>(nullptr), int64_t{16});
    for (int sample = 0; sample < 8; ++sample) {
      std::vector<int64_t> ids;
      for (int i = 0; i < 16 - sample % 3; ++i) ids.push_back((7 * sample + 3 * i * i + i) % vocab);  // some are short
      ok(autoround_calibration_add_tokens, data.get(), static_cast<const int64_t*>(ids.data()), ids.size());
    }
    options = make<Options>(autoround_options_new);
  }

  std::string directory() const { return folder / "model"; }
  std::string output(const std::string& name = "out") const { return folder / name; }
  void write_to(const std::string& name, const char* format = "compressed-tensors") {
    ok(autoround_options_set_output, options.get(), output(name).c_str(), format);
  }
  Session session() const {
    return make<Session>(autoround_session_new, model.get(), static_cast<const autoround_recipe*>(recipe.get()),
                         static_cast<const autoround_calibration*>(data.get()),
                         static_cast<const autoround_options*>(options.get()));
  }
  Result oneshot() const {
    return make<Result>(autoround_oneshot, model.get(), static_cast<const autoround_recipe*>(recipe.get()),
                        static_cast<const autoround_calibration*>(data.get()),
                        static_cast<const autoround_options*>(options.get()));
  }
  Failure failing_oneshot() const {
    autoround_result* none = nullptr;
    const Failure said = failure(autoround_oneshot, model.get(), static_cast<const autoround_recipe*>(recipe.get()),
                                 static_cast<const autoround_calibration*>(data.get()),
                                 static_cast<const autoround_options*>(options.get()), &none);
    CHECK(none == nullptr);
    return said;
  }

  autoround::test::TemporaryDirectory folder;
  int vocab;
  Model model;
  Recipe recipe;
  Calibration data;
  Options options;
};

/// Every file of a folder by name; empty when there is no folder.
inline std::map<std::string, std::string> contents(const std::string& directory) {
  std::map<std::string, std::string> files;
  if (!std::filesystem::exists(directory)) return files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    std::ifstream file(entry.path(), std::ios::binary);
    files[entry.path().filename().string()] = {std::istreambuf_iterator<char>(file), {}};
  }
  return files;
}

/// Names in the folder that holds the outputs, hidden ones included: what a failed run left behind.
inline std::vector<std::string> siblings(const Toy& toy) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(toy.folder.path()))
    names.push_back(entry.path().filename().string());
  return names;
}

}  // namespace host
