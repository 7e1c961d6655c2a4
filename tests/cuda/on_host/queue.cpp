#include "queue.hpp"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace autoround::cuda::on_host {
namespace {

struct Recording {
  std::mutex mutex;  // backward passes queue on threads of their own
  std::vector<std::function<void()>> work;
  std::vector<std::shared_ptr<void>> memory;
};

/// By the stream that is recorded.
class Recordings {
 public:
  void begin(c10::StreamId stream, std::shared_ptr<Recording> recording) {
    const std::lock_guard lock(mutex_);
    TORCH_CHECK(underway_.emplace(stream, std::move(recording)).second, "this stream is recorded already");
  }
  void end(c10::StreamId stream) {
    const std::lock_guard lock(mutex_);
    underway_.erase(stream);
  }
  std::shared_ptr<Recording> of_this_thread() {
    const std::lock_guard lock(mutex_);
    if (underway_.empty()) return nullptr;
    const auto found = underway_.find(current_stream());
    return found == underway_.end() ? nullptr : found->second;
  }
  static c10::StreamId current_stream() {
    return c10::impl::VirtualGuardImpl(c10::kCUDA).getStream({c10::kCUDA, 0}).id();
  }

 private:
  std::mutex mutex_;
  std::map<c10::StreamId, std::shared_ptr<Recording>> underway_;
};

Recordings& recordings() {
  static auto* all = new Recordings;
  return *all;
}

class Graph final : public device::Graph {
 public:
  ~Graph() override { stop(); }
  void begin() override {
    stream_ = Recordings::current_stream();
    recordings().begin(stream_, recording_);
    underway_ = true;
  }
  void end() override { stop(); }
  void run() override {
    for (const auto& work : recording_->work) work();
  }

 private:
  void stop() {
    if (std::exchange(underway_, false)) recordings().end(stream_);
  }

  std::shared_ptr<Recording> recording_ = std::make_shared<Recording>();
  c10::StreamId stream_ = 0;
  bool underway_ = false;
};

}  // namespace

void queue(std::function<void()> work) {
  const auto recording = recordings().of_this_thread();
  if (!recording) return work();
  const std::lock_guard lock(recording->mutex);
  recording->work.push_back(std::move(work));
}

bool is_recording() { return recordings().of_this_thread() != nullptr; }

void keep(std::shared_ptr<void> memory) {
  const auto recording = recordings().of_this_thread();
  if (!recording) return;
  const std::lock_guard lock(recording->mutex);
  recording->memory.push_back(std::move(memory));
}

std::unique_ptr<device::Graph> make_graph() { return std::make_unique<Graph>(); }

}  // namespace autoround::cuda::on_host
