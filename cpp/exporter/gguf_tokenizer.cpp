#include "exporter/gguf_tokenizer.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "exporter/gguf_pre_tokenizer.hpp"
#include "exporter/json_members.hpp"

namespace autoround::exporter {
namespace {

constexpr std::size_t max_bytes = 256u << 20;
constexpr std::string_view block_mark = "\xE2\x96\x81";  // U+2581, the space of SentencePiece

enum Kind : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<std::int32_t> kinds;
};

using Notes = std::vector<std::string>;

std::optional<std::string> companion_text(const checkpoint::Checkpoint& checkpoint, const std::string& name) {
  const auto& names = checkpoint.companion_files();
  if (std::find(names.begin(), names.end(), name) == names.end()) return std::nullopt;
  return read_text_file(join_path(checkpoint.directory(), name), max_bytes);
}

[[noreturn]] void broken(const std::string& what) { fail(Code::parse, "tokenizer.json", what); }

bool starts_with(std::string_view text, std::string_view start) { return text.rfind(start, 0) == 0; }
bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// Some checkpoints do not mark tokens as special that are; llama.cpp's converter knows these.
bool looks_special(std::string_view token) {
  constexpr std::array<std::string_view, 4> known{"<pad>", "<mask>", "<2mass>", "[@BOS@]"};
  return std::find(known.begin(), known.end(), token) != known.end() ||
         (starts_with(token, "<|") && ends_with(token, "|>")) ||
         (starts_with(token, "<\xEF\xBD\x9C") && ends_with(token, "\xEF\xBD\x9C>")) ||  // U+FF5C
         (starts_with(token, "<unused") && ends_with(token, ">"));
}

std::size_t token_id(const Json& value, std::int64_t tokens, const std::string& token) {
  const std::int64_t id = value.is_number_integer() ? value.get<std::int64_t>() : -1;
  if (id < 0 || id >= tokens)
    broken(concat({"token ", quote(token), " has the id ", value.dump(), "; the model has ", std::to_string(tokens),
                   " rows of embeddings"}));
  return static_cast<std::size_t>(id);
}

/// Whether an id is one that the model cannot be asked for. Not all of what was added later got a row.
bool has_no_row(const Json& id, std::int64_t tokens) {
  return id.is_number_integer() && id.get<std::int64_t>() >= tokens;
}

Vocabulary read_vocabulary(const Json& tokenizer, const Json& model, std::int64_t tokens, Notes& notes) {
  Vocabulary vocabulary;
  for (std::int64_t i = 0; i < tokens; ++i) vocabulary.tokens.push_back("[PAD" + std::to_string(i) + "]");
  vocabulary.kinds.assign(static_cast<std::size_t>(tokens), Kind::unused);
  const auto* vocab = member(model, "vocab").get_ptr<const Json::object_t*>();
  if (vocab == nullptr) broken("`model.vocab` is missing or no object");
  for (const auto& [token, value] : *vocab) {
    const std::size_t id = token_id(value, tokens, token);
    vocabulary.tokens[id] = token;
    vocabulary.kinds[id] = Kind::normal;
  }
  std::vector<std::string> left_out;
  for (const Json& token : list_member(tokenizer, "added_tokens")) {
    std::string content = text_member(token, "content");
    if (has_no_row(member(token, "id"), tokens)) {
      left_out.push_back(quote(content));
      continue;
    }
    const std::size_t id = token_id(member(token, "id"), tokens, content);
    const bool is_special = flag_member(token, "special", false) || looks_special(content);
    if (!is_special) content = replaced(content, block_mark, " ");
    vocabulary.tokens[id] = std::move(content);
    vocabulary.kinds[id] = is_special ? Kind::control : Kind::user_defined;
  }
  if (!left_out.empty())
    notes.push_back("added tokens without a row of embeddings are left out: " + join(left_out, ", "));
  return vocabulary;
}

struct Merge {
  std::string left, right;
};

std::vector<Merge> read_merges(const Json& model) {
  std::vector<Merge> merges;
  std::size_t count = 0;
  if (!member(model, "merges").is_array()) broken("`model.merges` is missing or no list");
  for (const Json& merge : list_member(model, "merges")) {
    if (const auto* pair = merge.get_ptr<const Json::array_t*>(); pair != nullptr && pair->size() == 2) {
      const auto* left = pair->front().get_ptr<const std::string*>();
      const auto* right = pair->back().get_ptr<const std::string*>();
      if (left != nullptr && right != nullptr) merges.push_back({*left, *right});
    } else if (const auto* text = merge.get_ptr<const std::string*>()) {
      const std::size_t space = text->find(' ', 1);
      if (space != std::string::npos) merges.push_back({text->substr(0, space), text->substr(space + 1)});
    }
    if (merges.size() == ++count) continue;
    broken(concat({"`model.merges` holds ", quote(merge.dump()), ", which is no pair"}));
  }
  return merges;
}

void add_vocabulary(const Vocabulary& vocabulary, GgufMetadata& metadata) {
  metadata.add_texts("tokenizer.ggml.tokens", vocabulary.tokens);
  metadata.add_integers("tokenizer.ggml.token_type", vocabulary.kinds);
}

void add_byte_level(const Json& tokenizer, const Json& model, const std::string& model_type, std::int64_t tokens,
                    GgufMetadata& metadata, Notes& notes) {
  metadata.add_text("tokenizer.ggml.model", "gpt2");
  metadata.add_text("tokenizer.ggml.pre", gguf_pre_tokenizer(tokenizer, model_type, "tokenizer.json"));
  add_vocabulary(read_vocabulary(tokenizer, model, tokens, notes), metadata);
  std::vector<std::string> merges;
  constexpr std::string_view space = "\xC4\xA0";  // U+0120, which byte-level tokens have for a space
  for (const Merge& merge : read_merges(model))
    merges.push_back(concat({replaced(merge.left, " ", space), " ", replaced(merge.right, " ", space)}));
  metadata.add_texts("tokenizer.ggml.merges", merges);
}

/// Whether a space comes before the first word: a step of the normalizer or of the pre-tokenizer says so.
bool adds_space(const Json& step) {
  for (const char* steps : {"normalizers", "pretokenizers"})
    for (const Json& part : list_member(step, steps))
      if (adds_space(part)) return true;
  const std::string type = text_member(step, "type");
  return type == "Prepend" || (type == "Metaspace" && text_member(step, "prepend_scheme") != "never");
}

// llama.cpp merges the pair whose result has the highest score; SentencePiece wrote the merges of tokenizer.json in the
// order of its scores.
void add_sentence_piece(const Json& tokenizer, const Json& model, std::int64_t tokens, GgufMetadata& metadata,
                        Notes& notes) {
  Vocabulary vocabulary = read_vocabulary(tokenizer, model, tokens, notes);
  std::unordered_map<std::string_view, std::size_t> ids;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) ids.emplace(vocabulary.tokens[id], id);
  std::vector<float> scores(vocabulary.tokens.size(), 0.f);
  std::vector<bool> scored(scores.size());
  float score = 0.f;
  for (const Merge& merge : read_merges(model)) {
    const auto found = ids.find(merge.left + merge.right);
    score -= 1.f;
    if (found == ids.end() || scored[found->second]) continue;
    scored[found->second] = true;
    scores[found->second] = score;
  }
  const std::string unknown_token = text_member(model, "unk_token");
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    if (token.size() == 6 && starts_with(token, "<0x") && token.back() == '>') vocabulary.kinds[id] = Kind::byte;
    if (!unknown_token.empty() && token == unknown_token) vocabulary.kinds[id] = Kind::unknown;
  }
  metadata.add_text("tokenizer.ggml.model", "llama");
  metadata.add_text("tokenizer.ggml.pre", "default");
  add_vocabulary(vocabulary, metadata);
  metadata.add_numbers("tokenizer.ggml.scores", scores);
  metadata.add_flag("tokenizer.ggml.add_space_prefix",
                    adds_space(member(tokenizer, "normalizer")) || adds_space(member(tokenizer, "pre_tokenizer")));
}

/// The token that tokenizer_config.json names, as text or as an object with `content`.
std::string special_token(const Json& config, const char* key) {
  return member(config, key).is_object() ? text_member(member(config, key), "content") : text_member(config, key);
}

/// Whether the tokenizer puts `token` at that end of a text.
bool surrounds(const Json& processor, const std::string& token, bool first) {
  for (const Json& step : list_member(processor, "processors"))
    if (surrounds(step, token, first)) return true;
  const Json::array_t& parts = list_member(processor, "single");  // of a TemplateProcessing
  if (token.empty() || parts.size() < 2) return false;
  return text_member(member(first ? parts.front() : parts.back(), "SpecialToken"), "id") == token;
}

void add_special_tokens(const checkpoint::Checkpoint& checkpoint, const Json& tokenizer, const Json& config,
                        std::int64_t tokens, GgufMetadata& metadata) {
  struct Special {
    const char *token, *id, *key;
  };
  constexpr std::array<Special, 6> specials{{
      {"bos_token", "bos_token_id", "tokenizer.ggml.bos_token_id"},
      {"eos_token", "eos_token_id", "tokenizer.ggml.eos_token_id"},
      {"unk_token", "unk_token_id", "tokenizer.ggml.unknown_token_id"},
      {"pad_token", "pad_token_id", "tokenizer.ggml.padding_token_id"},
      // GLM ends a turn with what begins the next one, the user's or a tool's, and its eos_token is neither.
      {"<|user|>", "", "tokenizer.ggml.eot_token_id"},
      {"<|observation|>", "", "tokenizer.ggml.eom_token_id"},
  }};
  const bool is_glm = starts_with(checkpoint.config().model_type(), "glm4");
  const Json& model_config = checkpoint.config().text().json();
  for (const Special& special : specials) {
    const bool is_named = *special.id != '\0';
    if (!is_named && !is_glm) continue;
    const std::string token = is_named ? special_token(config, special.token) : special.token;
    const Json* id = &member(model_config, special.id);
    for (const Json& added : list_member(tokenizer, "added_tokens"))
      if (!token.empty() && text_member(added, "content") == token) id = &member(added, "id");
    if (const auto* ids = id->get_ptr<const Json::array_t*>(); ids != nullptr && !ids->empty()) id = &ids->front();
    if (id->is_number_integer() && !has_no_row(*id, tokens)) metadata.add_integer(special.key, id->get<std::int64_t>());
  }
  struct Affix {
    const char *said, *token, *key;
    bool first;
  };
  constexpr std::array<Affix, 2> affixes{{
      {"add_bos_token", "bos_token", "tokenizer.ggml.add_bos_token", true},
      {"add_eos_token", "eos_token", "tokenizer.ggml.add_eos_token", false},
  }};
  for (const Affix& affix : affixes) {
    const std::string token = special_token(config, affix.token);
    metadata.add_flag(
        affix.key, flag_member(config, affix.said, surrounds(member(tokenizer, "post_processor"), token, affix.first)));
  }
}

/// A text, or a list of texts with names.
void add_chat_template(const Json& found, GgufMetadata& metadata) {
  constexpr const char* key = "tokenizer.chat_template";
  const auto* only = found.get_ptr<const std::string*>();
  if (only != nullptr && !only->empty()) metadata.add_text(key, *only);
  const auto* choices = found.get_ptr<const Json::array_t*>();
  if (choices == nullptr) return;
  std::vector<std::string> names;
  for (const Json& choice : *choices) {
    std::string name = text_member(choice, "name");
    const std::string text = text_member(choice, "template");
    if (name.empty() || text.empty()) continue;
    for (char& c : name)  // as llama.cpp's converter does
      if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))) c = '_';
    const bool is_default = name == "default";
    metadata.add_text(is_default ? key : concat({key, ".", name}), text);
    if (!is_default) names.push_back(std::move(name));
  }
  if (!names.empty()) metadata.add_texts("tokenizer.chat_templates", names);
}

/// tokenizer_config.json has it, else a file of its own.
void add_chat_templates(const checkpoint::Checkpoint& checkpoint, const Json& config, GgufMetadata& metadata) {
  if (const Json& own = member(config, "chat_template"); !own.is_null()) return add_chat_template(own, metadata);
  if (const auto text = companion_text(checkpoint, "chat_template.jinja")) return add_chat_template(*text, metadata);
  if (const auto text = companion_text(checkpoint, "chat_template.json"))
    add_chat_template(member(parse_json(*text, "chat_template.json"), "chat_template"), metadata);
}

}  // namespace

void add_tokenizer(const checkpoint::Checkpoint& checkpoint, std::int64_t tokens, GgufMetadata& metadata,
                   std::vector<std::string>& notes) {
  const std::optional<std::string> text = companion_text(checkpoint, "tokenizer.json");
  if (!text) {
    metadata.add_text("tokenizer.ggml.model", "none");
    notes.emplace_back("there is no tokenizer.json: readers get token ids only");
    return;
  }
  const Json tokenizer = parse_json(*text, "tokenizer.json", {.max_bytes = max_bytes});
  const Json& model = member(tokenizer, "model");
  const std::string type = text_member(model, "type");
  if (type != "BPE")
    fail(Code::unsupported, "tokenizer.json",
         "the tokenizer is of type " + quote(type) + "; llama.cpp is told of BPE, by bytes or as in SentencePiece");
  flag_member(model, "byte_fallback", false)
      ? add_sentence_piece(tokenizer, model, tokens, metadata, notes)
      : add_byte_level(tokenizer, model, checkpoint.config().model_type(), tokens, metadata, notes);

  const std::optional<std::string> config_text = companion_text(checkpoint, "tokenizer_config.json");
  const Json config = config_text ? parse_json(*config_text, "tokenizer_config.json") : Json::object();
  add_special_tokens(checkpoint, tokenizer, config, tokens, metadata);
  add_chat_templates(checkpoint, config, metadata);
}

}  // namespace autoround::exporter
