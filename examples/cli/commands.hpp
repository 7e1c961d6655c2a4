// One function a command. Each adds its options to the program and gives what to run when it was chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "handles.hpp"

namespace cli {

/// Flags that every command understands.
struct Common {
  bool json = false;   // one JSON object an event and a result, on stdout
  bool quiet = false;  // results only
  int threads = 0;     // 0: the library's default
};

/// A context whose log lines go to stderr: warnings always, the rest unless quiet or json.
Context make_context(const Common& common);
/// Stops runs politely on SIGINT: the first one requests, the second kills.
autoround_cancel* interruptible();
std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& text);

void add_quantize(CLI::App& app, const Common& common);
void add_perplexity(CLI::App& app, const Common& common);
void add_inspect(CLI::App& app, const Common& common);
void add_recipe(CLI::App& app);
void add_lists(CLI::App& app, const Common& common);  // schemes, formats, version

/// Adds a file of samples, tokenized by `tokenizer`, or by the model's when that is "": token ids need none.
void add_file(const Calibration& data, const std::string& file, size_t limit, bool drop_last, const std::string& model,
              const std::string& tokenizer);

/// Recipe options shared by quantize and inspect: a file, or a scheme and single keys.
struct RecipeArguments {
  std::string file, scheme, preset;
  long long group_size = 0, iters = -1, nsamples = -1, batch_size = -1, seqlen = -1;
  bool asymmetric = false;
  std::vector<std::string> ignore, settings;  // settings: key=value

  void add_to(CLI::App& command);
  Recipe build() const;
};

/// Prints a prediction of autoround_model_plan for people.
void print_plan(const std::string& json, bool with_layers);

}  // namespace cli
