#include "checkpoint/shard_index.hpp"

#include "fixtures.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

namespace autoround::checkpoint {
namespace {

using autoround::test::error_of;
using autoround::test::mentions;
using autoround::test::text_of;

ShardIndex parse(const std::string& text) {
  return ShardIndex::parse(text, "dir/model.safetensors.index.json", Logger());
}

TEST_CASE("shard index: shards are sorted, each once", "[checkpoint]") {
  const ShardIndex index = parse(R"({"metadata":{"total_size":12},"weight_map":
      {"a":"m-2.safetensors","b":"m-1.safetensors","c":"m-2.safetensors","__proto__":"m-1.safetensors"}})");
  CHECK(index.shards == std::vector<std::string>{"m-1.safetensors", "m-2.safetensors"});
  CHECK(index.shard_of.at("a") == 1);
  CHECK(index.shard_of.at("b") == 0);
  CHECK(index.shard_of.at("__proto__") == 0);
  CHECK(index.total_size == 12u);
}

TEST_CASE("shard index: a name that is no file of the folder is refused", "[checkpoint]") {
  for (const std::string name :
       {"../../etc/passwd", "/etc/passwd", "/x.safetensors", "a/b.safetensors", "..", ".", "", "a\\\\b.safetensors",
        "a\\nb.safetensors", "a\\u0000b.safetensors", "model.bin", ".safetensors", "x.safetensors/"}) {
    CAPTURE(name);
    const Error error = error_of([&] { parse(R"({"weight_map":{"model.norm.weight":")" + name + "\"}}"); });
    CAPTURE(text_of(error));
    CHECK(error.code() == Code::parse);
    CHECK(mentions(error, "dir/model.safetensors.index.json"));
    CHECK(mentions(error, "`model.norm.weight`"));
    CHECK(mentions(error, "wanted"));
  }
  CHECK(mentions(error_of([] { parse(R"({"weight_map":{"w":")" + std::string(250, 'x') + ".safetensors\"}}"); }),
                 "plain file name"));
}

TEST_CASE("shard index: other shapes are refused", "[checkpoint]") {
  struct Case {
    std::string text;
    std::string mention;
  };
  const Case cases[] = {
      {"{}", "`weight_map`"},
      {R"({"weight_map":{}})", "`weight_map`"},
      {R"({"weight_map":[]})", "`weight_map`"},
      {R"({"weight_map":{"w":1}})", "`w` maps to `1`"},
      {R"({"weight_map":{"w":null}})", "`w` maps to `null`"},
      {R"({"weight_map":{"":"m.safetensors"}})", "empty name"},
      {R"({"weight_map":{"w":"m.safetensors","w":"n.safetensors"}})", "`w` occurs twice"},
      {R"({"weight_map":{")" + std::string(1025, 'k') + R"(":"m.safetensors"}})", "1025 bytes; the limit is 1024"},
  };
  for (const Case& c : cases) {
    const Error error = error_of([&] { parse(c.text); });
    CAPTURE(text_of(error));
    CHECK(error.code() == Code::parse);
    CHECK(mentions(error, c.mention));
  }
  std::string text = R"({"weight_map":{)";
  for (int i = 0; i <= 10'000; ++i) {
    text.append(i == 0 ? "\"" : ",\"")
        .append(std::to_string(i))
        .append("\":\"")
        .append(std::to_string(i))
        .append(".safetensors\"");
  }
  CHECK(mentions(error_of([&] { parse(text + "}}"); }), "10001 shards; the limit is 10000"));
}

TEST_CASE("shard index: a wrong total size is a warning at most", "[checkpoint]") {
  for (const std::string total : {"-1", "\"12\"", "1e300", "null", "[]"}) {
    CAPTURE(total);
    test::LogLines log;
    const auto index = ShardIndex::parse(
        R"({"metadata":{"total_size":)" + total + R"(},"weight_map":{"w":"m.safetensors"}})", "index", log.logger);
    CHECK_FALSE(index.total_size.has_value());
    CHECK(log.mention("`metadata.total_size`"));
  }
  CHECK(parse(R"({"metadata":{"total_size":12.0},"weight_map":{"w":"m.safetensors"}})").total_size == 12u);
  CHECK_FALSE(parse(R"({"metadata":1,"weight_map":{"w":"m.safetensors"}})").total_size.has_value());
}

}  // namespace
}  // namespace autoround::checkpoint
