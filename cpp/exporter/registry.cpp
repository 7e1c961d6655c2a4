#include <optional>

#include "base/error.hpp"
#include "base/text.hpp"
#include "exporter/auto_round_layout.hpp"
#include "exporter/compressed_tensors_layout.hpp"
#include "exporter/exporter.hpp"
#include "exporter/fake_layout.hpp"
#include "exporter/folder_format.hpp"
#include "exporter/gguf_format.hpp"
#include "model/weight_source.hpp"

namespace autoround::exporter {
namespace {

struct Format {
  std::string name;
  std::unique_ptr<Exporter> (*make)();
  std::optional<at::ScalarType> scale_type;  // the one that its readers want; unset: the checkpoint's own
  float least_scale = 1e-5f;
};

template <std::unique_ptr<const Layout> (*MakeLayout)()>
std::unique_ptr<Exporter> folder() {
  return std::make_unique<FolderFormat>(MakeLayout());
}

const std::vector<Format>& formats() {
  static const std::vector<Format> table = {
      {"compressed-tensors", folder<compressed_tensors_layout>, std::nullopt},
      {"auto_round", folder<auto_round_layout>, at::kHalf},
      {"auto_round:auto_gptq", folder<auto_round_gptq_layout>, at::kHalf},
      {"auto_round:auto_awq", folder<auto_round_awq_layout>, at::kHalf},
      {"auto_gptq", folder<auto_gptq_layout>, at::kHalf},
      {"auto_awq", folder<auto_awq_layout>, at::kHalf},
      {"gguf", gguf_format, at::kHalf, 0x1p-24f},
      {"fake", folder<fake_layout>, std::nullopt},
  };
  return table;
}

const Format& find_format(const std::string& name) {
  for (const auto& format : formats()) {
    if (format.name == name) return format;
  }
  fail(Code::unsupported, name,
       "there is no such output format; there are: " + join(format_names(), ", ") + hint(name, format_names()));
}

}  // namespace

std::vector<WrittenTensor> Exporter::write_cache(const quant::CacheScales& cache) {
  fail(Code::internal, cache.attention, "the format has no place for a quantized cache and was not asked for one");
}

const std::vector<std::string>& format_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const auto& format : formats()) list.push_back(format.name);
    return list;
  }();
  return names;
}

std::unique_ptr<Exporter> make_exporter(const std::string& format) { return find_format(format).make(); }

float least_scale(const std::string& format) { return find_format(format).least_scale; }

at::ScalarType scale_type(const std::string& format, checkpoint::DType weights, const std::string& recipe_dtype) {
  const Format& known = find_format(format);
  if (recipe_dtype.empty()) return known.scale_type.value_or(model::torch_type(weights));
  const auto type = checkpoint::parse_torch_dtype(recipe_dtype);
  using checkpoint::DType;
  if (type != DType::f16 && type != DType::bf16 && type != DType::f32) {
    fail(Code::invalid_argument, "scale_dtype",
         "scales cannot be stored as `" + recipe_dtype + "`, wanted float16, bfloat16 or float32");
  }
  return model::torch_type(*type);
}

}  // namespace autoround::exporter
