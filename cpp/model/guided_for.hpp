// A parallel loop over LibTorch's threads whose ranges are taken when a thread is free: large ones first, small ones
// towards the end. Where cores are shared with other programs a fixed split waits for the thread that lost its core;
// where they are shared so much that waiting is most of it, one thread takes the whole (team_watch.hpp).
// For files compiled with OpenMP, without which at::parallel_for is serial.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "model/team_watch.hpp"

#if !defined(_OPENMP)
#error "compile with -fopenmp: without it at::parallel_for runs on one thread"
#endif

namespace autoround::model {

/// Runs body(begin, end) over ranges that cover [0, count), none shorter than `smallest` but the last. Which thread
/// runs which range is not fixed: results may not depend on it.
template <class Body>
void guided_for(std::int64_t count, std::int64_t smallest, const Body& body) {
  const std::int64_t threads = at::in_parallel_region() ? 1 : at::get_num_threads();
  if (count <= 0) return;
  if (threads == 1 || count <= smallest) return body(std::int64_t{0}, count);
  TeamWatch& watch = TeamWatch::of_this_thread();
  const TeamWatch::Time start = TeamWatch::Clock::now();
  if (watch.alone(start)) return body(std::int64_t{0}, count);
  std::atomic<TeamWatch::Time> first_done{TeamWatch::Time()};
  std::atomic<std::int64_t> next{0};
  at::parallel_for(0, threads, 1, [&](std::int64_t, std::int64_t) {
    std::int64_t begin = next.load(std::memory_order_relaxed);
    while (begin < count) {
      const std::int64_t end = std::min(count, begin + std::max(smallest, (count - begin) / (2 * threads)));
      if (!next.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
      body(begin, end);
      begin = next.load(std::memory_order_relaxed);
    }
    TeamWatch::Time nobody{};
    first_done.compare_exchange_strong(nobody, TeamWatch::Clock::now(), std::memory_order_relaxed);
  });
  watch.ran(threads, (count + smallest - 1) / smallest, start, first_done, TeamWatch::Clock::now());
}

}  // namespace autoround::model
