#include <cmath>

#include "host.hpp"

namespace {

struct Seen {
  std::map<int32_t, int> kinds;
  std::vector<double> fractions;
  std::vector<std::string> blocks;
  std::vector<int64_t> input_sizes;
  int released = 0;
};

int32_t observe(void* user_data, const autoround_event* event) {
  auto* seen = static_cast<Seen*>(user_data);
  ++seen->kinds[autoround_event_what(event)];
  seen->fractions.push_back(autoround_event_fraction(event));
  if (autoround_event_what(event) == AUTOROUND_EVENT_BLOCK_END) seen->blocks.push_back(autoround_event_name(event));
  for (size_t i = 0; i < autoround_event_input_count(event); ++i) {
    autoround_tensor* input = nullptr;
    if (autoround_event_input(event, i, &input, nullptr) != AUTOROUND_OK) return 1;
    for (size_t dim = 0; dim < autoround_tensor_rank(input); ++dim)
      seen->input_sizes.push_back(autoround_tensor_size(input, dim));
    autoround_tensor_free(input);
  }
  return 0;
}

void release(void* user_data) { ++static_cast<Seen*>(user_data)->released; }

}  // namespace

TEST_CASE("events: a run tells of every block and iteration, in order", "[capi][events]") {
  Seen seen;
  {
    host::Toy toy;
    host::ok(autoround_options_set_callback, toy.options.get(), int32_t{31}, observe, static_cast<void*>(&seen),
             release);
    toy.oneshot();
    CHECK(seen.kinds[AUTOROUND_EVENT_PROGRESS] == 2);
    CHECK(seen.kinds[AUTOROUND_EVENT_BLOCK_BEGIN] == 2);
    CHECK(seen.kinds[AUTOROUND_EVENT_BLOCK_INPUTS] == 2);
    CHECK(seen.kinds[AUTOROUND_EVENT_ITERATION] == 8);
    CHECK(seen.kinds[AUTOROUND_EVENT_BLOCK_END] == 2);
    CHECK(std::is_sorted(seen.fractions.begin(), seen.fractions.end()));
    CHECK(seen.fractions.back() == 1.0);
    CHECK(seen.blocks == std::vector<std::string>{"model.layers.0", "model.layers.1"});
    CHECK(seen.input_sizes == std::vector<int64_t>{8, 16, 64, 8, 16, 64, 8, 16, 64, 8, 16, 64});
    CHECK(seen.released == 0);
  }
  CHECK(seen.released == 1);
}

TEST_CASE("events: the mask selects", "[capi][events]") {
  Seen seen;
  host::Toy toy;
  host::ok(autoround_options_set_callback, toy.options.get(), int32_t{AUTOROUND_EVENT_BLOCK_END}, observe,
           static_cast<void*>(&seen), release);
  toy.oneshot();
  CHECK(seen.kinds == std::map<int32_t, int>{{AUTOROUND_EVENT_BLOCK_END, 2}});
}

TEST_CASE("events: release runs exactly once, whatever happens", "[capi][events]") {
  Seen seen;
  const auto options = host::make<host::Options>(autoround_options_new);
  CHECK(host::failure(autoround_options_set_callback, options.get(), int32_t{1 << 20}, observe,
                      static_cast<void*>(&seen), release)
            .status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(seen.released == 1);
  CHECK(host::failure(autoround_options_set_callback, static_cast<autoround_options*>(nullptr), int32_t{1}, observe,
                      static_cast<void*>(&seen), release)
            .status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(seen.released == 2);
  host::ok(autoround_options_set_callback, options.get(), int32_t{1}, observe, static_cast<void*>(&seen), release);
  host::ok(autoround_options_set_callback, options.get(), int32_t{1}, observe, static_cast<void*>(&seen), release);
  CHECK(seen.released == 3);  // replaced
}

TEST_CASE("events: getters of no event", "[capi][events]") {
  CHECK(autoround_event_what(nullptr) == 0);
  CHECK(autoround_event_block(nullptr) == -1);
  CHECK(std::string(autoround_event_name(nullptr)) == "");
  CHECK(std::isnan(autoround_event_loss(nullptr)));
}

TEST_CASE("log: lines reach the host's sink and nothing else", "[capi][events]") {
  struct Sink {
    std::vector<std::string> lines;
    int released = 0;
  } sink;
  {
    const host::Toy toy;
    const auto context = host::make<host::Context>(autoround_context_new);
    host::ok(
        autoround_context_set_log, context.get(), int32_t{AUTOROUND_LOG_INFO},
        [](void* user_data, int32_t, const char* text, size_t length) {
          static_cast<Sink*>(user_data)->lines.emplace_back(text, length);
        },
        static_cast<void*>(&sink), [](void* user_data) { ++static_cast<Sink*>(user_data)->released; });
    const auto model = host::make<host::Model>(autoround_model_open, context.get(), toy.directory().c_str(),
                                               static_cast<const autoround_options*>(nullptr));
    const auto result = host::make<host::Result>(
        autoround_oneshot, model.get(), static_cast<const autoround_recipe*>(toy.recipe.get()),
        static_cast<const autoround_calibration*>(toy.data.get()), static_cast<const autoround_options*>(nullptr));
    CHECK(std::any_of(sink.lines.begin(), sink.lines.end(), [](const std::string& line) {
      return line.find("8 of 8 samples, 121 tokens, 7 padding") != std::string::npos;
    }));
    CHECK(sink.released == 0);
  }
  CHECK(sink.released == 1);
}
