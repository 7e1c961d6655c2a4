#include <string>

#include "calibration/tokenizer.hpp"
#include "fixture.hpp"
#include "support/catch.hpp"

namespace autoround::calibration::test {

namespace {

Error load_error(const std::function<void(Json&)>& edit) {
  return error_of([&] { tiny_tokenizer(edit); });
}

Error load_error(const std::string& text) {
  const ScratchFolder folder;
  return error_of([&] { Tokenizer::load(folder.write("tokenizer.json", text)); });
}

}  // namespace

TEST_CASE("hostile tokenizer: not a tokenizer at all", "[calibration]") {
  const std::string whole = tiny_tokenizer_json().dump();
  for (const std::string& text : {std::string(), std::string("{}"), std::string("[]"), std::string("null"),
                                  whole.substr(0, whole.size() / 2), whole + "}", std::string("\xff\xfe{"),
                                  std::string(100000, '['), "{\"normalizer\": " + std::string(100000, '[')}) {
    const Error error = load_error(text);
    CHECK(error.code() == Code::parse);
    CHECK(contains(error.subject(), "tokenizer.json"));
    CHECK(contains(error.what(), "not a tokenizer"));
  }
}

TEST_CASE("hostile tokenizer: ids out of range", "[calibration]") {
  CHECK(load_error([](Json& json) { json["model"]["vocab"]["new"] = -1; }).code() == Code::parse);
  CHECK(load_error([](Json& json) { json["model"]["vocab"]["new"] = 4294967296; }).code() == Code::parse);
  const Error sparse = load_error([](Json& json) { json["model"]["vocab"]["new"] = 4294967295u; });
  CHECK(sparse.code() == Code::parse);
  CHECK(contains(sparse.what(), "4294967295"));
  CHECK(load_error([](Json& json) {
          json["model"]["vocab"] = Json::object();
          json["model"]["merges"] = Json::array();
          json["added_tokens"] = Json::array();
        }).code() == Code::parse);
}

TEST_CASE("hostile tokenizer: two tokens with one id encode to that id", "[calibration]") {
  const auto tokenizer = tiny_tokenizer([](Json& json) { json["model"]["vocab"]["the"] = 270; });
  CHECK(tokenizer->encode("the", false) == std::vector<std::int64_t>{270});
  CHECK(tokenizer->vocab_size() == 271);
}

TEST_CASE("hostile tokenizer: merges of missing tokens", "[calibration]") {
  CHECK(load_error([](Json& json) { json["model"]["merges"].push_back("no such"); }).code() == Code::parse);
  CHECK(load_error([](Json& json) { json["model"]["merges"].push_back("t a"); }).code() == Code::parse);
  CHECK(load_error([](Json& json) { json["model"]["merges"].push_back("one two three"); }).code() == Code::parse);
}

TEST_CASE("hostile tokenizer: an empty added token and too many components", "[calibration]") {
  const Error empty = load_error([](Json& json) { json["added_tokens"][0]["content"] = ""; });
  CHECK(empty.code() == Code::parse);
  CHECK(contains(empty.what(), "empty string"));

  const Error chain = load_error([](Json& json) {
    Json parts = Json::array();
    for (int i = 0; i < 100000; ++i) parts.push_back({{"type", "Lowercase"}});
    json["normalizer"] = {{"type", "Sequence"}, {"normalizers", parts}};
  });
  CHECK(chain.code() == Code::parse);
  CHECK(contains(chain.what(), "100003"));
}

TEST_CASE("hostile tokenizer: regular expressions", "[calibration]") {
  const auto with_pattern = [](const std::string& pattern) {
    return [pattern](Json& json) {
      json["pre_tokenizer"] = {
          {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
    };
  };
  CHECK(load_error(with_pattern("(")).code() == Code::parse);
  CHECK(load_error(with_pattern("(((a{1000}){1000}){1000}){1000}")).code() == Code::parse);
  // Catastrophic backtracking (the look-ahead keeps it from the linear engine) ends at the engine's step limit, in
  // seconds at most.
  const auto slow = tiny_tokenizer(with_pattern("(x+x+)+(?=y)\\1"));
  CHECK_FALSE(slow->encode(std::string(5000, 'x'), false).empty());
}

}  // namespace autoround::calibration::test
