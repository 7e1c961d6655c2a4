#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/file.hpp"
#include "base/json.hpp"
#include "session/session.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "toy.hpp"

namespace autoround::session {
namespace {

namespace fs = std::filesystem;

/// Adds a tensor of so many bytes to a safetensors file, which takes no room on the disk: all of it is a hole.
void add_hole(const std::string& path, std::uint64_t bytes) {
  std::ifstream in(path, std::ios::binary);
  std::string file{std::istreambuf_iterator<char>(in), {}};
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  Json header = parse_json(file.substr(8, length), path);
  const std::uint64_t data = file.size() - 8 - length;
  header["ballast"] = {{"dtype", "BF16"}, {"shape", {bytes / 2}}, {"data_offsets", {data, data + bytes}}};
  const std::string text = header.dump();
  length = text.size();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&length), sizeof length) << text;
  out.write(file.data() + file.size() - data, static_cast<std::streamsize>(data));
  out.close();
  fs::resize_file(path, 8 + length + data + bytes);
}

TEST_CASE("outputs: those that share a disk need room for all of them", "[session]") {
  test::ToyModel toy;
  const std::uint64_t bytes = free_disk_bytes(toy.folder.path()) / 5 * 3 / 2 * 2;
  try {
    add_hole(toy.folder / "model/model.safetensors", bytes);
  } catch (const fs::filesystem_error&) {
    WARN("skipped: no file here can be so large");
    return;
  }
  toy.model = Model::open(toy.folder / "model", Logger());
  recipe::Recipe recipe = recipe::Recipe::parse("AutoRoundModifier: {scheme: W4A16, iters: 0}", recipe::Syntax::yaml);
  recipe.scheme->weights->group_size = 32;
  recipe.ignore = {"lm_head"};
  Options options;
  options.outputs = {{toy.folder / "new/a", "compressed-tensors"}};
  Session(toy.model, recipe, nullptr, options).initialize();
  options.outputs.push_back({toy.folder / "b", "fake"});
  Session both(toy.model, recipe, nullptr, options);
  const Error error = test::error_of([&] { both.initialize(); });
  CHECK(error.code() == Code::io);
  CHECK(test::says(error, " need "));
  CHECK_FALSE(fs::exists(toy.folder / "new"));
}

}  // namespace
}  // namespace autoround::session
