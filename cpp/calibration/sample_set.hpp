// Calibration data as the engine uses it: token windows of one length, right-padded, with the count of real tokens of
// each. Nothing is dropped in silence: short samples are padded and masked, and the log says how many samples and
// tokens there are.
#pragma once

#include <cstdint>
#include <functional>
#include <gsl/span>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.hpp"
#include "base/log.hpp"
#include "calibration/tokenizer.hpp"

namespace autoround::calibration {

struct JsonlOptions {
  std::string field;            // "" = first of text, messages, input_ids that a line has
  std::size_t limit = 0;        // samples to take at most; 0 = all
  bool skip_bad_lines = false;  // otherwise a bad line is an error with its number
};

class SampleSet {
 public:
  /// @param sequence_length tokens of a sample, 1..131072. @throws invalid_argument
  SampleSet(std::int64_t sequence_length, Logger log);

  void set_tokenizer(std::shared_ptr<const Tokenizer> tokenizer);
  const Tokenizer* tokenizer() const noexcept { return tokenizer_.get(); }

  /// One sample; longer ones are cut to the sequence length. @throws invalid_argument: empty, an id that no vocabulary
  /// has (negative, 2^22 or more), or more than 1,000,000 samples
  void add_tokens(gsl::span<const std::int64_t> ids);
  /// One sample of text, special tokens added. Needs a tokenizer. @throws invalid_state, parse (invalid UTF-8)
  void add_text(std::string_view text);
  /// Plain text: its tokens, as those of one text without special tokens, cut into consecutive windows, each with the
  /// tokenizer's special tokens around it; a last partial window is padded, or dropped when `drop_last`. Ends at
  /// `limit` windows, unless that is 0. Returns windows added. A text that fails adds nothing.
  /// @throws invalid_state, parse (invalid UTF-8), invalid_argument (no room beside the special tokens)
  std::size_t add_windows(std::string_view text, std::size_t limit, bool drop_last);
  /// .jsonl, or a JSON array, with text, messages or input_ids. Returns samples added. Streams: memory grows with the
  /// samples, not with the file, and reading ends at the limit. Samples without tokens are left out and counted in the
  /// log. A file that fails adds nothing. @throws Error parse: a bad line (with its number), a compressed file, no
  /// usable sample. not_found, io.
  std::size_t add_jsonl(const std::string& path, const JsonlOptions& options);
  /// By content: .jsonl when the first non-blank byte is '{', JSON too when that is '[' and an object, a list or a
  /// number follows (whatever follows in a file named .json or .jsonl), else plain text windows, line ends kept as they
  /// are. Streams as add_jsonl does. @throws as add_jsonl; parse: NUL, invalid UTF-8, or not one window.
  std::size_t add_file(const std::string& path, std::size_t limit, bool drop_last = false);

  std::int64_t sequence_length() const noexcept { return sequence_length_; }
  std::size_t size() const noexcept { return lengths_.size(); }
  std::int64_t token_count() const noexcept;                              // real tokens of all samples
  const std::vector<std::int64_t>& ids() const noexcept { return ids_; }  // [size(), sequence_length()], padded with 0
  const std::vector<std::int64_t>& lengths() const noexcept { return lengths_; }  // real tokens of each sample

 private:
  /// Runs what returns the count of samples that it added; what it throws leaves none of them here.
  std::size_t all_or_nothing(const std::function<std::size_t()>& add);
  /// @param next_part more of the text, or nullopt after its end
  std::size_t add_windows_of(const std::function<std::optional<std::string>()>& next_part, std::size_t limit,
                             bool drop_last);
  std::size_t add_json_samples(const InputFile& file, bool array, const JsonlOptions& options);

  std::int64_t sequence_length_;
  Logger log_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<std::int64_t> ids_, lengths_;
};

}  // namespace autoround::calibration
