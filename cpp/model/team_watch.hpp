// Whether a loop should be shared among threads at all. Where another program keeps a core busy, the thread on it comes
// and goes by slices of the scheduler, milliseconds that are longer than most loops: the others wait for it more than
// it helps, and one thread alone is faster.
#pragma once

#include <chrono>
#include <cstdint>

namespace autoround::model {

/// Of the loops of one thread.
class TeamWatch {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;

  /// That of the loops which the calling thread starts.
  static TeamWatch& of_this_thread();

  /// Whether a loop that starts now is better left to one thread. After a while it is tried again with all of them.
  bool alone(Time now = Clock::now()) const { return now < alone_until_; }

  /// A loop that can be cut into so many `ranges` of equal work ran on `threads` from `begin` to `end`; from
  /// `first_done` on one of them at least had nothing left to do.
  void ran(std::int64_t threads, std::int64_t ranges, Time begin, Time first_done, Time end);

 private:
  static constexpr std::chrono::milliseconds kWindow{40};  // ten slices of 4 ms, so that one that was lost says little
  static constexpr std::chrono::milliseconds kShortest{100}, kLongest{1600};

  Clock::duration total_{}, waited_{};  // of loops since they were judged last
  Clock::duration pause_ = kShortest;   // the next time alone; longer as long as trying brings the same
  Time alone_until_{};
};

}  // namespace autoround::model
