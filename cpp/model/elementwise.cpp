#include "model/elementwise.hpp"

#include <ATen/ATen.h>

#include "model/compute_threads.hpp"
#include "model/team_watch.hpp"

namespace autoround::model {
namespace {

int threads() { return TeamWatch::of_this_thread().alone() ? 1 : 0; }

}  // namespace

at::Tensor sum_with(at::Tensor branch, const at::Tensor& x) {
  const ThreadCount count(threads());
  return branch.add_(x);
}

void copy_into(const at::Tensor& to, const at::Tensor& from) {
  const ThreadCount count(threads());
  to.copy_(from);
}

void fill_with_zeros(const at::Tensor& x) {
  const ThreadCount count(threads());
  x.zero_();
}

}  // namespace autoround::model
