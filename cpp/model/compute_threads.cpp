// Compiled with OpenMP, whose setting this is, and therefore without the precompiled header.
#include "model/compute_threads.hpp"

#include <ATen/Parallel.h>
#include <omp.h>

namespace autoround::model {

void compute_alone() {
  at::internal::lazy_init_num_threads();  // else LibTorch sets the number when it first computes here
  omp_set_num_threads(1);                 // of this thread
}

}  // namespace autoround::model
