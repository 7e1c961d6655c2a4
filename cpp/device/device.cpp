#include "device/device.hpp"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <charconv>
#include <map>
#include <mutex>

#include "base/error.hpp"
#include "base/text.hpp"
#include "device/plugin.hpp"

namespace autoround::device {
namespace {

constexpr const char* kDriver = "libcuda.so.1";

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
  const at::AutoGradMode record(true);
  const at::Tensor one = at::ones({}, at::device(device).dtype(at::kFloat)).requires_grad_(true);
  (one + one).backward();
}

/// One for each device, for the life of the process: memory that was used on a stream is cached for that stream.
c10::Stream own_stream(c10::Device device) {
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, c10::Stream> streams;
  const std::lock_guard lock(mutex);
  const auto found = streams.find(device.index());
  if (found != streams.end()) return found->second;
  wake_backward(device);
  return streams.emplace(device.index(), cuda().getStreamFromGlobalPool(device)).first->second;
}

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
}

const Kernels& kernels(c10::Device device) {
  if (device.is_cpu()) fail(Code::internal, "device", "the CPU has no kernels of a device");
  return *loaded_cuda().kernels;
}

bool has_cuda() noexcept {
  try {
    loaded_cuda();
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

Scope::Scope(c10::Device device) {
  require(device);
  if (!device.is_cpu()) stream_.emplace(own_stream(device));
}

void synchronize(c10::Device device) {
  if (!device.is_cpu()) cuda().synchronizeStream(cuda().getStream(device));
}

}  // namespace autoround::device
