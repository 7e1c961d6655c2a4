// A request to stop, shared between the thread that works and any other thread or a signal handler.
#pragma once

#include <atomic>

#include "base/error.hpp"

namespace autoround {

class CancelToken {
 public:
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }  // async-signal-safe, sticky
  bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }
  void throw_if_requested() const {
    if (requested()) fail(Code::cancelled, "", "cancelled by the caller");
  }

 private:
  std::atomic<bool> requested_{false};
  static_assert(std::atomic<bool>::is_always_lock_free);
};

}  // namespace autoround
