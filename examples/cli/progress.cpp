#include "progress.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <string>

#include "json_line.hpp"

namespace cli {
namespace {

double peak_megabytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024.0 / 1e6;
}

const char* kind_name(autoround_event_kind kind) {
  switch (kind) {
    case AUTOROUND_EVENT_PROGRESS:
      return "progress";
    case AUTOROUND_EVENT_BLOCK_BEGIN:
      return "block_begin";
    case AUTOROUND_EVENT_BLOCK_INPUTS:
      return "block_inputs";
    case AUTOROUND_EVENT_ITERATION:
      return "iteration";
    case AUTOROUND_EVENT_BLOCK_END:
      return "block_end";
    default:
      return "unknown";
  }
}

void print_json(const autoround_event* event, double seconds) {
  const double loss = autoround_event_loss(event);
  const nlohmann::ordered_json line = {{"event", kind_name(autoround_event_what(event))},
                                       {"fraction", autoround_event_fraction(event)},
                                       {"block", autoround_event_block(event)},
                                       {"name", autoround_event_name(event)},
                                       {"iteration", autoround_event_iteration(event)},
                                       {"loss", std::isfinite(loss) ? nlohmann::ordered_json(loss) : nullptr},
                                       {"seconds", seconds}};
  print_line(line);
  std::fflush(stdout);
}

std::string duration(double seconds) {
  const auto whole = static_cast<long>(seconds);
  char text[32];
  if (whole >= 3600)
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  else
    std::snprintf(text, sizeof text, "%ld:%02ld", whole / 60, whole % 60);
  return text;
}

}  // namespace

Progress::Style Progress::style_for(bool json, bool quiet) {
  if (json) return Style::json;
  if (quiet) return Style::silent;
  return isatty(STDERR_FILENO) ? Style::bar : Style::lines;
}

int32_t Progress::on_event(void* self, const autoround_event* event) {
  static_cast<Progress*>(self)->show(event);
  return 0;
}

void Progress::clear() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
  drawn_ = false;
}

void Progress::show(const autoround_event* event) {
  const autoround_event_kind kind = autoround_event_what(event);
  const double fraction = autoround_event_fraction(event), elapsed = seconds();
  if (kind == AUTOROUND_EVENT_BLOCK_BEGIN && !tunes_) begun_ = {elapsed, fraction};
  if (kind == AUTOROUND_EVENT_ITERATION) tunes_ = true;
  switch (style_) {
    case Style::silent:
      return;
    case Style::json:
      print_json(event, elapsed);
      return;
    case Style::lines:
      if (kind != AUTOROUND_EVENT_BLOCK_END) return;
      if (std::isnan(autoround_event_loss(event)))  // no data
        std::fprintf(stderr, "%s: rounded, %.1f s\n", autoround_event_name(event), elapsed);
      else
        std::fprintf(stderr, "%s: loss %.4g, best iteration %lld, %.1f s\n", autoround_event_name(event),
                     autoround_event_loss(event), static_cast<long long>(autoround_event_iteration(event)), elapsed);
      return;
    case Style::bar:
      break;
  }
  const auto now = std::chrono::steady_clock::now();
  if (drawn_ && fraction < 1.0 && now - last_draw_ < std::chrono::milliseconds(100)) return;
  last_draw_ = now;
  drawn_ = true;
  constexpr int width = 28;
  std::string bar(static_cast<std::size_t>(std::lround(fraction * width)), '#');
  bar.resize(width, '.');
  const double done = fraction - begun_.fraction;
  const std::string eta = done > 0.01 ? duration((elapsed - begun_.seconds) / done * (1.0 - fraction)) : "--:--";
  std::fprintf(stderr, "\r\033[K[%s] %3.0f %%", bar.c_str(), 100.0 * fraction);
  if (autoround_event_block(event) >= 0)
    std::fprintf(stderr, "  block %lld/%zu", static_cast<long long>(autoround_event_block(event)) + 1, blocks_);
  if (autoround_event_iteration(event) >= 0)
    std::fprintf(stderr, "  iteration %lld  loss %.3g", static_cast<long long>(autoround_event_iteration(event)),
                 autoround_event_loss(event));
  std::fprintf(stderr, "  ETA %s  peak %.0f MB", eta.c_str(), peak_megabytes());
  std::fflush(stderr);
}

}  // namespace cli
