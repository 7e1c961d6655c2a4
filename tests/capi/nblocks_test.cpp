// Several decoder layers tuned together: `nblocks` of the recipe.
#include <algorithm>

#include "host.hpp"

namespace {

/// Five layers in blocks of two: the last has one.
struct Grouped : host::Toy {
  explicit Grouped(int64_t nblocks = 2, int64_t iters = 30) : host::Toy(shape(), iters) {
    host::ok(autoround_recipe_set_int, recipe.get(), "nblocks", nblocks);
  }
  static toy_shape shape() {
    toy_shape five = toy_default();
    five.layers = 5;
    return five;
  }
};

struct Watch {
  std::vector<int64_t> begun, ended;
  std::vector<std::string> names;
  std::vector<double> fractions;
  std::map<int64_t, int> iterations;
  int64_t stop_after = -1;

  static int32_t on_event(void* self, const autoround_event* event) {
    auto& watch = *static_cast<Watch*>(self);
    watch.fractions.push_back(autoround_event_fraction(event));
    const int64_t block = autoround_event_block(event);
    switch (autoround_event_what(event)) {
      case AUTOROUND_EVENT_BLOCK_BEGIN:
        watch.begun.push_back(block);
        watch.names.emplace_back(autoround_event_name(event));
        break;
      case AUTOROUND_EVENT_ITERATION:
        ++watch.iterations[block];
        break;
      case AUTOROUND_EVENT_BLOCK_END:
        watch.ended.push_back(block);
        return block == watch.stop_after;
      default:
        CHECK(autoround_event_input_count(event) == 2);
    }
    return 0;
  }
};

void watch_with(const host::Toy& toy, Watch& watch) {
  host::ok(autoround_options_set_callback, toy.options.get(),
           int32_t{AUTOROUND_EVENT_BLOCK_BEGIN | AUTOROUND_EVENT_BLOCK_INPUTS | AUTOROUND_EVENT_ITERATION |
                   AUTOROUND_EVENT_BLOCK_END},
           Watch::on_event, static_cast<void*>(&watch), static_cast<autoround_release_fn>(nullptr));
}

}  // namespace

TEST_CASE("nblocks: layers are tuned two by two, the last alone", "[capi][nblocks]") {
  Grouped toy;
  Watch watch;
  watch_with(toy, watch);
  const host::Result result = toy.oneshot();
  CHECK(watch.begun == std::vector<int64_t>{0, 2, 4});
  CHECK(watch.ended == watch.begun);
  CHECK(watch.names == std::vector<std::string>{"model.layers.0-1", "model.layers.2-3", "model.layers.4"});
  CHECK(watch.iterations == std::map<int64_t, int>{{0, 30}, {2, 30}, {4, 30}});
  CHECK(std::is_sorted(watch.fractions.begin(), watch.fractions.end()));
  CHECK(watch.fractions.back() == 1.0);

  REQUIRE(autoround_result_block_count(result.get()) == 3);
  for (size_t block = 0; block < 3; ++block) {
    const double before = autoround_result_block_loss_before(result.get(), block),
                 after = autoround_result_block_loss_after(result.get(), block);
    CAPTURE(block, before, after);
    CHECK(std::string(autoround_result_block_name(result.get(), block)) == watch.names[block]);
    CHECK(after < 0.8 * before);
  }
  REQUIRE(autoround_result_layer_count(result.get()) == 36);
  for (size_t layer = 0; layer < 35; ++layer)
    host::make<host::Tensor>(autoround_result_layer_tensor, static_cast<const autoround_result*>(result.get()), layer,
                             "qweight");
}

TEST_CASE("nblocks: stepwise and oneshot give the same bytes", "[capi][nblocks]") {
  Grouped toy;
  toy.write_to("whole");
  toy.oneshot();
  toy.options = host::make<host::Options>(autoround_options_new);
  toy.write_to("steps");
  const host::Session session = toy.session();
  host::ok(autoround_session_initialize, session.get());
  host::ok(autoround_session_start, session.get());
  size_t block = 99;
  std::vector<size_t> blocks;
  while (host::ok(autoround_session_next_block, session.get(), &block) == AUTOROUND_OK) {
    blocks.push_back(block);
    const host::Failure early = host::failure(autoround_session_end, session.get());
    CHECK(early.message.find(std::to_string(block) + " of 5") != std::string::npos);
    host::ok(autoround_session_sequential_epoch_end, session.get());
  }
  CHECK(blocks == std::vector<size_t>{0, 2, 4});
  host::ok(autoround_session_finalize, session.get(), static_cast<autoround_result**>(nullptr));
  CHECK(host::contents(toy.output("steps")) == host::contents(toy.output("whole")));
}

TEST_CASE("nblocks: a walker names the layers of one block", "[capi][nblocks]") {
  const Grouped toy(2, 2);
  const host::Session session = toy.session();
  host::ok(autoround_session_initialize, session.get());
  host::ok(autoround_session_start, session.get());
  host::ok(autoround_session_next_block, session.get(), static_cast<size_t*>(nullptr));
  const char* const names[] = {"model.layers.0", "model.layers.1", "model.layers.2", "model.norm"};
  const auto names_from = [&](size_t first) { return static_cast<const char* const*>(names + first); };
  const auto refused = [&](size_t first, size_t count) {
    return host::failure(autoround_session_sequential_epoch_end_modules, session.get(), names_from(first), count);
  };
  CHECK(refused(0, 1).message.find("the 2 decoding layers from model.layers.0 on are expected, found 1") !=
        std::string::npos);
  CHECK(refused(0, 3).message.find("found 3") != std::string::npos);
  CHECK(refused(1, 2).status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(autoround_session_state(session.get()) == AUTOROUND_STATE_STARTED);
  host::ok(autoround_session_sequential_epoch_end_modules, session.get(), names_from(3), size_t{1});  // no layer
  host::ok(autoround_session_sequential_epoch_end_modules, session.get(), names_from(0), size_t{2});
  size_t block = 0;
  host::ok(autoround_session_next_block, session.get(), &block);
  CHECK(block == 2);
}

TEST_CASE("nblocks: a run goes on after the blocks that an earlier one finished", "[capi][nblocks]") {
  Grouped toy;
  toy.write_to("whole");
  toy.oneshot();
  toy.options = host::make<host::Options>(autoround_options_new);
  toy.write_to("out");
  host::ok(autoround_options_set_resume, toy.options.get(), int32_t{1});
  Watch stopping;
  stopping.stop_after = 2;
  watch_with(toy, stopping);
  CHECK(toy.failing_oneshot().status == AUTOROUND_ERROR_CANCELLED);

  // With layers in other blocks it is another run.
  host::ok(autoround_recipe_set_int, toy.recipe.get(), "nblocks", int64_t{1});
  const host::Failure other = toy.failing_oneshot();
  CHECK(other.status == AUTOROUND_ERROR_INVALID_STATE);
  CHECK(other.message.find("nblocks") != std::string::npos);
  host::ok(autoround_recipe_set_int, toy.recipe.get(), "nblocks", int64_t{2});

  Watch going_on;
  watch_with(toy, going_on);
  toy.oneshot();
  CHECK(going_on.ended == std::vector<int64_t>{0, 2, 4});
  CHECK(going_on.iterations == std::map<int64_t, int>{{4, 30}});
  CHECK(host::contents(toy.output("out")) == host::contents(toy.output("whole")));
}

TEST_CASE("nblocks: without data, and more than the model has layers", "[capi][nblocks]") {
  Grouped rounding(3, 0);
  rounding.data.reset();
  rounding.write_to("out");
  CHECK(autoround_result_block_count(rounding.oneshot().get()) == 2);
  host::Toy one_by_one(Grouped::shape(), 0);
  one_by_one.data.reset();
  one_by_one.write_to("out");
  one_by_one.oneshot();
  const auto file = [](const host::Toy& toy) { return host::contents(toy.output()).at("model.safetensors"); };
  CHECK(file(rounding) == file(one_by_one));

  const Grouped all(99, 5);
  const host::Result result = all.oneshot();
  REQUIRE(autoround_result_block_count(result.get()) == 1);
  CHECK(std::string(autoround_result_block_name(result.get(), 0)) == "model.layers.0-4");
}
