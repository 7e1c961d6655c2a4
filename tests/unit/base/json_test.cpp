#include "base/json.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include "base/text.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

using namespace std::string_literals;

namespace autoround {
namespace {

using test::error_of;
using test::mentions;
using test::text_of;

TEST_CASE("json: valid documents keep their values and the order of their keys", "[base]") {
  const Json json = parse_json(R"({"z": 1, "a": [true, null, -2, 1.5, "x\u00e9"], "m": {"k": {}}})", "f");
  CHECK(json.dump() == R"({"z":1,"a":[true,null,-2,1.5,"xé"],"m":{"k":{}}})");
  CHECK(parse_json("\xEF\xBB\xBF{\"a\": 1}\n", "f").dump() == R"({"a":1})");  // a byte order mark is let pass
  CHECK(parse_json("18446744073709551615", "f").get<std::uint64_t>() == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("json: bad documents are refused with the place", "[base]") {
  struct Case {
    std::string text;
    int line;
    int column;
    std::string mention;
  };
  const Case cases[] = {
      {"", 1, 1, "unexpected end of input"},
      {" \n ", 2, 2, "unexpected end of input"},
      {"\xEF\xBB\xBF", 0, 0, "unexpected end of input"},
      {"\xFF\xFE{\0}\0"s, 1, 1, "byte at offset 0 is not valid UTF-8"},
      {"{\"a\":\n \"b\xC3(\"}", 2, 4, "byte at offset 9 is not valid UTF-8"},
      {"{} x", 1, 4, "x"},
      {"{}{}", 1, 3, "{"},
      {"{}\0garbage"s, 1, 3, "NUL"},
      {"{\n\"a\": 1,\n\"a\": 2}", 3, 3, "`a` occurs twice"},
      {R"({"a": {"b": 1, "b": 1}})", 1, 18, "`b` occurs twice"},
      {R"({"a": 1e999})", 0, 0, "1e999"},
      {R"({"a": NaN})", 0, 0, "invalid literal"},
      {R"({"a": -Infinity})", 0, 0, "invalid number"},
      {R"({"a": 01})", 0, 0, ""},
      {R"({"a": "\ud800"})", 0, 0, "surrogate"},
      {R"({"a": 1,})", 0, 0, ""},
      {R"({a: 1})", 0, 0, ""},
      {"// c\n{}", 1, 1, ""},
      {"{\"a\": \"b\nc\"}", 0, 0, "control character"},
      {"[1, 2", 1, 0, "unexpected end of input"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const Error error = error_of([&] { parse_json(c.text, "dir/config.json"); });
    CAPTURE(text_of(error));
    CHECK(error.code() == Code::parse);
    CHECK(error.subject() == "dir/config.json");
    if (c.line != 0) CHECK(error.line() == c.line);
    if (c.column != 0) CHECK(error.column() == c.column);
    CHECK(mentions(error, c.mention));
    CHECK(mentions(error, "line " + std::to_string(error.line())));
  }
}

TEST_CASE("json: what is quoted of a long text is whole characters", "[base]") {
  std::string open_string = "\"";
  for (int i = 0; i < 400; ++i) open_string += "\xE4\xB8\xAD";
  for (int shift = 0; shift < 3; ++shift) {
    open_string.insert(1, "x");
    const Error error = error_of([&] { parse_json(open_string, "f"); });
    CHECK(mentions(error, "..."));
    CHECK(std::string(error.what()).size() < 400);
    CHECK_FALSE(invalid_utf8(error.what()));
  }
}

TEST_CASE("json: a text that is one line of many has its number", "[base]") {
  const Error error = error_of([] { parse_json("{\"a\": x}", "f", {.first_line = 57}); });
  CHECK(error.line() == 57);
  CHECK(mentions(error, "f: line 57, column 7: "));
}

TEST_CASE("json: the same key in two objects is no duplicate", "[base]") {
  CHECK(parse_json(R"({"a": {"k": 1}, "b": {"k": 1}, "k": [{"k": 1}, {"k": 2}]})", "f").size() == 3);
}

TEST_CASE("json: limits stop hostile documents early", "[base]") {
  const auto start = std::chrono::steady_clock::now();
  const std::string deep(100'000, '[');
  const Error too_deep = error_of([&] { parse_json(deep, "f"); });
  CHECK(too_deep.code() == Code::parse);
  CHECK(mentions(too_deep, "deeper than 64"));
  CHECK(too_deep.column() == 65);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(2));

  CHECK(parse_json(std::string(64, '[') + std::string(64, ']'), "f").is_array());
  CHECK(mentions(error_of([] { parse_json("[[1]]", "f", {1000, 1}); }), "deeper than 1"));
  CHECK(mentions(error_of([] { parse_json("[1, 2, 3]", "f", {5, 64}); }), "9 bytes; the limit is 5"));
}

TEST_CASE("json: an object of many keys is read in linear time", "[base]") {
  std::string text = "{";
  for (int i = 0; i < 100'000; ++i)
    text.append(i == 0 ? "" : ",").append("\"k").append(std::to_string(i)).append("\":1");
  CHECK(parse_json(text + "}", "f", {16u << 20}).size() == 100'000);
}

TEST_CASE("json view: integers are never wrapped, rounded or guessed", "[base]") {
  struct Case {
    std::string value;
    std::string mention;  // "" when accepted
  };
  const Case cases[] = {
      {"4096", ""},
      {"4096.0", ""},
      {"\"4096\"", "the string \"4096\""},
      {"3.7", "is 3.7"},
      {"true", "is true"},
      {"[4096]", "an array"},
      {"{}", "an object"},
      {"-1", "is -1"},
      {"0", "is 0"},
      {"2147483648", "2147483648"},
      {"9223372036854775808", "9223372036854775808"},
      {"18446744073709551615", "18446744073709551615"},
      {"18446744073709551616", "18446744073709551616"},
      {"1e300", "1e+300"},
      {"null", "missing"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.value);
    const Json json = parse_json("{\"hidden_size\": " + c.value + "}", "config.json");
    const JsonView view(json, "config.json");
    if (c.mention.empty()) {
      CHECK(view.integer("hidden_size", 1, 1 << 20) == 4096);
      continue;
    }
    const Error error = error_of([&] { view.integer("hidden_size", 1, 1 << 20); });
    CAPTURE(text_of(error));
    CHECK(error.code() == Code::parse);
    CHECK(error.subject() == "config.json");
    CHECK(mentions(error, "`hidden_size`"));
    CHECK(mentions(error, c.mention));
  }
}

TEST_CASE("json view: the full range of int64 is exact", "[base]") {
  constexpr auto min = std::numeric_limits<std::int64_t>::min();
  constexpr auto max = std::numeric_limits<std::int64_t>::max();
  const Json json = parse_json(R"({"min": -9223372036854775808, "max": 9223372036854775807, "float": 9.3e18})", "f");
  const JsonView view(json, "f");
  CHECK(view.integer("min", min, max) == min);
  CHECK(view.integer("max", min, max) == max);
  CHECK_THROWS_AS(view.integer("float", min, max), Error);
}

TEST_CASE("json view: the other types", "[base]") {
  const Json json =
      parse_json(R"({"n": 1e-6, "i": 3, "b": true, "s": "x", "o": {"k": 1}, "nothing": null})", "config.json");
  const JsonView view(json, "config.json");
  CHECK(view.number("n") == 1e-6);
  CHECK(view.number("i") == 3.0);
  CHECK(view.number_or("absent", 2.5) == 2.5);
  CHECK(view.number_or("nothing", 2.5) == 2.5);
  CHECK(view.integer_or("nothing", 7, 0, 9) == 7);
  CHECK(view.boolean_or("b", false));
  CHECK(view.boolean_or("absent", true));
  CHECK(view.string("s") == "x");
  CHECK(view.string_or("absent", "y") == "y");
  CHECK_FALSE(view.has("nothing"));
  CHECK(view.has("b"));
  CHECK_FALSE(view.object("nothing").has_value());
  CHECK(view.object("o")->integer("k", 0, 9) == 1);
  CHECK(error_of([&] { view.object("o")->integer("k", 2, 9); }).subject() == "config.json: o");

  for (const auto& [act, key] :
       std::initializer_list<std::pair<std::function<void()>, std::string>>{{[&] { view.number("s"); }, "s"},
                                                                            {[&] { view.number("b"); }, "b"},
                                                                            {[&] { view.boolean_or("i", false); }, "i"},
                                                                            {[&] { view.string("i"); }, "i"},
                                                                            {[&] { view.string("absent"); }, "absent"},
                                                                            {[&] { view.object("s"); }, "s"}}) {
    const Error error = error_of(act);
    CHECK(error.code() == Code::parse);
    CHECK(mentions(error, "`" + key + "`"));
  }
  const Json array = parse_json("[]", "f");
  CHECK(mentions(error_of([&] { JsonView(array, "config.json"); }), "config.json: is an array"));
}

}  // namespace
}  // namespace autoround
