// LibTorch's loops over elements between our own: with as many threads as ours use. One that was woken for such a loop
// alone would look for more work on the core of another for a while (team_watch.hpp).
#pragma once

#include <ATen/core/Tensor.h>

namespace autoround::model {

/// `branch` is nobody else's, and no operation needs its result again: the sum takes its place.
at::Tensor sum_with(at::Tensor branch, const at::Tensor& x);

/// to.copy_(from), or zeros.
void copy_into(const at::Tensor& to, const at::Tensor& from);
void fill_with_zeros(const at::Tensor& x);

}  // namespace autoround::model
