// Rows 26 to 41: the format of one safetensors file.
#include "capi/bad_input/rows.hpp"
#include "capi/bad_input/tensors.hpp"

namespace bad_input {
namespace {

using std::string_literals::operator""s;
namespace fs = std::filesystem;

// The first tensor of the toy checkpoint, as its header spells it.
const std::string first = "model.embed_tokens.weight";
const std::string first_offsets = "\"data_offsets\":[0,8192]";

Row header(int number, std::string name, const std::string& from, const std::string& to, std::vector<std::string> words,
           autoround_status status = AUTOROUND_ERROR_PARSE) {
  words.push_back("model.safetensors");
  return row(
      number, std::move(name), [=](Scene& s) { replace_in_header(s, from, to); }, open_model, status, std::move(words));
}

Row added(int number, std::string name, StoredTensor tensor, autoround_status status, std::vector<std::string> words) {
  return row(
      number, std::move(name), [=](Scene& s) { add_tensor(s.weights(), tensor); }, open_model, status,
      std::move(words));
}

Row whole(int number, std::string name, uint64_t length, std::string rest, std::vector<std::string> words) {
  words.push_back("model.safetensors");
  return row(
      number, std::move(name), [=](Scene& s) { write_with_length(s.weights(), length, rest); }, open_model,
      AUTOROUND_ERROR_PARSE, std::move(words));
}

void add_beginnings(std::vector<Row>& rows) {
  for (unsigned size = 0; size < 8; ++size) {
    rows.push_back(row(26, std::to_string(size) + " bytes", [size](Scene& s) { fs::resize_file(s.weights(), size); },
                       open_model, AUTOROUND_ERROR_PARSE,
                       {"model.safetensors", std::to_string(size) + " bytes", "too small"}));
  }
  rows.push_back(whole(27, "a header of 0 bytes", 0, "{}", {"does not begin with `{`"}));
  rows.push_back(whole(27, "a header of 1 byte", 1, "{}", {"line 1", "end of input"}));
  for (const char* length : {"100000001", "9223372036854775808", "18446744073709551615"})
    rows.push_back(
        whole(27, "a header of "s + length + " bytes", std::stoull(length), "{}", {length, "the limit is 100000000"}));
  rows.push_back(whole(28, "a header longer than the file", 3, "{}", {"is 3 bytes", "only 2 follow"}));
  rows.push_back(whole(29, "a blank first", 3, " {}", {"does not begin with `{`"}));
  rows.push_back(whole(29, "NUL behind", 4, "{}\0\0"s, {"offset 2", "NUL"}));
  rows.push_back(whole(29, "not UTF-8", 6, "{\"\xff\":1", {"offset 2", "UTF-8"}));
  rows.push_back(row(41, "a pointer of git LFS",
                     [](Scene& s) {
                       s.folder.write("model/model.safetensors",
                                      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 269060552\n");
                     },
                     open_model, AUTOROUND_ERROR_PARSE, {"model.safetensors", "LFS pointer", "git lfs pull"}));
}

void add_keys(std::vector<Row>& rows) {
  rows.push_back(
      header(30, "a tensor twice", "\"model.norm.weight\"", "\"" + first + "\"", {"`" + first + "`", "twice"}));
  rows.push_back(header(30, "metadata twice", "{", "{\"__metadata__\":{},\"__metadata__\":{},",
                        {"`__metadata__`", "twice", "line 1"}));
  rows.push_back(header(31, "a number in metadata", "{", "{\"__metadata__\":{\"a\":1},",
                        {"`__metadata__`", "a number", "only strings"}));
  rows.push_back(header(31, "an object in metadata", "{", "{\"__metadata__\":{\"a\":{}},",
                        {"`__metadata__`", "an object", "only strings"}));
  for (const char* type : {"BF17", "bf16"})
    rows.push_back(header(32, "dtype "s + type, "\"BF16\"", "\""s + type + "\"", {first, "`"s + type + "`", "dtype"},
                          AUTOROUND_ERROR_UNSUPPORTED));
  rows.push_back(row(32, "F8_E4M3 where it cannot be",
                     [](Scene& s) {
                       auto tensors = read_tensors(s.weights());
                       StoredTensor& tensor = find(tensors, "model.layers.0.self_attn.q_proj.weight");
                       tensor.dtype = "F8_E4M3";
                       tensor.bytes.resize(tensor.bytes.size() / 2);
                       write_tensors(s.weights(), tensors);
                     },
                     quantize, AUTOROUND_ERROR_UNSUPPORTED,
                     {"model.layers.0.self_attn.q_proj.weight", "F8_E4M3", "BF16"}));
}

void add_offsets(std::vector<Row>& rows) {
  const auto offsets = [&](int number, const std::string& name, const std::string& array,
                           std::vector<std::string> words) {
    words.push_back("`" + first + "`");
    rows.push_back(header(number, name, first_offsets, "\"data_offsets\":" + array, std::move(words)));
  };
  offsets(33, "begin after end", "[8192,0]", {"8192", "after its end 0"});
  offsets(33, "negative", "[-1,8191]", {"-1", "offsets are wanted"});
  offsets(33, "not whole", "[0.0,8192]", {"0.0", "offsets are wanted"});
  offsets(33, "three", "[0,8192,8192]", {"more than 2"});
  offsets(33, "one", "[0]", {"fewer than 2"});

  rows.push_back(row(34, "one byte beyond the end of the file",
                     [](Scene& s) { fs::resize_file(s.weights(), fs::file_size(s.weights()) - 1); }, open_model,
                     AUTOROUND_ERROR_PARSE, {"model.safetensors", "`model.norm.weight`", "past the end of the file"}));
  rows.push_back(row(34, "far beyond the end of the file",
                     [](Scene& s) {
                       size_t end = 0;
                       for (const StoredTensor& tensor : read_tensors(s.weights())) end += tensor.bytes.size();
                       replace_in_header(s, "[" + std::to_string(end - 128) + "," + std::to_string(end) + "]",
                                         "[9000000000000000,9000000000000128]");
                     },
                     open_model, AUTOROUND_ERROR_PARSE,
                     {"model.safetensors", "`model.norm.weight`", "past the end of the file"}));
  offsets(34, "sum beyond 64 bits", "[18446744073709543423,18446744073709551615]", {"too large"});
  rows.push_back(header(
      35, "an overlap",
      "\"model.layers.0.input_layernorm.weight\":{\"dtype\":\"BF16\",\"shape\":[64],\"data_offsets\":[8192,8320]",
      "\"model.layers.0.input_layernorm.weight\":{\"dtype\":\"BF16\",\"shape\":[64],\"data_offsets\":[8190,8318]",
      {"`model.layers.0.input_layernorm.weight`", "inside the data before it"}));
  rows.push_back(header(35, "a gap",
                        "\"" + first + "\":{\"dtype\":\"BF16\",\"shape\":[64,64],\"data_offsets\":[0,8192]},", "",
                        {"`model.layers.0.input_layernorm.weight`", "not at the end of"}));
  // The order of keys in a JSON object says nothing: the reference implementation, too, sorts by offset.
  rows.push_back(row(35, "a header in another order than the data",
                     [](Scene& s) {
                       const std::string entry =
                           "\"" + first + "\":{\"dtype\":\"BF16\",\"shape\":[64,64]," + first_offsets + "}";
                       replace_in_header(s, entry + ",", "");
                       replace_in_header(s, "]}}", "]}," + entry + "}");
                     },
                     open_model, AUTOROUND_OK, {}));
  rows.push_back(row(35, "a zip behind the data", [](Scene& s) { s.append(s.weights(), "PK\x03\x04 and more"); },
                     open_model, AUTOROUND_ERROR_PARSE,
                     {"model.safetensors", "13 bytes at offset", "belong to no tensor"}));
}

void add_shapes(std::vector<Row>& rows) {
  const auto shape = [&](int number, const std::string& array, std::vector<std::string> words) {
    words.push_back("`" + first + "`");
    rows.push_back(
        header(number, "shape " + array.substr(0, 60), "\"shape\":[64,64]", "\"shape\":" + array, std::move(words)));
  };
  shape(36, "[4294967296,4294967296]", {"4294967296, 4294967296", "too large"});
  shape(36, "[1099511627776,1099511627776,0]", {"1099511627776", "too large"});
  shape(36, "[9223372036854775805]", {"9223372036854775805", "the limit"});
  shape(37, "[63,64]", {"8192 bytes", "[63, 64] needs 8064"});
  shape(38, "[1,1,1,1,1,1,1,64,64]", {"8 dimensions, the limit"});
  std::string million = "[1";
  for (int i = 1; i < 1'000'000; ++i) million += ",1";
  shape(38, million + "]", {"8 dimensions, the limit"});
  rows.push_back(added(38, "a dimension of 0", {"none", "BF16", "[0,64]", ""}, AUTOROUND_OK, {}));
  rows.push_back(added(38, "a scalar", {"scalar", "BF16", "[]", "xx"}, AUTOROUND_OK, {}));
}

/// A header of 98 MB.
void write_million_tensors(Scene& scene) {
  const std::string tail = "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},";
  const size_t width = 98 - tail.size() - 1;
  std::string text = "{";
  text.reserve(100'000'000);
  for (int i = 0; i < 1'000'001; ++i) {
    const std::string number = std::to_string(i);
    text.append("\"").append(width - number.size(), 't').append(number).append(tail);
  }
  text.back() = '}';
  write_with_length(scene.weights(), text.size(), text);
}

/// The file ends earlier than when it was opened.
void open_then_cut(Scene& scene) {
  const host::Model model = open(scene);
  fs::resize_file(scene.weights(), fs::file_size(scene.weights()) - 64);
  attempt_new<host::Tensor>(autoround_model_tensor, static_cast<const autoround_model*>(model.get()),
                            "model.norm.weight");
}

}  // namespace

std::vector<Row> safetensors_rows() {
  std::vector<Row> rows;
  add_beginnings(rows);
  add_keys(rows);
  add_offsets(rows);
  add_shapes(rows);
  rows.push_back(row(39, "1,000,001 tensors in a header of 98 MB", write_million_tensors, open_model,
                     AUTOROUND_ERROR_PARSE, {"model.safetensors", "more than 1000000 tensors"}, 5.0, 900));
  rows.push_back(row(40, "cut short while open", [](Scene&) {}, open_then_cut, AUTOROUND_ERROR_IO,
                     {"model.safetensors", "cut short"}));
  return rows;
}

}  // namespace bad_input
