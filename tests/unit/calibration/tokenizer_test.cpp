#include "calibration/tokenizer.hpp"

#include <string>

#include "fixture.hpp"
#include "support/catch.hpp"

namespace autoround::calibration::test {

using std::string_literals::operator""s;
using Ids = std::vector<std::int64_t>;

namespace {

const char* const bos_processor = R"({"type": "TemplateProcessing",
  "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
             {"SpecialToken": {"id": "<eos>", "type_id": 0}}],
  "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
  "special_tokens": {"<bos>": {"id": "<bos>", "ids": [0], "tokens": ["<bos>"]},
                     "<eos>": {"id": "<eos>", "ids": [1], "tokens": ["<eos>"]}}})";

}  // namespace

TEST_CASE("tokenizer: merges, NUL, four-byte characters and special tokens inside the text", "[calibration]") {
  const auto tokenizer = tiny_tokenizer();
  // "the" and " cat" are merged; another byte b is token 4 + b.
  CHECK(tokenizer->encode("the cat"s, false) == Ids{261, 270});
  CHECK(tokenizer->encode("\0"s, false) == Ids{4});
  CHECK(tokenizer->encode("\U0001F600"s, false) == Ids{244, 163, 156, 132});
  CHECK(tokenizer->encode("the<eos>the"s, false) == Ids{261, 1, 261});
  CHECK(tokenizer->encode("", true).empty());
}

TEST_CASE("tokenizer: decode gives the text back", "[calibration]") {
  const auto tokenizer = tiny_tokenizer();
  const std::string text = "the cat \0 caf\u00e9 \u732b \U0001F600\n"s;
  CHECK(tokenizer->decode(tokenizer->encode(text, false), false) == text);
  CHECK(tokenizer->decode({0, 261, 1}, false) == "<bos>the<eos>");
  CHECK(tokenizer->decode({0, 261, 1}, true) == "the");
  CHECK(tokenizer->decode({}, false).empty());
  CHECK(error_of([&] { tokenizer->decode({271}, false); }).code() == Code::invalid_argument);
  CHECK(error_of([&] { tokenizer->decode({-1}, false); }).code() == Code::invalid_argument);
}

TEST_CASE("tokenizer: the special tokens around a text", "[calibration]") {
  const auto plain = tiny_tokenizer();
  CHECK(plain->prefix_ids().empty());
  CHECK(plain->suffix_ids().empty());

  const auto framed = tiny_tokenizer([](Json& json) { json["post_processor"] = Json::parse(bos_processor); });
  CHECK(framed->prefix_ids() == Ids{0});
  CHECK(framed->suffix_ids() == Ids{1});
  CHECK(framed->encode("the", true) == Ids{0, 261, 1});
  CHECK(framed->encode("the", false) == Ids{261});
}

TEST_CASE("tokenizer: the vocabulary's size covers added tokens", "[calibration]") {
  CHECK(tiny_tokenizer()->vocab_size() == 271);
  const auto more = tiny_tokenizer([](Json& json) {
    json["added_tokens"].push_back({{"id", 271},
                                    {"content", "<pad>"},
                                    {"special", true},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", false}});
  });
  CHECK(more->vocab_size() == 272);
  CHECK(more->encode("<pad>", false) == Ids{271});
}

TEST_CASE("tokenizer: truncation, padding and dropout of the file are switched off", "[calibration]") {
  const auto tokenizer = tiny_tokenizer([](Json& json) {
    json["truncation"] = {{"direction", "Right"}, {"max_length", 2}, {"strategy", "LongestFirst"}, {"stride", 0}};
    json["padding"] = {
        {"strategy", {{"Fixed", 9}}}, {"direction", "Right"}, {"pad_to_multiple_of", nullptr}, {"pad_id", 0},
        {"pad_type_id", 0},           {"pad_token", "<bos>"}};
    json["model"]["dropout"] = 1.0;
  });
  CHECK(tokenizer->encode("the the cat", false) == Ids{261, 262, 270});
}

TEST_CASE("tokenizer: an absent file and a folder", "[calibration]") {
  CHECK(error_of([] { Tokenizer::load("/nonexistent/tokenizer.json"); }).code() == Code::not_found);
  CHECK(error_of([] { Tokenizer::load("/tmp"); }).code() == Code::io);
}

TEST_CASE("tokenizer: invalid UTF-8 is refused", "[calibration]") {
  const auto error = error_of([] { tiny_tokenizer()->encode("ab\xff", false); });
  CHECK(error.code() == Code::parse);
  CHECK(contains(error.what(), "byte 2"));
}

}  // namespace autoround::calibration::test
