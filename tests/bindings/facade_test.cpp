// The facade as SWIG's wrappers use it, without a language above it: a sanitizer sees what it does with memory.
#include "facade.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/temporary_directory.hpp"
#include "support/toy_checkpoint.h"

namespace {

using namespace autoround;

Text text(const std::string& value) { return {value.data(), value.size()}; }

void ok(Status* failed) {
  INFO((failed ? failed->message() : ""));
  REQUIRE(failed == nullptr);
}

/// What a failed call said; the Status is deleted as a typemap does.
std::pair<int, std::string> said(Status* failed) {
  REQUIRE(failed != nullptr);
  const std::unique_ptr<Status> owner(failed);
  return {failed->code(), std::string(failed->subject()) + ": " + failed->message()};
}

struct Watcher final : Observer {
  bool onEvent(int kind, double, int64_t, Text name, int64_t, double) override {
    kinds.push_back(kind);
    names.emplace_back(name.data, name.size);
    if (inside) inside();
    return go_on;
  }
  void onLog(int level, Text line) override { lines.emplace_back(level, std::string(line.data, line.size)); }
  bool go_on = true;
  std::function<void()> inside;
  std::vector<int> kinds;
  std::vector<std::string> names;
  std::vector<std::pair<int, std::string>> lines;
};

struct Scene {
  Scene() {
    const toy_shape shape = toy_default();
    REQUIRE(toy_checkpoint_write((folder / "model").c_str(), &shape) == 0);
    ok(model.open(text(folder / "model")));
    ok(recipe.create());
    ok(recipe.setString(text("scheme"), text("W4A16")));
    ok(recipe.setInt(text("weights.group_size"), 32));
    ok(recipe.append(text("ignore"), text("lm_head")));
    ok(recipe.setInt(text("iters"), 3));
    ok(data.create(16));
    for (int64_t sample = 0; sample < 8; ++sample) {
      std::vector<int64_t> ids;
      for (int64_t i = 0; i < 16; ++i) ids.push_back((7 * sample + i * i) % shape.vocab);
      ok(data.addTokens(ids.data(), ids.size()));
    }
    ok(options.create());
  }
  test::TemporaryDirectory folder;
  Model model;
  Recipe recipe;
  Calibration data;
  Options options;
};

constexpr int usual =
    AUTOROUND_EVENT_PROGRESS | AUTOROUND_EVENT_BLOCK_BEGIN | AUTOROUND_EVENT_ITERATION | AUTOROUND_EVENT_BLOCK_END;

}  // namespace

TEST_CASE("facade: nothing is left when all objects are gone, whatever failed") {
  {
    Scene scene;
    Session session;
    Recipe bad;
    CHECK(said(bad.parse(text("nonsense = ["), text("toml"))).first == AUTOROUND_ERROR_PARSE);
    CHECK(said(session.start(nullptr)).first == AUTOROUND_ERROR_INVALID_ARGUMENT);  // no handle
    CHECK(said(scene.model.open(text("/no/such"))).first == AUTOROUND_ERROR_NOT_FOUND);
    Recipe empty;
    ok(empty.create());
    CHECK(said(session.create(&scene.model, &empty, &scene.data, &scene.options, 0)).first < 0);
  }
  CHECK(autoround_live_handles(nullptr) == 0);
}

TEST_CASE("facade: a text that would become a name is refused when it holds NUL, one with a length is not") {
  Scene scene;
  const std::string nul("a\0b", 3);
  const auto failure = said(scene.model.open(text(nul)));
  CHECK(failure.first == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(failure.second.find("NUL") != std::string::npos);
  Names names;
  CHECK(said(names.add(text(nul))).first == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(said(names.add({nullptr, 0})).first == AUTOROUND_ERROR_INVALID_ARGUMENT);
  Recipe recipe;
  CHECK(said(recipe.parse(text(nul), text("toml"))).first == AUTOROUND_ERROR_PARSE);  // it arrived whole
  CHECK(said(scene.model.open({nullptr, 0})).first == AUTOROUND_ERROR_INVALID_ARGUMENT);
}

TEST_CASE("facade: an observer is lent for one step, and the options keep nothing of it") {
  Scene scene;
  Session session;
  {
    Watcher first;
    first.setLeastLogLevel(AUTOROUND_LOG_INFO);
    ok(session.create(&scene.model, &scene.recipe, &scene.data, &scene.options, usual));
    ok(session.initialize(&first));
    ok(session.start(&first));
    CHECK_FALSE(first.lines.empty());
  }
  NumberOut block;
  ok(session.nextBlock(nullptr, &block));
  CHECK(block.integer() == 0);
  Watcher second;
  ok(session.sequentialEpochEnd(&second));
  CHECK(std::count(second.kinds.begin(), second.kinds.end(), AUTOROUND_EVENT_ITERATION) == 3);
  CHECK(second.lines.empty());  // no level was asked for
  Names names;
  ok(names.add(text("model.layers.1")));
  ok(session.nextBlock(nullptr, &block));
  ok(session.sequentialEpochEndModules(nullptr, &names));
  ok(session.nextBlock(nullptr, &block));
  CHECK(block.integer() == -1);
  Result result;
  ok(session.finalize(nullptr, &result));
  Tensor codes;
  ok(result.layerTensor(0, text("qweight"), &codes));
  CHECK(codes.bytes(0, codes.byteSize()).size == codes.byteSize());
  CHECK(codes.bytes(1, codes.byteSize()).data == nullptr);
}

TEST_CASE("facade: an observer that stops, throws or runs another session in its callback") {
  Scene scene;
  Result result;
  const auto run = [&](Observer& observer) {
    Session session;
    ok(session.create(&scene.model, &scene.recipe, &scene.data, &scene.options, usual));
    return session.run(&observer, &result);
  };
  Watcher stops;
  stops.go_on = false;
  CHECK(said(run(stops)).first == AUTOROUND_ERROR_CANCELLED);
  Watcher throws;
  throws.inside = [] { throw 1; };
  CHECK(said(run(throws)).first == AUTOROUND_ERROR_CANCELLED);

  Watcher inner, outer;
  inner.setLeastLogLevel(AUTOROUND_LOG_INFO);
  outer.setLeastLogLevel(AUTOROUND_LOG_INFO);
  outer.inside = [&] {
    if (!inner.kinds.empty()) return;
    const std::size_t before = outer.lines.size();
    ok(run(inner));
    CHECK(outer.lines.size() == before);  // what the inner run logged is the inner one's
  };
  ok(run(outer));
  CHECK_FALSE(inner.lines.empty());
  CHECK_FALSE(outer.lines.empty());
}

TEST_CASE("facade: runs on one model in two threads log each to its own observer") {
  Scene scene;
  Watcher watchers[2];
  std::vector<std::thread> threads;
  for (Watcher& watcher : watchers) {
    watcher.setLeastLogLevel(AUTOROUND_LOG_INFO);
    threads.emplace_back([&scene, &watcher] {
      Options options;
      Session session;
      Result result;
      Status* failed = options.create();
      if (!failed) failed = session.create(&scene.model, &scene.recipe, &scene.data, &options, usual);
      if (!failed) failed = session.run(&watcher, &result);
      watcher.go_on = failed == nullptr;
      delete failed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(watchers[0].go_on);
  CHECK(watchers[1].go_on);
  CHECK_FALSE(watchers[0].lines.empty());
  CHECK(watchers[0].lines.size() == watchers[1].lines.size());
}
