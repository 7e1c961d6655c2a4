#include "session/journal.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/hash.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_directory.hpp"

namespace autoround::session {
namespace {

using test::error_of;
using test::TemporaryDirectory;

const Fingerprint made{{"library", "0.1.0"}, {"recipe", "iters = 3\nseed = 42\n"}};

FinishedBlock block(int index) {
  BlockStats stats{"model.layers." + std::to_string(index),
                   0.1 + index,
                   1.0 / 3.0,
                   7,
                   2.5,
                   {0.1f, 0.2f, 1e-30f},
                   index == 1,
                   8 * index,
                   index};
  return {stats, {{"m.a", {{"m.a.weight_packed", 1u << 20, "0123"}, {"m.a.weight_scale", 0, "4567"}}}, {"m.b", {}}}};
}

void write_three(const TemporaryDirectory& dir) {
  Journal journal(dir.path());
  journal.begin(made);
  for (int index = 0; index < 3; ++index) journal.append(block(index));
}

std::size_t lines_in(const std::string& text, std::size_t bytes) {
  return static_cast<std::size_t>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bytes), '\n'));
}

void check_same(const FinishedBlock& a, const FinishedBlock& b) {
  CHECK(a.stats.name == b.stats.name);
  CHECK(a.stats.rtn_loss == b.stats.rtn_loss);
  CHECK(a.stats.loss == b.stats.loss);
  CHECK(a.stats.best_iteration == b.stats.best_iteration);
  CHECK(a.stats.seconds == b.stats.seconds);
  CHECK(a.stats.losses == b.stats.losses);
  CHECK(a.stats.fell_back == b.stats.fell_back);
  CHECK(a.stats.experts == b.stats.experts);
  CHECK(a.stats.idle_experts == b.stats.idle_experts);
  REQUIRE(a.modules.size() == b.modules.size());
  for (std::size_t m = 0; m < a.modules.size(); ++m) {
    CHECK(a.modules[m].name == b.modules[m].name);
    REQUIRE(a.modules[m].tensors.size() == b.modules[m].tensors.size());
    for (std::size_t t = 0; t < a.modules[m].tensors.size(); ++t) {
      CHECK(a.modules[m].tensors[t].name == b.modules[m].tensors[t].name);
      CHECK(a.modules[m].tensors[t].bytes == b.modules[m].tensors[t].bytes);
      CHECK(a.modules[m].tensors[t].hash == b.modules[m].tensors[t].hash);
    }
  }
}

}  // namespace

TEST_CASE("journal: what was written is read, to the last bit of a loss", "[session]") {
  const TemporaryDirectory dir;
  CHECK(Journal(dir.path()).blocks().empty());
  {
    Journal journal(dir.path());
    journal.begin(made);
    journal.append(block(0));
    journal.append(block(1));
  }
  const Journal read(dir.path());
  CHECK(read.fingerprint() == made);
  REQUIRE(read.blocks().size() == 2);
  for (int index = 0; index < 2; ++index) check_same(read.blocks()[static_cast<std::size_t>(index)], block(index));
}

TEST_CASE("journal: losses that are no numbers are none", "[session]") {
  const TemporaryDirectory dir;
  FinishedBlock odd = block(0);
  odd.stats.loss = std::numeric_limits<double>::quiet_NaN();
  odd.stats.losses[1] = std::numeric_limits<float>::infinity();
  {
    Journal journal(dir.path());
    journal.begin(made);
    journal.append(odd);
  }
  const BlockStats read = Journal(dir.path()).blocks().at(0).stats;
  CHECK(std::isnan(read.loss));
  CHECK(std::isnan(read.losses[1]));
  CHECK(read.losses[2] == 1e-30f);
}

TEST_CASE("journal: torn at any byte, it holds the blocks whose lines are whole", "[session]") {
  const TemporaryDirectory source;
  write_three(source);
  const std::string text = source.read(Journal::file_name);
  for (std::size_t size = 0; size <= text.size(); ++size) {
    const TemporaryDirectory dir;
    dir.write(Journal::file_name, text.substr(0, size));
    const auto lines = lines_in(text, size);
    Journal journal(dir.path());
    REQUIRE(journal.blocks().size() == (lines == 0 ? 0 : lines - 1));
    if (lines == 0) continue;
    journal.cut(journal.blocks().size());
    journal.append(block(static_cast<int>(lines) - 1));  // goes on behind what is whole
    REQUIRE(Journal(dir.path()).blocks().size() == lines);
  }
}

TEST_CASE("journal: a changed byte ends it there", "[session]") {
  const TemporaryDirectory dir;
  write_three(dir);
  const std::string text = dir.read(Journal::file_name);
  for (std::size_t at = 0; at < text.size(); at += 5) {
    std::string changed = text;
    changed[at] = static_cast<char>(changed[at] ^ 4);
    dir.write(Journal::file_name, changed);
    const auto line = lines_in(text, at);
    CHECK(Journal(dir.path()).blocks().size() == (line == 0 ? 0 : line - 1));
  }
}

TEST_CASE("journal: forgets blocks, starts over", "[session]") {
  const TemporaryDirectory dir;
  Journal journal(dir.path());
  journal.begin(made);
  for (int index = 0; index < 3; ++index) journal.append(block(index));
  journal.cut(1);
  CHECK(Journal(dir.path()).blocks().size() == 1);
  journal.append(block(1));
  CHECK(Journal(dir.path()).blocks().size() == 2);
  journal.begin({{"library", "other"}});
  CHECK(Journal(dir.path()).blocks().empty());
  CHECK(Journal(dir.path()).fingerprint() == Fingerprint{{"library", "other"}});
}

TEST_CASE("journal: a whole line that makes no sense is an error with its number", "[session]") {
  const TemporaryDirectory dir;
  const auto line = [](const std::string& json) { return hash_of(json) + " " + json + "\n"; };
  for (const char* second :
       {"[]", "{}", R"({"block": 1, "stats": {}, "modules": []})", R"({"block": 0, "modules": []})", "nonsense"}) {
    CAPTURE(second);
    dir.write(Journal::file_name, line(R"({"library": "0.1.0"})") + line(second));
    const Error error = error_of([&] { Journal{dir.path()}; });
    CHECK(error.code() == Code::parse);
    CHECK(test::mentions(error, "line 2"));
  }
}

}  // namespace autoround::session
