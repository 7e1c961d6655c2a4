#include "host.hpp"

namespace {

using Step = autoround_status (*)(autoround_session*, autoround_error**);

void expect_state_error(Step step, const host::Session& session, const std::string& wanted) {
  const autoround_state before = autoround_session_state(session.get());
  const host::Failure said = host::failure(step, session.get());
  CHECK(said.status == AUTOROUND_ERROR_INVALID_STATE);
  CHECK(said.message.find(wanted) != std::string::npos);
  CHECK(autoround_session_state(session.get()) == before);  // the session stays usable
}

autoround_status finalize(autoround_session* session, autoround_error** error) {
  return autoround_session_finalize(session, nullptr, error);
}
autoround_status next_block(autoround_session* session, autoround_error** error) {
  return autoround_session_next_block(session, nullptr, error);
}

void tune_all(const host::Session& session) {
  size_t block = 99;
  while (host::ok(autoround_session_next_block, session.get(), &block) == AUTOROUND_OK)
    host::ok(autoround_session_sequential_epoch_end, session.get());
}

}  // namespace

TEST_CASE("lifecycle: every call out of order names the state it needs and changes nothing", "[capi][lifecycle]") {
  host::Toy toy;
  const host::Session session = toy.session();
  CHECK(autoround_session_state(session.get()) == AUTOROUND_STATE_CREATED);
  for (Step step : {Step(autoround_session_start)}) expect_state_error(step, session, "INITIALIZED");
  for (Step step :
       {Step(next_block), Step(autoround_session_sequential_epoch_end), Step(autoround_session_end), Step(finalize)})
    expect_state_error(step, session, "STARTED");

  host::ok(autoround_session_initialize, session.get());
  CHECK(autoround_session_state(session.get()) == AUTOROUND_STATE_INITIALIZED);
  expect_state_error(autoround_session_initialize, session, "CREATED");
  expect_state_error(next_block, session, "STARTED");

  host::ok(autoround_session_start, session.get());
  CHECK(autoround_session_state(session.get()) == AUTOROUND_STATE_STARTED);
  expect_state_error(autoround_session_sequential_epoch_end, session, "next_block");
  expect_state_error(autoround_session_end, session, "0 of 2");
  size_t block = 99;
  CHECK(host::ok(autoround_session_next_block, session.get(), &block) == AUTOROUND_OK);
  CHECK(block == 0);
  expect_state_error(next_block, session, "sequential_epoch_end");
  host::ok(autoround_session_sequential_epoch_end, session.get());
  tune_all(session);

  host::ok(autoround_session_end, session.get());
  CHECK(autoround_session_state(session.get()) == AUTOROUND_STATE_ENDED);
  expect_state_error(next_block, session, "STARTED");
  host::ok(finalize, session.get());
  CHECK(autoround_session_state(session.get()) == AUTOROUND_STATE_FINALIZED);
  expect_state_error(finalize, session, "ENDED");
}

TEST_CASE("lifecycle: finalize calls end when it was not called", "[capi][lifecycle]") {
  host::Toy toy;
  const host::Session session = toy.session();
  host::ok(autoround_session_initialize, session.get());
  host::ok(autoround_session_start, session.get());
  tune_all(session);
  const auto result = host::make<host::Result>(autoround_session_finalize, session.get());
  CHECK(autoround_session_state(session.get()) == AUTOROUND_STATE_FINALIZED);
  CHECK(autoround_result_block_count(result.get()) == 2);
}

TEST_CASE("lifecycle: epoch end by module names counts the decoding layers among them", "[capi][lifecycle]") {
  host::Toy toy;
  const host::Session session = toy.session();
  host::ok(autoround_session_initialize, session.get());
  host::ok(autoround_session_start, session.get());
  size_t block = 0;
  host::ok(autoround_session_next_block, session.get(), &block);
  const auto end = [&](std::vector<const char*> names) {
    autoround_error* error = nullptr;
    const autoround_status status =
        autoround_session_sequential_epoch_end_modules(session.get(), names.data(), names.size(), &error);
    const std::string message = autoround_error_message(error);
    autoround_error_free(error);
    return std::pair(status, message);
  };
  CHECK(end({}).first == AUTOROUND_OK);
  CHECK(end({"model.embed_tokens", "model.norm"}).first == AUTOROUND_OK);
  const auto two = end({"model.layers.0", "model.layers.1"});
  CHECK(two.first == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(two.second == "only one decoding layer is expected, found 2");
  CHECK(end({"model.layers.1"}).first == AUTOROUND_ERROR_INVALID_STATE);  // not the one that was reached
  CHECK(end({"model.layers.0", "model.layers.0.mlp", "model.layers.0"}).first == AUTOROUND_OK);  // named twice is one
  CHECK(end({"model.layers.0"}).first == AUTOROUND_ERROR_INVALID_STATE);                         // tuned already
  CHECK(autoround_session_state(session.get()) == AUTOROUND_STATE_STARTED);
}

TEST_CASE("lifecycle: stepwise calls and oneshot give the same bytes", "[capi][lifecycle]") {
  host::Toy toy;
  toy.write_to("oneshot");
  toy.oneshot();

  toy.options = host::make<host::Options>(autoround_options_new);
  toy.write_to("stepwise");
  const host::Session session = toy.session();
  host::ok(autoround_session_initialize, session.get());
  host::ok(autoround_session_start, session.get());
  tune_all(session);
  host::ok(autoround_session_end, session.get());
  CHECK(host::contents(toy.output("stepwise")).empty());  // nothing shows before the end
  host::ok(finalize, session.get());

  const auto once = host::contents(toy.output("oneshot")), steps = host::contents(toy.output("stepwise"));
  CHECK(once.size() >= 3);
  CHECK(once == steps);
}

TEST_CASE("lifecycle: a failed step makes the session FAILED and leaves no folder", "[capi][lifecycle]") {
  host::Toy toy;
  toy.write_to("out");
  std::filesystem::create_directory(toy.output());
  std::ofstream(toy.output() + "/keep.txt") << "mine";
  const host::Session session = toy.session();
  host::ok(autoround_session_initialize, session.get());
  CHECK(host::failure(autoround_session_start, session.get()).status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(autoround_session_state(session.get()) == AUTOROUND_STATE_FAILED);
  CHECK(host::failure(autoround_session_start, session.get()).status == AUTOROUND_ERROR_INVALID_STATE);
  CHECK(host::contents(toy.output()) == std::map<std::string, std::string>{{"keep.txt", "mine"}});
  CHECK(host::siblings(toy).size() == 2);  // the model and the folder that was there
}
