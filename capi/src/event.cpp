#include <limits>

#include "guard.hpp"

using namespace autoround::capi;

autoround_event_kind autoround_event_what(const autoround_event* event) noexcept {
  return peek(event) ? static_cast<autoround_event_kind>(event->impl->kind) : 0;
}
double autoround_event_fraction(const autoround_event* event) noexcept {
  return peek(event) ? event->impl->fraction : 0.0;
}
int64_t autoround_event_block(const autoround_event* event) noexcept { return peek(event) ? event->impl->block : -1; }
const char* autoround_event_name(const autoround_event* event) noexcept {
  return peek(event) ? event->impl->name.c_str() : "";
}
int64_t autoround_event_iteration(const autoround_event* event) noexcept {
  return peek(event) ? event->impl->iteration : -1;
}
double autoround_event_loss(const autoround_event* event) noexcept {
  return peek(event) ? event->impl->loss : std::numeric_limits<double>::quiet_NaN();
}
size_t autoround_event_input_count(const autoround_event* event) noexcept {
  return peek(event) ? event->impl->inputs.size() : 0;
}

autoround_status autoround_event_input(const autoround_event* event, size_t index, autoround_tensor** out,
                                       autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    const auto& inputs = deref(event, "event").impl->inputs;
    if (index >= inputs.size())
      autoround::fail(autoround::Code::invalid_argument, "index",
                      "input " + std::to_string(index) + " of an event that has " + std::to_string(inputs.size()));
    *out = new_tensor(inputs[index]);
  });
}
