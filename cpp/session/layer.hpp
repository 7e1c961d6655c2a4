// One linear layer of a host that has model code of its own: its weight and what came into it while the host ran its
// model. Tuned by the same tuner as the blocks of a checkpoint, against the layer's own full-precision output.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "recipe/recipe.hpp"
#include "session/memory_plan.hpp"
#include "session/options.hpp"
#include "session/report.hpp"
#include "session/result.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround::session {

class Layer {
 public:
  /// @param weight [out, in] @param bias [out] or undefined
  /// @throws Error invalid_argument (name, shape), unsupported (type), numeric (NaN or infinity, with its place)
  /// @param threads that tune it; 0: as many as the calling thread has
  Layer(std::string name, at::Tensor weight, at::Tensor bias, Logger log, int threads = 0);

  /// Shares the memory of both, which must not change as long as the layer is there.
  /// @param inputs [tokens, in], one sample, or [samples, tokens, in]
  /// @param targets the same with `out`; undefined: what the layer makes of the inputs. For all samples or for none.
  /// @throws Error as the constructor
  void add_inputs(const at::Tensor& inputs, const at::Tensor& targets);

  std::int64_t sample_count() const noexcept;
  std::int64_t token_count() const noexcept;

  /// Leaves the layer as it is: it may be tuned again, otherwise. One block and one layer in the result.
  /// @throws Error invalid_argument, unsupported, numeric, cancelled
  std::shared_ptr<const Result> tune(recipe::Recipe recipe, Options options) const;

 private:
  struct Samples {
    at::Tensor inputs, targets;  // [count * tokens, in], [count * tokens, out] or undefined
    std::int64_t count = 0, tokens = 0;
  };
  std::int64_t out() const { return weight_.size(0); }
  std::int64_t in() const { return weight_.size(1); }
  std::int64_t longest_sample() const noexcept;
  at::Tensor rows(const at::Tensor& given, std::int64_t width, const char* what) const;
  void check_run(const recipe::Recipe& recipe, const quant::WeightFormat& format, const Options& options) const;
  RunShape shape(const Options& options) const;
  MemoryPlan memory(const recipe::Recipe& recipe, const std::map<std::string, quant::WeightFormat>& formats,
                    const Options& options) const;
  at::Tensor stream(at::Tensor Samples::*part, at::ScalarType type, const model::StreamArena& streams) const;
  tuner::BlockData data(const tuner::Block& block, const std::map<std::string, quant::WeightFormat>& formats,
                        const tuner::TuneOptions& tuning, model::StreamArena streams, const Options& options) const;
  tuner::BlockResult quantize(const std::map<std::string, quant::WeightFormat>& formats, const recipe::Recipe& recipe,
                              const MemoryPlan& memory, const Options& options,
                              const std::function<void(const tuner::Iteration&)>& on_iteration) const;
  RunFacts facts() const;

  std::string name_;
  at::Tensor weight_, bias_;
  Logger log_;
  int threads_;
  std::vector<Samples> samples_;
};

}  // namespace autoround::session
