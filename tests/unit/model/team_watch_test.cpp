#include "model/team_watch.hpp"

#include "support/catch.hpp"

namespace autoround::model {
namespace {

using std::chrono::milliseconds;

/// Loops of 10 ms, one after the other, each of which waits for its last thread for a part of them.
class Loops {
 public:
  /// Until the watch judges: four of them.
  void run(std::int64_t threads, milliseconds waiting, std::int64_t ranges = 80) {
    for (int i = 0; i < 4; ++i) {
      CHECK_FALSE(watch.alone(now));
      const TeamWatch::Time end = now + milliseconds(10);
      watch.ran(threads, ranges, now, end - waiting, end);
      now = end;
    }
  }
  /// For how long loops are left to one thread from now on.
  milliseconds alone() {
    const TeamWatch::Time from = now;
    while (watch.alone(now)) now += milliseconds(1);
    return std::chrono::duration_cast<milliseconds>(now - from);
  }

 private:
  TeamWatch watch;
  TeamWatch::Time now{milliseconds(1000)};
};

}  // namespace

TEST_CASE("team watch: threads that wait little stay together", "[model]") {
  Loops loops;
  for (int i = 0; i < 10; ++i) {
    loops.run(2, milliseconds(2));
    CHECK(loops.alone() == milliseconds(0));
  }
}

TEST_CASE("team watch: where waiting is most of it one works alone, the longer the more often", "[model]") {
  Loops loops;
  for (const int pause : {100, 200, 400, 800, 1600, 1600}) {
    loops.run(2, milliseconds(4));
    CHECK(loops.alone() == milliseconds(pause));
  }
  SECTION("and shorter again once it went well") {
    for (int i = 0; i < 2; ++i) {
      loops.run(2, milliseconds(0));
      CHECK(loops.alone() == milliseconds(0));
    }
    loops.run(2, milliseconds(4));
    CHECK(loops.alone() == milliseconds(400));
  }
}

TEST_CASE("team watch: waiting for a last range that could not be shared is no reason", "[model]") {
  Loops loops;
  loops.run(2, milliseconds(5), 3);
  CHECK(loops.alone() == milliseconds(0));
  loops.run(2, milliseconds(9), 1);
  CHECK(loops.alone() == milliseconds(0));
  loops.run(2, milliseconds(9), 3);
  CHECK(loops.alone() == milliseconds(100));
}

TEST_CASE("team watch: of many threads one is no match, however long they wait for the last", "[model]") {
  Loops loops;
  loops.run(8, milliseconds(8));
  CHECK(loops.alone() == milliseconds(0));
  loops.run(8, milliseconds(9));
  CHECK(loops.alone() > milliseconds(0));
}

}  // namespace autoround::model
