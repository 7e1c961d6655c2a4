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

TEST_CASE("threads: as many as the context says, whatever other sessions have", "[capi][threads]") {
  const host::Toy toy;
  const auto threads_of = [](const autoround_result* result) {
    char* raw = nullptr;
    if (autoround_result_report(result, &raw, nullptr) != AUTOROUND_OK) return -1;
    const host::Text owner(raw);
    const std::string report = raw, key = "\"threads\": ";
    return std::stoi(report.substr(report.find(key) + key.size()));
  };
  // Reports of runs of three models, which go on at the same time.
  const int counts[] = {1, 3, 0};
  int found[3] = {-1, -1, -1};
  std::vector<std::thread> runs;
  for (int i = 0; i < 3; ++i) {
    const auto context = host::make<host::Context>(autoround_context_new);
    host::ok(autoround_context_set_threads, context.get(), counts[i]);
    auto model = host::make<host::Model>(autoround_model_open, context.get(), toy.directory().c_str(),
                                         static_cast<const autoround_options*>(nullptr));
    host::ok(autoround_context_set_threads, context.get(), 7);  // of what is opened after this
    runs.emplace_back([&, i, model = std::move(model)] {
      autoround_result* result = nullptr;
      if (autoround_oneshot(model.get(), toy.recipe.get(), toy.data.get(), nullptr, &result, nullptr) == AUTOROUND_OK)
        found[i] = threads_of(result);
      autoround_result_free(result);
    });
  }
  for (std::thread& run : runs) run.join();
  CHECK(found[0] == 1);
  CHECK(found[1] == 3);
  const host::Result plain = toy.oneshot();
  CHECK(found[2] == threads_of(plain.get()));
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
