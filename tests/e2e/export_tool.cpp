// export_tool FORMAT MODEL OUTPUT RECIPE.yaml...
// Rounds a checkpoint to nearest as each recipe says and writes OUTPUT/<recipe's name>, a folder in that format, and
// OUTPUT/<recipe's name>.expected, the weights that a loader must see and the logits that this library computes from
// the folder or, of GGUF, which it does not read, from these weights. load_*.py compare.
#include <ATen/ATen.h>
#include <sys/stat.h>

#include <algorithm>
#include <exception>
#include <iostream>

#include "base/error.hpp"
#include "base/file.hpp"
#include "checkpoint/shard_writer.hpp"
#include "exporter/exporter.hpp"
#include "exporter/quantized_source.hpp"
#include "model/causal_lm.hpp"
#include "quant/rounding.hpp"

namespace {

namespace ar = autoround;
using ar::checkpoint::Checkpoint;

using Tensors = std::vector<std::pair<std::string, at::Tensor>>;

constexpr float kLargestInput = 6.f;  // what calibration would have seen

void make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0) ar::fail(ar::Code::io, path, "cannot create the folder");
}

std::string stem(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  return name.substr(0, name.rfind('.'));
}

ar::quant::QuantizedWeight round_to_nearest(const ar::recipe::ModuleInfo& module, const ar::quant::WeightFormat& format,
                                            const ar::model::WeightSource& weights) {
  const at::Tensor weight = weights.load(module.weight, at::kBFloat16);
  auto rounded = ar::quant::quantize(ar::quant::make_rounding_state(format, weight, false, false), module.name);
  if (format.input && format.input->needs_calibration()) {
    ar::quant::InputQuantizer input(*format.input);
    input.calibrate(kLargestInput);
    rounded.input = input.scales();
  }
  return rounded;
}

/// A checkpoint with some of its weights replaced.
class ReplacedWeights final : public ar::model::WeightSource {
 public:
  ReplacedWeights(std::shared_ptr<ar::model::WeightSource> checkpoint, const Tensors& tensors)
      : checkpoint_(std::move(checkpoint)), tensors_(tensors.begin(), tensors.end()) {}
  bool has(const std::string& name) const override { return tensors_.count(name) != 0 || checkpoint_->has(name); }
  at::Tensor load(const std::string& name, at::ScalarType dtype) const override {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? checkpoint_->load(name, dtype) : found->second.to(dtype, false, /*copy=*/true);
  }
  void load_into(const std::string& name, at::Tensor out) const override { out.copy_(load(name, out.scalar_type())); }
  at::Tensor load_rows(const std::string& name, const at::Tensor& ids, at::ScalarType dtype) const override {
    return load(name, dtype).index_select(0, ids);
  }

 private:
  std::shared_ptr<ar::model::WeightSource> checkpoint_;
  std::map<std::string, at::Tensor> tensors_;
};

/// A tied head stays as it is when the embeddings are quantized.
std::shared_ptr<ar::model::WeightSource> replaced_weights(std::shared_ptr<ar::model::WeightSource> weights,
                                                          const ar::model::DecoderSpec& spec, Tensors tensors) {
  const auto named = [&](const std::string& name) {
    return std::any_of(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.first == name; });
  };
  const std::string head = spec.lm_head + ".weight", embeddings = spec.embed_tokens() + ".weight";
  if (spec.tie_word_embeddings && named(embeddings) && !named(head))
    tensors.emplace_back(head, weights->load(embeddings, at::kFloat));
  return std::make_shared<ReplacedWeights>(std::move(weights), tensors);
}

/// Quantizes and writes; returns every dequantized weight by tensor name.
Tensors export_folder(const std::string& format, const Checkpoint& checkpoint, const ar::model::WeightSource& weights,
                      const ar::recipe::Recipe& recipe, const std::string& directory) {
  const auto spec = ar::model::read_spec(checkpoint);
  const auto modules = ar::model::list_modules(spec, checkpoint);
  const auto assignment = ar::recipe::assign(recipe, modules, ar::Logger());
  const at::ScalarType scale_type = ar::exporter::scale_type(format, ar::checkpoint::DType::bf16, recipe.scale_dtype);
  ar::exporter::ExportPlan plan{checkpoint, recipe, modules, assignment, {}, spec.tie_word_embeddings};
  for (const auto& entry : assignment.linears) {
    if (!entry.group) continue;
    plan.formats.emplace(entry.module->name,
                         ar::quant::weight_format(entry.scheme, {scale_type, ar::exporter::least_scale(format)}));
  }

  const auto exporter = ar::exporter::make_exporter(format);
  exporter->check(plan);
  exporter->begin(plan, directory);
  Tensors expected;
  for (const auto& entry : assignment.linears) {
    if (!entry.group) continue;
    const auto weight = round_to_nearest(*entry.module, plan.formats.at(entry.module->name), weights);
    exporter->write(weight);
    const at::ScalarType type = format == "gguf" ? at::kFloat : scale_type;
    expected.emplace_back(weight.name + ".weight", ar::quant::dequantize(weight, type));
  }
  exporter->finish();
  return expected;
}

/// In fp32, [ids.numel(), vocabulary].
at::Tensor compute_logits(ar::model::DecoderSpec spec, std::shared_ptr<ar::model::WeightSource> weights,
                          const ar::quant::InputQuantizers& inputs, const at::Tensor& ids) {
  spec.tie_word_embeddings = spec.tie_word_embeddings && !weights->has(spec.lm_head + ".weight");
  const ar::model::CausalLm model(std::move(spec), std::move(weights), at::kFloat);
  ar::model::AtenOps plain;
  ar::quant::InputOps ops(inputs, plain);
  at::Tensor hidden = model.embed(ids);
  for (std::size_t i = 0; i < model.spec().layers.size(); ++i) {
    hidden = model.load_layer(i)->forward(hidden, ids.size(0), model.rope(i, ids.size(1)), ops);
  }
  return model.logits(hidden, ops);
}

void write_expected(const std::string& directory, const Tensors& tensors) {
  make_directory(directory);
  std::vector<ar::checkpoint::PlannedTensor> plan;
  for (const auto& [name, tensor] : tensors) {
    const auto type =
        tensor.scalar_type() == at::kLong ? ar::checkpoint::DType::i64 : ar::model::disk_type(tensor.scalar_type());
    plan.push_back({{name, type, tensor.sizes().vec()}, name});
  }
  ar::checkpoint::ShardWriter writer(directory, plan);
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor bytes = tensor.contiguous();
    writer.write(name, 0, {static_cast<const std::byte*>(bytes.const_data_ptr()), bytes.nbytes()});
  }
  writer.finish();
}

void run(const std::string& format, const std::string& model, const std::string& output,
         const std::vector<std::string>& recipes) {
  const at::NoGradGuard no_grad;
  const auto checkpoint = Checkpoint::open(model, ar::Logger());
  const auto weights = ar::model::checkpoint_weights(checkpoint);
  const std::int64_t vocabulary = ar::model::read_spec(*checkpoint).vocab_size;
  const at::Tensor ids = (at::arange(48) * 7 + 1).remainder(vocabulary).view({2, 24});
  for (const auto& recipe : recipes) {
    const std::string directory = ar::join_path(output, stem(recipe));
    make_directory(directory);
    Tensors expected = export_folder(format, *checkpoint, *weights, ar::recipe::Recipe::load(recipe), directory);
    expected.emplace_back("ids", ids);
    const auto written = format == "gguf" ? checkpoint : Checkpoint::open(directory, ar::Logger());
    const auto spec = ar::model::read_spec(*written);
    const auto found =
        format == "gguf" ? replaced_weights(weights, spec, expected) : ar::exporter::open_weights(written);
    expected.emplace_back("logits", compute_logits(spec, found, ar::exporter::open_inputs(*written), ids));
    write_expected(directory + ".expected", expected);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::cerr << "usage: export_tool FORMAT MODEL OUTPUT RECIPE.yaml...\n";
    return 2;
  }
  try {
    run(argv[1], argv[2], argv[3], {argv + 4, argv + argc});
    return 0;
  } catch (const ar::Error& error) {
    std::cerr << error.subject() << ": " << error.what() << "\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
  }
  return 1;
}
