#include "modifier/lifecycle.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace autoround::modifier {

std::string_view state_name(State state) noexcept {
  switch (state) {
    case State::created:
      return "CREATED";
    case State::initialized:
      return "INITIALIZED";
    case State::started:
      return "STARTED";
    case State::ended:
      return "ENDED";
    case State::finalized:
      return "FINALIZED";
    case State::failed:
      return "FAILED";
  }
  return "UNKNOWN";
}

void Lifecycle::require(std::string_view call, std::initializer_list<State> allowed) const {
  if (std::find(allowed.begin(), allowed.end(), state_) != allowed.end()) return;
  std::string names;
  for (State state : allowed) {
    if (!names.empty()) names += " or ";
    names += state_name(state);
  }
  fail(Code::invalid_state, std::string(call),
       std::string(call) + " needs state " + names + ", the session is " + std::string(state_name(state_)));
}

}  // namespace autoround::modifier
