// One run: a model, a recipe, calibration data and options through the modifier's lifecycle. The stepwise calls and
// oneshot() give the same bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "recipe/recipe.hpp"
#include "session/model.hpp"
#include "session/options.hpp"
#include "session/result.hpp"

namespace autoround::session {

enum class State { created = 0, initialized = 1, started = 2, ended = 3, finalized = 4, failed = 5 };

class Session {
 public:
  /// `data` may be null when the recipe needs none (iters == 0).
  Session(std::shared_ptr<const Model> model, recipe::Recipe recipe, std::shared_ptr<const calibration::SampleSet> data,
          Options options);
  ~Session();

  State state() const noexcept;
  void initialize();
  void start();
  std::optional<std::size_t> next_block();  // nullopt after the last
  void sequential_epoch_end();
  void sequential_epoch_end(const std::vector<std::string>& module_names);
  void end();
  std::shared_ptr<const Result> finalize();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

std::shared_ptr<const Result> oneshot(std::shared_ptr<const Model> model, recipe::Recipe recipe,
                                      std::shared_ptr<const calibration::SampleSet> data, Options options);

/// What a run would do, as JSON: modules with their schemes or reasons, predicted memory, disk and time. Reads no
/// weights.
std::string plan(const Model& model, const recipe::Recipe& recipe, const calibration::SampleSet* data,
                 const Options& options);

}  // namespace autoround::session
