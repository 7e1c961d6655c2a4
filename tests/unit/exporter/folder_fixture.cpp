#include "folder_fixture.hpp"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/file.hpp"
#include "model/weight_source.hpp"

namespace autoround::test {
namespace {

constexpr std::int64_t kHidden = 64, kIntermediate = 96, kVocabulary = 40, kLayers = 2;

// Depth first, as rmdir wants it.
void remove_folder(const std::string& path) {
  for (const auto& entry : list_directory(path)) {
    const std::string child = join_path(path, entry.name);
    if (entry.directory) {
      remove_folder(child);
    } else {
      ::unlink(child.c_str());
    }
  }
  ::rmdir(path.c_str());
}

checkpoint::DType disk_type(at::ScalarType type) {
  if (type == at::kInt) return checkpoint::DType::i32;
  if (type == at::kLong) return checkpoint::DType::i64;
  return model::disk_type(type);
}

std::string tiny_config(bool tied) {
  return std::string(R"({"vocab_size": 40, "model_type": "llama", "architectures": ["LlamaForCausalLM"],
 "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
 "num_key_value_heads": 2, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "max_position_embeddings": 128,
 "hidden_act": "silu", "torch_dtype": "bfloat16", "an_unknown_key": {"b": 1, "a": [2.5, null, "é"]},
 "tie_word_embeddings": )") +
         (tied ? "true}" : "false}");
}

recipe::ModuleInfo linear(const std::string& name, std::int64_t block, std::int64_t rows, std::int64_t columns,
                          const std::string& fused = "") {
  recipe::ModuleInfo module;
  module.name = name;
  module.class_name = "Linear";
  module.block = block;
  module.shape = {rows, columns};
  module.weight = name + ".weight";
  module.fused_with = fused;
  return module;
}

recipe::ModuleInfo other(const std::string& name, const std::string& class_name, std::vector<std::int64_t> shape) {
  recipe::ModuleInfo module;
  module.name = name;
  module.class_name = class_name;
  module.shape = std::move(shape);
  module.weight = name + ".weight";
  return module;
}

std::vector<recipe::ModuleInfo> tiny_modules(bool tied) {
  std::vector<recipe::ModuleInfo> modules = {other("model.embed_tokens", "Embedding", {kVocabulary, kHidden})};
  for (std::int64_t i = 0; i < kLayers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i);
    modules.push_back(linear(layer + ".self_attn.q_proj", i, kHidden, kHidden, "qkv"));
    modules.push_back(linear(layer + ".self_attn.k_proj", i, kHidden / 2, kHidden, "qkv"));
    modules.push_back(linear(layer + ".self_attn.v_proj", i, kHidden / 2, kHidden, "qkv"));
    modules.push_back(linear(layer + ".self_attn.o_proj", i, kHidden, kHidden));
    modules.push_back(linear(layer + ".mlp.gate_proj", i, kIntermediate, kHidden, "gate_up"));
    modules.push_back(linear(layer + ".mlp.up_proj", i, kIntermediate, kHidden, "gate_up"));
    modules.push_back(linear(layer + ".mlp.down_proj", i, kHidden, kIntermediate));
    modules.push_back(other(layer + ".input_layernorm", "LlamaRMSNorm", {kHidden}));
  }
  modules.push_back(linear("lm_head", -1, kVocabulary, kHidden));
  if (tied) modules.back().weight = "model.embed_tokens.weight";
  return modules;
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  const char* base = ::getenv("TMPDIR");
  path_ = join_path(base == nullptr ? "/tmp" : base, "autoround-exporter-XXXXXX");
  if (::mkdtemp(path_.data()) == nullptr) fail(Code::io, path_, "cannot create a temporary folder");
}

TemporaryFolder::~TemporaryFolder() { remove_folder(path_); }

std::string TemporaryFolder::make(const std::string& name) const {
  std::string path = join_path(path_, name) + "-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) fail(Code::io, path, "cannot create a temporary folder");
  return path;
}

void write_tensors(const std::string& directory, const Tensors& tensors) {
  std::vector<checkpoint::PlannedTensor> plan;
  for (const auto& [name, tensor] : tensors) {
    checkpoint::PlannedTensor& planned = plan.emplace_back();
    planned.module = planned.info.name = name;
    planned.info.dtype = disk_type(tensor.scalar_type());
    planned.info.shape = tensor.sizes().vec();
  }
  checkpoint::ShardWriter writer(directory, std::move(plan));
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor bytes = tensor.contiguous();
    writer.write(name, 0, {static_cast<const std::byte*>(bytes.const_data_ptr()), bytes.nbytes()});
  }
  writer.finish();
}

std::string read_bytes(const checkpoint::Checkpoint& checkpoint, const std::string& name) {
  const checkpoint::TensorInfo* info = checkpoint.find(name);
  if (info == nullptr) fail(Code::not_found, name, "no such tensor");
  std::string bytes(info->byte_size(), '\0');
  checkpoint.read(name, 0, gsl::as_writable_bytes(gsl::make_span(bytes)));
  return bytes;
}

std::shared_ptr<const checkpoint::Checkpoint> open(const std::string& directory) {
  return checkpoint::Checkpoint::open(directory, Logger());
}

recipe::QuantizationScheme integer_scheme(const std::vector<std::string>& targets, int bits, bool symmetric,
                                          std::int64_t group) {
  recipe::QuantizationScheme scheme;
  scheme.targets = targets;
  scheme.weights.emplace();
  scheme.weights->num_bits = bits;
  scheme.weights->symmetric = symmetric;
  scheme.weights->strategy = group > 0    ? recipe::Strategy::group
                             : group == 0 ? recipe::Strategy::tensor
                                          : recipe::Strategy::channel;
  if (group > 0) scheme.weights->group_size = group;
  return scheme;
}

bool same_values(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         at::equal(a.contiguous().view(at::kByte), b.contiguous().view(at::kByte));
}

quant::InputScales random_input(const quant::InputFormat& format) {
  quant::InputScales scales;
  if (format.needs_scale()) scales.scale = (at::rand({1}) + 0.01).to(format.scale_type);
  if (format.needs_global_scale()) scales.global_scale = at::rand({1}) * 100 + 1;
  return scales;
}

quant::QuantizedWeight random_weight(const std::string& module, std::int64_t rows, std::int64_t columns,
                                     const quant::WeightFormat& format) {
  quant::QuantizedWeight weight;
  weight.name = module;
  weight.format = format;
  weight.codes = at::randint(format.levels(), {rows, columns}, at::kByte);
  const std::vector<std::int64_t> shape = format.scales_shape(rows, columns);
  if (format.number == quant::Number::nvfp4) weight.global_scale = at::full({1}, 320.f);
  if (format.input) weight.input = random_input(*format.input);
  if (quant::has_power_scales(format.number)) {
    weight.scales = at::randint(110, 130, shape, at::kByte);
    return weight;
  }
  if (quant::is_float(format.number)) weight.codes.bitwise_and_(0xfe);  // 0x7f and 0xff are no numbers of e4m3
  const at::Tensor magnitude = at::rand(shape) * 0.02 + 0.001;
  const at::Tensor sign = at::where(at::rand(shape) < 0.5, -1.0, 1.0);
  const bool signs = format.symmetric && !quant::is_float(format.number);
  const double reach = format.number == quant::Number::nvfp4 ? 1e4 : 1.0;
  weight.scales = ((signs ? magnitude * sign : magnitude) * reach).to(format.scale_type);
  if (!format.symmetric) weight.zero_points = at::randint(format.levels(), shape, at::kByte);
  return weight;
}

TinyModel::TinyModel(bool tied_) : directory(folder.make("model")), output(folder.make("output")), tied(tied_) {
  modules = tiny_modules(tied);
  Tensors tensors;
  for (const auto& module : modules) {
    if (module.name == "lm_head" && tied) continue;
    tensors.emplace_back(module.weight, at::randn(module.shape).to(at::kBFloat16));
  }
  tensors.emplace_back("model.layers.0.self_attn.q_proj.bias", at::randn({kHidden}));
  tensors.emplace_back("mtp.fc.weight", at::randn({8, 16}).to(at::kHalf));
  tensors.emplace_back("mtp.norm.weight", at::randn({16}).to(at::kHalf));
  write_tensors(directory, tensors);
  write_text_file(join_path(directory, "config.json"), tiny_config(tied));
  write_text_file(join_path(directory, "tokenizer.json"), "{\"model\": {}}");
  write_text_file(join_path(directory, "generation_config.json"), "{}\n");
  checkpoint = open(directory);
}

recipe::Recipe TinyModel::preset(const std::string& name) {
  recipe::Recipe result;
  result.scheme = recipe::preset_scheme(name);
  result.ignore = {"lm_head", "re:.*down_proj"};  // rows of 96 are no multiple of 128
  for (auto* args : {&result.scheme->weights, &result.scheme->input_activations})
    if (*args && (*args)->group_size == 128) (*args)->group_size = 32;
  return result;
}

recipe::Recipe TinyModel::w4(std::vector<std::string> ignore) {
  recipe::Recipe result;
  result.config_groups = {{"all", integer_scheme({"Linear"}, 4, true, 32)}};
  result.ignore = std::move(ignore);
  return result;
}

void TinyModel::apply(const recipe::Recipe& applied) {
  recipe = applied;
  assignment = recipe::assign(recipe, modules, Logger());
  formats.clear();
  weights.clear();
  const auto groups = recipe.groups();
  for (const auto& entry : assignment.linears) {
    if (!entry.group) continue;
    const quant::WeightFormat format = quant::weight_format(groups.at(*entry.group).second, scale_type);
    const auto& name = entry.module->name;
    formats[name] = format;
    weights[name] = random_weight(name, entry.module->shape[0], entry.module->shape[1], format);
  }
}

exporter::ExportPlan TinyModel::plan() const { return {*checkpoint, recipe, modules, assignment, formats, tied}; }

void TinyModel::run(exporter::Exporter& exporter, const std::string& into) const {
  const exporter::ExportPlan told = plan();
  exporter.check(told);
  exporter.begin(told, into);
  for (const auto& [name, weight] : weights) exporter.write(weight);
  exporter.finish();
}

}  // namespace autoround::test
