// Many weights in one launch, as the experts of a layer are: blockIdx.y says which of them a block works on.
#pragma once

#include <algorithm>
#include <span>

#include "cuda/kernel.cuh"

namespace autoround::cuda {

/// Parameters of a kernel, so that no copy to the device precedes the launch.
template <class Item, int kCapacity>
struct Batch {
  Item items[kCapacity];

  /// That of the block that asks.
  __device__ const Item& own() const { return items[kCapacity == 1 ? 0 : blockIdx.y]; }
};

template <class Item>
constexpr int kMostInBatch = kMostParameters / sizeof(Item);

/// Calls queue(batch, count) with neighbours that `together` says share their kernels. A lone weight comes in a batch
/// of one, whose parameters are few.
template <class Item, class Together, class Queue>
void for_batches(std::span<const Item> items, const Together& together, const Queue& queue) {
  while (!items.empty()) {
    std::size_t count = 1;
    while (count < items.size() && count < kMostInBatch<Item> && together(items[0], items[count])) ++count;
    if (count == 1) {
      queue(Batch<Item, 1>{{items[0]}}, 1u);
    } else {
      Batch<Item, kMostInBatch<Item>> batch;
      std::copy_n(items.begin(), count, batch.items);
      queue(batch, static_cast<unsigned>(count));
    }
    items = items.subspan(count);
  }
}

/// A row of blocks for each of the `count` weights, as long as the largest needs.
template <class Item, int kCapacity, class Blocks>
dim3 grid_of(const Batch<Item, kCapacity>& batch, unsigned count, const Blocks& blocks) {
  unsigned most = 0;
  for (unsigned i = 0; i < count; ++i) most = std::max(most, blocks(batch.items[i].weight));
  return {most, count};
}

}  // namespace autoround::cuda
