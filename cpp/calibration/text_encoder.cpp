#include "calibration/text_encoder.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"
#include "calibration/text_input.hpp"

namespace autoround::calibration {
namespace {

constexpr std::size_t overlap_share = 16;           // of a piece, one part overlaps the next
constexpr std::size_t max_piece_bytes = 64u << 20;  // it takes some ninety times of it
constexpr std::size_t longest_character = 4;        // bytes
constexpr std::size_t sure_changes = 24;            // of tokens, that two pieces have to have in common

struct Seam {
  std::size_t left = 0, right = 0;  // the same token in the left and in the right piece
};

/// The middle of what the pieces have most of in common, in changes from one token to another: a word of one letter
/// again and again is cut up by where it begins. The right piece begins at byte `shift` of the left.
std::optional<Seam> seam(const TokensInText& left, const TokensInText& right, std::size_t shift) {
  const auto first = static_cast<std::int64_t>(shift);
  std::size_t i =
      static_cast<std::size_t>(std::lower_bound(left.begins.begin(), left.begins.end(), first) - left.begins.begin());
  std::size_t j = 0, run = 0, changes = 0, most = sure_changes - 1;
  std::optional<Seam> best;
  while (i < left.ids.size() && j < right.ids.size()) {
    const std::int64_t place = left.begins[i] - first, other = right.begins[j];
    if (place != other || left.ids[i] != right.ids[j]) {
      run = changes = 0;
      if (place <= other) ++i;
      if (other <= place) ++j;
      continue;
    }
    if (run > 0 && left.ids[i] != left.ids[i - 1]) ++changes;
    ++run;
    if (changes > most) {
      most = changes;
      best = Seam{i - run / 2, j - run / 2};
    }
    ++i;
    ++j;
  }
  return best;
}

}  // namespace

TextEncoder::TextEncoder(const Tokenizer& tokenizer, std::size_t piece_bytes)
    : tokenizer_(tokenizer), piece_bytes_(piece_bytes), wanted_bytes_(piece_bytes) {}

std::vector<std::int64_t> TextEncoder::add(std::string_view text) {
  std::vector<std::int64_t> ids;
  while (!text.empty()) {
    const std::size_t room = wanted_bytes_ - std::min(wanted_bytes_, pending_.size());
    pending_.append(take_characters(text, std::max(room, longest_character)));
    if (pending_.size() + longest_character <= wanted_bytes_) continue;
    const std::vector<std::int64_t> sure = encode_pending();
    ids.insert(ids.end(), sure.begin(), sure.end());
  }
  return ids;
}

std::vector<std::int64_t> TextEncoder::finish() {
  std::vector<std::int64_t> ids = pending_.empty() ? std::vector<std::int64_t>() : encode_pending();
  const std::vector<std::int64_t> rest = hand_out(tokens_.ids.size());
  ids.insert(ids.end(), rest.begin(), rest.end());
  return ids;
}

std::vector<std::int64_t> TextEncoder::encode_pending() {
  const std::size_t overlap = piece_bytes_ / overlap_share;
  if (piece_.size() > overlap) {
    const std::size_t begin = whole_characters(piece_, piece_.size() - overlap);
    std::string piece = piece_.substr(begin) + pending_;
    TokensInText tokens = tokenizer_.encode_with_offsets(piece);
    if (const auto found = seam(tokens_, tokens, begin); found && found->left >= next_) {
      std::vector<std::int64_t> ids = hand_out(found->left);
      piece_ = std::move(piece);
      tokens_ = std::move(tokens);
      next_ = found->right;
      pending_.clear();
      wanted_bytes_ = piece_bytes_;
      return ids;
    }
  }
  if (piece_.size() + pending_.size() > max_piece_bytes) {
    fail(Code::parse, "calibration",
         "the tokenizer sees " + format_bytes(piece_.size()) + " of a text as one word; is it text?");
  }
  // The piece still begins where it did, and so do the tokens of it that were handed out: next_ stays.
  piece_ += pending_;
  pending_.clear();
  tokens_ = tokenizer_.encode_with_offsets(piece_);
  next_ = std::min(next_, tokens_.ids.size());
  wanted_bytes_ = std::max(piece_bytes_, piece_.size());  // doubled each time, or endless words take the square of time
  return {};
}

std::vector<std::int64_t> TextEncoder::hand_out(std::size_t end) {
  const auto at = [&](std::size_t i) { return tokens_.ids.begin() + static_cast<std::ptrdiff_t>(i); };
  std::vector<std::int64_t> ids(at(next_), at(end));
  next_ = end;
  return ids;
}

std::vector<std::int64_t> first_ids(const Tokenizer& tokenizer, std::string_view text, std::size_t count) {
  TextEncoder encoder(tokenizer);
  std::vector<std::int64_t> ids;
  const auto append = [&](const std::vector<std::int64_t>& more) { ids.insert(ids.end(), more.begin(), more.end()); };
  while (!text.empty() && ids.size() < count) {
    append(encoder.add(take_characters(text, TextEncoder::default_piece_bytes)));
  }
  if (ids.size() < count) append(encoder.finish());
  ids.resize(std::min(ids.size(), count));
  return ids;
}

}  // namespace autoround::calibration
