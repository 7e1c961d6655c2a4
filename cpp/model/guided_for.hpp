// A parallel loop over LibTorch's threads. Each begins with a share of its own, the same one in every loop of a count,
// so that what it wrote is still in its caches when the next loop reads it; who is done helps the others. Ranges are
// large first, small towards the end. Where cores are shared with other programs a fixed split waits for the thread
// that lost its core; where they are shared so much that waiting is most of it, one thread takes the whole
// (team_watch.hpp). For files compiled with OpenMP, without which at::parallel_for is serial.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "model/team_watch.hpp"

#if !defined(_OPENMP)
#error "compile with -fopenmp: without it at::parallel_for runs on one thread"
#endif

namespace autoround::model {

/// Consecutive steps of a loop that threads take ranges of, on a line of cache of its own.
struct alignas(64) Share {
  std::atomic<std::int64_t> next{0};
  std::int64_t end = 0;

  /// Runs body(begin, end) over ranges of what nobody has taken, until nothing is left: half of it each, and at least
  /// `smallest`.
  template <class Body>
  void work(std::int64_t smallest, const Body& body) {
    std::int64_t begin = next.load(std::memory_order_relaxed);
    while (begin < end) {
      const std::int64_t stop = std::min(end, begin + std::max(smallest, (end - begin) / 2));
      if (!next.compare_exchange_weak(begin, stop, std::memory_order_relaxed)) continue;
      body(begin, stop);
      begin = next.load(std::memory_order_relaxed);
    }
  }
};

/// Runs body(begin, end) over ranges that cover [0, count), none shorter than `smallest` but the last of a thread's
/// share. Which thread runs which range is not fixed: results may not depend on it.
template <class Body>
void guided_for(std::int64_t count, std::int64_t smallest, const Body& body) {
  const std::int64_t threads = at::in_parallel_region() ? 1 : at::get_num_threads();
  if (count <= 0) return;
  if (threads == 1 || count <= smallest) return body(std::int64_t{0}, count);
  TeamWatch& watch = TeamWatch::of_this_thread();
  const TeamWatch::Time start = TeamWatch::Clock::now();
  if (watch.alone(start)) return body(std::int64_t{0}, count);
  std::vector<Share> shares(static_cast<std::size_t>(threads));
  for (std::int64_t i = 0; i < threads; ++i) {
    Share& share = shares[static_cast<std::size_t>(i)];
    share.next = count * i / threads;
    share.end = count * (i + 1) / threads;
  }
  std::atomic<TeamWatch::Time> first_done{TeamWatch::Time()};
  at::parallel_for(0, threads, 1, [&](std::int64_t own, std::int64_t) {
    for (std::int64_t i = 0; i < threads; ++i) {
      shares[static_cast<std::size_t>((own + i) % threads)].work(smallest, body);
    }
    TeamWatch::Time nobody{};
    first_done.compare_exchange_strong(nobody, TeamWatch::Clock::now(), std::memory_order_relaxed);
  });
  watch.ran(threads, (count + smallest - 1) / smallest, start, first_done, TeamWatch::Clock::now());
}

}  // namespace autoround::model
