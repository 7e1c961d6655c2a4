// AutoRoundModifier: resolves a recipe to one scheme a module, captures each block's inputs, tunes the block on the
// quantized stream against the full-precision output, and carries the quantized output to the next one. A block is a
// decoder layer, or `nblocks` of them in a row.
// Behaviour: llm-compressor 0.14 AutoRoundModifier, without the faults listed in docs/algorithm.md.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "modifier/input_capture.hpp"
#include "modifier/modifier.hpp"

namespace autoround::modifier {

/// Where a matched module stands; the names are compressed-tensors' QuantizationStatus.
enum class Status { initialized, calibration, frozen };

struct MatchedModule {
  const recipe::ModuleInfo* module = nullptr;
  recipe::QuantizationScheme scheme;
  quant::WeightFormat format;
  Status status = Status::initialized;
  bool quantized = false;  // scale and zero point are final
};

class AutoRoundModifier : public Modifier {
 public:
  explicit AutoRoundModifier(recipe::Recipe recipe);

  void on_initialize(Run& run) override;
  void on_start(Run& run) override;
  void on_sequential_epoch_end(Run& run, const Subgraph& subgraph) override;
  void on_end(Run& run) override;
  void on_finalize(Run& run) override;

  /// Instead of on_sequential_epoch_end for a block that an earlier run tuned: `weights` are what it made of it.
  /// Carries the same quantized stream on. last_block() is not touched.
  void restore_block(Run& run, const Subgraph& subgraph, const std::vector<quant::QuantizedWeight>& weights);

  /// Drops hooks and streams, which only blocks that are still to come need: after on_end, or when the run failed.
  void release() noexcept;

  const recipe::Recipe& recipe() const noexcept { return recipe_; }
  const recipe::Assignment& assignment() const noexcept { return assignment_; }  // after on_initialize
  const std::vector<MatchedModule>& matched() const noexcept { return matched_; }
  std::map<std::string, quant::WeightFormat> formats() const;                                   // by module name
  const std::map<std::string, quant::CacheFormat>& caches() const noexcept { return caches_; }  // by attention module
  /// Class of the layers that blocks are made of.
  const std::string& sequential_target() const noexcept { return sequential_target_; }
  /// The block whose decoding layers are among `modules`, by the index of its first layer; nullopt when none are. After
  /// on_start. @throws Error invalid_argument "only one decoding layer is expected, found N"
  std::optional<std::size_t> decoding_block(const std::vector<std::string>& modules) const;
  /// What the last tuned block gave; weights already handed on.
  const tuner::BlockResult& last_block() const noexcept { return last_block_; }
  /// What the hooks caught on the way into a block, named by its first layer; undefined before the data reached it and
  /// after it was tuned.
  const at::Tensor& captured_input(std::size_t block) const { return captures_.at(block / block_layers())->input(); }
  /// The quantized stream that the next block will see; undefined before the first and after the end.
  const at::Tensor& quantized_input() const noexcept { return q_input_; }

 private:
  void resolve(const Run& run);
  void check_calibrated_inputs(const Run& run) const;
  void check_tuning() const;
  void apply_autoround(Run& run, const Subgraph& subgraph);
  tuner::TuneOptions tuning(const Run& run) const;
  tuner::BlockData take_streams(const Run& run, const Subgraph& subgraph,
                                const std::map<std::string, quant::WeightFormat>& formats);
  void post_autoround_cleanup(const Subgraph& subgraph);
  void round_outside_blocks(Run& run);
  std::size_t block_layers() const noexcept { return static_cast<std::size_t>(recipe_.nblocks); }

  recipe::Recipe recipe_;
  recipe::Assignment assignment_;
  std::vector<MatchedModule> matched_;
  std::map<std::string, quant::CacheFormat> caches_;
  std::string sequential_target_;
  std::vector<std::string> layers_;                      // the decoder layers, in order
  std::vector<std::unique_ptr<InputCapture>> captures_;  // one a block
  at::Tensor q_input_;
  tuner::BlockResult last_block_;
};

}  // namespace autoround::modifier
