// Rows 47 to 53: tokenizer.json and chat templates.
#include "capi/bad_input/rows.hpp"

namespace bad_input {
namespace {

using std::string_literals::operator""s;

const std::string last_token = "\"Ġcat\": 270";
const std::string pre_tokenizer =
    R"("pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})";

Row whole(std::string name, std::string bytes) {
  return row(47, std::move(name), [bytes](Scene& s) { s.folder.write("tokenizer/tokenizer.json", bytes); },
             load_tokenizer, AUTOROUND_ERROR_PARSE, {"tokenizer.json", "not a tokenizer"});
}

Row changed(int number, std::string name, std::string from, std::string to, std::vector<std::string> words) {
  words.push_back("tokenizer.json");
  return row(
      number, std::move(name), [=](Scene& s) { s.replace(s.tokenizer, from, to); }, load_tokenizer,
      AUTOROUND_ERROR_PARSE, std::move(words));
}

Row chat(std::string name, std::string chat_template, std::vector<std::string> words) {
  words.insert(words.end(), {"data.jsonl (line 1)", "chat template"});
  return row(
      52, std::move(name),
      [chat_template](Scene& s) {
        s.folder.write("tokenizer/chat_template.jinja", chat_template);
        s.folder.write("data.jsonl", R"({"messages": [{"role": "user", "content": "the cat"}]})");
      },
      read_data, AUTOROUND_ERROR_PARSE, std::move(words), 10.0);
}

std::string regex(const std::string& json) {
  return R"("pre_tokenizer": {"type": "Split", "pattern": {"Regex": ")" + json +
         R"("}, "behavior": "Isolated", "invert": false})";
}

void add_vocabulary(std::vector<Row>& rows) {
  rows.push_back(changed(48, "a negative id", last_token, last_token + ", \"new\": -1", {"-1"}));
  rows.push_back(changed(48, "an id of 2^32", last_token, last_token + ", \"new\": 4294967296", {"4294967296"}));
  rows.push_back(changed(48, "an id of 2^32 - 1", last_token, last_token + ", \"new\": 4294967295",
                         {"4294967295", "ids below 4194304"}));
  rows.push_back(row(48, "an id twice",
                     [](Scene& s) { s.replace(s.tokenizer, last_token, last_token + ", \"new\": 270"); },
                     load_tokenizer, AUTOROUND_OK, {}));
  rows.push_back(row(48, "ids beyond the model's vocabulary",
                     [](Scene& s) { s.folder.write("data.jsonl", "{\"input_ids\": [1]}\n{\"text\": \"the\"}\n"); },
                     quantize, AUTOROUND_ERROR_INVALID_ARGUMENT, {"sample 1, token 0: id 261", "vocabulary of 64"}));
  rows.push_back(changed(50, "a merge into no token", "\"t h\"", "\"t a\"", {"not a tokenizer"}));
  rows.push_back(changed(50, "a merge of no tokens", "\"t h\"", "\"no such\"", {"not a tokenizer"}));
  rows.push_back(changed(50, "a merge of three", "\"t h\"", "\"one two three\"", {"not a tokenizer"}));
  rows.push_back(
      changed(51, "an empty added token", "\"content\": \"<eos>\"", "\"content\": \"\"", {"id 1", "an empty string"}));
  std::string chain = R"("normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"})";
  for (int i = 1; i < 100'000; ++i) chain += R"(, {"type": "NFC"})";
  rows.push_back(changed(51, "100,000 normalizers", "\"normalizer\": null", chain + "]}", {"100003", "at most 1000"}));
}

void add_patterns(std::vector<Row>& rows) {
  rows.push_back(changed(49, "a pattern that is none", pre_tokenizer, regex("("), {"not a tokenizer"}));
  // The engine gives up after a number of steps and the piece stays whole: time is bounded, and there is a
  // tokenization.
  rows.push_back(row(
      49, "catastrophic backtracking",
      [](Scene& s) {
        s.replace(s.tokenizer, pre_tokenizer, regex(R"((x+x+)+(?=y)\\1)"));
        s.folder.write("data.jsonl", "{\"text\": \"" + std::string(2000, 'x') + "\"}");
      },
      read_data, AUTOROUND_OK, {"1 usable samples"}, 10.0));
}

}  // namespace

std::vector<Row> tokenizer_rows() {
  std::vector<Row> rows;
  rows.push_back(whole("an empty object", "{}"));
  rows.push_back(whole("an array", "[]"));
  rows.push_back(whole("nothing", ""));
  rows.push_back(row(47, "cut short", [](Scene& s) { std::filesystem::resize_file(s.tokenizer, 2000); }, load_tokenizer,
                     AUTOROUND_ERROR_PARSE, {"tokenizer.json", "not a tokenizer"}));
  add_vocabulary(rows);
  add_patterns(rows);
  rows.push_back(chat("endless", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", {}));
  rows.push_back(chat("1 GB of text", "{{ 'a' * 1000000000 }}", {}));
  rows.push_back(chat("endless recursion", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", {"recursion"}));
  rows.push_back(chat("an unknown filter", "{{ 1 | nofilter }}", {"nofilter"}));
  rows.push_back(row(53, "chats without a chat template",
                     [](Scene& s) {
                       std::filesystem::remove(s.folder / "tokenizer/tokenizer_config.json");
                       s.folder.write("data.jsonl", R"({"messages": [{"role": "user", "content": "the cat"}]})");
                     },
                     read_data, AUTOROUND_ERROR_PARSE,
                     {"data.jsonl (line 1)", "no chat template", "chat_template.jinja"}));
  return rows;
}

}  // namespace bad_input
