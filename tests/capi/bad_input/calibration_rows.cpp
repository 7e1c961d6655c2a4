// Rows 62 to 67: calibration files.
#include "capi/bad_input/rows.hpp"

namespace bad_input {
namespace {

using std::string_literals::operator""s;

const std::string good = "{\"input_ids\": [1, 2, 3]}\n";

Row lines(int number, std::string name, std::string bytes, autoround_status status, std::vector<std::string> words) {
  words.push_back("data.jsonl");
  return row(
      number, std::move(name), [bytes](Scene& s) { s.folder.write("data.jsonl", bytes); }, read_data, status,
      std::move(words));
}

/// A bad line between two good ones.
Row line(int number, std::string name, const std::string& bad, std::vector<std::string> words) {
  words.push_back("(line 2)");
  return lines(number, std::move(name), good + bad + "\n" + good, AUTOROUND_ERROR_PARSE, std::move(words));
}

void add_files(std::vector<Row>& rows) {
  rows.push_back(lines(62, "empty", "", AUTOROUND_ERROR_PARSE, {"0 usable samples"}));
  rows.push_back(lines(62, "only blank lines", "\n \r\n\t\n", AUTOROUND_ERROR_PARSE, {"0 usable samples"}));
  rows.push_back(lines(62, "only samples without tokens", "{\"text\": \"\"}\n{\"input_ids\": []}\n",
                       AUTOROUND_ERROR_PARSE, {"0 usable samples", "2 without tokens"}));
  rows.push_back(
      lines(63, "CRLF", "{\"input_ids\": [1]}\r\n{\"input_ids\": [2]}\r\n", AUTOROUND_OK, {"2 usable samples"}));
  rows.push_back(lines(63, "no newline at the end", good + "{\"input_ids\": [2]}", AUTOROUND_OK, {"2 usable samples"}));
  rows.push_back(lines(63, "a byte order mark", "\xef\xbb\xbf" + good, AUTOROUND_OK, {"1 usable samples"}));
  rows.push_back(lines(66, "gzip", "\x1f\x8b\x08\0\0\0\0\0"s, AUTOROUND_ERROR_PARSE, {"gzip", "decompress it first"}));
  rows.push_back(lines(66, "zip", "PK\x03\x04\x14\0"s, AUTOROUND_ERROR_PARSE, {"zip", "decompress it first"}));
}

void add_lines(std::vector<Row>& rows) {
  rows.push_back(line(64, "17 MiB", "{\"text\": \"" + std::string(17u << 20, 'a') + "\"}", {"16777216 bytes"}));
  rows.push_back(line(64, "NUL", "{\"text\": \"a\0b\"}"s, {"NUL"}));
  rows.push_back(line(64, "invalid UTF-8", "{\"text\": \"\xff\"}", {"UTF-8"}));
  rows.push_back(line(64, "a lone surrogate", R"({"text": "\ud800"})", {"surrogate"}));
  rows.push_back(line(65, "no text", R"({"txt": "the"})", {"text, messages, input_ids", "found: txt"}));
  rows.push_back(line(65, "text is a number", R"({"text": 5})", {"`text`", "5", "a string is wanted"}));
  rows.push_back(line(65, "text is null", R"({"text": null})", {"`text`", "null"}));
  rows.push_back(line(65, "no object", R"(["the"])", {"an array", "an object is wanted"}));
  rows.push_back(
      lines(65, "mixed keys", good + "{\"text\": \"the\", \"id\": 3}\n", AUTOROUND_OK, {"2 usable samples"}));
  rows.push_back(line(67, "a negative id", R"({"input_ids": [1, -1]})", {"-1 at place 1", "whole numbers from 0"}));
  rows.push_back(
      line(67, "an id of 2^64 - 1", R"({"input_ids": [18446744073709551615]})", {"18446744073709551615", "4194303"}));
  rows.push_back(row(67, "an id beyond the model's vocabulary",
                     [](Scene& s) { s.folder.write("data.jsonl", good + "{\"input_ids\": [0, 64]}\n"); }, quantize,
                     AUTOROUND_ERROR_INVALID_ARGUMENT, {"sample 1, token 1: id 64", "vocabulary of 64"}));
}

}  // namespace

std::vector<Row> calibration_rows() {
  std::vector<Row> rows;
  add_files(rows);
  add_lines(rows);
  return rows;
}

}  // namespace bad_input
