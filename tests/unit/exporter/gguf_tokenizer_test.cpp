#include "exporter/gguf_tokenizer.hpp"

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "exporter/gguf_pre_tokenizer.hpp"
#include "folder_fixture.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_directory.hpp"

using autoround::Code;
using autoround::Error;
using autoround::Json;
using autoround::test::error_of;
using autoround::test::mentions;
using autoround::test::TemporaryDirectory;
namespace exporter = autoround::exporter;

namespace {

/// A checkpoint with these files, and config.json.
struct Folder {
  explicit Folder(const std::map<std::string, std::string>& files) {
    directory.write("config.json", R"({"model_type": "llama", "unk_token_id": 7})");
    for (const auto& [name, text] : files) directory.write(name, text);
    autoround::test::write_tensors(directory.path(), {{"x", at::zeros({1})}});
  }
  exporter::GgufMetadata metadata(std::int64_t tokens, const std::vector<std::string>& notes = {}) const {
    exporter::GgufMetadata result;
    std::vector<std::string> found;
    exporter::add_tokenizer(*autoround::test::open(directory.path()), tokens, result, found);
    CHECK(found == notes);
    return result;
  }
  Error refusal(std::int64_t tokens) const {
    return error_of([&] { metadata(tokens); });
  }
  TemporaryDirectory directory;
};

std::string pre_of(const std::string& steps, const std::string& model_type, bool ignore_merges = false) {
  const Json tokenizer = {{"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", Json::parse(steps)}}},
                          {"model", {{"ignore_merges", ignore_merges}}}};
  return exporter::gguf_pre_tokenizer(tokenizer, model_type, "tokenizer.json");
}

constexpr const char* isolated = R"("behavior": "Isolated", "invert": false)";

/// tokenizer.json of one token, and what was added later.
std::string small_tokenizer(const std::string& added_tokens = "") {
  return R"({"added_tokens": [)" + added_tokens +
         R"(], "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
          "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})";
}

/// Whether the keys and values of the second stand in the first, one after another.
bool holds(const exporter::GgufMetadata& metadata, const exporter::GgufMetadata& wanted) {
  return metadata.bytes().find(wanted.bytes()) != std::string::npos;
}

std::string split(const std::string& expression, const std::string& how = isolated) {
  return R"([{"type": "Split", "pattern": {"Regex": )" + Json(expression).dump() + "}, " + how +
         R"(}, {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}])";
}

constexpr const char* words_of_llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* words_of_qwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace

TEST_CASE("gguf: names of pre-tokenizers", "[exporter]") {
  const std::string bytes = R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true})";
  const std::string digits = R"([{"type": "Digits", "individual_digits": true}, )" + bytes + "]";
  CHECK(pre_of("[" + bytes + "]", "gpt2") == "gpt-2");
  CHECK(pre_of("[" + bytes + "]", "gpt_neox") == "olmo");
  CHECK(pre_of(digits, "llama") == "smollm");
  CHECK(pre_of(digits, "granite") == "refact");
  CHECK(pre_of(digits, "starcoder2") == "starcoder");
  CHECK(pre_of(split(words_of_llama3), "llama", true) == "llama-bpe");
  CHECK(pre_of(split(words_of_llama3), "olmo2") == "dbrx");
  CHECK(pre_of(split(words_of_llama3), "glm4") == "glm4");
  CHECK(pre_of(split(words_of_qwen2), "qwen3") == "qwen2");
  CHECK(pre_of(split(words_of_qwen2, R"("behavior": "Removed", "invert": true)"), "qwen3") == "qwen2");
  const Json alone = {{"pre_tokenizer", Json::parse(bytes)}, {"model", Json::object()}};
  CHECK(exporter::gguf_pre_tokenizer(alone, "llama", "tokenizer.json") == "gpt-2");
}

TEST_CASE("gguf: pre-tokenizers that llama.cpp is not known to have are refused with what they are", "[exporter]") {
  const auto refusal = [](const std::string& steps) { return error_of([&] { pre_of(steps, "llama"); }); };
  const Error error = refusal(split("[a-z]+"));
  CHECK(error.code() == Code::unsupported);
  CHECK(error.subject() == "tokenizer.json");
  CHECK(mentions(error, "[a-z]+"));
  refusal(R"([{"type": "Whitespace"}])");
  refusal(split(words_of_llama3, R"("behavior": "Removed", "invert": false)"));
  refusal(R"([{"type": "Digits", "individual_digits": false}, {"type": "ByteLevel", "add_prefix_space": false}])");
  refusal(R"([{"type": "ByteLevel", "add_prefix_space": true}])");
}

TEST_CASE("gguf: a byte-level tokenizer", "[exporter]") {
  const Folder folder({{"tokenizer.json", R"({
    "added_tokens": [{"id": 4, "content": "<s>", "special": true}, {"id": 5, "content": "<|x|>", "special": false},
                     {"id": 6, "content": "two words", "special": false}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"},
      {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]}]},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3}, "merges": ["a b", ["Ġ", "a"]]}})"},
                       {"tokenizer_config.json",
                        R"({"bos_token": {"content": "<s>"}, "eos_token": "<|x|>", "chat_template": "{{ x }}"})"}});
  exporter::GgufMetadata wanted;
  wanted.add_text("tokenizer.ggml.model", "gpt2");
  wanted.add_text("tokenizer.ggml.pre", "gpt-2");
  wanted.add_texts("tokenizer.ggml.tokens", {"a", "b", "ab", "Ġ", "<s>", "<|x|>", "two words", "[PAD7]"});
  wanted.add_integers("tokenizer.ggml.token_type", {1, 1, 1, 1, 3, 3, 4, 5});
  wanted.add_texts("tokenizer.ggml.merges", {"a b", "Ġ a"});
  wanted.add_integer("tokenizer.ggml.bos_token_id", 4);
  wanted.add_integer("tokenizer.ggml.eos_token_id", 5);
  wanted.add_integer("tokenizer.ggml.unknown_token_id", 7);
  wanted.add_flag("tokenizer.ggml.add_bos_token", true);
  wanted.add_flag("tokenizer.ggml.add_eos_token", false);
  wanted.add_text("tokenizer.chat_template", "{{ x }}");
  const exporter::GgufMetadata found = folder.metadata(8);
  CHECK(found.count() == wanted.count());
  CHECK(found.bytes() == wanted.bytes());
}

TEST_CASE("gguf: a tokenizer in the manner of SentencePiece", "[exporter]") {
  const Folder folder({{"tokenizer.json", R"({
    "added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 6, "content": "▁▁", "special": false}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}]},
    "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true,
              "vocab": {"<unk>": 0, "<0x0A>": 1, "a": 2, "▁": 3, "aa": 4, "▁a": 5},
              "merges": ["▁ a", "a a", "a aa"]}})"},
                       {"tokenizer_config.json", R"({"add_bos_token": true})"},
                       {"chat_template.jinja", "{{ y }}"}});
  exporter::GgufMetadata wanted;
  wanted.add_text("tokenizer.ggml.model", "llama");
  wanted.add_text("tokenizer.ggml.pre", "default");
  wanted.add_texts("tokenizer.ggml.tokens", {"<unk>", "<0x0A>", "a", "▁", "aa", "▁a", "  ", "[PAD7]"});
  wanted.add_integers("tokenizer.ggml.token_type", {2, 6, 1, 1, 1, 1, 4, 5});
  wanted.add_numbers("tokenizer.ggml.scores", {0.f, 0.f, 0.f, 0.f, -2.f, -1.f, 0.f, 0.f});
  wanted.add_flag("tokenizer.ggml.add_space_prefix", true);
  wanted.add_integer("tokenizer.ggml.unknown_token_id", 7);
  wanted.add_flag("tokenizer.ggml.add_bos_token", true);
  wanted.add_flag("tokenizer.ggml.add_eos_token", false);
  wanted.add_text("tokenizer.chat_template", "{{ y }}");
  CHECK(folder.metadata(8).bytes() == wanted.bytes());
}

TEST_CASE("gguf: added tokens that the embeddings have no row for are left out", "[exporter]") {
  const std::string added = R"({"id": 1, "content": "<s>", "special": true})";
  const std::string later = R"(, {"id": 2, "content": "<pad>"}, {"id": 9, "content": "<image>"})";
  const std::string config = R"({"bos_token": "<s>", "pad_token": "<pad>"})";
  const Folder whole({{"tokenizer.json", small_tokenizer(added)}, {"tokenizer_config.json", config}});
  const Folder longer({{"tokenizer.json", small_tokenizer(added + later)}, {"tokenizer_config.json", config}});
  const std::string note = "added tokens without a row of embeddings are left out: `<pad>`, `<image>`";
  CHECK(longer.metadata(2, {note}).bytes() == whole.metadata(2).bytes());
}

TEST_CASE("gguf: GLM's turns end with what begins the next one", "[exporter]") {
  const std::string added = R"({"id": 1, "content": "<|endoftext|>"}, {"id": 2, "content": "<|user|>"},
                               {"id": 3, "content": "<|observation|>"})";
  const auto metadata = [&](const std::string& type) {
    const std::string config = R"({"model_type": ")" + type + R"(", "eos_token_id": [1, 2, 3]})";
    return Folder({{"config.json", config}, {"tokenizer.json", small_tokenizer(added)}}).metadata(4);
  };
  exporter::GgufMetadata wanted;
  wanted.add_integer("tokenizer.ggml.eos_token_id", 1);
  CHECK(holds(metadata("llama"), wanted));
  wanted.add_integer("tokenizer.ggml.eot_token_id", 2);
  wanted.add_integer("tokenizer.ggml.eom_token_id", 3);
  CHECK(holds(metadata("glm4_moe"), wanted));
  CHECK(holds(metadata("glm4"), wanted));
  CHECK_FALSE(holds(metadata("llama"), wanted));
}

TEST_CASE("gguf: chat templates, one or several, in the files that may hold them", "[exporter]") {
  const std::string list = R"({"chat_template": [{"name": "default", "template": "{{ x }}"},
    {"name": "tool-use", "template": "{{ y }}"}, {"name": "rag", "template": "{{ z }}"}, {"name": "empty"}]})";
  const std::string one = R"({"chat_template": "{{ x }}"})", text = "{{ x }}";
  const auto templates = [](std::map<std::string, std::string> files) {
    files["tokenizer.json"] = small_tokenizer();
    return Folder(files).metadata(1);
  };
  exporter::GgufMetadata wanted;
  wanted.add_text("tokenizer.chat_template", "{{ x }}");
  CHECK(holds(templates({{"tokenizer_config.json", one}}), wanted));
  CHECK(holds(templates({{"chat_template.json", one}}), wanted));
  CHECK(holds(templates({{"chat_template.jinja", text}, {"chat_template.json", list}}), wanted));
  CHECK_FALSE(holds(templates({{"tokenizer_config.json", R"({"chat_template": {"default": "{{ x }}"}})"}}), wanted));
  wanted.add_text("tokenizer.chat_template.tool_use", "{{ y }}");
  wanted.add_text("tokenizer.chat_template.rag", "{{ z }}");
  wanted.add_texts("tokenizer.chat_templates", {"tool_use", "rag"});
  CHECK(holds(templates({{"tokenizer_config.json", list}}), wanted));
  CHECK(holds(templates({{"chat_template.json", list}}), wanted));
}

TEST_CASE("gguf: no tokenizer, and tokenizers that are broken or of another kind", "[exporter]") {
  exporter::GgufMetadata none;
  none.add_text("tokenizer.ggml.model", "none");
  CHECK(Folder({}).metadata(4, {"there is no tokenizer.json: readers get token ids only"}).bytes() == none.bytes());

  const auto refusal = [](const std::string& text) { return Folder({{"tokenizer.json", text}}).refusal(2); };
  CHECK(mentions(refusal(R"({"model": {"type": "Unigram"}})"), "`Unigram`"));
  CHECK(refusal(R"({"model": {"type": "WordPiece"}})").code() == Code::unsupported);
  CHECK(refusal("[]").code() == Code::unsupported);
  CHECK(refusal("{").code() == Code::parse);
  const std::string start =
      R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "model": {"type": "BPE", )";
  CHECK(mentions(refusal(start + "\"merges\": []}}"), "model.vocab"));
  CHECK(mentions(refusal(start + R"("vocab": {"a": 0}}})"), "model.merges"));
  CHECK(mentions(refusal(start + R"("vocab": {"a": 2}, "merges": []}})"), "2 rows of embeddings"));
  CHECK(mentions(refusal(start + R"("vocab": {"a": "0"}, "merges": []}})"), "token `a`"));
  CHECK(mentions(refusal(start + R"("vocab": {"a": 0}, "merges": [["a"]]}})"), "no pair"));
}
