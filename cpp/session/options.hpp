// What the host decides about a run, as opposed to the recipe, which decides what is computed.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/cancel.hpp"

namespace autoround::session {

enum EventKind : std::int32_t { progress = 1, block_begin = 2, block_inputs = 4, iteration = 8, block_end = 16 };

/// Valid inside the callback only.
struct Event {
  EventKind kind = progress;
  double fraction = 0.0;  // 0..1 of the whole run
  std::int64_t block = -1;
  std::string name;  // of the block or stage
  std::int64_t iteration = -1;
  double loss = 0.0;  // NaN when none
  std::vector<at::Tensor>
      inputs;  // block_inputs: {full-precision stream, quantized stream}, each [samples, length, hidden]
};

struct Options {
  std::string device = "cpu";
  std::map<std::string, std::int64_t> memory_limit;  // by device; bytes
  std::optional<std::int64_t> seed;                  // overrides the recipe's
  std::optional<bool> deterministic;                 // unset: on the CPU
  std::string compute_dtype;                         // "", "bf16", "fp32"
  struct Output {
    std::string directory, format;
  };
  std::vector<Output> outputs;
  bool resume = false;  // go on with the finished blocks of an earlier run, and leave one's own to a later run
  std::shared_ptr<CancelToken> cancel;
  std::int32_t event_mask = 0;
  std::function<bool(const Event&)> on_event;  // false stops the run with CANCELLED
};

}  // namespace autoround::session
