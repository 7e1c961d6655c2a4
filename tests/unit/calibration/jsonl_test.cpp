#include <string>

#include "calibration/jsonl_sample.hpp"
#include "calibration/sample_set.hpp"
#include "fixture.hpp"
#include "support/catch.hpp"

namespace autoround::calibration::test {

using std::string_literals::operator""s;
using Ids = std::vector<std::int64_t>;

namespace {

SampleSet read_jsonl(const std::string& contents, const JsonlOptions& options = {}) {
  SampleSet set(4, Logger());
  set.set_tokenizer(Tokenizer::load(source_path("tests/support/tiny_tokenizer/tokenizer.json")));
  const ScratchFolder folder;
  set.add_jsonl(folder.write("data.jsonl", contents), options);
  return set;
}

Error jsonl_error(const std::string& contents, const JsonlOptions& options = {}) {
  return error_of([&] { read_jsonl(contents, options); });
}

}  // namespace

TEST_CASE("jsonl: text, messages and input_ids", "[calibration]") {
  const SampleSet set = read_jsonl(R"({"text": "the cat"}
{"messages": [{"role": "user", "content": "the"}]}
{"input_ids": [7, 8, 9, 10, 11], "text_id": 3}
)");
  CHECK(set.size() == 3);
  CHECK(set.ids() == Ids{261, 270, 0, 0, /**/ 0, 2, 261, 1, /**/ 7, 8, 9, 10});
  CHECK(set.lengths() == Ids{2, 4, 4});
  CHECK(set.token_count() == 10);
}

TEST_CASE("jsonl: a field of another name holds any of the three", "[calibration]") {
  const SampleSet set = read_jsonl(R"({"text": 1, "body": "the"}
{"body": [5]}
{"body": [{"role": "user", "content": "the"}]}
)",
                                   {"body", 0, false});
  CHECK(set.lengths() == Ids{1, 1, 4});
}

TEST_CASE("jsonl: messages reach the chat template whole", "[calibration]") {
  const auto read = [](const std::string& text) {
    return std::get<Conversation>(parse_jsonl_sample({text, 1}, "data.jsonl", ""));
  };
  const std::string calls = R"("tool_calls":[{"function":{"name":"f","arguments":{"b":null,"a":[]}}}])";
  const Conversation chat = read(R"({"messages":[{"tool_calls":null,"content":"hi","role":"user","name":"A"},)"
                                 R"({"role":"assistant","content":null,)" +
                                 calls + R"(},{"role":"assistant",)" + calls +
                                 R"(},{"role":"tool","content":"","tool_calls":[]}],"tools":[{"name":"f"}]})");
  CHECK(chat.messages.dump() == R"([{"content":"hi","role":"user","name":"A"},)"
                                R"({"role":"assistant","content":null,)" +
                                    calls + R"(},{"role":"assistant",)" + calls + R"(},{"role":"tool","content":""}])");
  CHECK(chat.tools.dump() == R"([{"name":"f"}])");
  CHECK(read(R"({"messages": [], "tools": []})").tools.is_null());

  const Conversation parts = read(R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "the "},)"
                                  R"({"type": "text", "text": "cat"}]}]})");
  CHECK(parts.messages[0].at("content") == "the cat");
}

TEST_CASE("jsonl: lines without keys", "[calibration]") {
  const SampleSet set = read_jsonl("[1, 2]\n\"the\"\n[7]\n");
  CHECK(set.ids() == Ids{1, 2, 0, 0, /**/ 261, 0, 0, 0, /**/ 7, 0, 0, 0});
}

TEST_CASE("jsonl: a JSON array is read as its elements would be as lines", "[calibration]") {
  const std::string open = "\xef\xbb\xbf\r\n[\r\n";
  const SampleSet set = read_jsonl(open + R"(  {"text": "the],[\"{ cat", "x": {"y": [1, {}]}},
  [7, 8], {
    "messages": [{"role": "user", "content": "the"}]
  },"the"
] )");
  REQUIRE(set.size() == 4);
  CHECK(Ids(set.ids().begin() + 4, set.ids().end()) == Ids{7, 8, 0, 0, /**/ 0, 2, 261, 1, /**/ 261, 0, 0, 0});
  CHECK(read_jsonl(R"([{"input_ids": [1]}, {"input_ids": [2]}, x)", {"", 2, false}).size() == 2);
  CHECK(read_jsonl(R"([{"input_ids": [1]}, {"input_ids": -1}, {"input_ids": [3]}])", {"", 0, true}).size() == 2);
  std::string many = "[";
  for (int i = 0; i < 40; ++i) many += "{\"input_ids\": [1], \"x\": \"" + std::string(30000, 'a') + "\"},\n";
  CHECK(read_jsonl(many + "[2]]").size() == 41);
}

TEST_CASE("jsonl: a JSON array that is none", "[calibration]") {
  const std::string good = "[\n{\"input_ids\": [1]},\n";
  const auto error = [&](const std::string& rest, const char* mention, int line) {
    const Error found = jsonl_error(good + rest);
    CAPTURE(rest.substr(0, 60), found.what());
    CHECK(found.code() == Code::parse);
    CHECK(found.line() == line);
    CHECK(contains(found.what(), mention));
  };
  error("", "ends before", 3);
  error("{\"text\": \"a]", "ends before", 3);
  error("[2]\n]\n\nmore", "goes on after", 6);
  error("\n]", "element 2 of the array: line 4", 4);
  error("\n  {\"txt\": 1}]", "element 2 of the array: none of the keys", 4);
  error("\n  {\"text\":\n x}]", "element 2 of the array: line 5, column 2", 5);
  error("{\"text\": 1]]", "expected '}'", 3);
  error("{\"text\": \"" + std::string(17u << 20, 'a') + "\"}]", "16777216", 3);
  CHECK(contains(jsonl_error("[{}\n]").what(), "found"));
  CHECK(contains(jsonl_error("[ ]").what(), "0 usable samples"));
}

TEST_CASE("jsonl: byte order mark, CRLF, blank lines and a missing last newline", "[calibration]") {
  const SampleSet set = read_jsonl("\xef\xbb\xbf{\"input_ids\": [1]}\r\n\r\n   \n{\"input_ids\": [2]}");
  CHECK(set.ids() == Ids{1, 0, 0, 0, /**/ 2, 0, 0, 0});
}

TEST_CASE("jsonl: NUL and four-byte characters written as escapes are text", "[calibration]") {
  CHECK(read_jsonl(R"({"text": "\u0000"})").ids() == Ids{4, 0, 0, 0});
  CHECK(read_jsonl(R"({"text": "\ud83d\ude00"})").ids() == Ids{244, 163, 156, 132});
}

TEST_CASE("jsonl: the limit ends the reading", "[calibration]") {
  CHECK(read_jsonl("{\"input_ids\": [1]}\n{\"input_ids\": [2]}\nnot json", {"", 2, false}).size() == 2);
}

TEST_CASE("jsonl: bad lines are errors with their number", "[calibration]") {
  const std::string good = "{\"input_ids\": [1]}\n";
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"{\"text\": \"a\0b\"}"s, "NUL"},
      {"{\"text\": \"\xff\"}", "UTF-8"},
      {R"({"text": "\ud800"})", "surrogate"},
      {R"({"text": 5})", "text"},
      {R"({"text": null})", "text"},
      {R"({"txt": "a"})", "txt"},
      {R"({"messages": "a"})", "messages"},
      {R"({"messages": [{"role": "user"}]})", "content"},
      {R"({"messages": [{"role": "user", "content": 1}]})", "content"},
      {R"({"input_ids": [1, -1]})", "-1"},
      {R"({"input_ids": [4194304]})", "4194304"},
      {R"({"input_ids": [1.5]})", "1.5"},
      {R"({"input_ids": "1"})", "input_ids"},
      {R"({"input_ids": [18446744073709551615]})", "18446744073709551615"},
      {R"({"text": "a", "text": "b"})", "twice"},
      {R"({"text": "a"} {"text": "b"})", ""},
      {R"(["text"])", "object"},
      {R"([1, "text"])", "the list holds \"text\" at place 1"},
      {"5", "object"},
      {R"({"messages": [{"role": "assistant", "content": null, "tool_calls": []}]})", "content"},
      {R"({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]})", "`image_url`"},
      {R"({"messages": [{"role": "user", "content": ["the"]}]})", "object"},
      {R"({"messages": [], "tools": "[]"})", "tools"},
      {"{\"text\": \"" + std::string(17u << 20, 'a') + "\"}", "16777216"},
      {std::string(1000, '['), ""},
  };
  for (const auto& [line, mention] : bad) {
    INFO(line.substr(0, 60));
    const Error error = jsonl_error(good + "\n" + line + "\n" + good);
    CHECK(error.code() == Code::parse);
    CHECK(error.line() == 3);
    CHECK(contains(error.subject(), "data.jsonl"));
    CAPTURE(error.what());
    CHECK(contains(error.what(), mention));
    CHECK(read_jsonl(good + line + "\n" + good, {"", 0, true}).size() == 2);
  }
}

TEST_CASE("jsonl: the text of an error has the line of the file, as its number is", "[calibration]") {
  const Error error = jsonl_error(std::string(56, '\n') + "{\"text\": x}\n");
  CHECK(error.line() == 57);
  CHECK(error.column() == 10);
  CHECK(contains(error.what(), "line 57, column 10: syntax error"));
}

TEST_CASE("jsonl: a missing field comes with a hint", "[calibration]") {
  const Error error = jsonl_error(R"({"contents": "a"})", {"content", 0, false});
  CHECK(contains(error.what(), "contents"));
}

TEST_CASE("jsonl: a file without usable samples", "[calibration]") {
  for (const std::string contents : {"", "\n\n", "\xef\xbb\xbf", "{\"text\": \"\"}\n{\"input_ids\": []}\n"}) {
    const Error error = jsonl_error(contents);
    CHECK(error.code() == Code::parse);
    CHECK(contains(error.what(), "0 usable samples"));
  }
  const std::string good = "{\"input_ids\": []}\n", tally = "0 usable samples, 1 without tokens and 1 bad lines; ";
  CHECK(contains(jsonl_error(good + "{\"text\": x}", {"", 0, true}).what(),
                 tally + "the first, line 2, column 10: syntax error"));
  CHECK(
      contains(jsonl_error(good + "{\"txt\": \"x\"}", {"", 0, true}).what(), tally + "the first, line 2: none of the"));
}

TEST_CASE("jsonl: samples without tokens are left out and counted", "[calibration]") {
  std::string log;
  SampleSet set(4, Logger(LogLevel::info, [&](LogLevel, std::string_view text) { log += text; }));
  const ScratchFolder folder;
  CHECK(set.add_jsonl(folder.write("d", "{\"input_ids\": []}\n{\"input_ids\": [3]}"), {}) == 1);
  CHECK(contains(log, "1 usable samples, 1 without tokens"));
}

TEST_CASE("jsonl: compressed files are recognised, never opened", "[calibration]") {
  for (const std::string& magic : {"\x1f\x8b\x08"s, "PK\x03\x04"s, "\x28\xb5\x2f\xfd"s}) {
    CHECK(contains(jsonl_error(magic + "rest").what(), "decompress"));
  }
}

TEST_CASE("jsonl: text without a tokenizer, messages without a template", "[calibration]") {
  const ScratchFolder folder;
  SampleSet set(4, Logger());
  const std::string text = folder.write("t.jsonl", "{\"text\": \"a\"}");
  CHECK(error_of([&] { set.add_jsonl(text, {"", 0, true}); }).code() == Code::invalid_state);
  CHECK(set.add_jsonl(folder.write("i.jsonl", "{\"input_ids\": [1]}"), {}) == 1);

  set.set_tokenizer(tiny_tokenizer());
  const std::string chat = folder.write("m.jsonl", R"({"messages": [{"role": "user", "content": "a"}]})");
  CHECK(contains(error_of([&] { set.add_jsonl(chat, {}); }).what(), "chat template"));
}

TEST_CASE("jsonl: lines longer than a read of the file", "[calibration]") {
  std::string contents;
  for (int i = 0; i < 40; ++i)
    contents += "{\"input_ids\": [" + std::to_string(i) + "], \"x\": \"" + std::string(30000, 'a') + "\"}\r\n";
  const SampleSet set = read_jsonl(contents);
  REQUIRE(set.size() == 40);
  for (std::int64_t i = 0; i < 40; ++i) CHECK(set.ids()[static_cast<std::size_t>(4 * i)] == i);
}

TEST_CASE("jsonl: a bad line leaves the set as it was", "[calibration]") {
  const ScratchFolder folder;
  SampleSet set(4, Logger());
  set.add_jsonl(folder.write("good.jsonl", "{\"input_ids\": [1]}\n"), {});
  CHECK(error_of([&] {
          set.add_jsonl(folder.write("bad.jsonl", "{\"input_ids\": [2]}\n{\"input_ids\": [3]}\nnot json\n"), {});
        }).line() == 3);
  CHECK(set.size() == 1);
  CHECK(set.ids() == Ids{1, 0, 0, 0});
}

}  // namespace autoround::calibration::test
