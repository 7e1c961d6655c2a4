// Stands in for cpp/cuda/launch_kernel.cuh where a host compiler compiles the kernels: blocks run one after the other,
// and the threads of a block as fibers. Each runs until a shuffle or a barrier, where it waits for all the others.
#pragma once

#include <cuda_runtime_api.h>
#include <setjmp.h>
#include <strings.h>
#include <ucontext.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "queue.hpp"

#define __launch_bounds__(...)  // for the GPU's compiler alone
#undef __shared__
#define __shared__ static  // blocks run one after the other

namespace autoround::cuda {

using std::isfinite;
using std::max;
using std::min;

struct Place {
  unsigned x = 0, y = 0;
};
inline Place threadIdx, blockIdx, blockDim, gridDim;

namespace on_host {

/// Its stack goes on from one kernel to the next. Entered once by setcontext(), then by longjmp(), which asks the
/// system for nothing.
struct Fiber {
  std::vector<char> stack = std::vector<char>(64 << 10);
  jmp_buf place;
  bool entered = false, done = true;
  std::uint64_t shown[2] = {};  // to other lanes, by turns: all have read the last but one
  unsigned turn = 0;
  unsigned barriers = 0;  // that it came to
};
inline std::vector<Fiber> fibers(512);
inline jmp_buf scheduler;
inline const std::function<void()>* body;

/// Until all the others of the warp, which take as many turns, have come as far.
inline void wait() {
  if (_setjmp(fibers[threadIdx.x].place) == 0) _longjmp(scheduler, 1);
}

[[noreturn]] inline void enter() {
  for (;;) {
    (*body)();
    fibers[threadIdx.x].done = true;
    wait();
  }
}

inline void go_on(Fiber& fiber) {
  if (_setjmp(scheduler) != 0) return;
  if (std::exchange(fiber.entered, true)) _longjmp(fiber.place, 1);
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = fiber.stack.data();
  context.uc_stack.ss_size = fiber.stack.size();
  makecontext(&context, enter, 0);
  setcontext(&context);
}

inline void run_block(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) {
    Fiber& fiber = fibers.at(i);
    fiber.done = false;
    fiber.turn = fiber.barriers = 0;
  }
  for (bool any = true; any;) {
    any = false;
    for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) {
      if (fibers[threadIdx.x].done) continue;
      any = true;
      go_on(fibers[threadIdx.x]);
    }
  }
}

inline void run(dim3 blocks, unsigned threads, const std::function<void()>& kernel) {
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  body = &kernel;
  blockDim = {threads, 1};
  gridDim = {blocks.x, blocks.y};
  for (blockIdx.y = 0; blockIdx.y < blocks.y; ++blockIdx.y) {
    for (blockIdx.x = 0; blockIdx.x < blocks.x; ++blockIdx.x) run_block(threads);
  }
}

template <class T>
T shown_by(T value, unsigned thread) {
  Fiber& own = fibers[threadIdx.x];
  const unsigned turn = own.turn++ % 2;
  std::memcpy(&own.shown[turn], &value, sizeof value);
  wait();
  std::memcpy(&value, &fibers[thread].shown[turn], sizeof value);
  return value;
}

}  // namespace on_host

inline std::uint32_t __float_as_uint(float value) { return std::bit_cast<std::uint32_t>(value); }
inline float __uint_as_float(std::uint32_t bits) { return std::bit_cast<float>(bits); }

inline int __ffs(int bits) { return ffs(bits); }

inline void __syncwarp() { on_host::wait(); }
inline void __syncthreads() {
  const unsigned own = ++on_host::fibers[threadIdx.x].barriers;
  const auto is_behind = [own](const on_host::Fiber& fiber) { return !fiber.done && fiber.barriers < own; };
  do {
    on_host::wait();
  } while (std::any_of(on_host::fibers.begin(), on_host::fibers.begin() + blockDim.x, is_behind));
}
template <class T>
T __shfl_sync(unsigned, T value, int lane, int width = 32) {
  const unsigned me = threadIdx.x, lanes = static_cast<unsigned>(width);
  return on_host::shown_by(value, me / lanes * lanes + static_cast<unsigned>(lane) % lanes);
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return on_host::shown_by(value, threadIdx.x ^ static_cast<unsigned>(mask));
}

/// Every thread gets a copy.
constexpr std::size_t kMostParameters = 2048;

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 blocks, unsigned threads, cudaStream_t, const Arguments&... arguments) {
  on_host::queue([=] { on_host::run(blocks, threads, [&] { kernel(arguments...); }); });
}

}  // namespace autoround::cuda
