// How a run speaks to its host while it works.
#pragma once

#include "session/options.hpp"

namespace autoround::session {

/// Calls the host's callback when it asked for events of this kind. @throws Error cancelled: it said stop
void emit(const Options& options, const Event& event);

}  // namespace autoround::session
