// One function a command. Each adds its options to the program and gives what to run when it was chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "handles.hpp"

namespace cli {

/// Flags that may be given to every command.
struct Common {
  bool json = false;   // a line of JSON for each event and the result, on stdout; nothing to `recipe convert`
  bool quiet = false;  // results only
  int threads = 0;     // 0: the library's default
};

/// A context whose log lines go to stderr: warnings always, the rest unless quiet or json.
Context make_context(const Common& common);
/// Stops runs politely on SIGINT: the first one requests, the second kills.
autoround_cancel* interruptible();

/// 0 and up. CLI::NonNegativeNumber is up to a double's maximum and prints its three hundred digits.
inline const CLI::Range kNotNegative(int64_t{0}, std::numeric_limits<int64_t>::max());

void add_quantize(CLI::App& app, const Common& common);
void add_perplexity(CLI::App& app, const Common& common);
void add_inspect(CLI::App& app, const Common& common);
void add_recipe(CLI::App& app, const Common& common);
void add_lists(CLI::App& app, const Common& common);  // schemes, formats, version

/// Adds a file of samples, tokenized by `tokenizer`, or by the model's when that is "": token ids need none.
void add_file(const Calibration& data, const std::string& file, size_t limit, bool drop_last, const std::string& model,
              const std::string& tokenizer);

/// Recipe options shared by quantize and inspect: a file, or a scheme and single keys.
struct RecipeArguments {
  std::string file, scheme, preset;
  std::optional<long long> group_size, iters, nsamples, batch_size, seqlen;  // the library knows their ranges
  bool asymmetric = false;
  std::vector<std::string> ignore, settings;  // settings: key=value

  void add_to(CLI::App& command);
  bool given() const;
  Recipe build() const;
};

/// Prints a prediction of autoround_model_plan: as a line with --json, otherwise for people.
void print_plan(const std::string& json, const Common& common, bool with_layers);

}  // namespace cli
