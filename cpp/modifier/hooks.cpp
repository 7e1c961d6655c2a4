#include "modifier/hooks.hpp"

#include <utility>
#include <vector>

namespace autoround::modifier {

struct HookRegistry::Handle::Entries {
  struct Entry {
    HookPoint point;
    std::string module;
    Hook hook;
  };
  std::map<std::uint64_t, Entry> by_id;
};

HookRegistry::Handle& HookRegistry::Handle::operator=(Handle&& other) noexcept {
  if (this != &other) {
    reset();
    entries_ = std::exchange(other.entries_, {});
    id_ = std::exchange(other.id_, 0);
  }
  return *this;
}

void HookRegistry::Handle::reset() noexcept {
  if (auto entries = entries_.lock()) entries->by_id.erase(id_);
  entries_.reset();
}

HookRegistry::HookRegistry() : entries_(std::make_shared<Handle::Entries>()) {}

HookRegistry::Handle HookRegistry::add(HookPoint point, std::string module, Hook hook) {
  const std::uint64_t id = next_id_++;
  entries_->by_id.emplace(id, Handle::Entries::Entry{point, std::move(module), std::move(hook)});
  return Handle(entries_, id);
}

void HookRegistry::fire(HookPoint point, const std::string& module, const at::Tensor& tensor) const {
  // A hook may remove itself or others, so the ones to call are collected first.
  std::vector<Hook> due;
  for (const auto& [id, entry] : entries_->by_id)
    if (entry.point == point && entry.module == module) due.push_back(entry.hook);
  for (const Hook& hook : due) hook(module, tensor);
}

std::size_t HookRegistry::size() const noexcept { return entries_->by_id.size(); }

}  // namespace autoround::modifier
