// A checkpoint with its architecture understood: what autoround_model is. Opening reads headers only; weights come
// layer by layer during a run.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "base/log.hpp"
#include "calibration/sample_set.hpp"
#include "checkpoint/checkpoint.hpp"
#include "model/causal_lm.hpp"

namespace autoround::session {

class Model {
 public:
  /// @param threads that work on what is done with it; 0: as many as the calling thread has
  /// @throws Error not_found, io, parse, unsupported, each naming file, key or tensor.
  static std::shared_ptr<const Model> open(const std::string& directory, const Logger& log, int threads = 0);

  const checkpoint::Checkpoint& checkpoint() const noexcept { return *checkpoint_; }
  const model::DecoderSpec& spec() const noexcept { return spec_; }
  const std::vector<recipe::ModuleInfo>& modules() const noexcept { return modules_; }
  const Logger& log() const noexcept { return log_; }
  int threads() const noexcept { return threads_; }
  std::int64_t parameter_count() const noexcept { return parameters_; }
  bool is_quantized() const { return checkpoint_->config().is_quantized(); }
  checkpoint::DType weight_type() const noexcept { return weight_type_; }  // of most weights

  /// Reads full-precision and quantized folders.
  model::CausalLm causal_lm(at::ScalarType compute, at::Device device = at::kCPU) const;
  model::Perplexity perplexity(const calibration::SampleSet& data, at::ScalarType compute, at::Device device,
                               const CancelToken& cancel,
                               const std::function<void(std::size_t, std::size_t)>& on_layer) const;

 private:
  std::shared_ptr<const checkpoint::Checkpoint> checkpoint_;
  model::DecoderSpec spec_;
  std::vector<recipe::ModuleInfo> modules_;
  Logger log_;
  int threads_ = 0;
  std::int64_t parameters_ = 0;
  checkpoint::DType weight_type_ = checkpoint::DType::bf16;
};

}  // namespace autoround::session
