// Output formats behind one interface and a table by name. An exporter is told what will come before the run starts, so
// it can refuse what its readers cannot load and reserve the disk; then it writes each layer as it is finished, and
// finds it again when a later run goes on.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "base/log.hpp"
#include "checkpoint/checkpoint.hpp"
#include "quant/cache_format.hpp"
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
  Logger log = {};                                        // for what a format leaves out
  std::map<std::string, quant::CacheFormat> caches = {};  // by attention module whose cache is quantized
  const CancelToken* cancel = nullptr;                    // asked while tensors are copied; may be null
};

/// One tensor of the output as it was written: how a later run tells that it is still there.
struct WrittenTensor {
  std::string name;
  std::uint64_t bytes = 0;
  std::string hash;  // base/hash.hpp
};

class Exporter {
 public:
  virtual ~Exporter() = default;
  /// @throws Error unsupported / invalid_argument: the format or its readers cannot hold the plan; names all offenders.
  virtual void check(const ExportPlan& plan) const = 0;
  /// Bytes that the output will take, companion files included.
  virtual std::uint64_t disk_bytes(const ExportPlan& plan) const = 0;
  /// Creates and reserves the files in `directory`, or takes over those that an exporter of the same plan left there,
  /// and copies through every tensor that is not quantized, and companion files: the host may change its folder later.
  virtual void begin(const ExportPlan& plan, const std::string& directory) = 0;
  virtual std::vector<std::string> files() const = 0;  // in the directory, after begin
  /// What it wrote, all that there is of this module.
  virtual std::vector<WrittenTensor> write(const quant::QuantizedWeight& weight) = 0;
  /// The same of an attention module's cache. Formats that have a place for it override this; others refuse it in
  /// check.
  virtual std::vector<WrittenTensor> write_cache(const quant::CacheScales& cache);
  /// What was written so far survives a power cut.
  virtual void sync() = 0;

  // Of a run that was killed after it wrote a module.
  /// "" when `tensors` are all that there is of `module` and the files hold them unchanged; else what is wrong, and
  /// where.
  virtual std::string damage(const std::string& module, const std::vector<WrittenTensor>& tensors) const = 0;
  /// Takes an undamaged module as written and gives it back.
  virtual void keep(const std::string& module) = 0;
  virtual quant::QuantizedWeight read(const std::string& module) const = 0;

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
/// Of integers, ScaleFormat::least. @throws as scale_type
float least_scale(const std::string& format);

}  // namespace autoround::exporter
