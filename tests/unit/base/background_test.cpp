#include "base/background.hpp"

#include <signal.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "support/catch.hpp"

namespace autoround {

TEST_CASE("background: jobs are done in order, on one other thread", "[base]") {
  std::vector<int> done;
  std::vector<std::thread::id> threads;
  Background background;
  for (int i = 0; i < 100; ++i)
    background.run([&, i] {
      done.push_back(i);
      threads.push_back(std::this_thread::get_id());
    });
  background.wait();
  REQUIRE(done.size() == 100);
  for (int i = 0; i < 100; ++i) {
    CHECK(done[static_cast<std::size_t>(i)] == i);
    CHECK(threads[static_cast<std::size_t>(i)] == threads.front());
  }
  CHECK(threads.front() != std::this_thread::get_id());
  background.run([&] { done.clear(); });
  background.wait();
  CHECK(done.empty());
}

TEST_CASE("background: jobs are given while others are done", "[base]") {
  std::atomic<int> done = 0;
  Background background;
  for (int i = 0; i < 20000; ++i) background.run([&] { ++done; });
  background.wait();
  CHECK(done == 20000);
}

TEST_CASE("background: after an error nothing more is done and every call gives it", "[base]") {
  std::atomic<int> done = 0;
  Background background;
  background.run([&] { ++done; });
  background.run([] { fail(Code::io, "a file", "the disk is full"); });
  try {
    background.wait();
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == Code::io);
    CHECK(error.subject() == "a file");
  }
  CHECK_THROWS_AS(background.run([&] { ++done; }), Error);
  CHECK_THROWS_AS(background.wait(), Error);
  CHECK(done == 1);
}

TEST_CASE("background: what was given is done before it ends", "[base]") {
  std::atomic<int> done = 0;
  {
    Background background;
    for (int i = 0; i < 10; ++i) background.run([&] { ++done; });
  }
  CHECK(done == 10);
}

TEST_CASE("background: its thread takes no signals, the caller's mask stays", "[base]") {
  sigset_t before, after, inside;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  Background background;
  background.run([&] { pthread_sigmask(SIG_SETMASK, nullptr, &inside); });
  background.wait();
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGPROF, SIGCHLD}) {
    CHECK(sigismember(&inside, signal) == 1);
    CHECK(sigismember(&after, signal) == sigismember(&before, signal));
  }
}

}  // namespace autoround
