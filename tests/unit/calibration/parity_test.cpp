// The same ids and the same chat texts as the Python packages give. Skipped, with a line, where they are not installed.
#include <cstdlib>
#include <string>

#include "calibration/tokenizer.hpp"
#include "fixture.hpp"
#include "support/catch.hpp"

namespace autoround::calibration::test {

using std::string_literals::operator""s;

namespace {

const std::vector<std::string> texts = {
    "",
    " ",
    "Hello, world! It's 2024-05-17; we're testing 1234567890 digits.",
    "na\u00efve caf\u00e9 \u00c5ngstr\u00f6m stra\u00dfe e\u0301",
    "\u732b\u306f\u53ef\u611b\u3044\u3002 \ud55c\uad6d\uc5b4 \u4e2d\u6587\u5b57\u7b26",
    "emoji \U0001F600\U0001F468\u200D\U0001F469\u200D\U0001F467 end",
    "NUL \0 inside\0"s,
    "<|im_start|>user\nhi<|im_end|>\n<|endoftext|><bos>x<eos>",
    "  many   spaces\t\ttabs\r\n\r\nlines\n\n\n",
    "\u202eright to left \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \ufeff",
    "def f(x):\n    return x ** 2  # comment\n",
};

const std::vector<std::vector<ChatMessage>> conversations = {
    {{"user", "hi there!"}, {"assistant", "<think>\nwhy\n</think>\n\nHello \"you\" \u00e9\U0001F600"}},
    {{"system", " Be brief. "}, {"user", "the cat\n"}, {"assistant", "sat"}, {"user", " on <the> & 'mat' "}},
};

}  // namespace

TEST_CASE("parity: ids and chat texts equal those of the Python packages", "[calibration][parity]") {
  if (std::string(AUTOROUND_PYTHON).empty()) {
    WARN("skipped: no Python with tokenizers and transformers");
    return;
  }
  std::vector<std::string> tokenizers = {source_path("tests/support/tiny_tokenizer/tokenizer.json")};
  if (const std::string real = real_tokenizer(); !real.empty()) {
    tokenizers.push_back(real);
  } else {
    WARN("without the real model's tokenizer, which is absent");
  }
  std::vector<std::string> templates;
  for (const char* name : {"chatml", "alternate", "features"}) {
    templates.push_back(source_path("tests/unit/calibration/templates/"s + name + ".jinja"));
  }
  Json request = {{"tokenizers", tokenizers},
                  {"texts", texts},
                  {"templates", templates},
                  {"special", {{"bos_token", "<bos>"}, {"eos_token", "<eos>"}}},
                  {"conversations", Json::array()}};
  for (const auto& messages : conversations) {
    Json list = Json::array();
    for (const ChatMessage& message : messages) list.push_back({{"role", message.role}, {"content", message.content}});
    request["conversations"].push_back(list);
  }

  const ScratchFolder folder;
  const std::string reply_path = folder.write("reply.json", "");
  const std::string command = "'"s + AUTOROUND_PYTHON + "' '" + source_path("tests/unit/calibration/reference.py") +
                              "' '" + folder.write("request.json", request.dump()) + "' '" + reply_path + "'";
  REQUIRE(std::system(command.c_str()) == 0);
  const Json reply = Json::parse(read_file(reply_path));

  for (std::size_t i = 0; i < tokenizers.size(); ++i) {
    const auto tokenizer = Tokenizer::load(tokenizers[i]);
    for (std::size_t t = 0; t < texts.size(); ++t) {
      INFO(tokenizers[i] << ": " << texts[t]);
      CHECK(tokenizer->encode(texts[t], true) == reply["ids"][i][t].get<std::vector<std::int64_t>>());
    }
  }

  std::size_t next = 0;
  for (const std::string& path : templates) {
    const Json config = {{"bos_token", "<bos>"}, {"eos_token", "<eos>"}, {"chat_template", read_file(path)}};
    const auto tokenizer = tiny_tokenizer({}, config.dump());
    for (const bool generation : {false, true}) {
      for (const auto& messages : conversations) {
        INFO(path);
        CHECK(tokenizer->apply_chat_template(messages, generation) == reply["rendered"][next++].get<std::string>());
      }
    }
  }
  CHECK(next == reply["rendered"].size());
}

}  // namespace autoround::calibration::test
