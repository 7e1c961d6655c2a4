#include "session/session.hpp"

#include <utility>

#include "base/error.hpp"
#include "modifier/lifecycle.hpp"
#include "session/steps.hpp"

namespace autoround::session {

struct Session::Impl {
  /// Runs one step of the lifecycle. Work that fails half-way leaves nothing to go on with: the session is FAILED.
  template <class Step>
  auto guarded(Step&& step) {
    try {
      const Steps::Scope scope(steps);
      return step();
    } catch (...) {
      lifecycle.enter(modifier::State::failed);
      steps.abandon();
      throw;
    }
  }

  Steps steps;
  modifier::Lifecycle lifecycle;
};

Session::Session(std::shared_ptr<const Model> model, recipe::Recipe recipe,
                 std::shared_ptr<const calibration::SampleSet> data, Options options)
    : impl_(new Impl{{std::move(model), std::move(recipe), std::move(data), std::move(options)}, {}}) {}
Session::~Session() = default;

State Session::state() const noexcept { return static_cast<State>(impl_->lifecycle.state()); }

void Session::initialize() {
  impl_->lifecycle.require("initialize", {modifier::State::created});
  impl_->guarded([&] { impl_->steps.initialize(); });
  impl_->lifecycle.enter(modifier::State::initialized);
}

void Session::start() {
  impl_->lifecycle.require("start", {modifier::State::initialized});
  impl_->guarded([&] { impl_->steps.start(); });
  impl_->lifecycle.enter(modifier::State::started);
}

std::optional<std::size_t> Session::next_block() {
  impl_->lifecycle.require("next_block", {modifier::State::started});
  if (const auto reached = impl_->steps.reached())
    fail(Code::invalid_state, "next_block",
         "block " + std::to_string(*reached) + " was reached and not tuned: call sequential_epoch_end first");
  return impl_->guarded([&] { return impl_->steps.next_block(); });
}

void Session::sequential_epoch_end() {
  impl_->lifecycle.require("sequential_epoch_end", {modifier::State::started});
  if (!impl_->steps.reached())
    fail(Code::invalid_state, "sequential_epoch_end", "no block was reached: call next_block first");
  impl_->guarded([&] { impl_->steps.tune(impl_->steps.reached_modules()); });
}

void Session::sequential_epoch_end(const std::vector<std::string>& module_names) {
  impl_->lifecycle.require("sequential_epoch_end", {modifier::State::started});
  const std::optional<std::size_t> block = impl_->steps.block_of(module_names);
  if (!block) return;
  if (impl_->steps.reached() != block) {
    const std::string layer = impl_->steps.model().spec().layer_name(*block);
    fail(Code::invalid_state, layer,
         layer + " is not the layer that the data has reached: call next_block until it is");
  }
  impl_->guarded([&] { impl_->steps.tune(module_names); });
}

void Session::end() {
  impl_->lifecycle.require("end", {modifier::State::started});
  const std::size_t total = impl_->steps.model().spec().layers.size(), tuned = impl_->steps.tuned_layers();
  if (tuned < total)
    fail(Code::invalid_state, "end",
         std::to_string(tuned) + " of " + std::to_string(total) +
             " blocks are tuned: call next_block and sequential_epoch_end for the others first");
  impl_->guarded([&] { impl_->steps.end(); });
  impl_->lifecycle.enter(modifier::State::ended);
}

std::shared_ptr<const Result> Session::finalize() {
  impl_->lifecycle.require("finalize", {modifier::State::started, modifier::State::ended});
  if (impl_->lifecycle.state() == modifier::State::started) end();
  const std::shared_ptr<const Result> result = impl_->guarded([&] { return impl_->steps.finalize(); });
  impl_->lifecycle.enter(modifier::State::finalized);
  return result;
}

}  // namespace autoround::session
