#include "device/plugin.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <string>

#include "base/error.hpp"
#include "base/text.hpp"

namespace autoround::device {
namespace {

constexpr const char* kDefaultName = "libautoround_cuda.so";
constexpr const char* kFunction = "autoround_device_kernels";

std::string loader_says() {
  const char* text = ::dlerror();
  return text ? text : "no reason given";
}

}  // namespace

const Kernels& load_plugin() {
  const char* named = std::getenv(kPluginVariable);
  const std::string file = named && *named ? named : kDefaultName;
  // A bare name is looked for in the RUNPATH of the library that calls, which is ours: beside libautoround.so first.
  // Global, as a program that links LibTorch has it: what LibTorch itself loads later binds to the same copy.
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!library)
    fail(Code::unsupported, "device",
         concat({"the CUDA plug-in cannot be loaded: ", loader_says(), "; ",
                 file == kDefaultName
                     ? "looked for in LD_LIBRARY_PATH, beside libautoround.so and where that looks for LibTorch, whose "
                       "CUDA libraries it needs; AUTOROUND_CUDA_LIBRARY names a file elsewhere"
                     : "AUTOROUND_CUDA_LIBRARY names it"}));
  const auto function = reinterpret_cast<KernelsFunction>(::dlsym(library, kFunction));
  if (!function)
    fail(Code::unsupported, "device", concat({file, " is not a CUDA plug-in of libautoround.so: ", loader_says()}));
  const Kernels* kernels = function(kKernelsVersion);
  if (!kernels)
    fail(Code::unsupported, "device",
         concat({file, " belongs to another version of libautoround.so, which asks for kernels of version ",
                 std::to_string(kKernelsVersion), "; both come from one build"}));
  return *kernels;
}

}  // namespace autoround::device
