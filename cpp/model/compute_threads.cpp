// Compiled with OpenMP, whose setting this is, and therefore without the precompiled header.
#include "model/compute_threads.hpp"

#include <ATen/Parallel.h>
#include <omp.h>

// Of the MKL inside LibTorch, where there is one. 0: what is set for the process. Returns what was set before.
extern "C" __attribute__((weak)) int MKL_Set_Num_Threads_Local(int count);

namespace autoround::model {
namespace {

int set_mkl(int count) { return MKL_Set_Num_Threads_Local != nullptr ? MKL_Set_Num_Threads_Local(count) : 0; }

}  // namespace

ThreadCount::ThreadCount(int count) : count_(count) {
  if (count_ == 0) return;
  before_ = at::get_num_threads();  // also makes LibTorch set the number now, not when it first computes here
  omp_set_num_threads(count_);
  mkl_before_ = set_mkl(count_);
}

ThreadCount::~ThreadCount() {
  if (count_ == 0) return;
  omp_set_num_threads(before_);
  set_mkl(mkl_before_);
}

}  // namespace autoround::model
