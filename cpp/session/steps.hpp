// What each step of a run does. Session sees to their order and to what becomes of a run that fails.
#pragma once

#include <c10/core/InferenceMode.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/stopwatch.hpp"
#include "device/device.hpp"
#include "model/compute_threads.hpp"
#include "model/mapped_memory.hpp"
#include "modifier/autoround_modifier.hpp"
#include "session/model.hpp"
#include "session/options.hpp"
#include "session/outputs.hpp"
#include "session/pipeline.hpp"
#include "session/predict.hpp"
#include "session/result.hpp"

namespace autoround::session {

class Steps {
 public:
  Steps(std::shared_ptr<const Model> model, recipe::Recipe recipe, std::shared_ptr<const calibration::SampleSet> data,
        Options options);

  /// Where steps run: on this run's stream, with its threads and its kept memory. Ends on the thread that made it.
  /// @throws Error cancelled
  class Scope {
   public:
    explicit Scope(Steps& steps);

   private:
    device::Scope stream_;
    model::ThreadCount threads_;
    model::KeptMemory::Scope memory_;
    c10::InferenceMode off_{false};  // the host's may be on, and its tensors could not be saved for backward
  };

  void initialize();
  void start();
  std::optional<std::size_t> next_block();  // first of its layers; nullopt after the last
  /// Tunes the block that was reached, or of it those modules, and writes it.
  void tune(const std::vector<std::string>& module_names);
  void end();
  std::shared_ptr<const Result> finalize();
  /// Half-written outputs go, or with `resume` stay for a later run.
  void abandon();

  const Model& model() const noexcept { return *model_; }
  /// First layer of the block that the data has reached and that is not tuned yet.
  std::optional<std::size_t> reached() const;
  std::vector<std::string> reached_modules() const;
  std::size_t tuned_layers() const;
  /// As AutoRoundModifier::decoding_block.
  std::optional<std::size_t> block_of(const std::vector<std::string>& module_names) const;

 private:
  struct Reached {
    std::size_t first, layers;  // of the model's decoder layers
    std::string name;
    std::int64_t index() const { return static_cast<std::int64_t>(first); }
  };

  const device::OwnStream& stream();
  void release();
  std::size_t samples() const;
  bool uses_data() const { return samples() > 0; }
  at::Tensor token_ids() const;
  exporter::ExportPlan export_plan() const;
  void emit(EventKind kind, std::int64_t block, const std::string& name, double done_in_block,
            std::int64_t iteration = -1, double loss = std::numeric_limits<double>::quiet_NaN(),
            std::vector<at::Tensor> inputs = {}) const;
  void count_weight(const quant::QuantizedWeight& weight);
  void on_weight(quant::QuantizedWeight&& weight);
  BlockStats tune_block(const modifier::Subgraph& subgraph);
  BlockStats restore_block(const modifier::Subgraph& subgraph, const Outputs::KeptBlock& kept);

  std::optional<device::OwnStream> own_stream_;  // of one step after the other: memory goes from each to the next
  std::shared_ptr<const Model> model_;
  std::shared_ptr<const calibration::SampleSet> data_;
  Options options_;
  recipe::Recipe recipe_;

  modifier::HookRegistry hooks_;
  std::unique_ptr<modifier::AutoRoundModifier> modifier_;
  std::optional<model::CausalLm> lm_;
  std::optional<modifier::Run> run_;
  RunShape shape_;
  std::shared_ptr<model::KeptMemory> kept_memory_ = std::make_shared<model::KeptMemory>();  // from layer to layer
  std::optional<exporter::ExportPlan> plan_;
  std::optional<Outputs> outputs_;
  std::optional<SequentialPipeline> pipeline_;
  std::optional<Reached> reached_;
  std::shared_ptr<Result> result_ = std::make_shared<Result>();
  Stopwatch clock_;
};

}  // namespace autoround::session
