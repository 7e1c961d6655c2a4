// logits_tool aten|fused fp32|bf16 {MODEL WORK}...: for each model folder, reads WORK/ids.bin (int64: windows, length,
// ids) and writes WORK/hidden.bin (fp32 [layers, windows * length, hidden], after each layer), WORK/logits.bin (fp32
// [windows * length, vocab]), WORK/nll.bin (double) and WORK/modules.txt (lines of transformers' name and class).
#include <ATen/ATen.h>

#include <fstream>
#include <iostream>
#include <stdexcept>

#include "model/causal_lm.hpp"

namespace {

namespace model = autoround::model;

at::Tensor read_ids(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::int64_t shape[2] = {0, 0};
  file.read(reinterpret_cast<char*>(shape), sizeof shape);
  at::Tensor ids = at::empty({shape[0], shape[1]}, at::kLong);
  file.read(static_cast<char*>(ids.data_ptr()), static_cast<std::streamsize>(ids.nbytes()));
  if (!file) throw std::runtime_error("cannot read " + path);
  return ids;
}

void write(const std::string& path, const at::Tensor& tensor) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(tensor.const_data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

void run(const std::string& folder, const std::string& work, at::ScalarType dtype, model::Ops& ops) {
  const auto checkpoint = autoround::checkpoint::Checkpoint::open(folder, autoround::Logger());
  const model::DecoderSpec spec = model::read_spec(*checkpoint);
  std::ofstream modules(work + "/modules.txt");
  for (const auto& module : model::list_modules(spec, *checkpoint))
    modules << (module.alias.empty() ? module.name : module.alias) << ' ' << module.class_name << '\n';
  const model::CausalLm lm(spec, model::checkpoint_weights(checkpoint), dtype);
  const at::Tensor ids = read_ids(work + "/ids.bin");

  at::Tensor hidden = lm.embed(ids);
  std::vector<at::Tensor> states;
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    hidden = lm.load_layer(i)->forward(hidden, ids.size(0), lm.rope(i, ids.size(1)), ops);
    states.push_back(hidden.to(at::kFloat));
  }
  write(work + "/hidden.bin", at::stack(states));
  write(work + "/logits.bin", lm.logits(hidden, ops).contiguous());

  const std::vector<std::int64_t> lengths(static_cast<std::size_t>(ids.size(0)), ids.size(1));
  const double nll = perplexity(lm, ids, lengths, ops, autoround::CancelToken()).nll;
  write(work + "/nll.bin", at::scalar_tensor(nll, at::kDouble));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 5 || argc % 2 == 0) throw std::runtime_error("usage: logits_tool aten|fused fp32|bf16 {MODEL WORK}...");
  const at::NoGradGuard no_grad;
  model::AtenOps aten;
  model::FusedOps fused;
  model::Ops& ops = argv[1] == std::string("fused") ? static_cast<model::Ops&>(fused) : aten;
  const at::ScalarType dtype = argv[2] == std::string("bf16") ? at::kBFloat16 : at::kFloat;
  for (int i = 3; i < argc; i += 2) run(argv[i], argv[i + 1], dtype, ops);
} catch (const autoround::Error& error) {
  std::cerr << error.subject() << ": " << error.what() << "\n";
  return 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
