// The states of a run and which call is allowed in which: CREATED -> INITIALIZED -> STARTED -> ENDED -> FINALIZED, and
// FAILED. A call out of order is INVALID_STATE, names the states that allow it, and changes nothing.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace autoround::modifier {

enum class State { created = 0, initialized = 1, started = 2, ended = 3, finalized = 4, failed = 5 };

std::string_view state_name(State state) noexcept;  // "STARTED"

class Lifecycle {
 public:
  State state() const noexcept { return state_; }
  /// @throws Error invalid_state "`call` needs state STARTED, the session is CREATED"
  void require(std::string_view call, std::initializer_list<State> allowed) const;
  void enter(State state) noexcept { state_ = state; }

 private:
  State state_ = State::created;
};

}  // namespace autoround::modifier
