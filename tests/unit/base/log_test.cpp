#include "base/log.hpp"

#include <stdexcept>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace autoround {
namespace {

using Line = std::pair<LogLevel, std::string>;

TEST_CASE("log: lines at or above the level reach the sink unchanged", "[base]") {
  std::vector<Line> lines;
  const Logger logger(LogLevel::info, [&](LogLevel level, std::string_view text) { lines.emplace_back(level, text); });
  logger.debug("too quiet");
  logger.info("braces {} and %s stay");
  logger.warn("a\nb");
  logger.write(LogLevel::error, std::string(5000, 'x'));
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == Line(LogLevel::info, "braces {} and %s stay"));
  CHECK(lines[1] == Line(LogLevel::warn, "a\nb"));
  CHECK(lines[2] == Line(LogLevel::error, std::string(5000, 'x')));
  CHECK(logger.enabled(LogLevel::info));
  CHECK_FALSE(logger.enabled(LogLevel::debug));
  CHECK_FALSE(logger.enabled(LogLevel::off));
}

TEST_CASE("log: a logger without a sink is silent", "[base]") {
  const Logger silent;
  CHECK_FALSE(silent.enabled(LogLevel::error));
  silent.warn("nowhere");
  const Logger off(LogLevel::off, [](LogLevel, std::string_view) { FAIL("must not be called"); });
  off.write(LogLevel::error, "nowhere");
  off.write(LogLevel::off, "nowhere");
}

TEST_CASE("log: a sink that throws stops neither the caller nor later lines", "[base]") {
  int calls = 0;
  const Logger logger(LogLevel::trace, [&](LogLevel, std::string_view) {
    ++calls;
    if (calls == 1) throw std::runtime_error("host");
    if (calls == 2) throw 42;
  });
  logger.info("1");
  logger.info("2");
  logger.info("3");
  CHECK(calls == 3);
}

TEST_CASE("log: copies share one sink, and a sink may log again", "[base]") {
  std::vector<std::string> lines;
  Logger inner;
  const Logger logger(LogLevel::trace, [&](LogLevel, std::string_view text) {
    lines.emplace_back(text);
    if (lines.size() == 1) inner.info("from the sink");
  });
  inner = logger;
  logger.info("first");
  CHECK(lines == std::vector<std::string>{"first", "from the sink"});
}

TEST_CASE("log: threads take turns at the sink", "[base]") {
  std::vector<std::string> lines;  // unguarded on purpose: the logger must serialise
  const Logger logger(LogLevel::trace, [&](LogLevel, std::string_view text) { lines.emplace_back(text); });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&logger] {
      for (int line = 0; line < 250; ++line) logger.info("line");
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(lines.size() == 1000);
}

}  // namespace
}  // namespace autoround
