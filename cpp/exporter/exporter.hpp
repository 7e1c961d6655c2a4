// Output formats behind one interface and a table by name. An exporter is told what will come before the run starts, so
// it can refuse what its readers cannot load and reserve the disk; then it writes each layer as it is finished.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "quant/weight_format.hpp"
#include "recipe/matching.hpp"

namespace autoround::exporter {

/// Everything an exporter may know about a run. Borrowed: it and what it refers to outlive the exporter's finish().
struct ExportPlan {
  const checkpoint::Checkpoint& checkpoint;
  const recipe::Recipe& recipe;
  const std::vector<recipe::ModuleInfo>& modules;      // named_modules order
  const recipe::Assignment& assignment;                // what is quantized, with which group of recipe.groups()
  std::map<std::string, quant::WeightFormat> formats;  // by module name, quantized ones only
  bool tie_word_embeddings = false;
};

class Exporter {
 public:
  virtual ~Exporter() = default;
  /// @throws Error unsupported / invalid_argument: the format or its readers cannot hold the plan; names all offenders.
  virtual void check(const ExportPlan& plan) const = 0;
  /// Bytes that the output will take, companion files included.
  virtual std::uint64_t disk_bytes(const ExportPlan& plan) const = 0;
  /// Creates and reserves the files in `directory` and copies through every tensor that is not quantized.
  virtual void begin(const ExportPlan& plan, const std::string& directory) = 0;
  virtual void write(const quant::QuantizedWeight& weight) = 0;
  /// Writes config, recipe and index, fsyncs. The caller makes the folder visible.
  virtual void finish() = 0;
};

/// Names that make_exporter knows, in the order of help texts.
const std::vector<std::string>& format_names();
/// @throws Error unsupported with the list of names
std::unique_ptr<Exporter> make_exporter(const std::string& format);
/// The type in which `format` stores the scales of a checkpoint of `weights` type; `recipe_dtype` overrides when not
/// "".
/// @throws Error unsupported: the format or the type of the weights. invalid_argument: `recipe_dtype` is none for
/// scales.
at::ScalarType scale_type(const std::string& format, checkpoint::DType weights, const std::string& recipe_dtype);

}  // namespace autoround::exporter
