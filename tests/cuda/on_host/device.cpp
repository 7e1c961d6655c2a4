// A CUDA device of LibTorch whose memory is the host's: its guard, hooks and pinned memory. What is queued on it is
// done when that returns, so streams and events have names but nothing to wait for.
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <memory>
#include <mutex>
#include <set>
#include <utility>

namespace {

using c10::Device;
using c10::DeviceIndex;
using c10::Stream;

thread_local c10::StreamId current_stream = 0;

struct Guard final : c10::impl::DeviceGuardImplInterface {
  static Device only() { return {c10::kCUDA, 0}; }
  static Stream stream(c10::StreamId id) { return Stream(Stream::UNSAFE, only(), id); }

  c10::DeviceType type() const override { return c10::kCUDA; }
  Device exchangeDevice(Device) const override { return only(); }
  Device getDevice() const override { return only(); }
  void setDevice(Device) const override {}
  void uncheckedSetDevice(Device) const noexcept override {}
  DeviceIndex deviceCount() const noexcept override { return 1; }

  Stream getStream(Device) const override { return stream(current_stream); }
  Stream getDefaultStream(Device) const override { return stream(0); }
  Stream exchangeStream(Stream next) const override { return stream(std::exchange(current_stream, next.id())); }
  bool queryStream(const Stream&) const override { return true; }
  void synchronizeStream(const Stream&) const override {}
  void synchronizeDevice(DeviceIndex) const override {}

  void record(void**, const Stream&, DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override {}
};

/// Memory that is pinned in name.
class PinnedMemory final : public at::HostAllocator {
 public:
  static PinnedMemory& of_process() {
    static auto* memory = new PinnedMemory;
    return *memory;
  }
  bool holds(const void* data) {
    const std::lock_guard lock(mutex_);
    const auto after = pieces_.upper_bound({static_cast<const std::byte*>(data), SIZE_MAX});
    if (after == pieces_.begin()) return false;
    const auto& [first, bytes] = *std::prev(after);
    return static_cast<const std::byte*>(data) < first + bytes;
  }

  c10::DataPtr allocate(std::size_t bytes) override {
    c10::DataPtr memory = c10::GetDefaultCPUAllocator()->allocate(bytes);
    auto* held = new Held{std::move(memory), bytes};
    void* const data = held->memory.get();
    const std::lock_guard lock(mutex_);
    pieces_.emplace(static_cast<const std::byte*>(data), bytes);
    return {data, held, &give_back, c10::kCPU};
  }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
  bool record_event(void*, void*, Stream) override { return true; }
  void empty_cache() override {}
  at::HostStats get_stats() override { return {}; }
  void reset_accumulated_stats() override {}
  void reset_peak_stats() override {}

 private:
  struct Held {
    c10::DataPtr memory;
    std::size_t bytes;
  };
  static void give_back(void* context) {
    const std::unique_ptr<Held> held(static_cast<Held*>(context));
    PinnedMemory& memory = of_process();
    const std::lock_guard lock(memory.mutex_);
    memory.pieces_.erase({static_cast<const std::byte*>(held->memory.get()), held->bytes});
  }

  std::mutex mutex_;
  std::set<std::pair<const std::byte*, std::size_t>> pieces_;
};

}  // namespace

namespace at {  // where LibTorch's registry looks for it

struct CUDAHooks final : CUDAHooksInterface {
  explicit CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  int getNumGPUs() const override { return 1; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex current_device() const override { return 0; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  void deviceSynchronize(DeviceIndex) const override {}
  bool isPinnedPtr(const void* data) const override { return PinnedMemory::of_process().holds(data); }
  Allocator* getPinnedMemoryAllocator() const override { return &PinnedMemory::of_process(); }
};

REGISTER_CUDA_HOOKS(CUDAHooks)

}  // namespace at

C10_REGISTER_GUARD_IMPL(CUDA, Guard)
REGISTER_HOST_ALLOCATOR(at::kCUDA, &PinnedMemory::of_process())
