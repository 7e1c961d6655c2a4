// Rows 16 to 25: model.safetensors.index.json and the shards that it names.
#include "capi/bad_input/rows.hpp"
#include "capi/bad_input/tensors.hpp"

namespace bad_input {
namespace {

namespace fs = std::filesystem;

constexpr const char* index_name = "model.safetensors.index.json";

std::function<void(Scene&)> after_split(std::function<void(Scene&)> change) {
  return [change](Scene& s) {
    split(s);
    change(s);
  };
}

/// Puts the last norm into another shard. @param json the shard's name as JSON text
Row shard_named(int number, const std::string& json, std::vector<std::string> words) {
  words.insert(words.end(), {index_name, "`model.norm.weight`"});
  return row(number, "a shard " + json, after_split([json](Scene& s) {
               s.replace(s.index(), "\"model.norm.weight\": \"b.safetensors\"", "\"model.norm.weight\": " + json);
             }),
             open_model, AUTOROUND_ERROR_PARSE, std::move(words));
}

/// A key and a shard more in the index.
void list(const Scene& scene, const std::string& entry) {
  scene.replace(scene.index(), "\"weight_map\": {", "\"weight_map\": {" + entry + ", ");
}

std::string b_of(const Scene& scene) { return scene.model + "/b.safetensors"; }

/// The folder becomes a snapshot in the cache of Hugging Face: each file is a link to a blob.
void make_snapshot(Scene& scene) {
  const std::string cache = scene.folder / "models--toy", snapshot = cache + "/snapshots/0123abcd";
  fs::create_directories(snapshot);
  fs::create_directory(cache + "/blobs");
  int blob = 0;
  for (const auto& entry : fs::directory_iterator(scene.model)) {
    const std::string name = std::to_string(blob++);
    fs::copy_file(entry.path(), cache + "/blobs/" + name);
    fs::create_symlink("../../blobs/" + name, snapshot + "/" + entry.path().filename().string());
  }
  scene.model = snapshot;
}

std::string bytes_of_tensor(const host::Model& model, const char* name) {
  const auto tensor =
      attempt_new<host::Tensor>(autoround_model_tensor, static_cast<const autoround_model*>(model.get()), name);
  std::string bytes(autoround_tensor_byte_size(tensor.get()), '\0');
  attempt(autoround_tensor_copy, static_cast<const autoround_tensor*>(tensor.get()), static_cast<void*>(bytes.data()),
          bytes.size());
  return bytes;
}

/// Another file takes the shard's place while the model is open: the one that was checked is the one that is read.
void open_then_swap(Scene& scene) {
  const host::Model model = open(scene);
  const std::string before = bytes_of_tensor(model, "model.norm.weight");
  auto tensors = read_tensors(b_of(scene));
  for (StoredTensor& tensor : tensors) tensor.bytes.assign(tensor.bytes.size(), '\x3f');
  write_tensors(scene.folder / "other", tensors);
  fs::rename(scene.folder / "other", b_of(scene));
  CHECK(bytes_of_tensor(model, "model.norm.weight") == before);
}

void add_paths(std::vector<Row>& rows) {
  rows.push_back(shard_named(16, R"("../../etc/passwd")", {"`../../etc/passwd`", "not a plain file name"}));
  rows.push_back(shard_named(17, R"("/etc/passwd")", {"`/etc/passwd`", "not a plain file name"}));
  rows.push_back(shard_named(17, R"("a/b.safetensors")", {"`a/b.safetensors`", "not a plain file name"}));
  rows.push_back(shard_named(17, R"("a\u0000b.safetensors")", {"`a\\x00b.safetensors`", "not a plain file name"}));
  rows.push_back(shard_named(17, R"("a\nb.safetensors")", {"`a\\x0ab.safetensors`", "not a plain file name"}));
  rows.push_back(shard_named(17, R"("a\\b.safetensors")", {"`a\\b.safetensors`", "not a plain file name"}));
  rows.push_back(shard_named(17, R"("config.json")", {"`config.json`", "*.safetensors"}));
  rows.push_back(shard_named(17, "7", {"`7`", "a file name is wanted"}));
  rows.push_back(row(18, "a link out of the folder", after_split([](Scene& s) {
                       fs::rename(b_of(s), s.folder / "elsewhere");
                       fs::create_symlink("../elsewhere", b_of(s));
                     }),
                     open_model, AUTOROUND_ERROR_PARSE,
                     {"b.safetensors", "symbolic link", "elsewhere", "outside the model folder"}));
  rows.push_back(row(18, "links of the Hugging Face cache", after_split(make_snapshot), open_model, AUTOROUND_OK, {}));
  rows.push_back(row(19, "a hard link, without strict paths",
                     after_split([](Scene& s) { fs::create_hard_link(b_of(s), s.folder / "elsewhere"); }), open_model,
                     AUTOROUND_OK, {}));
}

void add_shards(std::vector<Row>& rows) {
  rows.push_back(row(20, "a shard is missing", after_split([](Scene& s) { fs::remove(b_of(s)); }), open_model,
                     AUTOROUND_ERROR_NOT_FOUND, {"b.safetensors"}));
  rows.push_back(row(20, "a shard of 0 bytes", after_split([](Scene& s) { fs::resize_file(b_of(s), 0); }), open_model,
                     AUTOROUND_ERROR_IO, {"b.safetensors", "empty"}));
  rows.push_back(row(20, "a shard is a directory", after_split([](Scene& s) {
                       fs::remove(b_of(s));
                       fs::create_directory(b_of(s));
                     }),
                     open_model, AUTOROUND_ERROR_IO, {"b.safetensors", "a directory"}));
  rows.push_back(row(21, "a tensor is not in its shard",
                     after_split([](Scene& s) { list(s, "\"absent.weight\": \"b.safetensors\""); }), open_model,
                     AUTOROUND_ERROR_PARSE, {"b.safetensors", "lacks the tensor `absent.weight`", index_name}));
  rows.push_back(row(21, "a tensor is not listed",
                     after_split([](Scene& s) { add_tensor(b_of(s), {"spare.weight", "U8", "[1]", "x"}); }), open_model,
                     AUTOROUND_OK, {"b.safetensors", "`spare.weight`", "not listed", "ignored"}));
  rows.push_back(
      row(22, "a tensor in two shards",
          after_split([](Scene& s) { add_tensor(b_of(s), {"model.embed_tokens.weight", "U8", "[1]", "x"}); }),
          open_model, AUTOROUND_ERROR_PARSE, {"b.safetensors", "`model.embed_tokens.weight`", "`a.safetensors`"}));
  rows.push_back(row(25, "a shard is replaced while the model is open", split, open_then_swap, AUTOROUND_OK, {}));
}

void add_entries(std::vector<Row>& rows) {
  for (const char* size : {"-1", "1", "18446744073709551615"}) {
    rows.push_back(row(23, std::string("total_size ") + size, after_split([size](Scene& s) {
                         s.replace(s.index(),
                                   "\"total_size\": ", "\"total_size\": " + std::string(size) + ", \"was\": ");
                       }),
                       open_model, AUTOROUND_OK, {index_name, "total_size"}));
  }
  // Ten million entries are more than 64 MiB, whatever they hold.
  rows.push_back(row(24, "more than 64 MiB of entries",
                     after_split([](Scene& s) { fs::resize_file(s.index(), (64u << 20) + 1); }), open_model,
                     AUTOROUND_ERROR_PARSE, {index_name, "67108865", "67108864"}, 0.05, 8));
  rows.push_back(row(24, "a key of 1 MB", after_split([](Scene& s) {
                       list(s, "\"" + std::string(1u << 20, 'k') + "\": \"b.safetensors\"");
                     }),
                     open_model, AUTOROUND_ERROR_PARSE, {index_name, "1048576 bytes", "the limit is 1024"}));
  rows.push_back(row(24, "an empty key", after_split([](Scene& s) { list(s, "\"\": \"b.safetensors\""); }), open_model,
                     AUTOROUND_ERROR_PARSE, {index_name, "empty name"}));
  rows.push_back(row(24, "a key of __proto__", after_split([](Scene& s) {
                       list(s, "\"__proto__\": \"b.safetensors\"");
                       add_tensor(b_of(s), {"__proto__", "U8", "[1]", "x"});
                     }),
                     open_model, AUTOROUND_OK, {}));
}

}  // namespace

std::vector<Row> index_rows() {
  std::vector<Row> rows;
  add_paths(rows);
  add_shards(rows);
  add_entries(rows);
  return rows;
}

}  // namespace bad_input
