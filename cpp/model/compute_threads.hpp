// LibTorch's threads from the point of view of one that calls it: OpenMP keeps how many work for a thread with that
// thread, and so does MKL.
#pragma once

namespace autoround::model {

/// While it lives, `count` threads work on what the calling thread computes, itself among them. Those of other threads
/// are left alone. Ends on the thread that made it.
class ThreadCount {
 public:
  /// @param count 0: as many as before
  explicit ThreadCount(int count);
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;
  ~ThreadCount();

 private:
  int count_, before_ = 0, mkl_before_ = 0;
};

}  // namespace autoround::model
