#include "session/options.hpp"

#include <limits>

#include "base/text.hpp"
#include "device/device.hpp"
#include "exporter/exporter.hpp"
#include "guard.hpp"

using namespace autoround::capi;
using autoround::Code;
using autoround::fail;
namespace ar = autoround;

namespace {

constexpr int32_t all_events = AUTOROUND_EVENT_PROGRESS | AUTOROUND_EVENT_BLOCK_BEGIN | AUTOROUND_EVENT_BLOCK_INPUTS |
                               AUTOROUND_EVENT_ITERATION | AUTOROUND_EVENT_BLOCK_END;

}  // namespace

autoround_status autoround_options_new(autoround_options** out, autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    *out = new autoround_options();
  });
}

autoround_status autoround_options_set_device(autoround_options* options, const char* device,
                                              autoround_error** error) noexcept {
  return guarded(error, [&] {
    autoround_options& target = deref(options, "options");
    const c10::Device parsed = ar::device::parse(text(device, "device"));
    ar::device::require(parsed);
    target.impl.device = parsed.str();
  });
}

autoround_status autoround_options_set_compute_dtype(autoround_options* options, const char* dtype,
                                                     autoround_error** error) noexcept {
  return guarded(error, [&] {
    autoround_options& target = deref(options, "options");
    const std::string name = text(dtype, "dtype");
    if (name != "bf16" && name != "fp32")
      fail(Code::invalid_argument, "dtype", "compute dtype `" + name + "` is not known; bf16 and fp32 are");
    target.impl.compute_dtype = name;
  });
}

autoround_status autoround_options_set_seed(autoround_options* options, uint64_t seed,
                                            autoround_error** error) noexcept {
  return guarded(error, [&] {
    autoround_options& target = deref(options, "options");
    if (seed > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
      fail(Code::invalid_argument, "seed", "the seed is " + std::to_string(seed) + "; 0 to 2^63 - 1 is wanted");
    target.impl.seed = static_cast<std::int64_t>(seed);
  });
}

autoround_status autoround_options_set_deterministic(autoround_options* options, int32_t on,
                                                     autoround_error** error) noexcept {
  return guarded(error, [&] { deref(options, "options").impl.deterministic = on != 0; });
}

autoround_status autoround_options_set_memory_limit(autoround_options* options, const char* device, int64_t bytes,
                                                    autoround_error** error) noexcept {
  return guarded(error, [&] {
    autoround_options& target = deref(options, "options");
    const c10::Device parsed = ar::device::parse(text(device, "device"));
    if (bytes < 0) fail(Code::invalid_argument, "bytes", "a memory limit of " + std::to_string(bytes) + " bytes");
    target.impl.memory_limit[parsed.str()] = bytes;
  });
}

autoround_status autoround_options_set_output(autoround_options* options, const char* directory, const char* format,
                                              autoround_error** error) noexcept {
  return guarded(error, [&] {
    autoround_options& target = deref(options, "options");
    ar::session::Options::Output output{text(directory, "directory"), text(format, "format")};
    if (output.directory.empty()) fail(Code::invalid_argument, "directory", "the output directory is empty");
    if (output.format.empty()) fail(Code::invalid_argument, "format", "the output format is empty");
    ar::exporter::make_exporter(output.format);  // throws for a name that is not built in
    target.impl.outputs.push_back(std::move(output));
  });
}

autoround_status autoround_options_set_resume(autoround_options* options, int32_t on,
                                              autoround_error** error) noexcept {
  return guarded(error, [&] { deref(options, "options").impl.resume = on != 0; });
}

autoround_status autoround_options_set_cancel(autoround_options* options, autoround_cancel* cancel,
                                              autoround_error** error) noexcept {
  return guarded(error, [&] {
    autoround_options& target = deref(options, "options");
    const autoround_cancel* source = deref_or_null(cancel, "cancel");
    target.impl.cancel = source ? source->impl : nullptr;
  });
}

autoround_status autoround_options_set_callback(autoround_options* options, int32_t event_mask, autoround_event_fn fn,
                                                void* user_data, autoround_release_fn release,
                                                autoround_error** error) noexcept {
  return guarded(error, [&] {
    // Made first: whatever fails below, release runs exactly once.
    const auto callback = std::make_shared<Callback<autoround_event_fn>>(fn, user_data, release);
    autoround_options& target = deref(options, "options");
    if (event_mask & ~all_events)
      fail(Code::invalid_argument, "event_mask", "event mask " + std::to_string(event_mask) + " has unknown bits");
    target.impl.event_mask = fn ? event_mask : 0;
    target.impl.on_event = nullptr;
    if (!fn) return;
    target.impl.on_event = [callback](const ar::session::Event& event) {
      autoround_event borrowed;
      borrowed.impl = &event;
      return callback->fn(callback->user_data, &borrowed) == 0;
    };
  });
}

void autoround_options_free(autoround_options* options) noexcept {
  if (peek(options)) delete options;
}
