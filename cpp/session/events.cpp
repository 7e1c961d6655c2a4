#include "session/events.hpp"

#include "base/error.hpp"

namespace autoround::session {

void emit(const Options& options, const Event& event) {
  if (!options.on_event || !(options.event_mask & event.kind)) return;
  if (!options.on_event(event)) fail(Code::cancelled, event.name, "stopped by the event callback");
}

}  // namespace autoround::session
