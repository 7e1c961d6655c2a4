#include "model/team_watch.hpp"

#include <algorithm>

namespace autoround::model {

TeamWatch& TeamWatch::of_this_thread() {
  static thread_local TeamWatch watch;
  return watch;
}

void TeamWatch::ran(std::int64_t threads, Time begin, Time first_done, Time end) {
  total_ += end - begin;
  waited_ += end - first_done;
  if (total_ < kWindow) return;
  // One alone has the caches and the memory to itself; and while one waits, another may be away that began late as
  // well.
  constexpr double kSpeedOfOne = 1.5;
  const double lost = 1.0 - kSpeedOfOne / static_cast<double>(threads);
  if (std::chrono::duration<double>(waited_) > lost * std::chrono::duration<double>(total_)) {
    alone_until_ = end + pause_;
    pause_ = std::min<Clock::duration>(2 * pause_, kLongest);
  } else {
    pause_ = std::max<Clock::duration>(pause_ / 2, kShortest);
  }
  total_ = waited_ = {};
}

}  // namespace autoround::model
