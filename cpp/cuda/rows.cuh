// Rows of activations, for norms.cu and gates.cu. All of them wait for memory, so what a backward needs of the forward
// is computed again rather than kept.
#pragma once

#include <type_traits>

#include "cuda/vectors.cuh"

namespace autoround::cuda {
namespace {

template <typename T>
constexpr int kLanes = 16 / sizeof(T);  // elements in the widest load

template <int N>
using Lanes = std::integral_constant<int, N>;

/// launch(an element, how many are moved at once)
template <typename Launch>
void with_element(device::Element element, bool vectors, Launch launch) {
  if (element == device::Element::f32)
    return vectors ? launch(float{}, Lanes<kLanes<float>>{}) : launch(float{}, Lanes<1>{});
  vectors ? launch(Bf16{}, Lanes<kLanes<Bf16>>{}) : launch(Bf16{}, Lanes<1>{});
}

/// Rows of so many elements keep the alignment of the first.
bool whole_vectors(std::int64_t width) { return width % kLanes<Bf16> == 0; }

}  // namespace
}  // namespace autoround::cuda
