// Where the processor time of an iteration goes, seen from outside: LibTorch's callbacks around operations and autograd
// nodes, and a block and its operations that are wrapped. The library has no part in it and runs as it does elsewhere.
#pragma once

#include <ATen/record_function.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/forwarding_ops.hpp"
#include "tuner/block.hpp"

namespace autoround::bench {

/// Processor time of all threads spent in each operation itself, without those it calls, by the scope it ran in: an
/// autograd node, an operation of the block, or else the phase of the iteration. Unlike wall time it says something on
/// a busy machine too (with OMP_WAIT_POLICY=passive, or waiting counts). Lives on one thread.
class Profile {
 public:
  using Times = std::map<std::string, std::map<std::string, double>>;  // seconds by scope and operation; "": none

  Profile() {
    current = this;
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(&enter_function, &leave_function)
                                             .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  }
  ~Profile() {
    at::removeCallback(handle_);
    current = nullptr;
  }
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  /// What lies between the end of one iteration and the end of the next counts.
  void iteration_ended() {
    phase("weights and batch");
    const double now = seconds(CLOCK_MONOTONIC);
    if (running_) {
      ++iterations_;
      wall_ += now - ended_;
    }
    running_ = true;
    ended_ = now;
  }
  void pause() { running_ = false; }
  void phase(std::string name) {
    const double now = seconds(CLOCK_PROCESS_CPUTIME_ID);
    if (running_) times_[phase_][""] += now - since_ - top_;
    phase_ = std::move(name);
    since_ = now;
    top_ = 0.0;
  }

  /// While it lives, time goes to `name`.
  class Scope {
   public:
    Scope(Profile& profile, const char* name) : profile_(profile) { profile_.enter(name, ""); }
    ~Scope() { profile_.leave(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Profile& profile_;
  };

  void print(std::FILE* out) const {
    std::vector<std::pair<double, std::string>> rows;
    double sum = 0.0;
    for (const auto& [scope, operations] : times_) {
      for (const auto& [operation, time] : operations) {
        rows.emplace_back(1e3 * of_iteration(time), operation.empty() ? scope : scope + ": " + operation);
        sum += rows.back().first;
      }
    }
    std::sort(rows.rbegin(), rows.rend());
    for (const auto& [milliseconds, name] : rows) {
      if (milliseconds >= 0.02) std::fprintf(out, "%8.3f ms/iteration  %s\n", milliseconds, name.c_str());
    }
    std::fprintf(out, "%8.3f ms/iteration  in all, processor time of all threads\n", sum);
  }
  /// Of an iteration. Wall time and all processor time differ by what threads waited.
  std::string json() const {
    std::string text = "{\"wall\": " + number(wall_) + ", \"scopes\": {", between;
    for (const auto& [scope, operations] : times_) {
      text += std::exchange(between, ", ") + "\"" + scope + "\": {";
      std::string comma;
      for (const auto& [operation, time] : operations)
        text += std::exchange(comma, ", ") + "\"" + operation + "\": " + number(time);
      text += "}";
    }
    return text + "}}";
  }

 private:
  struct Frame {
    std::string scope, operation;
    double start = 0.0, children = 0.0;
  };

  void enter(std::string scope, std::string operation) {
    frames_.push_back({std::move(scope), std::move(operation), seconds(CLOCK_PROCESS_CPUTIME_ID)});
  }
  void leave() {
    const Frame frame = std::move(frames_.back());
    frames_.pop_back();
    const double inclusive = seconds(CLOCK_PROCESS_CPUTIME_ID) - frame.start;
    (frames_.empty() ? top_ : frames_.back().children) += inclusive;
    if (running_) times_[frame.scope][frame.operation] += inclusive - frame.children;
  }

  static double seconds(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }
  double of_iteration(double sum) const { return iterations_ == 0 ? 0.0 : sum / static_cast<double>(iterations_); }
  std::string number(double sum) const {
    char text[32];
    std::snprintf(text, sizeof text, "%.9f", of_iteration(sum));
    return text;
  }
  static std::unique_ptr<at::ObserverContext> enter_function(const at::RecordFunction& function) {
    const std::string_view name = function.name();
    const bool outermost = current->frames_.empty();
    if (outermost && name.starts_with("autograd::engine")) current->phase("backward");
    if (function.scope() == at::RecordScope::BACKWARD_FUNCTION) {
      current->enter(std::string(name), "");
    } else {
      current->enter(outermost ? current->phase_ : current->frames_.back().scope, std::string(name));
    }
    return nullptr;
  }
  static void leave_function(const at::RecordFunction&, at::ObserverContext*) { current->leave(); }

  inline static thread_local Profile* current = nullptr;
  at::CallbackHandle handle_ = 0;
  bool running_ = false;
  std::string phase_;
  double since_ = 0.0, top_ = 0.0;  // start of the phase, time in frames since then
  double ended_ = 0.0, wall_ = 0.0;
  std::int64_t iterations_ = 0;
  std::vector<Frame> frames_;
  Times times_;
};

/// The operations of a block, each a scope of the profile.
class ProfiledOps final : public model::ForwardingOps {
 public:
  ProfiledOps(Profile& profile, model::Ops& inner) : ForwardingOps(inner), profile_(profile) {}

  at::Tensor linear(const model::Projection& projection, const at::Tensor& x) override {
    const Profile::Scope scope(profile_, "linear");
    return inner().linear(projection, x);
  }
  at::Tensor attention(const model::AttentionInput& input) override {
    const Profile::Scope scope(profile_, "attention");
    return inner().attention(input);
  }
  at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) override {
    const Profile::Scope scope(profile_, "norm");
    return inner().rms_norm(x, weight, eps);
  }
  std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight,
                                                 double eps) override {
    const Profile::Scope scope(profile_, "norm");
    return inner().add_rms_norm(x, delta, weight, eps);
  }
  at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) override {
    const Profile::Scope scope(profile_, "norm");
    return inner().layer_norm(x, weight, bias, eps);
  }
  at::Tensor gated_activation(const at::Tensor& gate_up, model::Activation activation) override {
    const Profile::Scope scope(profile_, "activation");
    return inner().gated_activation(gate_up, activation);
  }
  at::Tensor activation(const at::Tensor& x, model::Activation activation) override {
    const Profile::Scope scope(profile_, "activation");
    return inner().activation(x, activation);
  }

 private:
  Profile& profile_;
};

/// A block whose forward pass is profiled: what comes after it, up to the backward pass, is the loss.
class ProfiledBlock final : public tuner::Block {
 public:
  ProfiledBlock(Profile& profile, const tuner::Block& inner) : profile_(profile), inner_(inner) {}

  const std::string& name() const noexcept override { return inner_.name(); }
  std::vector<model::Projection*> projections() const override { return inner_.projections(); }
  at::Tensor forward(const at::Tensor& x, std::int64_t samples, model::Ops& ops) const override {
    profile_.phase("forward");
    ProfiledOps profiled(profile_, ops);
    at::Tensor output = inner_.forward(x, samples, profiled);
    profile_.phase("loss");
    return output;
  }

 private:
  Profile& profile_;
  const tuner::Block& inner_;
};

}  // namespace autoround::bench
