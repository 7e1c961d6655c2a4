#include "device/device.hpp"

#include <ATen/Context.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/ones.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <charconv>
#include <map>
#include <mutex>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"
#include "device/plugin.hpp"

namespace autoround::device {
namespace {

constexpr const char* kDriver = "libcuda.so.1";
constexpr int kLeastCapability = 80;  // that the plug-in has machine code for

std::string in_digits(int capability) {
  return concat({std::to_string(capability / 10), ".", std::to_string(capability % 10)});
}

c10::impl::VirtualGuardImpl cuda() { return c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA); }

/// Keeps what LibTorch would print.
class Listener final : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override { heard += concat({heard.empty() ? "" : "; ", warning.msg()}); }
  std::string heard;
};

int count_devices() {
  Listener listener;
  const c10::WarningUtils::WarningHandlerGuard guard(&listener);
  const int count = cuda().deviceCount();
  if (count > 0) return count;
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  fail(Code::unsupported, "device",
       concat({"this machine's driver shows no CUDA device", visible ? "; CUDA_VISIBLE_DEVICES is " : "",
               visible ? quote(visible) : "", listener.heard.empty() ? "" : "; ", listener.heard}));
}

/// All of CUDA in the process, once. The driver is asked first: without one, the rest need not be loaded.
struct Cuda {
  Cuda() {
    if (!::dlopen(kDriver, RTLD_LAZY)) {
      const char* text = ::dlerror();
      fail(Code::unsupported, "device",
           concat({"this machine has no NVIDIA driver, or none that is found: ", text ? text : kDriver}));
    }
    kernels = &load_plugin();
    devices = count_devices();
    // LibTorch looks for its CUDA half once, at the latest in the first backward pass, and remembers that it was not
    // there.
    if (!at::detail::getCUDAHooks().hasCUDA())
      fail(Code::unsupported, "device",
           "LibTorch has computed in this process before its CUDA libraries were loaded and cannot take them in any "
           "more; "
           "name the device before anything is tuned on the CPU");
    try {
      at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);
    } catch (const c10::Error& error) {
      fail(Code::unsupported, "device", concat({"CUDA does not start: ", error.what_without_backtrace()}));
    }
  }

  const Kernels* kernels;
  int devices;
};

/// @throws Error what it threw the first time
const Cuda& loaded_cuda() {
  struct Outcome {
    std::optional<Cuda> cuda;
    std::optional<Error> failure;
  };
  static const Outcome outcome = [] {
    Outcome made;
    try {
      made.cuda.emplace();
    } catch (const Error& error) {
      made.failure = error;
    }
    return made;
  }();
  if (outcome.failure) throw Error(*outcome.failure);
  return *outcome.cuda;
}

/// LibTorch's backward passes run on a thread of their own for each device. One whose first work is a matrix product
/// would warn that it has no context of the device yet.
void wake_backward(c10::Device device) {
  const c10::InferenceMode off(false);  // the host's may be on
  const at::AutoGradMode record(true);
  const at::Tensor one = at::ones({}, at::device(device).dtype(at::kFloat)).requires_grad_(true);
  (one + one).backward();
}

/// Streams without a holder. None is ever destroyed: LibTorch caches memory for each that there was.
class IdleStreams {
 public:
  static IdleStreams& of_process() {
    static auto* streams = new IdleStreams;  // outlives whoever gives one back while the process ends
    return *streams;
  }

  c10::Stream take(c10::Device device) {
    const std::lock_guard lock(mutex_);
    auto found = streams_.find(device.index());
    if (found == streams_.end()) {
      wake_backward(device);
      found = streams_.try_emplace(device.index()).first;
    }
    Streams& streams = found->second;
    if (streams.idle.empty()) {
      streams.idle.reserve(streams.made + 1);
      ++streams.made;
      return c10::Stream(c10::Stream::UNSAFE, device, kernels(device).make_stream(device.index()));
    }
    const c10::Stream stream = streams.idle.back();  // given back last: memory cached for it is the most likely to fit
    streams.idle.pop_back();
    return stream;
  }
  void give_back(c10::Stream stream) noexcept {
    const std::lock_guard lock(mutex_);
    streams_.at(stream.device_index()).idle.push_back(stream);
  }

 private:
  struct Streams {
    std::size_t made = 0;
    std::vector<c10::Stream> idle;  // has room for all that were made
  };
  std::mutex mutex_;
  std::map<c10::DeviceIndex, Streams> streams_;
};

}  // namespace

c10::Device parse(const std::string& name) {
  if (name == "cpu") return c10::Device(c10::DeviceType::CPU);
  if (name == "cuda") return c10::Device(c10::DeviceType::CUDA, 0);
  constexpr std::string_view prefix = "cuda:";
  c10::DeviceIndex index = -1;
  if (name.compare(0, prefix.size(), prefix) == 0) {
    const char* end = name.data() + name.size();
    const auto read = std::from_chars(name.data() + prefix.size(), end, index);
    if (read.ec != std::errc() || read.ptr != end) index = -1;
  }
  if (index < 0)
    fail(Code::invalid_argument, "device", concat({quote(name), " is not a device; cpu, cuda and cuda:N are"}));
  return c10::Device(c10::DeviceType::CUDA, index);
}

void require(c10::Device device) {
  if (device.is_cpu()) return;
  const int devices = loaded_cuda().devices;
  if (device.index() >= devices)
    fail(Code::unsupported, "device",
         concat({device.str(), " is not there; this machine has ", std::to_string(devices)}));
  const int capability = kernels(device).capability(device.index());
  if (capability < kLeastCapability)
    fail(Code::unsupported, "device",
         concat({device.str(), " is of compute capability ", in_digits(capability), "; ", in_digits(kLeastCapability),
                 " or newer is needed"}));
}

const Kernels& kernels(c10::Device device) {
  if (device.is_cpu()) fail(Code::internal, "device", "the CPU has no kernels of a device");
  return *loaded_cuda().kernels;
}

bool has_cuda() noexcept {
  try {
    require(c10::Device(c10::DeviceType::CUDA, 0));
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

OwnStream::OwnStream(c10::Device device) : device_(device) {
  require(device);
  if (!device.is_cpu()) stream_ = IdleStreams::of_process().take(device);
}

OwnStream::~OwnStream() {
  if (!stream_) return;
  release_memory(device_);
  IdleStreams::of_process().give_back(*stream_);
}

Scope::Scope(const OwnStream& stream) {
  if (stream.stream_) stream_.emplace(*stream.stream_);
}

Scope::Scope(c10::Device device) : own_(device) {
  if (own_->stream_) stream_.emplace(*own_->stream_);
}

void synchronize(c10::Device device) {
  if (!device.is_cpu()) cuda().synchronizeStream(cuda().getStream(device));
}

at::Tensor pinned_tensor(at::IntArrayRef sizes, at::ScalarType dtype, c10::Device device) {
  at::Tensor host = at::empty(sizes, at::TensorOptions(dtype).pinned_memory(true));
  void* const memory = host.mutable_data_ptr();
  const auto give_back = [host = std::move(host), stream = cuda().getStream(device)](void*) mutable noexcept {
    try {
      stream.synchronize();
    } catch (const std::exception&) {
      host.unsafeReleaseTensorImpl();  // its own end would ask the device again, where nothing may be thrown
    }
  };
  return at::from_blob(memory, sizes, give_back, at::TensorOptions(dtype));
}

void release_memory(c10::Device device) noexcept {
  if (device.is_cpu()) return;
  try {
    kernels(device).release_memory();
    at::getHostAllocator(device.type())->empty_cache();
  } catch (const std::exception&) {
    // A device that is lost has said so before.
  }
}

}  // namespace autoround::device
