// Shows a run: a bar on a terminal, a line a block elsewhere, JSON objects on request.
#pragma once

#include <autoround/autoround.h>

#include <chrono>
#include <cstddef>

namespace cli {

class Progress {
 public:
  enum class Style { bar, lines, json, silent };
  Progress(Style style, std::size_t blocks) : style_(style), blocks_(blocks) {}
  ~Progress() { clear(); }
  static Style style_for(bool json, bool quiet);  // bar when stderr is a terminal

  static int32_t on_event(void* self, const autoround_event* event);  // for autoround_options_set_callback
  void clear();                                                       // wipes the bar

 private:
  void show(const autoround_event* event);
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

  Style style_;
  std::size_t blocks_;
  bool drawn_ = false, tunes_ = false;
  struct {
    double seconds = 0.0, fraction = 0.0;
  } begun_;  // where tuning did: blocks that are resumed take no time worth extrapolating
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), last_draw_{};
};

}  // namespace cli
