// LibTorch's threads from the point of view of one that calls it.
#pragma once

namespace autoround::model {

/// From now on what the calling thread gives LibTorch to compute is computed by it alone. Meant for threads of the
/// library's own; other threads keep theirs.
void compute_alone();

}  // namespace autoround::model
