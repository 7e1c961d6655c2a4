// Forward hooks by module name. LibTorch's C++ modules have none, so the pipeline that runs a layer fires these. A hook
// lives as long as its handle: nothing can leak past the run that added it, on an error least of all.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace autoround::modifier {

enum class HookPoint { pre_forward, post_forward };

/// @param tensor the module's input (pre) or output (post), [samples * length, hidden]
using Hook = std::function<void(const std::string& module, const at::Tensor& tensor)>;

class HookRegistry {
 public:
  /// Removes its hook when destroyed or reset. May outlive the registry.
  class Handle {
   public:
    Handle() = default;
    Handle(Handle&&) noexcept = default;
    Handle& operator=(Handle&& other) noexcept;
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() { reset(); }
    void reset() noexcept;

   private:
    friend class HookRegistry;
    struct Entries;
    Handle(std::weak_ptr<Entries> entries, std::uint64_t id) : entries_(std::move(entries)), id_(id) {}
    std::weak_ptr<Entries> entries_;
    std::uint64_t id_ = 0;
  };

  HookRegistry();
  [[nodiscard]] Handle add(HookPoint point, std::string module, Hook hook);
  void fire(HookPoint point, const std::string& module,
            const at::Tensor& tensor) const;  // in the order they were added
  std::size_t size() const noexcept;

 private:
  std::shared_ptr<Handle::Entries> entries_;
  std::uint64_t next_id_ = 1;
};

}  // namespace autoround::modifier
