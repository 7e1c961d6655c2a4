#include <stdlib.h>
#include <unistd.h>

#include <cstring>

#include "base/error.hpp"
#include "base/file.hpp"
#include "exporter/gguf_architectures.hpp"
#include "exporter/gguf_plan.hpp"
#include "exporter/gguf_types.hpp"
#include "folder_fixture.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

using autoround::Code;
using autoround::Error;
using autoround::test::error_of;
using autoround::test::integer_scheme;
using autoround::test::mentions;
using autoround::test::open;
using autoround::test::TinyModel;
namespace exporter = autoround::exporter;
namespace gguf = autoround::exporter::gguf;
namespace model = autoround::model;
namespace quant = autoround::quant;
namespace recipe = autoround::recipe;

namespace {

/// A tiny llama without a tokenizer, whose weights are quantized with fp16 scales.
struct GgufModel : TinyModel {
  explicit GgufModel(bool is_tied = false) : TinyModel(is_tied) {
    ::unlink(autoround::join_path(directory, "tokenizer.json").c_str());
    checkpoint = open(directory);
    scale_type = at::kHalf;
    apply(w4());
  }
  /// Replaces `from` in config.json.
  void reconfigure(const std::string& from, const std::string& to) {
    const std::string path = autoround::join_path(directory, "config.json");
    std::string text = autoround::read_text_file(path, 1 << 20);
    text.replace(text.find(from), from.size(), to);
    ::unlink(path.c_str());
    autoround::write_text_file(path, text);
    checkpoint = open(directory);
  }
  Error refusal() const {
    const exporter::ExportPlan told = plan();
    return error_of([&] { exporter::make_exporter("gguf")->check(told); });
  }
};

recipe::Recipe recipe_of(const recipe::QuantizationScheme& scheme) {
  recipe::Recipe recipe;
  recipe.config_groups = {{"g", scheme}};
  return recipe;
}

std::string only_file(const std::string& directory) {
  const auto entries = autoround::list_directory(directory);
  REQUIRE(entries.size() == 2);
  CHECK(entries[1].name == "recipe.yaml");
  return autoround::read_text_file(autoround::join_path(directory, entries[0].name), 1 << 24);
}

const exporter::GgufEntry& entry_of(const exporter::GgufPlan& plan, const std::string& name) {
  for (const auto& entry : plan.entries)
    if (entry.tensor.name == name) return entry;
  FAIL("there is no tensor " << name);
  std::abort();
}

/// The bytes of a tensor in the file.
std::string_view bytes_of(const exporter::GgufPlan& plan, const std::string& file, const std::string& name) {
  for (const auto& tensor : plan.layout().tensors)
    if (tensor.info.name == name)
      return std::string_view(file).substr(tensor.begin, entry_of(plan, name).tensor.byte_size());
  FAIL("there is no tensor " << name);
  return {};
}

std::string_view raw(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

}  // namespace

TEST_CASE("gguf: the header of a file", "[exporter]") {
  exporter::GgufMetadata metadata;
  metadata.add_text("a.b", "xy");
  metadata.add_integer("i", 258);
  metadata.add_flag("f", true);
  metadata.add_numbers("n", {1.f});
  const auto layout = exporter::lay_out_gguf("m.gguf", metadata, {{"t", {3, 32}, &gguf::q4_0}, {"u", {5}, &gguf::f32}});
  const char expected[] =
      "GGUF\3\0\0\0\2\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0"
      "\3\0\0\0\0\0\0\0a.b\x08\0\0\0\2\0\0\0\0\0\0\0xy"
      "\1\0\0\0\0\0\0\0i\4\0\0\0\2\1\0\0"
      "\1\0\0\0\0\0\0\0f\7\0\0\0\1"
      "\1\0\0\0\0\0\0\0n\x09\0\0\0\6\0\0\0\1\0\0\0\0\0\0\0\0\0\x80\x3f"
      "\1\0\0\0\0\0\0\0t\2\0\0\0\x20\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0"
      "\1\0\0\0\0\0\0\0u\1\0\0\0\5\0\0\0\0\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0";
  std::string header(expected, sizeof expected - 1);
  header.resize((header.size() + 31) / 32 * 32, '\0');
  CHECK(layout.header == header);
  CHECK(layout.file_name == "m.gguf");
  CHECK(layout.file_bytes == header.size() + 64 + 32);
  CHECK(layout.tensors.at(1).begin == header.size() + 64);
  CHECK(layout.tensors.at(1).info.byte_size() == 32);
}

TEST_CASE("gguf: slices are one tensor of the header, in places of their own", "[exporter]") {
  const exporter::GgufTensor slice{"t", {3, 32}, &gguf::q4_0, 0}, next{"t", {3, 32}, &gguf::q4_0, 1};
  const auto layout = exporter::lay_out_gguf("m.gguf", {}, {slice, next, {"u", {8}, &gguf::f32}});
  const char expected[] =
      "GGUF\3\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
      "\1\0\0\0\0\0\0\0t\3\0\0\0\x20\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0"
      "\1\0\0\0\0\0\0\0u\1\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\x80\0\0\0\0\0\0\0";
  CHECK(layout.header.substr(0, sizeof expected - 1) == std::string(expected, sizeof expected - 1));
  REQUIRE(layout.tensors.size() == 3);
  CHECK(layout.tensors[0].info.name == "t[0]");
  CHECK(layout.tensors[0].info.byte_size() == 54);
  CHECK(layout.tensors[1].info.name == "t[1]");
  CHECK(layout.tensors[1].begin == layout.tensors[0].begin + 54);
  CHECK(layout.tensors[1].info.byte_size() == 74);  // and zeros
  CHECK(layout.tensors[2].begin == layout.tensors[0].begin + 128);
}

TEST_CASE("gguf: what does not fit into a header is an error", "[exporter]") {
  exporter::GgufMetadata metadata;
  CHECK(error_of([&] { metadata.add_integer("k", std::int64_t{1} << 32); }).subject() == "k");
  CHECK(error_of([&] { metadata.add_integer("k", -1); }).code() == Code::unsupported);
  const std::string name(64, 'x');
  CHECK(error_of([&] { exporter::lay_out_gguf("m", metadata, {{name, {1}, &gguf::f32}}); }).subject() == name);
  CHECK_NOTHROW(exporter::lay_out_gguf("m", metadata, {{name.substr(1), {1}, &gguf::f32}}));
}

TEST_CASE("gguf: rows of a head are stored in pairs", "[exporter]") {
  using Rows = exporter::GgufRows;
  const Rows paired{Rows::Order::paired, 2}, by_kind{Rows::Order::by_kind, 2};
  CHECK(at::equal(paired.sources(8), at::tensor({0, 2, 1, 3, 4, 6, 5, 7}, at::kLong)));
  CHECK(at::equal(by_kind.sources(12), at::tensor({0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11}, at::kLong)));
}

TEST_CASE("gguf: names of tensors", "[exporter]") {
  const GgufModel tiny;
  const model::DecoderSpec spec = model::read_spec(*tiny.checkpoint);
  const auto place = [&](const std::string& tensor) {
    return exporter::gguf_place(exporter::gguf_architecture("llama"), spec, tensor);
  };
  CHECK(place("model.embed_tokens.weight")->name == "token_embd.weight");
  CHECK(place("model.norm.weight")->name == "output_norm.weight");
  CHECK(place("lm_head.weight")->name == "output.weight");
  CHECK(place("model.layers.1.mlp.down_proj.weight")->name == "blk.1.ffn_down.weight");
  CHECK(place("model.layers.1.self_attn.k_proj.bias")->name == "blk.1.attn_k.bias");
  CHECK(place("model.layers.1.self_attn.k_proj.bias")->rows.heads == 2);
  CHECK(place("model.layers.1.self_attn.q_proj.weight")->rows.heads == 4);
  CHECK(place("model.layers.1.self_attn.v_proj.weight")->rows.order == exporter::GgufRows::Order::kept);
  for (const char* unknown : {"mtp.fc.weight", "model.layers.2.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.scale",
                              "model.layers.0.self_attn.qkv_proj.weight", "model.layers.x.mlp.up_proj.weight"})
    CHECK_FALSE(place(unknown));
}

TEST_CASE("gguf: experts are slices", "[exporter]") {
  model::DecoderSpec spec;
  spec.layers.resize(2);
  const auto place = [&](const std::string& tensor) {
    return exporter::gguf_place(exporter::gguf_architecture("mixtral"), spec, tensor);
  };
  const auto found = place("model.layers.1.block_sparse_moe.experts.13.w3.weight");
  CHECK(found->name == "blk.1.ffn_up_exps.weight");
  CHECK(found->slice == 13);
  CHECK(place("model.layers.0.block_sparse_moe.gate.weight")->slice == -1);
  for (const char* unknown : {"experts.w1", "experts..w1", "experts.1.w4", "experts.1.w1x", "experts.-1.w1"})
    CHECK_FALSE(place(std::string("model.layers.0.block_sparse_moe.") + unknown + ".weight"));
}

TEST_CASE("gguf: a file holds every tensor of the model and nothing else", "[exporter]") {
  const GgufModel tiny;
  const auto exporter = exporter::make_exporter("gguf");
  tiny.run(*exporter, tiny.output);
  const exporter::GgufPlan plan = exporter::plan_gguf(tiny.plan());
  const std::string file = only_file(tiny.output);
  CHECK(plan.notes.size() == 3);                    // two of mtp, no tokenizer
  CHECK(plan.entries.size() == 2 + 7 * 2 + 2 + 1);  // embeddings, head, projections, norms, a bias
  CHECK(file.size() + autoround::read_text_file(autoround::join_path(tiny.output, "recipe.yaml"), 1 << 20).size() ==
        exporter->disk_bytes(tiny.plan()));
  CHECK(file.substr(0, plan.layout().header.size()) == plan.layout().header);

  const std::string embeddings = autoround::test::read_bytes(*tiny.checkpoint, "model.embed_tokens.weight");
  CHECK(bytes_of(plan, file, "token_embd.weight") == embeddings);
  const std::string norm = autoround::test::read_bytes(*tiny.checkpoint, "model.layers.1.input_layernorm.weight");
  at::Tensor wide = at::empty({64}, at::kBFloat16);
  std::memcpy(wide.mutable_data_ptr(), norm.data(), norm.size());
  CHECK(bytes_of(plan, file, "blk.1.attn_norm.weight") == raw(wide.to(at::kFloat)));

  const quant::QuantizedWeight& value = tiny.weights.at("model.layers.1.self_attn.v_proj");
  CHECK(bytes_of(plan, file, "blk.1.attn_v.weight") == raw(exporter::pack_blocks(value, gguf::q4_0)));
  const quant::QuantizedWeight& query = tiny.weights.at("model.layers.1.self_attn.q_proj");
  const at::Tensor rows = exporter::GgufRows{exporter::GgufRows::Order::paired, 4}.sources(64);
  const at::Tensor blocks = exporter::pack_blocks(query, gguf::q4_0).index_select(0, rows);
  CHECK(bytes_of(plan, file, "blk.1.attn_q.weight") == raw(blocks));
  const std::string bias = autoround::test::read_bytes(*tiny.checkpoint, "model.layers.0.self_attn.q_proj.bias");
  at::Tensor plain = at::empty({64}, at::kFloat);
  std::memcpy(plain.mutable_data_ptr(), bias.data(), bias.size());
  CHECK(bytes_of(plan, file, "blk.0.attn_q.bias") == raw(plain.index_select(0, rows)));
}

TEST_CASE("gguf: a tied head is stored when it is quantized", "[exporter]") {
  GgufModel tiny(/*is_tied=*/true);
  const auto has_head = [&] {
    const exporter::GgufPlan plan = exporter::plan_gguf(tiny.plan());
    return std::any_of(plan.entries.begin(), plan.entries.end(),
                       [](const auto& entry) { return entry.tensor.name == "output.weight"; });
  };
  CHECK_FALSE(has_head());
  tiny.apply(TinyModel::w4({}));
  CHECK(has_head());
}

TEST_CASE("gguf: the file is called after the model and its most common type", "[exporter]") {
  GgufModel tiny;
  const std::string model = autoround::file_name(autoround::canonical_path(tiny.directory));
  CHECK(exporter::plan_gguf(tiny.plan()).file_name == model + "-Q4_0.gguf");
  recipe::Recipe recipe = recipe_of(integer_scheme({"Linear"}, 8, true, 32));
  recipe.config_groups.insert(recipe.config_groups.begin(), {"v", integer_scheme({"re:.*v_proj"}, 4, true, 32)});
  tiny.apply(recipe);
  CHECK(exporter::plan_gguf(tiny.plan()).file_name == model + "-Q8_0.gguf");

  const std::string snapshot = autoround::join_path(tiny.folder.make("cache"), "models--org--Name-1B/snapshots/abc");
  autoround::create_directories(snapshot);
  for (const auto& entry : autoround::list_directory(tiny.directory))
    autoround::copy_file(autoround::join_path(tiny.directory, entry.name), autoround::join_path(snapshot, entry.name));
  tiny.checkpoint = open(snapshot);
  CHECK(exporter::plan_gguf(tiny.plan()).file_name == "Name-1B-Q8_0.gguf");
}

TEST_CASE("gguf: what the format has no place for", "[exporter]") {
  GgufModel tiny;
  SECTION("schemes, with those that have one") {
    tiny.apply(recipe_of(integer_scheme({"Linear"}, 3, true, 32)));
    const Error error = tiny.refusal();
    CHECK(error.code() == Code::unsupported);
    CHECK(error.subject() == "gguf");
    CHECK(mentions(error, "`model.layers.0.mlp.down_proj` is int3 group 32 sym of 96 columns"));
    CHECK(mentions(error, "`lm_head` is int3"));
    CHECK(mentions(error, "4 bits symmetric by multiples of 32 (Q4_0)"));
    CHECK(mentions(error, "MXFP4"));
  }
  SECTION("scales of another type") {
    tiny.scale_type = at::kBFloat16;
    tiny.apply(TinyModel::w4());
    CHECK(mentions(tiny.refusal(), "`model.layers.0.mlp.down_proj` has scales that are not float16 (scale_dtype)"));
  }
  SECTION("inputs") {
    tiny.formats.at("model.layers.0.mlp.up_proj").input.emplace();
    CHECK(mentions(tiny.refusal(), "`model.layers.0.mlp.up_proj` has quantized inputs"));
  }
  SECTION("nothing to quantize") {
    tiny.apply(TinyModel::w4({"Linear"}));
    CHECK(tiny.refusal().code() == Code::invalid_argument);
  }
  SECTION("a quantized cache") {
    recipe::Recipe recipe = TinyModel::w4();
    recipe.kv_cache_scheme.emplace();
    tiny.apply(recipe);
    CHECK(mentions(tiny.refusal(), "kv_cache_scheme"));
  }
  SECTION("another activation") {
    tiny.reconfigure("\"silu\"", "\"gelu\"");
    CHECK(mentions(tiny.refusal(), "hidden_act"));
  }
  SECTION("yarn with other bounds") {
    tiny.reconfigure("\"rope_theta\": 10000.0",
                     R"("rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "beta_fast": 16})");
    CHECK(mentions(tiny.refusal(), "beta_fast 32"));
  }
  SECTION("positions for which the family has no tensor of divisors") {
    tiny.reconfigure("\"rope_theta\": 10000.0",
                     R"("rope_parameters": {"rope_type": "llama3", "factor": 8.0, "rope_theta": 1e4,
                        "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 32})");
    CHECK_NOTHROW(exporter::plan_gguf(tiny.plan()));
    tiny.reconfigure("\"llama\"", "\"qwen2\"");
    CHECK(mentions(tiny.refusal(), "no llama3 positions in this family"));
  }
}

TEST_CASE("gguf: a head of its own, where llama.cpp takes the embeddings", "[exporter]") {
  GgufModel tiny(/*is_tied=*/true);
  tiny.reconfigure("\"llama\"", "\"cohere\"");
  CHECK_NOTHROW(exporter::plan_gguf(tiny.plan()));
  tiny.apply(TinyModel::w4({}));
  CHECK(mentions(tiny.refusal(), "llama.cpp takes the embeddings for the head in cohere"));
}

TEST_CASE("gguf: cohere's context is as long as model_max_length says", "[exporter]") {
  GgufModel tiny(/*is_tied=*/true);
  tiny.reconfigure("\"llama\"", "\"cohere\"");
  const auto has_length = [&](std::int64_t length) {
    exporter::GgufMetadata wanted;
    wanted.add_integer("command-r.context_length", length);
    return exporter::plan_gguf(tiny.plan()).metadata.bytes().find(wanted.bytes()) != std::string::npos;
  };
  CHECK(has_length(128));
  tiny.reconfigure("\"max_position_embeddings\"", "\"model_max_length\": 131072, \"max_position_embeddings\"");
  CHECK(has_length(131072));
}

TEST_CASE("gguf: layers have windows where llama.cpp takes them for granted", "[exporter]") {
  model::DecoderSpec spec;
  spec.layers.resize(4);
  for (std::size_t i = 0; i < 4; ++i) {
    spec.layers[i].attention.window = i % 2 == 0 ? 7 : 0;
    spec.layers[i].attention.rope.emplace();
    spec.layers[i].mlp.activation = model::Activation::gelu_tanh;
    spec.layers[i].attention.softcap = 50.0;
    spec.layers[i].attention.head_dim = 64;
    spec.layers[i].attention.scale = 0.125;
  }
  spec.logits_softcap = 30.0;
  const auto offences = [&] { return exporter::gguf_offences(exporter::gguf_architecture("gemma2"), spec); };
  CHECK(offences().empty());
  SECTION("another pattern") { spec.layers[2].attention.window = 0; }
  SECTION("another width") { spec.layers[2].attention.window = 8; }
  SECTION("no limit") { spec.logits_softcap = 0.0; }
  SECTION("another scale") { spec.layers[0].attention.scale = 0.25; }
  SECTION("another activation") { spec.layers[3].mlp.activation = model::Activation::silu; }
  SECTION("positions of another kind") { spec.layers[3].attention.rope->theta = 1e6; }
  CHECK(offences().size() == 1);
}

TEST_CASE("gguf: a family that llama.cpp is not told of names those that it is", "[exporter]") {
  const Error error = error_of([] { exporter::gguf_architecture("opt"); });
  CHECK(error.code() == Code::unsupported);
  CHECK(mentions(error, "`opt`"));
  CHECK(mentions(error, "llama, mistral"));
}

TEST_CASE("gguf: layers of smollm3 rotate as llama.cpp takes for granted", "[exporter]") {
  model::DecoderSpec spec;
  spec.layers.resize(8);
  for (std::size_t i = 0; i < 8; ++i)
    if (i % 4 != 3) spec.layers[i].attention.rope.emplace();
  const auto offences = [&] { return exporter::gguf_offences(exporter::gguf_architecture("smollm3"), spec); };
  CHECK(offences().empty());
  SECTION("positions where there are none") { spec.layers[3].attention.rope.emplace(); }
  SECTION("a bias of o_proj") { spec.layers[1].attention.out_bias = true; }
  SECTION("a bias of the feed-forward network") { spec.layers[1].mlp.bias = true; }
  CHECK(offences().size() == 1);
}

TEST_CASE("gguf: what llama.cpp takes for granted in single families", "[exporter]") {
  model::DecoderSpec spec;
  spec.layers.resize(2);
  for (model::LayerSpec& layer : spec.layers) layer.attention.rope.emplace();
  const auto count = [&](const char* family) {
    return exporter::gguf_offences(exporter::gguf_architecture(family), spec).size();
  };
  CHECK(count("cohere") == 0);
  CHECK(count("qwen3_moe") == 1);  // no experts
  for (model::LayerSpec& layer : spec.layers) layer.experts.emplace();
  CHECK(count("qwen2_moe") == 0);
  CHECK(count("mixtral") == 1);
  for (model::LayerSpec& layer : spec.layers) layer.experts->router.normalize = true;
  CHECK(count("qwen2_moe") == 1);
  CHECK(count("mixtral") == 0);
  spec.layers[0].attention.qk_norm = model::QkNorm::heads;
  CHECK(count("cohere") == 1);
}

TEST_CASE("gguf: a run that was killed is gone on with", "[exporter]") {
  const GgufModel tiny;
  const exporter::ExportPlan plan = tiny.plan();
  tiny.run(*exporter::make_exporter("gguf"), tiny.output);
  const std::string whole = only_file(tiny.output);
  const std::string directory = tiny.folder.make("killed");
  const std::string half_done = "model.layers.0.self_attn.q_proj", other = "model.layers.1.mlp.down_proj";
  std::vector<exporter::WrittenTensor> written, of_other;
  {
    const auto killed = exporter::make_exporter("gguf");
    killed->begin(plan, directory);
    written = killed->write(tiny.weights.at(half_done));
    of_other = killed->write(tiny.weights.at(other));
    killed->sync();
  }
  const auto later = exporter::make_exporter("gguf");
  later->begin(plan, directory);
  CHECK(later->files() == std::vector<std::string>{exporter::plan_gguf(plan).file_name});
  CHECK(later->damage(half_done, written).empty());
  CHECK_FALSE(later->damage(other, written).empty());
  CHECK_FALSE(later->damage("lm_head", {}).empty());
  of_other.front().hash.back() ^= 1;
  CHECK(later->damage(other, of_other).find("blk.1.ffn_down.weight") != std::string::npos);

  const quant::QuantizedWeight& weight = tiny.weights.at(half_done);
  const quant::QuantizedWeight found = later->read(half_done);
  CHECK(found.name == half_done);
  CHECK(at::equal(found.codes, weight.codes));
  CHECK(at::equal(found.scales, weight.scales));
  later->keep(half_done);
  for (const auto& [name, other_weight] : tiny.weights)
    if (name != half_done) later->write(other_weight);
  later->finish();
  CHECK(only_file(directory) == whole);
}
