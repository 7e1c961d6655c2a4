// What differs between formats that are a Hugging Face folder: how one quantized weight is stored, and what config.json
// says about it. FolderFormat does the rest.
#pragma once

#include <string>
#include <vector>

#include "base/json.hpp"
#include "exporter/exporter.hpp"

namespace autoround::exporter {

class Layout {
 public:
  virtual ~Layout() = default;
  /// As Exporter::check.
  virtual void check(const ExportPlan& plan) const = 0;
  /// Names, types and shapes of the tensors that store one module.
  virtual std::vector<checkpoint::TensorInfo> tensors(const ExportPlan& plan, const recipe::ModuleInfo& module,
                                                      const quant::WeightFormat& format) const = 0;
  /// Whether experts that the checkpoint holds as one tensor stay one: what `pack` gives then goes to its place in it.
  virtual bool keeps_stacks() const { return false; }
  /// In the order of `tensors`.
  virtual std::vector<at::Tensor> pack(const ExportPlan& plan, const quant::QuantizedWeight& weight) const = 0;
  /// False when what is stored does not tell the codes: a run that was killed then starts over.
  virtual bool keeps_codes() const { return true; }
  /// The weight of which `pack` made `stored`. Only where codes are kept.
  virtual quant::QuantizedWeight unpack(const ExportPlan& plan, const recipe::ModuleInfo& module,
                                        const quant::WeightFormat& format,
                                        const std::vector<at::Tensor>& stored) const = 0;
  /// null: config.json has none.
  virtual Json quantization_config(const ExportPlan& plan) const = 0;
  /// The `dtype` that readers are to compute in; "": the checkpoint's own.
  virtual std::string compute_dtype(const ExportPlan&) const { return ""; }
  /// Whether readers want the same in a file of its own, quantization_config.json.
  virtual bool config_has_own_file() const { return false; }
};

}  // namespace autoround::exporter
