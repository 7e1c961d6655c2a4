// A good toy checkpoint, recipe, tokenizer and calibration file, to be spoiled in one way each, and the calls that meet
// them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "capi/host.hpp"

namespace bad_input {

/// Files of one row. Calls read the paths from here, so that a row may also lead them elsewhere.
struct Scene {
  Scene();

  /// Replaces the first `from` of a file, which must be there. @param from "" for the beginning of the file
  void replace(const std::string& file, std::string_view from, std::string_view to) const;
  void append(const std::string& file, std::string_view bytes) const;
  void set_config(const std::string& key, const std::string& value) const;  // of a key that is there
  void add_config(const std::string& key, const std::string& value) const;  // in front of all others
  void write_recipe(const std::string& name, std::string_view text);  // "recipe.toml"; the calls load that one then
  std::string config() const { return model + "/config.json"; }
  std::string weights() const { return model + "/model.safetensors"; }
  std::string index() const { return model + "/model.safetensors.index.json"; }

  autoround::test::TemporaryDirectory folder;
  std::string model = folder / "model";
  std::string recipe = folder / "recipe.yaml";
  std::string tokenizer = folder / "tokenizer/tokenizer.json";
  std::string data = folder / "data.jsonl";
  std::string output = folder / "out";
  std::string log;  // what the calls logged, one line each
};

/// The first call of a chain that failed.
struct Failed {
  autoround_status status;
  std::string said;  // "SUBJECT (line N): MESSAGE"
};
Failed failure_of(const autoround_error* error);

/// Calls function(arguments..., &error). @throws Failed
template <class Function, class... Arguments>
void attempt(Function function, Arguments... arguments) {
  autoround_error* raw = nullptr;
  const autoround_status status = function(arguments..., &raw);
  const host::Error error(raw);
  if (status < AUTOROUND_OK) throw failure_of(raw);
}

/// The same for a function that gives a handle, which must be set to NULL when there is none.
template <class Owner, class Function, class... Arguments>
Owner attempt_new(Function function, Arguments... arguments) {
  int here = 0;
  auto out = reinterpret_cast<typename Owner::pointer>(&here);
  try {
    attempt(function, arguments..., &out);
  } catch (const Failed&) {
    CHECK(out == nullptr);
    throw;
  }
  return Owner(out);
}

host::Context logging_context(Scene& scene);
host::Model open(Scene& scene);
host::Recipe load(const Scene& scene);
host::Calibration read(Scene& scene);

// Calls of the table. @throws Failed
void open_model(Scene& scene);
void load_recipe(Scene& scene);
void validate_recipe(Scene& scene);  // against the model
void load_tokenizer(Scene& scene);
void read_data(Scene& scene);  // with the tokenizer
/// Quantizes the model into `output`, and measures what was written: it must be finite.
void quantize(Scene& scene);

}  // namespace bad_input
