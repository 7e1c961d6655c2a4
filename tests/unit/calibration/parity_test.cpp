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

const std::vector<Conversation> conversations = {
    chat({{"user", "hi there!"}, {"assistant", "<think>\nwhy\n</think>\n\nHello \"you\" \u00e9\U0001F600"}}),
    chat({{"system", " Be brief. "}, {"user", "the cat\n"}, {"assistant", "sat"}, {"user", " on <the> & 'mat' "}}),
};

/// With tools, calls of them in the forms that data has, and their answers.
Conversation tool_conversation() {
  return {Json::parse(R"([
    {"role": "user", "content": "How warm is it in Oslo?"},
    {"tool_calls": [{"id": "c1", "type": "function", "function":
      {"name": "weather", "arguments": {"unit": "°C", "city": "Oslo", "days": [1, 2.5], "wind": null}}}],
      "content": null, "role": "assistant"},
    {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "{\"°C\": 21}"},
    {"role": "tool", "tool_call_id": "c2", "content": "<none>"},
    {"role": "assistant", "content": "Once more.",
      "tool_calls": [{"name": "weather", "arguments": "{\"city\": \"Bergen\"}"}]}])"),
          Json::parse(R"([{"type": "function", "function": {"name": "weather", "description": "The & <weather>",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}])")};
}

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
  std::vector<std::pair<std::string, Conversation>> chats;  // template, what it renders
  const auto template_path = [](const char* name) {
    return source_path("tests/unit/calibration/templates/"s + name + ".jinja");
  };
  for (const char* name : {"chatml", "alternate", "features", "tools"}) {
    for (const Conversation& conversation : conversations) chats.emplace_back(template_path(name), conversation);
  }
  chats.emplace_back(template_path("tools"), tool_conversation());
  Json request = {{"tokenizers", tokenizers},
                  {"texts", texts},
                  {"special", {{"bos_token", "<bos>"}, {"eos_token", "<eos>"}}},
                  {"chats", Json::array()}};
  for (const auto& [path, conversation] : chats) {
    request["chats"].push_back(
        {{"template", path}, {"messages", conversation.messages}, {"tools", conversation.tools}});
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
  for (const auto& [path, conversation] : chats) {
    const Json config = {{"bos_token", "<bos>"}, {"eos_token", "<eos>"}, {"chat_template", read_file(path)}};
    const auto tokenizer = tiny_tokenizer({}, config.dump());
    for (const bool generation : {false, true}) {
      INFO(path);
      CHECK(tokenizer->apply_chat_template(conversation, generation) == reply["rendered"][next++].get<std::string>());
    }
  }
  CHECK(next == reply["rendered"].size());
}

}  // namespace autoround::calibration::test
