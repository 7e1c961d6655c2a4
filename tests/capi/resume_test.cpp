// Going on after an earlier run, within one process. Runs that are killed: tests/resume.
#include <algorithm>

#include "host.hpp"

namespace {

namespace fs = std::filesystem;

toy_shape three_layers() {
  toy_shape shape = toy_default();
  shape.layers = 3;
  return shape;
}

/// Counts events by kind, and stops the run at the end of a block.
struct Watch {
  std::map<autoround_event_kind, int> seen;
  int64_t stop_after = -1;
  std::vector<std::string> streams;  // bytes of the quantized stream of each block

  static int32_t on_event(void* self, const autoround_event* event) {
    auto& watch = *static_cast<Watch*>(self);
    ++watch.seen[autoround_event_what(event)];
    if (autoround_event_what(event) == AUTOROUND_EVENT_BLOCK_INPUTS) {
      const auto tensor = host::make<host::Tensor>(autoround_event_input, event, std::size_t{1});
      watch.streams.emplace_back(static_cast<const char*>(autoround_tensor_data(tensor.get())),
                                 autoround_tensor_byte_size(tensor.get()));
    }
    return autoround_event_what(event) == AUTOROUND_EVENT_BLOCK_END && autoround_event_block(event) == watch.stop_after;
  }
};

void watch_with(const host::Toy& toy, Watch& watch) {
  host::ok(autoround_options_set_callback, toy.options.get(),
           int32_t{AUTOROUND_EVENT_BLOCK_BEGIN | AUTOROUND_EVENT_BLOCK_INPUTS | AUTOROUND_EVENT_ITERATION |
                   AUTOROUND_EVENT_BLOCK_END},
           Watch::on_event, static_cast<void*>(&watch), static_cast<autoround_release_fn>(nullptr));
}

/// A toy whose run to "out" resumes, beside "whole", the same without a break.
struct Resumed : host::Toy {
  Resumed() : host::Toy(three_layers()) {
    write_to("whole");
    watch_with(*this, whole_watch);
    whole = oneshot();
    options = host::make<host::Options>(autoround_options_new);
    write_to("out");
    host::ok(autoround_options_set_resume, options.get(), int32_t{1});
  }
  void stop_after(int64_t block) {
    Watch stopping{{}, block, {}};
    watch_with(*this, stopping);
    CHECK(failing_oneshot().status == AUTOROUND_ERROR_CANCELLED);
    host::ok(autoround_options_set_callback, options.get(), int32_t{0}, static_cast<autoround_event_fn>(nullptr),
             static_cast<void*>(nullptr), static_cast<autoround_release_fn>(nullptr));
    CHECK_FALSE(fs::exists(output()));
  }
  std::string left() const {
    std::string found;
    for (const std::string& name : host::siblings(*this))
      if (name.rfind(".out.incomplete-", 0) == 0) found = folder / name;
    return found;
  }
  /// Changes a byte that was written to "out".
  void damage_block_1() const {
    std::string bytes = host::contents(left())["model.safetensors"];
    const auto header = 8 + static_cast<std::size_t>(static_cast<unsigned char>(bytes[0])) +
                        256 * static_cast<std::size_t>(static_cast<unsigned char>(bytes[1]));
    const std::string name = "\"model.layers.1.mlp.up_proj.weight_scale\"";
    const std::size_t offsets = bytes.find("data_offsets\":[", bytes.find(name)) + 15;
    bytes[header + std::stoul(bytes.substr(offsets, 20))] ^= 1;
    std::ofstream(left() + "/model.safetensors", std::ios::binary) << bytes;
  }
  void expect_whole() const {
    CHECK(host::contents(output()) == host::contents(output("whole")));
    CHECK(host::siblings(*this).size() == 3);  // model, whole, out
  }

  Watch whole_watch;
  host::Result whole;
};

}  // namespace

TEST_CASE("resume: needs an output directory", "[capi][resume]") {
  host::Toy toy;
  host::ok(autoround_options_set_resume, toy.options.get(), int32_t{1});
  const host::Failure said = toy.failing_oneshot();
  CHECK(said.status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(said.subject == "resume");
}

TEST_CASE("resume: where nothing was left the run begins at the beginning", "[capi][resume]") {
  const Resumed toy;
  toy.oneshot();
  toy.expect_whole();
}

TEST_CASE("resume: a cancelled run leaves its finished blocks, and the next gives the same bytes, losses and streams",
          "[capi][resume]") {
  for (const int64_t block : {0, 1, 2}) {
    CAPTURE(block);
    Resumed toy;
    toy.stop_after(block);
    CHECK(fs::exists(toy.left() + "/.autoround.journal"));
    Watch watch;
    watch_with(toy, watch);
    const host::Result result = toy.oneshot();
    toy.expect_whole();

    CHECK(watch.seen[AUTOROUND_EVENT_BLOCK_BEGIN] == 3);
    CHECK(watch.seen[AUTOROUND_EVENT_BLOCK_END] == 3);
    CHECK(watch.seen[AUTOROUND_EVENT_ITERATION] == 4 * (2 - block));
    CHECK(watch.streams == toy.whole_watch.streams);
    REQUIRE(autoround_result_block_count(result.get()) == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(autoround_result_block_loss_before(result.get(), i) ==
            autoround_result_block_loss_before(toy.whole.get(), i));
      CHECK(autoround_result_block_loss_after(result.get(), i) ==
            autoround_result_block_loss_after(toy.whole.get(), i));
      CHECK(autoround_result_block_best_iteration(result.get(), i) ==
            autoround_result_block_best_iteration(toy.whole.get(), i));
      CHECK(autoround_result_block_seconds(result.get(), i) > 0.0);
    }
    const auto report = host::make<host::Text>(autoround_result_report, result.get());
    CHECK(std::string(report.get()).find("\"resumed_blocks\": " + std::to_string(block + 1)) != std::string::npos);
    CHECK(std::string(report.get()).find("\"bits_per_weight\": 0.0") == std::string::npos);
  }
}

TEST_CASE("resume: a run that is stopped again and again gets there", "[capi][resume]") {
  Resumed toy;
  for (const int64_t block : {0, 0, 1, 2, 2}) toy.stop_after(block);
  toy.oneshot();
  toy.expect_whole();
}

TEST_CASE("resume: a session that is freed half-way, step by step", "[capi][resume]") {
  const Resumed toy;
  {
    const host::Session session = toy.session();
    host::ok(autoround_session_initialize, session.get());
    host::ok(autoround_session_start, session.get());
    host::ok(autoround_session_next_block, session.get(), static_cast<std::size_t*>(nullptr));
    host::ok(autoround_session_sequential_epoch_end, session.get());
    host::ok(autoround_session_next_block, session.get(), static_cast<std::size_t*>(nullptr));
  }
  CHECK(toy.left() != "");
  const host::Session session = toy.session();
  host::ok(autoround_session_initialize, session.get());
  host::ok(autoround_session_start, session.get());
  std::size_t block = 9, count = 0;
  while (host::ok(autoround_session_next_block, session.get(), &block) != AUTOROUND_DONE) {
    CHECK(block == count++);  // a host that walks the model sees every block
    host::ok(autoround_session_sequential_epoch_end, session.get());
  }
  host::ok(autoround_session_finalize, session.get(), static_cast<autoround_result**>(nullptr));
  toy.expect_whole();
}

TEST_CASE("resume: rounding to nearest without data", "[capi][resume]") {
  Resumed toy;
  fs::remove_all(toy.output("whole"));
  host::ok(autoround_recipe_set_int, toy.recipe.get(), "iters", int64_t{0});
  toy.data = nullptr;
  toy.stop_after(1);
  toy.oneshot();
  toy.options = host::make<host::Options>(autoround_options_new);
  toy.write_to("whole");
  toy.oneshot();
  toy.expect_whole();
}

TEST_CASE("resume: another recipe is refused, and what was left stays", "[capi][resume]") {
  Resumed toy;
  toy.stop_after(1);
  const auto before = host::contents(toy.left());
  host::ok(autoround_recipe_set_int, toy.recipe.get(), "iters", int64_t{5});
  const host::Failure said = toy.failing_oneshot();
  CHECK(said.status == AUTOROUND_ERROR_INVALID_STATE);
  CHECK(said.subject == "recipe");
  CHECK(said.message.find("`iters = 4`, this run's is `iters = 5`") != std::string::npos);
  CHECK(host::contents(toy.left()) == before);
  host::ok(autoround_recipe_set_int, toy.recipe.get(), "iters", int64_t{4});
  toy.oneshot();
  toy.expect_whole();
}

TEST_CASE("resume: without it what was left goes away", "[capi][resume]") {
  Resumed toy;
  toy.stop_after(1);
  toy.options = host::make<host::Options>(autoround_options_new);
  toy.write_to("out");
  Watch watch;
  watch_with(toy, watch);
  toy.oneshot();
  CHECK(watch.seen[AUTOROUND_EVENT_ITERATION] == 12);
  toy.expect_whole();
}

TEST_CASE("resume: a finished run whose folder is in the way loses nothing", "[capi][resume]") {
  Resumed toy;
  const host::Session session = toy.session();
  host::ok(autoround_session_initialize, session.get());
  host::ok(autoround_session_start, session.get());
  while (host::ok(autoround_session_next_block, session.get(), static_cast<std::size_t*>(nullptr)) != AUTOROUND_DONE)
    host::ok(autoround_session_sequential_epoch_end, session.get());
  fs::create_directories(toy.output() + "/somebody");
  CHECK(host::failure(autoround_session_finalize, session.get(), static_cast<autoround_result**>(nullptr)).status ==
        AUTOROUND_ERROR_IO);
  fs::remove_all(toy.output());
  Watch watch;
  watch_with(toy, watch);
  toy.oneshot();
  CHECK(watch.seen[AUTOROUND_EVENT_ITERATION] == 0);
  toy.expect_whole();
}

TEST_CASE("resume: a run that ended when it was about to put its folder in place has lost nothing", "[capi][resume]") {
  Resumed toy;
  toy.stop_after(2);
  fs::rename(toy.left() + "/.autoround.journal", toy.folder / ".out.journal");
  Watch watch;
  watch_with(toy, watch);
  toy.oneshot();
  CHECK(watch.seen[AUTOROUND_EVENT_ITERATION] == 0);
  toy.expect_whole();
}

TEST_CASE("resume: cancelled while what was kept is read, and nothing of it is lost", "[capi][resume]") {
  Resumed toy;
  toy.write_to("second");
  toy.stop_after(1);
  toy.damage_block_1();  // which is logged before the second output is read
  const host::Cancel cancel(autoround_cancel_new());
  const auto context = host::make<host::Context>(autoround_context_new);
  host::ok(autoround_context_set_log, context.get(), int32_t{AUTOROUND_LOG_WARN},
           static_cast<autoround_log_fn>([](void* token, int32_t, const char*, size_t) {
             autoround_cancel_request(static_cast<autoround_cancel*>(token));
           }),
           static_cast<void*>(cancel.get()), static_cast<autoround_release_fn>(nullptr));
  toy.model = host::make<host::Model>(autoround_model_open, context.get(), toy.directory().c_str(),
                                      static_cast<const autoround_options*>(nullptr));
  host::ok(autoround_options_set_cancel, toy.options.get(), cancel.get());
  {
    const host::Session session = toy.session();
    host::ok(autoround_session_initialize, session.get());
    CHECK(host::failure(autoround_session_start, session.get()).status == AUTOROUND_ERROR_CANCELLED);
  }
  host::ok(autoround_options_set_cancel, toy.options.get(), static_cast<autoround_cancel*>(nullptr));
  Watch watch;
  watch_with(toy, watch);
  toy.oneshot();
  CHECK(watch.seen[AUTOROUND_EVENT_ITERATION] == 8);  // blocks 1 and 2
  fs::remove_all(toy.output("second"));
  toy.expect_whole();
}

TEST_CASE("resume: of several outputs the one with the fewest whole blocks decides", "[capi][resume]") {
  Resumed toy;
  toy.write_to("second");
  toy.stop_after(1);
  toy.damage_block_1();
  Watch watch;
  watch_with(toy, watch);
  toy.oneshot();
  CHECK(watch.seen[AUTOROUND_EVENT_ITERATION] == 8);  // blocks 1 and 2
  CHECK(host::contents(toy.output("second")) == host::contents(toy.output("whole")));
  fs::remove_all(toy.output("second"));
  toy.expect_whole();
}
