// Rows 42 to 45: what the tensors of a well-formed checkpoint hold.
#include "capi/bad_input/rows.hpp"
#include "capi/bad_input/tensors.hpp"

namespace bad_input {
namespace {

using std::string_literals::operator""s;
namespace fs = std::filesystem;

const std::string layer = "model.layers.1.mlp.up_proj.weight";
constexpr size_t group_bytes = 32 * 2;

/// Elements of one group of a tensor, all of them one 16-bit word.
void fill_group(Scene& scene, const std::string& tensor, uint16_t word, const std::string& dtype = "BF16",
                size_t groups = 1) {
  auto tensors = read_tensors(scene.weights());
  StoredTensor& stored = find(tensors, tensor);
  if (stored.dtype != dtype) stored.bytes.assign(stored.bytes.size(), '\0');
  stored.dtype = dtype;
  for (size_t i = 0; i < groups * group_bytes; i += 2) {
    stored.bytes[group_bytes + i] = static_cast<char>(word & 0xff);
    stored.bytes[group_bytes + i + 1] = static_cast<char>(word >> 8);
  }
  write_tensors(scene.weights(), tensors);
}

Row filled(std::string name, uint16_t word, autoround_status status, std::vector<std::string> words) {
  return row(42, std::move(name), [word](Scene& s) { fill_group(s, layer, word); }, quantize, status, std::move(words));
}

void add_values(std::vector<Row>& rows) {
  for (const auto& [name, word] : {std::pair("NaN", uint16_t{0x7fc0}), std::pair("infinity", uint16_t{0xff80})})
    rows.push_back(filled(name, word, AUTOROUND_ERROR_PARSE, {layer, "element 32", "must be finite"}));
  rows.push_back(filled("denormal numbers", 0x0001, AUTOROUND_OK, {}));
  rows.push_back(filled("a group of zeros", 0x0000, AUTOROUND_OK, {}));
  rows.push_back(filled("a group of negative zeros", 0x8000, AUTOROUND_OK, {}));
  rows.push_back(filled("a constant group", 0x3e80, AUTOROUND_OK, {}));
  rows.push_back(row(42, "65504 in fp16",
                     [](Scene& s) { fill_group(s, "model.layers.0.self_attn.q_proj.weight", 0x7bff, "F16"); }, quantize,
                     AUTOROUND_OK, {}));
}

void add_shapes(std::vector<Row>& rows) {
  rows.push_back(row(43, "q_proj is not what config.json implies",
                     [](Scene& s) {
                       auto tensors = read_tensors(s.weights());
                       find(tensors, "model.layers.0.self_attn.q_proj.weight").shape = "[32,128]";
                       write_tensors(s.weights(), tensors);
                     },
                     open_model, AUTOROUND_ERROR_PARSE,
                     {"model.layers.0.self_attn.q_proj.weight", "[32, 128]", "config.json implies [64, 64]"}));
  rows.push_back(
      row(43, "columns that the group size does not divide",
          [](Scene& s) { s.replace(s.recipe, "group_size: 32", "group_size: 64"); }, quantize,
          AUTOROUND_ERROR_INVALID_ARGUMENT,
          {"group_size", "`model.layers.0.mlp.down_proj` has 96 columns", "`model.layers.1.mlp.down_proj`", "64"}));
}

void add_heads(std::vector<Row>& rows) {
  rows.push_back(
      row(44, "a tied head of its own",
          [](Scene& s) { add_tensor(s.weights(), {"lm_head.weight", "BF16", "[64,64]", std::string(8192, '\0')}); },
          open_model, AUTOROUND_ERROR_PARSE, {"lm_head.weight", "`tie_word_embeddings` is true", "set it to false"}));
  rows.push_back(row(44, "a tied head that is the embedding",
                     [](Scene& s) {
                       StoredTensor head = read_tensors(s.weights()).front();
                       head.name = "lm_head.weight";
                       add_tensor(s.weights(), head);
                     },
                     open_model, AUTOROUND_OK, {}));
  rows.push_back(row(44, "no head although it is not tied",
                     [](Scene& s) { s.set_config("tie_word_embeddings", "false"); }, open_model, AUTOROUND_ERROR_PARSE,
                     {"lm_head.weight", "no such tensor", "`tie_word_embeddings`"}));
  for (const char* name : {"pytorch_model.bin", "model.pt", "model.pth"}) {
    rows.push_back(row(45, "only "s + name, [name](Scene& s) { fs::rename(s.weights(), s.model + "/" + name); },
                       open_model, AUTOROUND_ERROR_UNSUPPORTED,
                       {name, "pickle files are never loaded", "safetensors"}));
  }
}

}  // namespace

std::vector<Row> weights_rows() {
  std::vector<Row> rows;
  add_values(rows);
  add_shapes(rows);
  add_heads(rows);
  return rows;
}

}  // namespace bad_input
