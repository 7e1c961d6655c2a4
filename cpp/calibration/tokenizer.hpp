// tokenizer.json through the `tokenizers` crate, chat templates through `minijinja`, both in one small Rust static
// library (calibration/tokenizer_ffi) behind a C interface. UTF-8 in, ids out; NUL and four-byte characters are
// ordinary text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace autoround::calibration {

struct Conversation;  // calibration/chat_template.hpp

/// Ids, and for each the byte of the text that it begins at; these never fall. Characters that no token has are several
/// ids at one byte.
struct TokensInText {
  std::vector<std::int64_t> ids, begins;
};

class Tokenizer {
 public:
  /// @param tokenizer_json path of tokenizer.json; tokenizer_config.json and chat_template.jinja beside it are used
  /// when there.
  /// @throws Error not_found, io, parse (broken file), naming the file.
  static std::shared_ptr<const Tokenizer> load(const std::string& tokenizer_json);
  ~Tokenizer();

  /// Special tokens that stand in the text are recognised either way; `add_special_tokens` is about those around it.
  /// @throws Error parse: invalid UTF-8, or the tokenizer fails on the text.
  std::vector<std::int64_t> encode(std::string_view text, bool add_special_tokens) const;
  /// The same without special tokens around the text, with places; it takes longer. @throws as encode
  TokensInText encode_with_offsets(std::string_view text) const;
  /// @throws Error invalid_argument: an id outside of 0..vocab_size()-1
  std::string decode(const std::vector<std::int64_t>& ids, bool skip_special_tokens) const;
  std::int64_t vocab_size() const;  // largest id + 1, added tokens included
  bool has_chat_template() const noexcept;
  /// The chat template's text for a conversation, special tokens included: encode it without adding any. Runs on a
  /// thread of its own; work, memory, recursion and output are bounded, and templates see no files and no network. At
  /// most eight templates of one process may ask for too much memory: the thread of each sleeps for good, and the next
  /// one is refused.
  /// @throws Error parse: no template (with a hint), or the template fails, is endless or too large.
  std::string apply_chat_template(const Conversation& conversation, bool add_generation_prompt = false) const;
  /// Ids that the tokenizer puts around a sequence (Gemma: {<bos>} and {}).
  std::vector<std::int64_t> prefix_ids() const;
  std::vector<std::int64_t> suffix_ids() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace autoround::calibration
