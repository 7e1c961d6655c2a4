#include "checkpoint/hf_config.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"
#include "checkpoint/limits.hpp"

namespace autoround::checkpoint {
namespace {

constexpr const char* sliding = "sliding_attention";

bool is_nested(const Json& rope) {
  return std::any_of(rope.begin(), rope.end(), [](const Json& value) { return value.is_object(); });
}

// The object that config.json holds for one kind of layer, under either name; empty when it holds none.
Json stored_rope(const JsonView& text, const std::string& layer_type) {
  // transformers 5 lets the old key win where a file carries both.
  auto stored = text.object("rope_scaling");
  if (!stored) stored = text.object("rope_parameters");
  if (!stored) return Json::object();
  if (!is_nested(stored->json())) {
    // In the old spelling rope_scaling is about the full-attention layers; the others have but a base of their own.
    return layer_type == sliding ? Json::object() : stored->json();
  }
  if (layer_type.empty()) {
    fail(Code::parse, stored->subject(), "has an object for each kind of layer; one object for all layers is wanted");
  }
  if (const auto nested = stored->object(layer_type)) return nested->json();
  return Json::object();
}

double default_theta_for(const JsonView& text, const std::string& layer_type, double fallback) {
  return text.number_or(layer_type == sliding ? "rope_local_base_freq" : "rope_theta", fallback);
}

// Names that other writers used for what is now one name.
std::string current_rope_type(const std::string& name) {
  if (name == "su") return "longrope";
  if (name == "mrope") return "default";  // several position streams, which coincide for text
  return name;
}

}  // namespace

HfConfig HfConfig::parse(std::string_view text, const std::string& file) {
  HfConfig config;
  config.json_ = std::make_shared<const Json>(parse_json(text, file, {max_config_bytes}));
  config.file_ = file;
  config.view();  // refuses a document that is not an object
  return config;
}

JsonView HfConfig::text() const {
  const JsonView whole = view();
  return whole.object("text_config").value_or(whole);
}

std::string HfConfig::model_type() const {
  const JsonView config = text();
  if (!config.has("model_type")) {
    fail(Code::unsupported, config.subject(),
         "the key `model_type` is missing, so the model's architecture is unknown");
  }
  return config.string("model_type");
}

std::optional<DType> HfConfig::dtype() const {
  for (const JsonView& config : {text(), view()}) {
    for (const char* key : {"dtype", "torch_dtype"}) {
      if (!config.has(key)) continue;
      const std::string name = config.string(key);
      if (const auto type = parse_torch_dtype(name)) return type;
      fail(Code::unsupported, config.subject(),
           "key `" + std::string(key) + "` is " + quote(name) + "; a floating-point type such as `bfloat16` is wanted");
    }
  }
  return std::nullopt;
}

bool HfConfig::is_quantized() const { return view().has("quantization_config") || text().has("quantization_config"); }

bool HfConfig::tie_word_embeddings(bool fallback) const {
  return text().boolean_or("tie_word_embeddings", view().boolean_or("tie_word_embeddings", fallback));
}

Json HfConfig::rope_parameters(const std::string& layer_type, double default_theta) const {
  const JsonView config = text();
  Json rope = stored_rope(config, layer_type);
  const JsonView stored(rope, config.subject() + ": rope_parameters");
  const std::string type = stored.string_or("rope_type", stored.string_or("type", "default"));
  const double theta = stored.number_or("rope_theta", default_theta_for(config, layer_type, default_theta));
  if (!(theta > 0))
    fail(Code::parse, stored.subject(), "`rope_theta` is " + format_number(theta) + "; it must be positive");
  rope.erase("type");
  rope["rope_type"] = current_rope_type(type);
  rope["rope_theta"] = theta;
  return rope;
}

}  // namespace autoround::checkpoint
