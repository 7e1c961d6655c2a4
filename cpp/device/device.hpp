// The processor that a run computes on: the CPU, or a CUDA device, whose libraries are loaded when it is first named.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/StreamGuard.h>

#include <optional>
#include <string>

#include "device/kernels.hpp"

namespace autoround::device {

/// "cpu", "cuda" (its first device) or "cuda:1". Loads nothing. @throws Error invalid_argument: no such name
c10::Device parse(const std::string& name);

/// Sees to it that what runs on `device` can run there: loads libtorch_cuda.so and libautoround_cuda.so, which takes
/// seconds the first time, and looks for the device. Nothing to do for the CPU. Any thread.
/// @throws Error unsupported, naming what is missing and where it was looked for
void require(c10::Device device);

/// The kernels of a device that was required. @throws Error internal: it is the CPU
const Kernels& kernels(c10::Device device);

/// Whether require(cuda) would succeed. Loads what it needs to find out.
bool has_cuda() noexcept;

/// Of bf16 or fp32, which is all that kernels compute with.
inline Element element_of(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 ? Element::bf16 : Element::f32;
}
inline ScaleType scale_type_of(at::ScalarType type) {
  if (type == at::kHalf) return ScaleType::f16;
  return type == at::kBFloat16 ? ScaleType::bf16 : ScaleType::f32;
}

/// A stream of `device` on which nobody else queues anything: a run that is recorded as a graph must not record what
/// other runs do, and memory is handed on without waiting only within a stream. Its end gives back what LibTorch
/// caches. Nothing for the CPU.
class OwnStream {
 public:
  /// One that was given back, or a new one. @throws Error as require()
  explicit OwnStream(c10::Device device);
  ~OwnStream();
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  c10::Device device() const { return device_; }

 private:
  friend class Scope;
  c10::Device device_;
  std::optional<c10::Stream> stream_;
};

/// While it lives, this thread computes on the stream and its device; what was current before comes back with its end.
/// Nothing happens for the CPU.
class Scope {
 public:
  explicit Scope(const OwnStream& stream);
  /// On a stream for this scope alone. @throws Error as require()
  explicit Scope(c10::Device device);

 private:
  std::optional<OwnStream> own_;
  std::optional<c10::StreamGuard> stream_;  // sets the device too
};

/// Waits for what this thread's current stream of `device` has queued. Nothing to do for the CPU.
void synchronize(c10::Device device);

/// Memory of the host that what is queued on this thread's current stream of `device` reads and writes. Its end waits
/// for that; where the device is lost it is never given back, since LibTorch would end the process over it.
at::Tensor pinned_tensor(at::IntArrayRef sizes, at::ScalarType dtype, c10::Device device);

/// Gives memory that LibTorch caches for later, on the device and pinned on the host, back to the system. What the
/// device cannot say any more it does not say here. Nothing to do for the CPU.
void release_memory(c10::Device device) noexcept;

}  // namespace autoround::device
