#include <chrono>
#include <string>

#include "calibration/tokenizer.hpp"
#include "fixture.hpp"
#include "support/catch.hpp"

namespace autoround::calibration::test {

namespace {

std::string config_with(const Json& chat_template) {
  return Json{{"bos_token", "<bos>"}, {"eos_token", {{"content", "<eos>"}}}, {"chat_template", chat_template}}.dump();
}

std::string render(const Json& chat_template, const Conversation& conversation = chat({{"user", "hi"}})) {
  return tiny_tokenizer({}, config_with(chat_template))->apply_chat_template(conversation);
}

Error render_error(const std::string& chat_template) {
  const auto tokenizer = tiny_tokenizer({}, config_with(chat_template));
  return error_of([&] { tokenizer->apply_chat_template(chat({{"user", "hi"}})); });
}

}  // namespace

TEST_CASE("chat template: tokens, messages and generation prompt", "[calibration]") {
  const auto tokenizer = Tokenizer::load(source_path("tests/support/tiny_tokenizer/tokenizer.json"));
  REQUIRE(tokenizer->has_chat_template());
  CHECK(tokenizer->apply_chat_template(chat({{"user", " the "}, {"assistant", "cat"}})) ==
        "<bos><user>the<eos><assistant>cat<eos>");
  CHECK(tokenizer->apply_chat_template({}, true) == "<bos><assistant>");
}

TEST_CASE("chat template: text with NUL, four-byte characters and markup passes unchanged", "[calibration]") {
  const std::string text("a\0b \U0001F600 <&'\"> {{ x }}", 21);
  CHECK(render("{{ messages[0].content }}", chat({{"user", text}})) == text);
}

TEST_CASE("chat template: where it is found", "[calibration]") {
  CHECK(render(Json::parse(R"([{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}])")) == "D");
  CHECK_FALSE(
      tiny_tokenizer({}, config_with(Json::parse(R"([{"name": "tool_use", "template": "T"}])")))->has_chat_template());
  CHECK_FALSE(tiny_tokenizer({}, R"({"chat_template": null})")->has_chat_template());

  const ScratchFolder folder;
  folder.write("tokenizer_config.json", config_with("config"));
  folder.write("chat_template.jinja", "file {{ bos_token }}");
  const auto both = Tokenizer::load(folder.write("tokenizer.json", tiny_tokenizer_json().dump()));
  CHECK(both->apply_chat_template({}) == "file <bos>");
}

TEST_CASE("chat template: a conversation with tools", "[calibration]") {
  Conversation conversation = chat({{"user", "hi"}});
  conversation.tools = Json::parse(R"([{"type": "function", "function": {"name": "f", "b": 1, "a": null}}])");
  CHECK(render("{% for tool in tools %}{{ tool | tojson }}{% endfor %}", conversation) ==
        R"({"type": "function", "function": {"name": "f", "b": 1, "a": null}})");
  const Json both =
      Json::parse(R"([{"name": "tool_use", "template": "T"}, {"name": "default", "template": "{{ tools is none }}"}])");
  CHECK(render(both, conversation) == "T");
  CHECK(render(both) == "True");
  CHECK(render(Json::parse(R"([{"name": "default", "template": "D"}])"), conversation) == "D");
}

TEST_CASE("chat template: none there", "[calibration]") {
  const auto tokenizer = tiny_tokenizer();
  CHECK_FALSE(tokenizer->has_chat_template());
  const Error error = error_of([&] { tokenizer->apply_chat_template(chat({{"user", "hi"}})); });
  CHECK(error.code() == Code::parse);
  CHECK(contains(error.what(), "chat_template.jinja"));
}

TEST_CASE("chat template: a broken tokenizer_config.json is named", "[calibration]") {
  for (const char* config :
       {"{", "[]", R"({"chat_template": 3})", R"({"bos_token": 1})", R"({"chat_template": [{"name": "default"}]})"}) {
    const Error error = error_of([&] { tiny_tokenizer({}, config); });
    CHECK(error.code() == Code::parse);
    CHECK(contains(error.subject(), "tokenizer_config.json"));
  }
}

TEST_CASE("chat template: what the author of a template got wrong is said", "[calibration]") {
  CHECK(contains(render_error("{{ raise_exception('roles must alternate') }}").what(), "roles must alternate"));
  CHECK(contains(render_error("{{ 1 | nofilter }}").what(), "nofilter"));
  CHECK(contains(render_error("\n{% if %}").what(), "chat template:2"));
  CHECK(contains(render_error("{{ strftime_now('%Q') }}").what(), "%Q"));
  CHECK(contains(render_error("{{ messages[0].nothing.more }}").what(), "undefined"));
  CHECK(render_error("{% include 'x' %}").code() == Code::parse);
}

TEST_CASE("chat template: endless, huge and deep templates end with an error", "[calibration]") {
  const std::vector<std::string> bombs = {
      // steps
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% for a in range(9999) %}{% for b in range(9999) %}{% set x = a %}{% endfor %}{% endfor %}",
      // output
      "{{ 'a' * 5000000 }}",
      "{% for a in range(9999) %}{{ 'a' * 1000 }}{% endfor %}",
      // memory
      "{{ 'a' * 1000000000 }}",
      "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
      "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x.replace('a', 'aaaa') %}{% endfor "
      "%}",
      "{% set n = namespace(x=[]) %}{% for a in range(9999) %}{% for b in range(900) %}{% set n.x = [n.x] %}{% endfor "
      "%}{% endfor %}",
      // depth
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{{ " + std::string(100000, '[') + " }}",
      "{{ " + std::string(100000, '-') + "1 }}",
      // size
      std::string((1u << 20) + 1, 'x'),
  };
  for (const std::string& bomb : bombs) {
    INFO(bomb.substr(0, 80));
    const auto begin = std::chrono::steady_clock::now();
    CHECK(render_error(bomb).code() == Code::parse);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(30));
  }
}

}  // namespace autoround::calibration::test
