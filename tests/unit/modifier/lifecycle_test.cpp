#include "modifier/lifecycle.hpp"

#include "support/errors.hpp"

using namespace autoround;
using modifier::Lifecycle;
using modifier::State;

TEST_CASE("lifecycle: a call in an allowed state passes", "[modifier]") {
  Lifecycle lifecycle;
  lifecycle.require("initialize", {State::created});
  lifecycle.enter(State::started);
  lifecycle.require("finalize", {State::started, State::ended});
  CHECK(lifecycle.state() == State::started);
}

TEST_CASE("lifecycle: a call out of order names call, wanted states and state", "[modifier]") {
  Lifecycle lifecycle;
  const Error error = test::error_of([&] { lifecycle.require("finalize", {State::started, State::ended}); });
  CHECK(error.code() == Code::invalid_state);
  CHECK(error.subject() == "finalize");
  CHECK(std::string(error.what()) == "finalize needs state STARTED or ENDED, the session is CREATED");
}
