// What is queued on a stream of the device that the CPU stands in for: done at once, or, while a graph is recorded on
// that stream, kept to be done whenever the graph is run.
#pragma once

#include <functional>
#include <memory>

#include "device/kernels.hpp"

namespace autoround::cuda::on_host {

/// On this thread's current stream.
void queue(std::function<void()> work);

/// Whether what this thread queues is recorded: nothing may wait for its results then.
bool is_recording();

/// Lives as long as the graph that this thread records: the memory that it allocates is its own.
void keep(std::shared_ptr<void> memory);

std::unique_ptr<device::Graph> make_graph();

}  // namespace autoround::cuda::on_host
