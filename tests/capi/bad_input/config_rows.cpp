// Rows 1 to 15: config.json.
#include <sys/stat.h>
#include <unistd.h>

#include "capi/bad_input/rows.hpp"

namespace bad_input {
namespace {

using std::string_literals::operator""s;

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

/// config.json has these bytes instead.
Row whole(int number, std::string name, std::string bytes, std::vector<std::string> words) {
  words.push_back("config.json");
  return row(
      number, std::move(name), [bytes](Scene& s) { s.folder.write("model/config.json", bytes); }, open_model,
      AUTOROUND_ERROR_PARSE, std::move(words));
}

/// One key of config.json has this value instead.
Row valued(int number, const std::string& key, const std::string& value, std::vector<std::string> words) {
  words.insert(words.end(), {"config.json", key});
  return row(
      number, key + " = " + value, [=](Scene& s) { s.set_config(key, value); }, open_model, AUTOROUND_ERROR_PARSE,
      std::move(words));
}

void add_text(std::vector<Row>& rows) {
  rows.push_back(whole(1, "empty", "", {"line 1, column 1", "unexpected end of input"}));
  rows.push_back(whole(1, "only whitespace", " \n\t \n", {"unexpected end of input"}));
  rows.push_back(whole(1, "only a byte order mark", std::string(byte_order_mark), {"unexpected end of input"}));
  rows.push_back(row(2, "byte order mark before JSON", [](Scene& s) { s.replace(s.config(), "", byte_order_mark); },
                     open_model, AUTOROUND_OK, {}));
  rows.push_back(whole(3, "UTF-16 with a mark", "\xff\xfe{\0}\0"s, {"offset 0", "UTF-8"}));
  rows.push_back(whole(3, "UTF-16 without a mark", "{\0}\0"s, {"offset 1", "NUL"}));
  rows.push_back(row(3, "invalid UTF-8 in a string", [](Scene& s) { s.add_config("x", "\"\xc3\x28\""); }, open_model,
                     AUTOROUND_ERROR_PARSE, {"config.json", "offset 7", "line 1, column 8", "UTF-8"}));
  rows.push_back(row(
      4, "100,000 arrays deep", [](Scene& s) { s.add_config("x", std::string(100'000, '[')); }, open_model,
      AUTOROUND_ERROR_PARSE, {"config.json", "nested deeper than", "the limit"}, 0.05));
  rows.push_back(row(
      5, "17 MiB", [](Scene& s) { std::filesystem::resize_file(s.config(), 17u << 20); }, open_model,
      AUTOROUND_ERROR_PARSE, {"config.json", "17825792", "16777216"}, 0.05, 8));
  for (const char* tail : {"garbage", "{}"})
    rows.push_back(row(6, "trailing "s + tail, [tail](Scene& s) { s.append(s.config(), tail); }, open_model,
                       AUTOROUND_ERROR_PARSE, {"config.json", "line 5", "expected end of input"}));
  rows.push_back(row(7, "a key twice", [](Scene& s) { s.add_config("hidden_size", "128"); }, open_model,
                     AUTOROUND_ERROR_PARSE, {"config.json", "line 2", "`hidden_size`", "twice"}));
}

void add_numbers(std::vector<Row>& rows) {
  rows.push_back(valued(8, "hidden_size", "\"64\"", {"the string \"64\"", "an integer from 1"}));
  rows.push_back(valued(8, "hidden_size", "3.7", {"3.7", "an integer from 1"}));
  rows.push_back(valued(8, "hidden_size", "true", {"true", "an integer from 1"}));
  rows.push_back(row(8, "hidden_size = 64.0", [](Scene& s) { s.set_config("hidden_size", "64.0"); }, open_model,
                     AUTOROUND_OK, {}));
  for (const char* value : {"-1", "0", "2147483648", "9223372036854775808"})
    rows.push_back(valued(9, "hidden_size", value, {value, "an integer from 1"}));
  for (const char* value : {"1e999", "NaN"}) {
    rows.push_back(row(9, "hidden_size = "s + value, [value](Scene& s) { s.set_config("hidden_size", value); },
                       open_model, AUTOROUND_ERROR_PARSE,
                       {"config.json", "line 2", value[0] == 'N' ? "invalid literal" : value}));
  }
  Row many = valued(10, "num_hidden_layers", "2000000000", {"2000000000", "1 to 4096"});
  many.mebibytes = 8;
  rows.push_back(many);
  rows.push_back(valued(11, "num_attention_heads", "6", {"6", "64", "must divide `hidden_size`"}));
  rows.push_back(valued(11, "num_key_value_heads", "8", {"8", "must divide `num_attention_heads`, which is 4"}));
  rows.push_back(valued(11, "num_attention_heads", "0", {"0", "an integer from 1"}));
  rows.push_back(valued(11, "num_key_value_heads", "0", {"0", "an integer from 1"}));
}

void add_kinds(std::vector<Row>& rows) {
  rows.push_back(row(12, "no model_type", [](Scene& s) { s.replace(s.config(), "\"model_type\"", "\"kind\""); },
                     open_model, AUTOROUND_ERROR_UNSUPPORTED, {"config.json", "`model_type`", "llama", "qwen3"}));
  rows.push_back(row(12, "an unknown model_type", [](Scene& s) { s.set_config("model_type", "\"lama\""); }, open_model,
                     AUTOROUND_ERROR_UNSUPPORTED, {"config.json", "`lama`", "llama, mistral", "did you mean `llama`"}));
  rows.push_back(row(12, "auto_map", [](Scene& s) { s.add_config("auto_map", "{\"AutoModel\": \"evil.Model\"}"); },
                     open_model, AUTOROUND_OK, {"`auto_map`", "ignored"}));
  rows.push_back(
      row(13, "already quantized",
          [](Scene& s) {
            s.add_config(
                "quantization_config",
                "{\"quant_method\": \"compressed-tensors\", \"format\": \"pack-quantized\", \"config_groups\": {}}");
          },
          quantize, AUTOROUND_ERROR_UNSUPPORTED, {"already quantized", "quantization_config"}));
  rows.push_back(row(14, "an unknown torch_dtype", [](Scene& s) { s.set_config("torch_dtype", "\"bfloat17\""); },
                     open_model, AUTOROUND_ERROR_UNSUPPORTED,
                     {"config.json", "`torch_dtype`", "`bfloat17`", "`bfloat16`"}));
  rows.push_back(row(14, "torch_dtype differs from the tensors",
                     [](Scene& s) { s.set_config("torch_dtype", "\"float32\""); }, quantize, AUTOROUND_OK,
                     {"float32", "BF16", "model.embed_tokens.weight"}));
}

void add_no_files(std::vector<Row>& rows) {
  rows.push_back(row(15, "a directory",
                     [](Scene& s) {
                       std::filesystem::remove(s.config());
                       std::filesystem::create_directory(s.config());
                     },
                     open_model, AUTOROUND_ERROR_IO, {"config.json", "a directory", "regular file is wanted"}));
  rows.push_back(row(15, "a FIFO",
                     [](Scene& s) {
                       std::filesystem::remove(s.config());
                       REQUIRE(::mkfifo(s.config().c_str(), 0600) == 0);
                     },
                     open_model, AUTOROUND_ERROR_IO, {"config.json", "a FIFO", "regular file is wanted"}));
  rows.push_back(row(15, "a link to /dev/zero",
                     [](Scene& s) {
                       std::filesystem::remove(s.config());
                       std::filesystem::create_symlink("/dev/zero", s.config());
                     },
                     open_model, AUTOROUND_ERROR_PARSE, {"config.json", "/dev/zero", "outside the model folder"}));
  rows.push_back(row(15, "not there", [](Scene& s) { std::filesystem::remove(s.config()); }, open_model,
                     AUTOROUND_ERROR_NOT_FOUND, {"config.json"}));
  if (::geteuid() == 0) return;  // who may read everything
  rows.push_back(row(15, "unreadable",
                     [](Scene& s) { std::filesystem::permissions(s.config(), std::filesystem::perms::none); },
                     open_model, AUTOROUND_ERROR_IO, {"config.json", "Permission denied"}));
}

}  // namespace

std::vector<Row> config_rows() {
  std::vector<Row> rows;
  add_text(rows);
  add_numbers(rows);
  add_kinds(rows);
  add_no_files(rows);
  return rows;
}

}  // namespace bad_input
