#include "base/background.hpp"

#include <pthread.h>

#include <csignal>
#include <utility>

namespace autoround {

Background::~Background() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Background::run(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
  if (!thread_.joinable()) start();
  jobs_.push_back(std::move(job));
  changed_.notify_all();
}

void Background::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return jobs_.empty(); });
  if (error_) std::rethrow_exception(error_);
}

/// A thread inherits the mask of signals of the one that starts it.
void Background::start() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { work(); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Background::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return !jobs_.empty() || ending_; });
    if (jobs_.empty()) return;
    if (!error_) {
      std::exception_ptr error;
      const std::function<void()>& job = jobs_.front();  // what is pushed behind it meanwhile leaves it where it is
      lock.unlock();
      try {
        job();
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      error_ = error;
    }
    jobs_.pop_front();
    changed_.notify_all();
  }
}

}  // namespace autoround
