#include <new>

#include "guard.hpp"

using autoround::capi::peek;

autoround_cancel* autoround_cancel_new(void) noexcept {
  autoround_cancel* cancel = nullptr;
  return autoround::capi::guarded(nullptr, [&] { cancel = new autoround_cancel(); }) == AUTOROUND_OK ? cancel : nullptr;
}

void autoround_cancel_request(autoround_cancel* cancel) noexcept {
  if (peek(cancel)) cancel->impl->request();
}

int32_t autoround_cancel_is_requested(const autoround_cancel* cancel) noexcept {
  return peek(cancel) && cancel->impl->requested() ? 1 : 0;
}

void autoround_cancel_free(autoround_cancel* cancel) noexcept {
  if (peek(cancel)) delete cancel;
}
