#include "modifier/hooks.hpp"

#include <ATen/ATen.h>

#include "modifier/input_capture.hpp"
#include "support/catch.hpp"

using autoround::modifier::HookPoint;
using autoround::modifier::HookRegistry;
using autoround::modifier::InputCapture;

TEST_CASE("hooks: fire by module and point, in the order they were added", "[modifier]") {
  HookRegistry hooks;
  std::string calls;
  const auto note = [&](const char* tag) {
    return [&calls, tag](const std::string&, const at::Tensor&) { calls += tag; };
  };
  const auto a = hooks.add(HookPoint::pre_forward, "layer.0", note("a"));
  const auto b = hooks.add(HookPoint::post_forward, "layer.0", note("b"));
  const auto c = hooks.add(HookPoint::pre_forward, "layer.0", note("c"));
  const auto d = hooks.add(HookPoint::pre_forward, "layer.1", note("d"));
  hooks.fire(HookPoint::pre_forward, "layer.0", {});
  CHECK(calls == "ac");
  hooks.fire(HookPoint::post_forward, "layer.0", {});
  CHECK(calls == "acb");
}

TEST_CASE("hooks: live as long as their handle, which may be moved", "[modifier]") {
  HookRegistry hooks;
  int calls = 0;
  {
    auto first = hooks.add(HookPoint::pre_forward, "layer", [&](const std::string&, const at::Tensor&) { ++calls; });
    auto second = std::move(first);
    CHECK(hooks.size() == 1);
    hooks.fire(HookPoint::pre_forward, "layer", {});
    second = hooks.add(HookPoint::pre_forward, "other", [&](const std::string&, const at::Tensor&) { calls += 10; });
    CHECK(hooks.size() == 1);
  }
  CHECK(hooks.size() == 0);
  hooks.fire(HookPoint::pre_forward, "layer", {});
  CHECK(calls == 1);
}

TEST_CASE("hooks: a hook may remove itself while it runs, and a handle may outlive the registry", "[modifier]") {
  HookRegistry::Handle survivor;
  {
    HookRegistry hooks;
    HookRegistry::Handle self;
    int calls = 0;
    self = hooks.add(HookPoint::pre_forward, "layer", [&](const std::string&, const at::Tensor&) {
      ++calls;
      self.reset();
    });
    hooks.fire(HookPoint::pre_forward, "layer", {});
    hooks.fire(HookPoint::pre_forward, "layer", {});
    CHECK(calls == 1);
    survivor = hooks.add(HookPoint::pre_forward, "layer", [](const std::string&, const at::Tensor&) {});
  }
  survivor.reset();
}

TEST_CASE("input capture: both sides of a block, released on request, hooks gone with it", "[modifier]") {
  HookRegistry hooks;
  const at::Tensor x = at::ones({2, 3}), y = at::zeros({2, 3});
  {
    InputCapture capture(hooks, "first", "last");
    CHECK(hooks.size() == 2);
    CHECK_FALSE(capture.input().defined());
    hooks.fire(HookPoint::pre_forward, "first", x);
    hooks.fire(HookPoint::post_forward, "first", x + 1);  // what is between them is not kept
    hooks.fire(HookPoint::pre_forward, "last", x + 1);
    hooks.fire(HookPoint::post_forward, "last", y);
    CHECK(capture.input().is_same(x));
    CHECK(capture.output().is_same(y));
    capture.release();
    CHECK_FALSE(capture.output().defined());
  }
  CHECK(hooks.size() == 0);
}
