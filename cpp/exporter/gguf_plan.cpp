#include "exporter/gguf_plan.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "exporter/folder_output.hpp"
#include "exporter/folder_rules.hpp"
#include "exporter/gguf_rope.hpp"
#include "exporter/gguf_tokenizer.hpp"
#include "exporter/gguf_types.hpp"
#include "model/stacked_experts.hpp"

namespace autoround::exporter {
namespace {

using model::DecoderSpec;

/// Collects entries, and what has no place.
class Builder {
 public:
  explicit Builder(const ExportPlan& plan)
      : plan_(plan),
        spec_(model::read_spec(plan.checkpoint)),
        architecture_(gguf_architecture(spec_.model_type)),
        modules_(quantized_modules(plan)) {}

  GgufPlan build() {
    check_schemes();
    for (auto& [name, values] : rope_tensors(spec_)) {
      const std::vector<std::int64_t> shape = values.sizes().vec();
      gguf_.entries.push_back({.tensor = {std::move(name), shape, &gguf::f32}, .values = std::move(values)});
    }
    add_tensors();
    gather_slices();
    note_windows();
    note_yarn();
    if (!offences_.empty())
      fail(Code::unsupported, "gguf",
           concat({"this format has no place for a part of the plan: ", join(offences_, "; "), ". It holds ",
                   gguf_schemes()}));
    if (modules_.empty()) fail(Code::invalid_argument, "gguf", "the recipe quantizes no module of this model");
    add_metadata();
    return std::move(gguf_);
  }

 private:
  void check_schemes() {
    offences_ =
        schemes_without_a_place(plan_, modules_, {.floats = true, .inputs = true, .supers = true, .stacks = true});
    for (const auto& [module, format, group] : modules_) {
      if (gguf_type_of(format, module->shape.at(1)) == nullptr)
        offences_.push_back(concat(
            {"`", module->name, "` is ", describe(format), " of ", std::to_string(module->shape.at(1)), " columns"}));
      if (format.number == quant::Number::integer && format.scale_type != at::kHalf)
        offences_.push_back(concat({"`", module->name, "` has scales that are not float16 (scale_dtype)"}));
      if (format.input && format.number != quant::Number::nvfp4)
        offences_.push_back(concat({"`", module->name, "` has quantized inputs"}));
    }
    const Offences others = gguf_offences(architecture_, spec_);
    offences_.insert(offences_.end(), others.begin(), others.end());
  }

  void add_tensors() {
    const auto stored = [](const recipe::ModuleInfo& module, const quant::WeightFormat&) {
      return std::vector<checkpoint::TensorInfo>{{module.name + ".weight", checkpoint::DType::u8, module.shape}};
    };
    const FolderPlan folder = plan_folder(plan_, stored);
    auto copy = folder.copies.begin();
    for (const checkpoint::PlannedTensor& planned : folder.tensors) {
      const bool copied = copy != folder.copies.end() && copy->to == planned.info.name;
      const std::string source = copied ? (copy++)->from : "";
      if (is_tied_head(planned.info.name)) continue;
      if (const std::vector<model::ExpertPart> parts = model::expert_parts(planned.info); !parts.empty()) {
        add_parts(planned.info.dtype, parts);
        continue;
      }
      const auto place = gguf_place(architecture_, spec_, planned.info.name);
      if (!place) {
        leave_out(planned.info.name);
      } else if (place->name == "output.weight" && !architecture_.has_head) {
        offences_.push_back(concat({"llama.cpp takes the embeddings for the head in ", spec_.model_type,
                                    ": both stay in full precision, or the checkpoint has one for both"}));
      } else if (copied) {
        add_copy(planned.info, source, *place);
      } else {
        add_quantized(planned.module, planned.info.shape, *place);
      }
    }
  }

  void add_parts(checkpoint::DType dtype, const std::vector<model::ExpertPart>& parts) {
    for (const model::ExpertPart& part : parts) {
      if (const auto place = gguf_place(architecture_, spec_, part.name)) {
        add_copy({part.name, dtype, part.shape}, part.name, *place);
      } else {
        leave_out(part.name);
      }
    }
  }

  /// Stored, though it is the embeddings: readers take those.
  bool is_tied_head(const std::string& tensor) const {
    return tensor == spec_.lm_head + ".weight" && plan_.tie_word_embeddings && !unties_embeddings(plan_);
  }

  // Vision towers, layers that predict further tokens and buffers are no part of what llama.cpp computes here; the
  // layers themselves must be there as a whole.
  void leave_out(const std::string& tensor) {
    const bool in_layer = std::any_of(plan_.modules.begin(), plan_.modules.end(), [&](const auto& module) {
      return module.block >= 0 && !module.weight.empty() && tensor.rfind(module.name + ".", 0) == 0;
    });
    if (in_layer) {
      offences_.push_back(concat({"`", tensor, "` has no name in llama.cpp's ", architecture_.name}));
    } else {
      gguf_.notes.push_back(
          concat({"`", tensor, "` is left out: llama.cpp's ", architecture_.name, " has no such tensor"}));
    }
  }

  void add_copy(const checkpoint::TensorInfo& info, const std::string& source, const GgufPlace& place) {
    const GgufType* type = gguf_float_type(info.dtype);
    if (type == nullptr) {
      offences_.push_back(concat({"`", source, "` is of type ", checkpoint::dtype_name(info.dtype)}));
      return;
    }
    const bool is_norm = place.name.find("norm.weight") != std::string::npos;
    const bool is_router = place.name.find("ffn_gate_inp") != std::string::npos;
    GgufTensor tensor{place.name, info.shape, type, place.slice};
    if (is_router && info.shape.front() == 1) tensor.shape.erase(tensor.shape.begin());
    if (is_norm || is_router || info.shape.size() < 2) tensor.type = &gguf::f32;  // as llama.cpp wants them
    gguf_.entries.push_back({.tensor = std::move(tensor),
                             .source = source,
                             .rows = place.rows,
                             .added = is_norm && spec_.norm.unit_offset ? 1.0 : 0.0});
  }

  void add_quantized(const std::string& module, const std::vector<std::int64_t>& shape, const GgufPlace& place) {
    const quant::WeightFormat& format = plan_.formats.at(module);
    const GgufType* type = gguf_type_of(format, shape.at(1));
    if (type == nullptr) return;  // is an offence
    gguf_.entries.push_back({.tensor = {place.name, shape, type, place.slice}, .module = module, .rows = place.rows});
    if (format.number != quant::Number::nvfp4) return;
    const std::string base = place.name.substr(0, place.name.rfind('.'));
    const std::vector<std::int64_t> one = place.slice < 0 ? std::vector<std::int64_t>{1} : std::vector<std::int64_t>{};
    gguf_.entries.push_back({.tensor = {base + ".scale", one, &gguf::f32, place.slice}, .module = module});
    if (format.input)
      gguf_.entries.push_back({.tensor = {base + ".input_scale", one, &gguf::f32, place.slice}, .module = module});
  }

  /// The slices of a tensor become neighbours, where the first of them is.
  void gather_slices() {
    std::map<std::string, std::size_t> first;
    for (std::size_t i = 0; i < gguf_.entries.size(); ++i) first.emplace(gguf_.entries[i].tensor.name, i);
    const auto place = [&](const GgufEntry& entry) {
      return std::pair(first.at(entry.tensor.name), entry.tensor.slice);
    };
    std::stable_sort(gguf_.entries.begin(), gguf_.entries.end(),
                     [&](const GgufEntry& a, const GgufEntry& b) { return place(a) < place(b); });
    for (std::size_t i = 1; i < gguf_.entries.size(); ++i) {
      const GgufTensor &a = gguf_.entries[i - 1].tensor, &b = gguf_.entries[i].tensor;
      if (a.name == b.name && a.type != b.type)
        offences_.push_back(
            concat({"the experts in `", a.name, "` are ", a.type->name, " and ", b.type->name, ", and need one type"}));
    }
  }

  void note_windows() {
    if (architecture_.window_period > 0) return;
    const auto windowed = std::find_if(spec_.layers.begin(), spec_.layers.end(),
                                       [](const auto& layer) { return layer.attention.window > 0; });
    if (windowed != spec_.layers.end())
      gguf_.notes.push_back(
          concat({"llama.cpp knows no sliding windows in ", architecture_.name, ": texts of more than ",
                  std::to_string(windowed->attention.window), " tokens are computed otherwise"}));
  }

  void note_yarn() {
    for (const model::LayerSpec& layer : spec_.layers) {
      if (!layer.attention.rope || layer.attention.rope->type != model::RopeType::yarn) continue;
      if (!layer.attention.rope->truncate)
        gguf_.notes.emplace_back(
            "llama.cpp rounds the bounds of yarn, which this model (truncate) does not: positions "
            "are a little different");
      return;
    }
  }

  /// The type of most quantized weights.
  const GgufType& main_type() const {
    std::map<const GgufType*, std::uint64_t> bytes;
    for (const GgufEntry& entry : gguf_.entries)
      if (entry.tensor.type->pack != nullptr) bytes[entry.tensor.type] += entry.tensor.byte_size();
    const auto most = [](const auto& a, const auto& b) {
      return std::pair(a.second, b.first->id) < std::pair(b.second, a.first->id);
    };
    return *std::max_element(bytes.begin(), bytes.end(), most)->first;
  }

  /// That of the checkpoint's folder; in a Hugging Face cache, whose folders are called after revisions, the one above.
  std::string model_name() const {
    std::string path = canonical_path(plan_.checkpoint.directory());
    if (file_name(parent_path(path)) == "snapshots") path = parent_path(parent_path(path));
    std::string name = file_name(path);
    if (const std::size_t dashes = name.rfind("--"); name.rfind("models--", 0) == 0) name.erase(0, dashes + 2);
    return name.empty() || name == "/" || invalid_utf8(name) ? "model" : name;
  }

  void add_metadata() {
    const GgufType& type = main_type();
    if (architecture_.length_key != nullptr)
      spec_.max_position =
          plan_.checkpoint.config().text().integer_or(architecture_.length_key, spec_.max_position, 1, INT32_MAX);
    add_architecture(architecture_, spec_, gguf_.metadata);
    gguf_.metadata.add_text("general.name", model_name());
    gguf_.metadata.add_integer("general.file_type", type.file_type);
    add_tokenizer(plan_.checkpoint, spec_.vocab_size, gguf_.metadata, gguf_.notes);
    gguf_.file_name = concat({model_name(), "-", type.name, ".gguf"});
  }

  const ExportPlan& plan_;
  DecoderSpec spec_;
  const GgufArchitecture& architecture_;
  std::vector<QuantizedModule> modules_;
  Offences offences_;
  GgufPlan gguf_;
};

}  // namespace

checkpoint::ShardLayout GgufPlan::layout() const {
  std::vector<GgufTensor> tensors;
  for (const GgufEntry& entry : entries) tensors.push_back(entry.tensor);
  return lay_out_gguf(file_name, metadata, tensors);
}

GgufPlan plan_gguf(const ExportPlan& plan) { return Builder(plan).build(); }

}  // namespace autoround::exporter
