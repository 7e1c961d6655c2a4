#include "model/team_watch.hpp"

#include <algorithm>

namespace autoround::model {

TeamWatch& TeamWatch::of_this_thread() {
  static thread_local TeamWatch watch;
  return watch;
}

void TeamWatch::ran(std::int64_t threads, std::int64_t ranges, Time begin, Time first_done, Time end) {
  const Clock::duration whole = end - begin, waited = end - first_done;
  // Ranges that cannot be shared out evenly make some wait for a last one while others work, which is no loss.
  const std::int64_t rounds = (ranges + threads - 1) / threads;
  const Clock::duration last = ranges % threads == 0 ? Clock::duration() : whole / rounds;
  total_ += whole;
  waited_ += std::max(waited - last, Clock::duration());
  if (total_ < kWindow) return;
  // One alone has the caches and the memory to itself; and who is waited for may have begun late as well.
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
