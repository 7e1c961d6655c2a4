// Ids of a text of any length in bounded memory. Encoding a text in one go takes some ninety bytes for each of it,
// spread over the heap; here it is encoded in overlapping pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "calibration/tokenizer.hpp"

namespace autoround::calibration {

/// Gives the ids that encoding the whole text at once would give. Where a piece ends, its last tokens are not those of
/// the whole text, and where one begins, its first are not; so pieces overlap, and one is left for the next in the
/// middle of a run of tokens that both have. Where that has too few changes of token (one endless word), the piece
/// grows until there are. Tokenizers that weigh all ways to cut a text against each other (Unigram) may have others
/// where many weigh the same, as in noise.
class TextEncoder {
 public:
  static constexpr std::size_t default_piece_bytes = 1u << 16;

  /// @param tokenizer must outlive the encoder. @param piece_bytes of text that are encoded together
  explicit TextEncoder(const Tokenizer& tokenizer, std::size_t piece_bytes = default_piece_bytes);

  /// More of the text, which may end anywhere between two characters. Returns the next ids, as far as they are sure.
  /// @throws Error parse: invalid UTF-8, the tokenizer fails on the text, or 64 MiB of it have no place to part.
  std::vector<std::int64_t> add(std::string_view text);
  /// The text is over: the rest of its ids. @throws as add
  std::vector<std::int64_t> finish();

 private:
  std::vector<std::int64_t> encode_pending();
  std::vector<std::int64_t> hand_out(std::size_t end);  // of tokens_, those before `end`

  const Tokenizer& tokenizer_;
  std::size_t piece_bytes_, wanted_bytes_;  // as asked, and of new text before the next piece is encoded
  std::string piece_;                       // what was encoded last
  TokensInText tokens_;                     // of piece_
  std::size_t next_ = 0;                    // of tokens_, the first that was not handed out
  std::string pending_;                     // text after piece_
};

/// The first ids of a text without special tokens around it: `count` of them, or all when there are fewer.
std::vector<std::int64_t> first_ids(const Tokenizer& tokenizer, std::string_view text, std::size_t count);

}  // namespace autoround::calibration
