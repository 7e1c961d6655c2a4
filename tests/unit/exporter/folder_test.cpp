#include <cstdio>
#include <set>

#include "base/error.hpp"
#include "base/file.hpp"
#include "exporter/compressed_tensors_layout.hpp"
#include "exporter/folder_format.hpp"
#include "folder_fixture.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

using autoround::test::integer_scheme;
using autoround::test::open;
using autoround::test::read_bytes;
using autoround::test::TinyModel;
namespace exporter = autoround::exporter;

namespace {

std::set<std::string> file_names(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : autoround::list_directory(directory)) names.insert(entry.name);
  return names;
}

std::uint64_t folder_size(const std::string& directory) {
  std::uint64_t bytes = 0;
  for (const auto& entry : autoround::list_directory(directory)) bytes += entry.size;
  return bytes;
}

std::string text(const std::string& directory, const std::string& name) {
  return autoround::read_text_file(autoround::join_path(directory, name), 1 << 20);
}

}  // namespace

TEST_CASE("folder: exactly the files that a loader wants", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  model.run(format, model.output);
  CHECK(file_names(model.output) == std::set<std::string>{"config.json", "generation_config.json", "model.safetensors",
                                                          "recipe.yaml", "tokenizer.json"});
  CHECK(text(model.output, "tokenizer.json") == text(model.directory, "tokenizer.json"));
  CHECK(text(model.output, "generation_config.json") == text(model.directory, "generation_config.json"));
  using autoround::recipe::Recipe;
  CHECK(Recipe::parse(text(model.output, "recipe.yaml"), autoround::recipe::Syntax::yaml) == model.recipe);
}

TEST_CASE("folder: tensors that are not quantized are the same bytes", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  model.run(format, model.output);
  const auto written = open(model.output);
  std::size_t copied = 0, replaced = 0;
  for (const auto& tensor : model.checkpoint->tensors()) {
    const auto* found = written->find(tensor.name);
    if (found == nullptr) {
      CHECK(written->find(tensor.name + "_packed") != nullptr);
      ++replaced;
      continue;
    }
    CHECK(found->dtype == tensor.dtype);
    CHECK(found->shape == tensor.shape);
    CHECK(read_bytes(*written, tensor.name) == read_bytes(*model.checkpoint, tensor.name));
    ++copied;
  }
  CHECK(replaced == model.weights.size());
  CHECK(copied == 7);  // embeddings, head, two norms, one bias, two tensors that nobody knows
  CHECK(written->tensors().size() == copied + 3 * replaced);
}

TEST_CASE("folder: many shards say the same as one", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  exporter::FolderFormat one(exporter::compressed_tensors_layout());
  exporter::FolderFormat many(exporter::compressed_tensors_layout(), 4096);
  model.run(one, model.output);
  const std::string sharded = model.folder.make("sharded");
  model.run(many, sharded);
  const auto names = file_names(sharded);
  CHECK(names.count("model.safetensors.index.json") == 1);
  CHECK(names.count("model.safetensors") == 0);
  const auto a = open(model.output), b = open(sharded);
  REQUIRE(a->tensors().size() == b->tensors().size());
  for (const auto& tensor : a->tensors()) CHECK(read_bytes(*a, tensor.name) == read_bytes(*b, tensor.name));
}

TEST_CASE("folder: the same weights give the same bytes in any order", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  exporter::FolderFormat forward(exporter::compressed_tensors_layout()),
      backward(exporter::compressed_tensors_layout());
  model.run(forward, model.output);
  const std::string other = model.folder.make("other");
  const auto plan = model.plan();
  backward.begin(plan, other);
  for (auto weight = model.weights.rbegin(); weight != model.weights.rend(); ++weight) backward.write(weight->second);
  backward.finish();
  for (const auto& name : file_names(model.output)) CHECK(text(model.output, name) == text(other, name));
}

TEST_CASE("folder: disk_bytes is enough and not much more", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  model.run(format, model.output);
  const std::uint64_t predicted = format.disk_bytes(model.plan()), taken = folder_size(model.output);
  CHECK(predicted >= taken);
  CHECK(predicted <= taken + 16 * 1024);
}

TEST_CASE("folder: companions are those of the start, and copies stop when they are asked to", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  exporter::ExportPlan plan = model.plan();
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  format.begin(plan, model.output);
  for (const auto& [name, weight] : model.weights) format.write(weight);
  const std::string source = autoround::join_path(model.checkpoint->directory(), "tokenizer.json");
  REQUIRE(std::remove(source.c_str()) == 0);
  format.finish();
  CHECK(text(model.output, "tokenizer.json") == "{\"model\": {}}");

  TinyModel other;
  other.apply(TinyModel::w4());
  autoround::CancelToken cancel;
  exporter::ExportPlan stopped = other.plan();
  stopped.cancel = &cancel;
  cancel.request();
  exporter::FolderFormat cancelled(exporter::compressed_tensors_layout());
  const auto error = autoround::test::error_of([&] { cancelled.begin(stopped, other.output); });
  CHECK(error.code() == autoround::Code::cancelled);
}

TEST_CASE("folder: a second exporter of the plan finds modules that the first one wrote", "[exporter]") {
  TinyModel model;
  autoround::recipe::Recipe recipe;  // every way of storing zero points
  recipe.config_groups = {{"a", integer_scheme({"re:.*self_attn.*"}, 4, false, 32)},
                          {"b", integer_scheme({"re:.*(gate|up)_proj"}, 3, true, -1)},
                          {"c", integer_scheme({"re:.*down_proj"}, 8, false, 0)}};
  model.apply(recipe);
  const auto plan = model.plan();
  exporter::FolderFormat killed(exporter::compressed_tensors_layout()), whole(exporter::compressed_tensors_layout());
  model.run(whole, model.output);
  const std::string other = model.folder.make("other");
  killed.begin(plan, other);
  std::map<std::string, std::vector<exporter::WrittenTensor>> written;
  for (const auto& [name, weight] : model.weights) written[name] = killed.write(weight);

  exporter::FolderFormat resumed(exporter::compressed_tensors_layout());
  resumed.begin(plan, other);
  CHECK(resumed.files() == std::vector<std::string>{"model.safetensors", "generation_config.json", "tokenizer.json"});
  auto tensors = written.begin()->second;
  const std::string module = written.begin()->first;
  tensors[1].hash[0] ^= 1;
  CHECK(resumed.damage(module, tensors).find("model.safetensors, offset") == 0);
  tensors.pop_back();
  CHECK(resumed.damage(module, tensors).find("not those that this run stores") != std::string::npos);
  CHECK(resumed.damage("lm_head", {}).find("not those that this run stores") != std::string::npos);
  for (const auto& [name, weight] : model.weights) {
    CAPTURE(name);
    CHECK(resumed.damage(name, written[name]) == "");
    resumed.keep(name);
    const autoround::quant::QuantizedWeight read = resumed.read(name);
    CHECK(read.name == name);
    CHECK(at::equal(read.codes, weight.codes));
    CHECK(at::equal(read.scales, weight.scales));
    CHECK(read.scales.scalar_type() == weight.scales.scalar_type());
    REQUIRE(read.zero_points.defined() == weight.zero_points.defined());
    if (weight.zero_points.defined()) CHECK(at::equal(read.zero_points, weight.zero_points));
  }
  CHECK_THROWS_AS(resumed.write(model.weights.begin()->second), autoround::Error);  // never a module twice
  resumed.finish();
  for (const auto& name : file_names(model.output)) CHECK(text(model.output, name) == text(other, name));
}

TEST_CASE("folder: a layer that was never written is an error", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  const auto plan = model.plan();
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  format.begin(plan, model.output);
  for (const auto& [name, weight] : model.weights) {
    if (name != "model.layers.1.mlp.down_proj") format.write(weight);
  }
  CHECK_THROWS_AS(format.finish(), autoround::Error);
  CHECK(file_names(model.output).count("config.json") == 0);
}

TEST_CASE("folder: the checkpoint's own folder is refused", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  const auto plan = model.plan();
  const auto before = file_names(model.directory);
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  CHECK_THROWS_AS(format.begin(plan, model.directory), autoround::Error);
  CHECK_THROWS_AS(format.begin(plan, autoround::join_path(model.directory, "inside")), autoround::Error);
  CHECK(file_names(model.directory) == before);
}
