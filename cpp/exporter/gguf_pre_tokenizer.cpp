#include "exporter/gguf_pre_tokenizer.hpp"

#include <array>
#include <optional>
#include <string_view>

#include "base/error.hpp"
#include "base/text.hpp"
#include "exporter/json_members.hpp"

namespace autoround::exporter {
namespace {

// Words of one expression each, as tokenizer.json spells it, ends of lines as escapes.
constexpr std::string_view llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view qwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view tekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view gpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Three steps, one after the other.
constexpr std::string_view deepseek3 =
    R"(\p{N}{1,3} [一-龥぀-ゟ゠-ヿ]+ [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Not an expression of tokenizer.json: what ByteLevel does itself, alone or after each digit was cut off.
constexpr std::string_view gpt2 = "ByteLevel";
constexpr std::string_view digits_gpt2 = "Digits ByteLevel";

enum class Merges { any, kept, ignored };  // ignored: a word that is a token is not put together from merges

struct Known {
  std::string_view words;
  Merges merges;
  std::string_view model_type;  // "": all others
  std::string_view name;
};
constexpr std::array<Known, 13> table{{
    {gpt2, Merges::any, "gpt_neox", "olmo"},
    {gpt2, Merges::any, "", "gpt-2"},
    {digits_gpt2, Merges::any, "cohere", "command-r"},
    {digits_gpt2, Merges::any, "granite", "refact"},
    {digits_gpt2, Merges::any, "starcoder2", "starcoder"},
    {digits_gpt2, Merges::any, "", "smollm"},
    {llama3, Merges::any, "glm4", "glm4"},
    {llama3, Merges::ignored, "", "llama-bpe"},
    {llama3, Merges::kept, "", "dbrx"},
    {qwen2, Merges::any, "", "qwen2"},
    {tekken, Merges::any, "", "tekken"},
    {gpt4o, Merges::any, "", "gpt-4o"},
    {deepseek3, Merges::any, "", "deepseek-v3"},
}};

/// Some files have the ends of lines themselves where others have escapes.
std::string with_escapes(std::string_view expression) {
  return replaced(replaced(expression, "\r", "\\r"), "\n", "\\n");
}

/// The expression, or the names of steps that have none, that cut a text into words; nullopt: there are other steps.
std::optional<std::string> words_of(const Json& step) {
  const std::string type = text_member(step, "type");
  if (type == "Sequence") {
    std::string all;
    for (const Json& part : list_member(step, "pretokenizers")) {
      const std::optional<std::string> words = words_of(part);
      if (!words) return std::nullopt;
      all.append(all.empty() || words->empty() ? "" : " ").append(*words);
    }
    return all;
  }
  if (type == "Digits" && flag_member(step, "individual_digits", false)) return "Digits";
  if (type == "ByteLevel" && !flag_member(step, "add_prefix_space", true))
    return flag_member(step, "use_regex", true) ? "ByteLevel" : "";
  if (type != "Split") return std::nullopt;
  // Each of these keeps the words that match; the expressions above match all of a text.
  const std::string behavior = text_member(step, "behavior");
  const bool inverted = flag_member(step, "invert", false);
  if (behavior != (inverted ? "Removed" : "Isolated")) return std::nullopt;
  return with_escapes(text_member(member(step, "pattern"), "Regex"));
}

}  // namespace

std::string gguf_pre_tokenizer(const Json& tokenizer, const std::string& model_type, const std::string& file) {
  const Json& pre_tokenizer = member(tokenizer, "pre_tokenizer");
  const std::optional<std::string> words = words_of(pre_tokenizer);
  const bool ignores = flag_member(member(tokenizer, "model"), "ignore_merges", false);
  const Merges merges = ignores ? Merges::ignored : Merges::kept;
  for (const Known& known : table) {
    if (words != known.words || (known.merges != Merges::any && known.merges != merges)) continue;
    if (known.model_type.empty() || known.model_type == model_type) return std::string(known.name);
  }
  fail(Code::unsupported, file,
       "llama.cpp has no name that is known here for the pre-tokenizer " + quote(pre_tokenizer.dump(), 400));
}

}  // namespace autoround::exporter
