#include "model/families/skeleton.hpp"

#include <array>
#include <cmath>
#include <string_view>

#include "base/error.hpp"
#include "base/text.hpp"

namespace autoround::model {
namespace {

constexpr std::int64_t max_layers = 4096;
constexpr std::int64_t max_width = std::int64_t{1} << 20;
constexpr std::int64_t max_vocab = std::int64_t{1} << 22;

struct KnownActivation {
  std::string_view name;  // hidden_act
  Activation activation;
  std::string_view class_name;
};
constexpr std::array<KnownActivation, 8> known_activations{{
    {"silu", Activation::silu, "SiLUActivation"},
    {"swish", Activation::silu, "SiLU"},
    {"gelu", Activation::gelu, "GELUActivation"},
    {"gelu_python", Activation::gelu, "GELUActivation"},
    {"gelu_pytorch_tanh", Activation::gelu_tanh, "GELUTanh"},
    {"gelu_new", Activation::gelu_tanh, "NewGELUActivation"},
    {"gelu_fast", Activation::gelu_tanh, "FastGELUActivation"},
    {"relu", Activation::relu, "ReLU"},
}};

[[noreturn]] void out_of_range(const JsonView& text, const std::string& what) {
  fail(Code::parse, text.subject(), what);
}

/// An optional size: absent means `fallback`, null means nullopt, as in transformers' configuration classes.
std::optional<std::int64_t> optional_size(const JsonView& text, const std::string& key,
                                          std::optional<std::int64_t> fallback) {
  if (key.empty()) return fallback;
  if (text.has(key)) return text.integer(key, 1, max_width);
  return text.json().contains(key) ? std::nullopt : fallback;
}

/// A size that must be known.
std::int64_t size(const JsonView& text, const std::string& key, std::int64_t max,
                  std::optional<std::int64_t> fallback) {
  return fallback ? text.integer_or(key, *fallback, 1, max) : text.integer(key, 1, max);
}

AttentionSpec read_attention(const JsonView& text, std::int64_t hidden, const SkeletonDefaults& defaults) {
  AttentionSpec attention;
  attention.heads = size(text, "num_attention_heads", max_width, defaults.heads);
  attention.kv_heads = optional_size(text, defaults.kv_heads_key, defaults.kv_heads).value_or(attention.heads);
  if (attention.kv_heads > attention.heads || attention.heads % attention.kv_heads != 0)
    out_of_range(text, "`num_key_value_heads` is " + std::to_string(attention.kv_heads) +
                           "; it must divide `num_attention_heads`, which is " + std::to_string(attention.heads));

  const auto head_dim = optional_size(text, defaults.head_dim_key, defaults.head_dim);
  if (!head_dim && hidden % attention.heads != 0)
    out_of_range(text, "`num_attention_heads` is " + std::to_string(attention.heads) +
                           "; it must divide `hidden_size`, which is " + std::to_string(hidden) +
                           ", when `head_dim` is not given");
  attention.head_dim = head_dim.value_or(hidden / attention.heads);
  if (defaults.rotates && attention.head_dim % 2 != 0)
    out_of_range(text, "the head dimension is " + std::to_string(attention.head_dim) +
                           "; rotary position embeddings need an even one");
  if (attention.heads * attention.head_dim > max_width)
    out_of_range(text, "`num_attention_heads` * `head_dim` is " + std::to_string(attention.heads * attention.head_dim) +
                           "; at most " + std::to_string(max_width) + " is supported");
  attention.scale = std::pow(static_cast<double>(attention.head_dim), -0.5);
  return attention;
}

MlpSpec read_mlp(const JsonView& text, const SkeletonDefaults& defaults) {
  MlpSpec mlp;
  mlp.intermediate = size(text, defaults.intermediate_key, max_width, defaults.intermediate);
  const std::string name = text.string_or(defaults.activation_key, defaults.activation);
  std::vector<std::string> names;
  for (const KnownActivation& known : known_activations) {
    if (known.name == name) {
      mlp.activation = known.activation;
      mlp.activation_class = known.class_name;
      return mlp;
    }
    names.emplace_back(known.name);
  }
  fail(Code::unsupported, text.subject(),
       "`" + defaults.activation_key + "` is " + quote(name) + ", which is not supported; supported are " +
           join(names, ", "));
}

void set_window(DecoderSpec& spec, const JsonView& text, std::size_t layer, std::int64_t window) {
  if (window == 0)
    out_of_range(text, "`layer_types[" + std::to_string(layer) +
                           "]` is sliding_attention, but `use_sliding_window` and `sliding_window` give no window");
  spec.layers[layer].attention.window = window;
}

/// By layer_types, which is there.
void set_windows(DecoderSpec& spec, const JsonView& text, std::int64_t window) {
  const Json& types = text.json().at("layer_types");
  if (!types.is_array() || types.size() != spec.layers.size())
    out_of_range(
        text, "`layer_types` must be an array of " + std::to_string(spec.layers.size()) + " names, one for each layer");
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    if (types[i] == "full_attention") continue;
    if (types[i] != "sliding_attention")
      fail(Code::unsupported, text.subject(),
           "`layer_types[" + std::to_string(i) + "]` is " + quote(types[i].dump()) +
               "; supported are full_attention and sliding_attention");
    set_window(spec, text, i, window);
  }
}

}  // namespace

DecoderSpec read_skeleton(const checkpoint::HfConfig& config, const SkeletonDefaults& defaults) {
  const JsonView text = config.text();
  DecoderSpec spec;
  spec.model_type = config.model_type();
  const std::string& prefix = defaults.class_prefix;
  spec.architecture = prefix + "ForCausalLM";
  spec.model_class = prefix + "Model";
  spec.pretrained_class = prefix + "PreTrainedModel";
  spec.layer_class = prefix + "DecoderLayer";
  spec.attention_class = prefix + "Attention";
  spec.mlp_class = prefix + "MLP";
  spec.norm_class = prefix + "RMSNorm";
  if (defaults.rotates) spec.rotary_class = prefix + "RotaryEmbedding";

  spec.vocab_size = size(text, "vocab_size", max_vocab, defaults.vocab_size);
  spec.hidden_size = size(text, "hidden_size", max_width, defaults.hidden_size);
  spec.max_position = text.integer_or("max_position_embeddings", defaults.max_position, 1, max_positions);
  const std::string& eps = defaults.norm_eps_key;
  spec.norm_eps = eps.empty() ? defaults.norm_eps : text.number_or(eps, defaults.norm_eps);
  if (!(spec.norm_eps > 0.0 && spec.norm_eps < 1.0))
    out_of_range(text, "`" + eps + "` is " + format_number(spec.norm_eps) + "; it must lie between 0 and 1");
  spec.tie_word_embeddings = config.tie_word_embeddings(defaults.tie_word_embeddings);

  LayerSpec layer;
  layer.attention = read_attention(text, spec.hidden_size, defaults);
  if (defaults.rotates) layer.attention.rope = read_rope(config, layer.attention.head_dim, spec.max_position, defaults);
  layer.mlp = read_mlp(text, defaults);
  const std::int64_t layers = size(text, "num_hidden_layers", max_layers, defaults.layers);
  spec.layers.assign(static_cast<std::size_t>(layers), layer);
  return spec;
}

void read_window_layers(DecoderSpec& spec, const JsonView& text) {
  const bool windows = text.boolean_or("use_sliding_window", false) &&
                       (text.has("sliding_window") || !text.json().contains("sliding_window"));
  const std::int64_t window = windows ? text.integer_or("sliding_window", 4096, 1, max_positions) : 0;

  if (text.has("layer_types")) return set_windows(spec, text, window);
  const std::int64_t first = text.integer_or("max_window_layers", 28, 0, max_positions);
  for (std::size_t i = 0; i < spec.layers.size(); ++i)
    if (static_cast<std::int64_t>(i) >= first) spec.layers[i].attention.window = window;
}

void read_window_pattern(DecoderSpec& spec, const JsonView& text, std::int64_t interval, std::int64_t fallback) {
  const bool windows = text.has("sliding_window") || !text.json().contains("sliding_window");
  const std::int64_t window = windows ? text.integer_or("sliding_window", fallback, 1, max_positions) : 0;
  if (text.has("layer_types")) return set_windows(spec, text, window);
  for (std::size_t i = 0; i < spec.layers.size(); ++i)
    if ((static_cast<std::int64_t>(i) + 1) % interval != 0) set_window(spec, text, i, window);
}

void read_window(DecoderSpec& spec, const JsonView& text) {
  if (!text.has("sliding_window")) return;
  const std::int64_t window = text.integer("sliding_window", 1, max_positions);
  for (LayerSpec& layer : spec.layers) layer.attention.window = window;
}

double positive_number(const JsonView& text, const std::string& key, double fallback) {
  const double value = text.number_or(key, fallback);
  if (!(value > 0.0)) out_of_range(text, "`" + key + "` is " + format_number(value) + "; it must be greater than 0");
  return value;
}

double read_softcap(const JsonView& text, const std::string& key, double fallback) {
  if (text.has(key)) return positive_number(text, key, fallback);
  return text.json().contains(key) ? 0.0 : fallback;
}

void require_off(const JsonView& text, const std::string& key) {
  if (text.boolean_or(key, false))
    fail(Code::unsupported, text.subject(), "`" + key + "` is true, which is not supported");
}

}  // namespace autoround::model
