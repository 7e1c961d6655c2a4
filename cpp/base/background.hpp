// Work that one thread of the library does, in order, beside the thread that gives it.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace autoround {

/// One thread of its own, started with the first job. It takes no signals: they are the host's. After a job has failed
/// no other is run, and its error comes out of every later run() and wait().
class Background {
 public:
  Background() = default;
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  /// Waits for what was given. An error that nobody waited for is lost.
  ~Background();

  /// @throws the error of an earlier job, std::system_error: no thread
  void run(std::function<void()> job);
  /// Until every job is done. @throws the error of a job
  void wait();

 private:
  void start();
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;  // the first one is being done
  std::exception_ptr error_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace autoround
