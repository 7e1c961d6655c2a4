// Names of devices, what is said when one cannot be used, and that the host's own device and stream are left alone.
#include "device/device.hpp"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include "device/plugin.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

namespace autoround::device {
namespace {

using test::error_of;
using test::says;

const c10::Device kCpu(c10::DeviceType::CPU);

c10::Device gpu(c10::DeviceIndex index) { return c10::Device(c10::DeviceType::CUDA, index); }

Error error_of_plugin(const std::string& file) {
  const char* named = std::getenv(kPluginVariable);
  const std::string before = named ? named : "";  // none and an empty one are the same
  ::setenv(kPluginVariable, file.c_str(), 1);
  const Error error = error_of([] { load_plugin(); });
  ::setenv(kPluginVariable, before.c_str(), 1);
  return error;
}

TEST_CASE("device: names", "[cuda]") {
  CHECK(parse("cpu") == kCpu);
  CHECK(parse("cuda") == gpu(0));
  CHECK(parse("cuda:0") == gpu(0));
  CHECK(parse("cuda:127") == gpu(127));
  for (const std::string name : {"", "tpu", "CPU", "cpu:0", "cpu:1", "cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cuda: 1",
                                 "cuda:128", "cuda:99999999999", "cuda1", "xcuda:1"}) {
    CAPTURE(name);
    const Error error = error_of([&] { parse(name); });
    CHECK(error.code() == Code::invalid_argument);
    CHECK(error.subject() == "device");
    CHECK(says(error, "`" + name + "` is not a device; cpu, cuda and cuda:N are"));
  }
}

TEST_CASE("device: the CPU needs nothing and has no kernels", "[cuda]") {
  require(kCpu);
  const Scope scope(kCpu);
  synchronize(kCpu);
  CHECK(error_of([] { kernels(kCpu); }).code() == Code::internal);
}

TEST_CASE("device: what cannot be used is unsupported, and says why, every time", "[cuda]") {
  const bool driver = ::dlopen("libcuda.so.1", RTLD_LAZY) != nullptr;
  for (int i = 0; i < 2; ++i) {
    const Error error = error_of([] { require(gpu(127)); });
    INFO(error.what());
    CHECK(error.code() == Code::unsupported);
    CHECK(error.subject() == "device");
    if (has_cuda())
      CHECK(says(error, "cuda:127 is not there; this machine has "));
    else if (!driver)
      CHECK((says(error, "no NVIDIA driver") && says(error, "libcuda.so.1: ")));
  }
}

TEST_CASE("plug-in: a file that is not there is named, and who named it", "[cuda]") {
  const Error error = error_of_plugin("/no/such/libautoround_cuda.so");
  CHECK(error.code() == Code::unsupported);
  CHECK(says(error, "/no/such/libautoround_cuda.so: cannot open shared object file"));
  CHECK(says(error, "AUTOROUND_CUDA_LIBRARY names it"));
}

TEST_CASE("plug-in: another library is none, nor is one of another version", "[cuda]") {
  const Error other = error_of_plugin("libc.so.6");
  CHECK(other.code() == Code::unsupported);
  CHECK(says(other, "libc.so.6 is not a CUDA plug-in of libautoround.so"));
  const Error stale = error_of_plugin(AUTOROUND_STALE_PLUGIN);
  CHECK(stale.code() == Code::unsupported);
  CHECK(says(stale, "belongs to another version of libautoround.so"));
}

#if AUTOROUND_HAS_CUDA
TEST_CASE("plug-in: that of this build is found and loads without a driver", "[cuda]") {
  CHECK(&load_plugin() == &load_plugin());
}
#endif

TEST_CASE("device: a scope brings back the host's device and stream, and nobody shares its own", "[cuda]") {
  if (!has_cuda()) {
    WARN("skipped: no CUDA device");
    return;
  }
  require(gpu(0));
  const c10::impl::VirtualGuardImpl cuda(c10::DeviceType::CUDA);
  const c10::Stream before = cuda.getStream(gpu(0));
  const auto stream_of = [&](const auto& from) {
    const Scope scope(from);
    return cuda.getStream(gpu(0));
  };
  std::optional<c10::Stream> inside;
  {
    const OwnStream held(gpu(0));
    inside = stream_of(held);
    CHECK(*inside != before);
    CHECK(cuda.getStream(gpu(0)) == before);
    CHECK(stream_of(held) == *inside);
    std::thread([&] { CHECK(stream_of(gpu(0)) != *inside); }).join();
  }
  std::thread([&] { CHECK(stream_of(gpu(0)) == *inside); }).join();  // given back last
}

TEST_CASE("device: pinned memory lasts until what is queued is done", "[cuda]") {
  if (!has_cuda()) {
    WARN("skipped: no CUDA device");
    return;
  }
  const Scope scope(gpu(0));
  const at::Tensor there = at::arange(1 << 20, at::device(gpu(0)).dtype(at::kInt));
  at::Tensor here = pinned_tensor(there.sizes(), at::kInt, gpu(0));
  CHECK(here.is_pinned());
  here.copy_(there, /*non_blocking=*/true);
  synchronize(gpu(0));
  CHECK(here.equal(there.cpu()));
  here.copy_(there, /*non_blocking=*/true);
  here.reset();
  release_memory(gpu(0));
}

}  // namespace
}  // namespace autoround::device
