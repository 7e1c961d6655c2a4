#include <mutex>
#include <thread>

#include "host.hpp"

TEST_CASE("threads: two sessions in two threads give what they give alone", "[capi][threads]") {
  toy_shape first = toy_default(), second = toy_default();
  second.seed = 2;
  second.intermediate = 128;
  std::map<std::string, std::string> alone[2], together[2];
  const auto run = [](const toy_shape& shape, std::map<std::string, std::string>& files) {
    // The checks of a test framework are not for several threads: plain calls here, the comparison below.
    host::Toy* toy = nullptr;
    {
      static std::mutex setup;
      const std::lock_guard<std::mutex> lock(setup);
      toy = new host::Toy(shape, 20);
      toy->write_to("out");
    }
    autoround_result* result = nullptr;
    autoround_error* error = nullptr;
    if (autoround_oneshot(toy->model.get(), toy->recipe.get(), toy->data.get(), toy->options.get(), &result, &error) ==
        AUTOROUND_OK)
      files = host::contents(toy->output());
    autoround_result_free(result);
    autoround_error_free(error);
    delete toy;
  };
  run(first, alone[0]);
  run(second, alone[1]);
  std::thread a([&] { run(first, together[0]); }), b([&] { run(second, together[1]); });
  a.join();
  b.join();
  for (int i = 0; i < 2; ++i) {
    REQUIRE(alone[i].size() >= 3);
    CHECK(alone[i].at("model.safetensors") == together[i].at("model.safetensors"));
  }
  CHECK(alone[0].at("model.safetensors") != alone[1].at("model.safetensors"));
}

TEST_CASE("threads: a handle may move to another thread", "[capi][threads]") {
  host::Toy toy;
  host::Result result;
  std::thread([&] {
    autoround_result* raw = nullptr;
    if (autoround_oneshot(toy.model.get(), toy.recipe.get(), toy.data.get(), toy.options.get(), &raw, nullptr) ==
        AUTOROUND_OK)
      result.reset(raw);
  }).join();
  CHECK(autoround_result_block_count(result.get()) == 2);
}
