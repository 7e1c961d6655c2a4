#include "session/model.hpp"

#include <map>

#include "device/device.hpp"
#include "exporter/quantized_source.hpp"
#include "model/compute_threads.hpp"
#include "model/mapped_memory.hpp"
#include "model/ops.hpp"

namespace autoround::session {
namespace {

checkpoint::DType most_common_type(const checkpoint::Checkpoint& checkpoint) {
  std::map<checkpoint::DType, std::uint64_t> bytes;
  for (const auto& tensor : checkpoint.tensors()) bytes[tensor.dtype] += tensor.byte_size();
  checkpoint::DType best = checkpoint::DType::bf16;
  std::uint64_t most = 0;
  for (const auto& [type, size] : bytes)
    if (size > most) best = type, most = size;
  return best;
}

}  // namespace

std::shared_ptr<const Model> Model::open(const std::string& directory, const Logger& log, int threads) {
  auto opened = std::make_shared<Model>();
  opened->log_ = log;
  opened->threads_ = threads;
  opened->checkpoint_ = checkpoint::Checkpoint::open(directory, log);
  opened->spec_ = model::read_spec(*opened->checkpoint_);
  opened->modules_ = model::list_modules(opened->spec_, *opened->checkpoint_);
  for (const auto& tensor : opened->checkpoint_->tensors()) opened->parameters_ += tensor.element_count();
  opened->weight_type_ = most_common_type(*opened->checkpoint_);
  return opened;
}

model::CausalLm Model::causal_lm(at::ScalarType compute, at::Device device) const {
  return model::CausalLm(spec_, model::on_device(exporter::open_weights(checkpoint_), device), compute);
}

model::Perplexity Model::perplexity(const calibration::SampleSet& data, at::ScalarType compute, at::Device device,
                                    const CancelToken& cancel,
                                    const std::function<void(std::size_t, std::size_t)>& on_layer) const {
  if (data.size() == 0) fail(Code::invalid_argument, "data", "there are no windows of text to measure");
  const auto ids = at::from_blob(const_cast<std::int64_t*>(data.ids().data()),
                                 {static_cast<std::int64_t>(data.size()), data.sequence_length()}, at::kLong);
  const device::Scope scope(device);
  const model::ThreadCount threads(threads_);
  const model::KeptMemory::Scope memory;
  const auto inner = model::make_ops(device, {});
  const quant::InputQuantizers inputs = exporter::open_inputs(*checkpoint_);
  quant::InputOps ops(inputs, *inner);
  return model::perplexity(causal_lm(compute, device), ids, data.lengths(), ops, cancel, on_layer);
}

}  // namespace autoround::session
