// A tiny checkpoint on disk and everything an exporter is told about a run over it.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/shard_writer.hpp"
#include "exporter/exporter.hpp"

namespace autoround::test {

/// A folder under the system's temporary directory, gone with its contents at the end of the test.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();
  /// A new empty folder inside.
  std::string make(const std::string& name) const;

 private:
  std::string path_;
};

using Tensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Writes tensors as one or more safetensors shards.
void write_tensors(const std::string& directory, const Tensors& tensors);
/// Raw bytes of one tensor.
std::string read_bytes(const checkpoint::Checkpoint& checkpoint, const std::string& name);
std::shared_ptr<const checkpoint::Checkpoint> open(const std::string& directory);

recipe::QuantizationScheme integer_scheme(const std::vector<std::string>& targets, int bits, bool symmetric,
                                          std::int64_t group);  // group as in quant::WeightFormat

/// A llama of two layers, hidden 64, intermediate 96, vocabulary 40, in bf16, with a module that nobody knows
/// ("mtp.fc") and companion files.
struct TinyModel {
  explicit TinyModel(bool tied = false);

  /// Assigns the recipe's groups; every weight gets random codes, scales and zero points.
  void apply(const recipe::Recipe& recipe);
  exporter::ExportPlan plan() const;
  /// check, begin, write all weights, finish.
  void run(exporter::Exporter& exporter, const std::string& output) const;
  /// Quantizes with one group for all Linear layers but those ignored.
  static recipe::Recipe w4(std::vector<std::string> ignore = {"lm_head"});
  /// A preset scheme on all Linear layers whose rows it divides; integers in groups of 32.
  static recipe::Recipe preset(const std::string& name);

  TemporaryFolder folder;
  std::string directory, output;
  bool tied;
  at::ScalarType scale_type = at::kBFloat16;  // of what apply() makes
  std::shared_ptr<const checkpoint::Checkpoint> checkpoint;
  std::vector<recipe::ModuleInfo> modules;
  recipe::Recipe recipe;
  recipe::Assignment assignment;
  std::map<std::string, quant::WeightFormat> formats;
  std::map<std::string, quant::QuantizedWeight> weights;  // by module name
};

/// Equal types, shapes and bytes, or both undefined.
bool same_values(const at::Tensor& a, const at::Tensor& b);

/// Random codes, scales (some negative) and zero points of one weight.
quant::QuantizedWeight random_weight(const std::string& module, std::int64_t rows, std::int64_t columns,
                                     const quant::WeightFormat& format);

}  // namespace autoround::test
