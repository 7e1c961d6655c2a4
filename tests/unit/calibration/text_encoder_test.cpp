#include "calibration/text_encoder.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "calibration/text_input.hpp"
#include "fixture.hpp"
#include "support/catch.hpp"

namespace autoround::calibration::test {

using std::string_literals::operator""s;
using Ids = std::vector<std::int64_t>;

namespace {

struct Encoded {
  Ids ids;
  std::size_t before_end = 0;  // of them, those that came before finish()
};

/// The text given in parts of `part` bytes and more.
Encoded in_pieces(const Tokenizer& tokenizer, std::string_view text, std::size_t piece, std::size_t part) {
  TextEncoder encoder(tokenizer, piece);
  Encoded encoded;
  const auto append = [&](const Ids& more) { encoded.ids.insert(encoded.ids.end(), more.begin(), more.end()); };
  while (!text.empty()) append(encoder.add(take_characters(text, part)));
  encoded.before_end = encoded.ids.size();
  append(encoder.finish());
  return encoded;
}

std::string documents() {
  std::string text = read_file(source_path("README.md"));
  for (const char* name : {"algorithm", "cuda", "formats", "memory", "speed"}) {
    text += read_file(source_path("docs/"s + name + ".md"));
  }
  return text;
}

std::string repeated(const std::string& part, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i) text += part;
  return text;
}

const std::string mixed = "the cat \U0001F600 caf\u00e9\n\n  \u732b<eos>the\r\n\t";

}  // namespace

TEST_CASE("text encoder: pieces have the ids of the whole", "[calibration]") {
  const auto tokenizer = tiny_tokenizer();
  const std::string text = repeated(mixed, 500);
  const Ids whole = tokenizer->encode(text, false);
  for (const std::size_t piece : {1024, 4096, 1 << 20}) {
    for (const std::size_t part : {4, 1000, 1 << 20}) {
      INFO(piece << " bytes encoded together, given by " << part);
      CHECK(in_pieces(*tokenizer, text, piece, part).ids == whole);
    }
  }
  CHECK(in_pieces(*tokenizer, "", 1024, 4).ids.empty());
}

TEST_CASE("text encoder: ids come out on the way", "[calibration]") {
  const auto tokenizer = tiny_tokenizer();
  const Encoded encoded = in_pieces(*tokenizer, repeated(mixed, 500), 1024, 100);
  CHECK(encoded.before_end > encoded.ids.size() * 9 / 10);
}

TEST_CASE("text encoder: where pieces have no tokens in common they grow", "[calibration]") {
  const auto tokenizer = tiny_tokenizer([](Json& json) {
    json["model"]["vocab"]["aa"] = 271;
    json["model"]["merges"].push_back("a a");
  });
  // One word of pairs: a piece that begins within one has others.
  for (const std::string first : {"", "b"}) {
    const std::string text = first + std::string(5000, 'a') + " the";
    CHECK(in_pieces(*tokenizer, text, 1000, 100).ids == tokenizer->encode(text, false));
  }
}

TEST_CASE("text encoder: the beginning of a text", "[calibration]") {
  const auto tokenizer = tiny_tokenizer();
  const std::string text = repeated(mixed, 10000);
  const Ids whole = tokenizer->encode(text, false);
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{50000}, whole.size(), whole.size() + 1}) {
    const Ids wanted(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(std::min(count, whole.size())));
    CHECK(first_ids(*tokenizer, text, count) == wanted);
  }
}

TEST_CASE("text encoder: invalid UTF-8 is refused", "[calibration]") {
  const auto tokenizer = tiny_tokenizer();
  CHECK(error_of([&] { in_pieces(*tokenizer, repeated("\x80", 5000), 1024, 100); }).code() == Code::parse);
}

TEST_CASE("text encoder: tokenizers of all kinds", "[calibration][parity]") {
  if (std::string(AUTOROUND_PYTHON).empty()) {
    WARN("skipped: no Python with tokenizers");
    return;
  }
  const ScratchFolder folder;
  const std::string path = folder.write("text", documents() + std::string(4096, '-') + " the");
  const std::string directory = parent_path(path);
  const std::string command = "'"s + AUTOROUND_PYTHON + "' '" +
                              source_path("tests/unit/calibration/train_tokenizers.py") + "' '" + path + "' '" +
                              directory + "'";
  REQUIRE(std::system(command.c_str()) == 0);
  std::vector<std::string> files;
  for (const char* name : {"byte_level", "prefix_space", "sentence_bpe", "unigram_words", "word_piece"}) {
    files.push_back(join_path(directory, name + ".json"s));
  }
  if (const std::string real = real_tokenizer(); !real.empty()) files.push_back(real);
  // Ordinary text, special tokens, whose places are trimmed, and words that are longer than a piece.
  const std::string text =
      documents() + repeated(" a\t  <mask>\U0001F600\n\n   ----", 500) + std::string(20003, '-') + " end";
  for (const std::string& file : files) {
    INFO(file);
    const auto tokenizer = Tokenizer::load(file);
    const TokensInText whole = tokenizer->encode_with_offsets(text);
    CHECK((whole.ids == tokenizer->encode(text, false)));  // in brackets: without a print of all of them
    CHECK(std::is_sorted(whole.begins.begin(), whole.begins.end()));
    for (const std::size_t piece : {4096, 16384}) {
      INFO(piece);
      const Encoded encoded = in_pieces(*tokenizer, text, piece, 1000);
      CHECK((encoded.ids == whole.ids));
      CHECK(encoded.before_end > whole.ids.size() / 2);
    }
    const std::string word = "the cat " + std::string(131075, '-') + " the";
    CHECK((in_pieces(*tokenizer, word, 65536, 65536).ids == tokenizer->encode(word, false)));
  }
}

}  // namespace autoround::calibration::test
