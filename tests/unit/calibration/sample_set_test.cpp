#include "calibration/sample_set.hpp"

#include <string>

#include "fixture.hpp"
#include "support/catch.hpp"

namespace autoround::calibration::test {

using std::string_literals::operator""s;
using Ids = std::vector<std::int64_t>;

namespace {

std::shared_ptr<const Tokenizer> bos_tokenizer() {
  return tiny_tokenizer([](Json& json) {
    json["post_processor"] = Json::parse(R"({"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
      "special_tokens": {"<bos>": {"id": "<bos>", "ids": [0], "tokens": ["<bos>"]}}})");
  });
}

SampleSet sample_set(std::int64_t length, std::shared_ptr<const Tokenizer> tokenizer = tiny_tokenizer()) {
  SampleSet set(length, Logger());
  set.set_tokenizer(std::move(tokenizer));
  return set;
}

const std::string five = "the the the the the";  // 261 262 262 262 262

}  // namespace

TEST_CASE("sample set: the sequence length has bounds", "[calibration]") {
  for (const std::int64_t length : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{131073}}) {
    CHECK(error_of([&] { SampleSet(length, Logger()); }).code() == Code::invalid_argument);
  }
  CHECK(SampleSet(131072, Logger()).size() == 0);
}

TEST_CASE("sample set: token samples are padded or cut", "[calibration]") {
  SampleSet set(3, Logger());
  set.add_tokens(Ids{5});
  set.add_tokens(Ids{6, 7, 8, 9});
  CHECK(set.ids() == Ids{5, 0, 0, 6, 7, 8});
  CHECK(set.lengths() == Ids{1, 3});
  CHECK(set.token_count() == 4);
}

TEST_CASE("sample set: bad token samples change nothing", "[calibration]") {
  SampleSet set(3, Logger());
  for (const Ids& bad : {Ids{}, Ids{1, -1}, Ids{std::int64_t{1} << 22}}) {
    CHECK(error_of([&] { set.add_tokens(bad); }).code() == Code::invalid_argument);
  }
  CHECK(set.size() == 0);
  CHECK(set.ids().empty());
}

TEST_CASE("sample set: text gets the tokenizer's special tokens", "[calibration]") {
  SampleSet set = sample_set(4, bos_tokenizer());
  set.add_text("the");
  CHECK(set.ids() == Ids{0, 261, 0, 0});
  CHECK(set.lengths() == Ids{2});
  CHECK(error_of([&] { set.add_text("\xc0"); }).code() == Code::parse);
  CHECK(error_of([] { SampleSet(4, Logger()).add_text("a"); }).code() == Code::invalid_state);
}

TEST_CASE("sample set: windows follow each other and the last is padded or dropped", "[calibration]") {
  SampleSet padded = sample_set(2);
  CHECK(padded.add_windows(five, 0, false) == 3);
  CHECK(padded.ids() == Ids{261, 262, 262, 262, 262, 0});
  CHECK(padded.lengths() == Ids{2, 2, 1});

  SampleSet dropped = sample_set(2);
  CHECK(dropped.add_windows(five, 0, true) == 2);
  SampleSet limited = sample_set(2);
  CHECK(limited.add_windows(five, 1, false) == 1);
  CHECK(limited.ids() == Ids{261, 262});
}

TEST_CASE("sample set: windows of a long text", "[calibration]") {
  const ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 30000; ++i) text += i % 7 == 0 ? "the cat\n" : "caf\u00e9 the ";
  const auto tokenizer = tiny_tokenizer();
  const Ids whole = tokenizer->encode(text, false);
  const auto beginning = [&](std::size_t count) {
    return Ids(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(count));
  };

  SampleSet all = sample_set(100), from_file = sample_set(100);
  CHECK(all.add_windows(text, 0, true) == whole.size() / 100);
  CHECK(all.ids() == beginning(whole.size() / 100 * 100));
  CHECK(from_file.add_file(folder.write("text", text), 0, true) == whole.size() / 100);
  CHECK(from_file.ids() == all.ids());

  // Where the limit is reached reading ends: what is wrong behind it is not seen, before it nothing is added.
  const std::string broken = folder.write("broken", text + "\xff");
  SampleSet limited = sample_set(100);
  CHECK(limited.add_file(broken, 20) == 20);
  CHECK(limited.ids() == beginning(2000));
  const Error error = error_of([&] { limited.add_file(broken, 0); });
  CHECK(contains(error.what(), "UTF-8"));
  CHECK(error.line() == 4287);
  CHECK(limited.size() == 20);
}

TEST_CASE("sample set: of a long sample those tokens that fit", "[calibration]") {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += " caf\u00e9 the";
  const auto tokenizer = bos_tokenizer();
  SampleSet set = sample_set(50000, tokenizer);
  set.add_text(text);
  Ids wanted = tokenizer->encode(text, true);
  REQUIRE(wanted.size() > 50000);
  wanted.resize(50000);
  CHECK(set.ids() == wanted);
  SampleSet roomy = sample_set(131072, tokenizer);
  roomy.add_text(text);
  wanted = tokenizer->encode(text, true);
  CHECK(roomy.lengths() == Ids{static_cast<std::int64_t>(wanted.size())});
}

TEST_CASE("sample set: special tokens are part of a window's length", "[calibration]") {
  SampleSet set = sample_set(3, bos_tokenizer());
  CHECK(set.add_windows(five, 0, false) == 3);
  CHECK(set.ids() == Ids{0, 261, 262, 0, 262, 262, 0, 262, 0});
  CHECK(set.lengths() == Ids{3, 3, 2});
  SampleSet too_short = sample_set(1, bos_tokenizer());
  CHECK(error_of([&] { too_short.add_windows(five, 0, false); }).code() == Code::invalid_argument);
}

TEST_CASE("sample set: a file is read by its content", "[calibration]") {
  const ScratchFolder folder;
  SampleSet set = sample_set(2);
  CHECK(set.add_file(folder.write("a.txt", "\xef\xbb\xbf \n{\"input_ids\": [4]}\n{\"input_ids\": [5]}"), 1) == 1);
  CHECK(set.add_file(folder.write("b.jsonl", "\xef\xbb\xbfthe"), 0) == 1);
  CHECK(set.ids() == Ids{4, 0, 261, 0});
  CHECK(set.add_file(folder.write("c", five), 0, true) == 2);
}

TEST_CASE("sample set: lists in a file", "[calibration]") {
  const ScratchFolder folder;
  SampleSet set = sample_set(2);
  // Of one token each: prose has more of them.
  for (const char* json : {"[1]\n[2]", " [ 1 ]", "[\n[1],[2]]", "[[1], [2]\n]", "[\r\n{\"text\": \"the\"}]"}) {
    const std::size_t before = set.size();
    set.add_file(folder.write("f", json), 0);
    INFO(json);
    for (std::size_t i = before; i < set.size(); ++i) CHECK(set.lengths()[i] == 1);
  }
  CHECK(set.ids() == Ids{1, 0, 2, 0, /**/ 1, 0, /**/ 1, 0, 2, 0, /**/ 1, 0, 2, 0, /**/ 261, 0});
  CHECK(set.add_file(folder.write("arr.json", "[\"the\", \"the\"]"), 0) == 2);

  for (const char* prose : {"[Chapter 1]\nthe", "[1] Smith", "[[1984]] is a book", "[ ] the\n[x] cat",
                            "[2024-05-17] the", "[", "[\"the\"]"}) {
    INFO(prose);
    SampleSet text = sample_set(100);
    CHECK(text.add_file(folder.write("f", prose), 0) == 1);
    CHECK(text.token_count() == static_cast<std::int64_t>(tiny_tokenizer()->encode(prose, false).size()));
  }
  const auto error = [&](const char* name, const char* contents) {
    return error_of([&] { set.add_file(folder.write(name, contents), 0); });
  };
  CHECK(error("a.jsonl", "[Chapter 1]").code() == Code::parse);
  CHECK(error("a.txt", "[1, 2]\n[3, x]").line() == 2);
  CHECK(set.size() == 10);
}

TEST_CASE("sample set: text files that are none", "[calibration]") {
  const ScratchFolder folder;
  SampleSet set = sample_set(4);
  const auto error = [&](const std::string& contents) {
    return error_of([&] { set.add_file(folder.write("f", contents), 0); });
  };
  CHECK(contains(error("").what(), "0 usable samples"));
  CHECK(contains(error("\x1f\x8b").what(), "gzip"));
  const Error nul = error("one\ntwo\0"s);
  CHECK(contains(nul.what(), "NUL"));
  CHECK(nul.line() == 2);
  CHECK(nul.column() == 4);
  CHECK(contains(error("\xff\xfe").what(), "UTF-8"));
  CHECK(error_of([&] { set.add_file(folder.write("g", "the"), 0, true); }).code() == Code::parse);
  CHECK(error_of([&] { set.add_file("/nonexistent", 0); }).code() == Code::not_found);
  CHECK(set.size() == 0);
}

}  // namespace autoround::calibration::test
