#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "host.hpp"

namespace {

struct Counter {
  autoround_cancel* cancel = nullptr;
  int calls = 0, stop_at = 0;
};

int32_t cancel_from_callback(void* user_data, const autoround_event*) {
  auto* counter = static_cast<Counter*>(user_data);
  if (++counter->calls == counter->stop_at) autoround_cancel_request(counter->cancel);
  return 0;
}

int32_t refuse(void* user_data, const autoround_event*) {
  auto* counter = static_cast<Counter*>(user_data);
  return ++counter->calls == counter->stop_at ? 1 : 0;
}

void expect_cancelled(const host::Toy& toy) {
  CHECK(toy.failing_oneshot().status == AUTOROUND_ERROR_CANCELLED);
  CHECK(host::siblings(toy).size() == 1);  // the model alone
}

autoround_cancel* signalled = nullptr;
extern "C" void on_signal(int) { autoround_cancel_request(signalled); }

}  // namespace

TEST_CASE("cancel: from a callback, within one iteration", "[capi][cancel]") {
  host::Toy toy(toy_default(), 50);
  toy.write_to("out");
  const host::Cancel cancel(autoround_cancel_new());
  Counter counter{cancel.get(), 0, 7};
  host::ok(autoround_options_set_cancel, toy.options.get(), cancel.get());
  host::ok(autoround_options_set_callback, toy.options.get(), int32_t{AUTOROUND_EVENT_ITERATION}, cancel_from_callback,
           static_cast<void*>(&counter), static_cast<autoround_release_fn>(nullptr));
  expect_cancelled(toy);
  CHECK(counter.calls == 7);
  CHECK(autoround_cancel_is_requested(cancel.get()) == 1);
}

TEST_CASE("cancel: a callback that returns non-zero stops the run", "[capi][cancel]") {
  host::Toy toy(toy_default(), 50);
  toy.write_to("out");
  Counter counter{nullptr, 0, 3};
  host::ok(autoround_options_set_callback, toy.options.get(), int32_t{AUTOROUND_EVENT_ITERATION}, refuse,
           static_cast<void*>(&counter), static_cast<autoround_release_fn>(nullptr));
  expect_cancelled(toy);
  CHECK(counter.calls == 3);
}

TEST_CASE("cancel: requested before the start, and sticky", "[capi][cancel]") {
  host::Toy toy;
  toy.write_to("out");
  const host::Cancel cancel(autoround_cancel_new());
  autoround_cancel_request(cancel.get());
  autoround_cancel_request(cancel.get());
  host::ok(autoround_options_set_cancel, toy.options.get(), cancel.get());
  expect_cancelled(toy);
  expect_cancelled(toy);
  // The model is as good as before.
  host::ok(autoround_options_set_cancel, toy.options.get(), static_cast<autoround_cancel*>(nullptr));
  toy.oneshot();
}

TEST_CASE("cancel: from another thread", "[capi][cancel]") {
  host::Toy toy(toy_default(), 100000);
  toy.write_to("out");
  const host::Cancel cancel(autoround_cancel_new());
  host::ok(autoround_options_set_cancel, toy.options.get(), cancel.get());
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    autoround_cancel_request(cancel.get());
  });
  expect_cancelled(toy);
  other.join();
}

TEST_CASE("cancel: from a signal handler", "[capi][cancel]") {
  host::Toy toy(toy_default(), 100000);
  const host::Cancel cancel(autoround_cancel_new());
  signalled = cancel.get();
  host::ok(autoround_options_set_cancel, toy.options.get(), cancel.get());
  const auto before = std::signal(SIGUSR1, on_signal);
  std::thread other([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    std::raise(SIGUSR1);
  });
  expect_cancelled(toy);
  other.join();
  std::signal(SIGUSR1, before);
}

TEST_CASE("cancel: NULL is harmless", "[capi][cancel]") {
  autoround_cancel_request(nullptr);
  CHECK(autoround_cancel_is_requested(nullptr) == 0);
  autoround_cancel_free(nullptr);
}
