// Weights of a host for a device. What was announced is read while the device works on something else, into pinned
// memory, and only the copy is left to do; what was not, or could not be read ahead, is read when it is asked for.
#include <ATen/ops/empty.h>

#include <atomic>
#include <map>
#include <stdexcept>
#include <utility>

#include "base/background.hpp"
#include "model/compute_threads.hpp"
#include "model/weight_source.hpp"

namespace autoround::model {
namespace {

using Tensors = std::map<std::string, at::Tensor>;  // by name

/// Keeps what is loaded from it and gives tensors without memory.
class Reader final : public WeightSource {
 public:
  Reader(const WeightSource& host, bool pinned, const std::atomic<bool>& unwanted, Tensors& read)
      : host_(host), pinned_(pinned), unwanted_(unwanted), read_(read) {}

  at::Device device() const override { return at::kMeta; }
  bool has(const std::string& name) const override { return host_.has(name); }
  at::Tensor load(const std::string& name, at::ScalarType dtype) const override {
    stop_if_unwanted();
    const at::Tensor loaded = host_.load(name, dtype);
    read_.insert_or_assign(name, loaded);
    return at::empty(loaded.sizes(), loaded.options().device(at::kMeta));
  }
  void load_into(const std::string& name, at::Tensor out) const override {
    stop_if_unwanted();
    const auto options = at::TensorOptions(out.scalar_type()).pinned_memory(pinned_);
    at::Tensor loaded = at::empty(out.sizes(), options);
    host_.load_into(name, loaded);
    read_.insert_or_assign(name, std::move(loaded));
  }
  at::Tensor load_rows(const std::string& name, const at::Tensor& ids, at::ScalarType dtype) const override {
    return host_.load_rows(name, ids, dtype);
  }

 private:
  void stop_if_unwanted() const {
    if (unwanted_) throw std::runtime_error("nobody waits for these weights");  // caught where the thread reads
  }

  const WeightSource& host_;
  bool pinned_;
  const std::atomic<bool>& unwanted_;
  Tensors& read_;
};

class DeviceWeights final : public WeightSource {
 public:
  DeviceWeights(std::shared_ptr<WeightSource> host, at::Device device) : host_(std::move(host)), device_(device) {}
  ~DeviceWeights() override { unwanted_ = true; }

  at::Device device() const override { return device_; }
  bool has(const std::string& name) const override { return host_->has(name); }

  at::Tensor load(const std::string& name, at::ScalarType dtype) const override {
    const at::Tensor ahead = take_ahead(name, dtype);
    return (ahead.defined() ? ahead : host_->load(name, dtype)).to(device_);
  }

  void load_into(const std::string& name, at::Tensor out) const override {
    const at::Tensor ahead = take_ahead(name, out.scalar_type());
    if (ahead.defined() && ahead.sizes() == out.sizes()) {
      out.copy_(ahead, /*non_blocking=*/true);  // pinned memory is not used again before it is copied
      return;
    }
    const at::Tensor loaded = at::empty(out.sizes(), out.scalar_type());
    host_->load_into(name, loaded);
    out.copy_(loaded);
  }

  at::Tensor load_rows(const std::string& name, const at::Tensor& ids, at::ScalarType dtype) const override {
    return host_->load_rows(name, ids, dtype);
  }

  void will_load(const std::string& prefix, const Load& load) const override {
    host_->will_load(prefix, load);
    reading_.run([this, load] {
      const ThreadCount alone(1);  // the others are those of what is tuned meanwhile
      try {
        load(Reader(*host_, device_.is_cuda(), unwanted_, ahead_));
      } catch (const std::exception&) {
        // What cannot be read fails again when it is asked for, and is said there.
        ahead_.clear();
      }
    });
  }

 private:
  /// Each tensor once. Undefined: it was not announced, or as something else.
  at::Tensor take_ahead(const std::string& name, at::ScalarType dtype) const {
    reading_.wait();
    const auto taken = ahead_.extract(name);
    return !taken.empty() && taken.mapped().scalar_type() == dtype ? taken.mapped() : at::Tensor();
  }

  std::shared_ptr<WeightSource> host_;
  at::Device device_;
  std::atomic<bool> unwanted_ = false;  // nobody will ask any more
  mutable Tensors ahead_;               // the thread's until it has read them
  mutable Background reading_;          // ends before them
};

}  // namespace

std::shared_ptr<WeightSource> on_device(std::shared_ptr<WeightSource> weights, at::Device device) {
  if (device == weights->device()) return weights;
  return std::make_shared<DeviceWeights>(std::move(weights), device);
}

}  // namespace autoround::model
