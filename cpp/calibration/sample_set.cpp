#include "calibration/sample_set.hpp"

#include <algorithm>
#include <gsl/util>
#include <numeric>
#include <utility>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "calibration/jsonl_sample.hpp"
#include "calibration/line_reader.hpp"
#include "calibration/text_encoder.hpp"
#include "calibration/text_input.hpp"

namespace autoround::calibration {
namespace {

constexpr std::int64_t max_sequence_length = 131072;
constexpr std::size_t max_samples = 1000000;

const Tokenizer& required(const std::shared_ptr<const Tokenizer>& tokenizer) {
  if (!tokenizer)
    fail(Code::invalid_state, "calibration",
         "text needs the model's tokenizer, and none is set; give token ids or load one");
  return *tokenizer;
}

/// Ids with the special tokens around them.
TokenIds framed(TokenIds prefix, gsl::span<const std::int64_t> ids, const TokenIds& suffix) {
  prefix.insert(prefix.end(), ids.begin(), ids.end());
  prefix.insert(prefix.end(), suffix.begin(), suffix.end());
  return prefix;
}

/// The ids of one sample's text. Of a long one those that fit, which is all that is used of it.
TokenIds encode_sample(const Tokenizer& tokenizer, std::string_view text, bool add_special_tokens,
                       std::int64_t length) {
  if (text.size() <= TextEncoder::default_piece_bytes) return tokenizer.encode(text, add_special_tokens);
  const TokenIds ids = first_ids(tokenizer, text, static_cast<std::size_t>(length));
  return add_special_tokens ? framed(tokenizer.prefix_ids(), ids, tokenizer.suffix_ids()) : ids;
}

TokenIds tokenize(const JsonlSample& sample, const std::shared_ptr<const Tokenizer>& tokenizer, std::int64_t length) {
  if (const auto* ids = std::get_if<TokenIds>(&sample)) return *ids;
  // A chat template writes the special tokens itself.
  if (const auto* chat = std::get_if<Conversation>(&sample)) {
    return encode_sample(required(tokenizer), required(tokenizer).apply_chat_template(*chat), false, length);
  }
  return encode_sample(required(tokenizer), std::get<Text>(sample), true, length);
}

void require_utf8(std::string_view text) {
  if (const auto offset = invalid_utf8(text)) {
    fail(Code::parse, "calibration", "invalid UTF-8 at byte " + std::to_string(*offset) + " of a text");
  }
}

/// What an error says about a line of `path`, with its own subject (a template, a tokenizer) when that is another file.
std::string about(const Error& error, const std::string& path) {
  if (error.subject().empty() || error.subject() == path) return error.what();
  return error.subject() + ": " + error.what();
}

/// What an error says, with the number of the line in front, which bad JSON has there already.
std::string placed(const Error& error, int line) {
  const std::string text = error.what();
  return text.rfind("line ", 0) == 0 ? text : "line " + std::to_string(line) + ": " + text;
}

}  // namespace

SampleSet::SampleSet(std::int64_t sequence_length, Logger log)
    : sequence_length_(sequence_length), log_(std::move(log)) {
  if (sequence_length < 1 || sequence_length > max_sequence_length) {
    fail(Code::invalid_argument, "seqlen",
         "is " + std::to_string(sequence_length) + "; 1 to " + std::to_string(max_sequence_length) + " is wanted");
  }
}

void SampleSet::set_tokenizer(std::shared_ptr<const Tokenizer> tokenizer) { tokenizer_ = std::move(tokenizer); }

void SampleSet::add_tokens(gsl::span<const std::int64_t> ids) {
  if (ids.empty()) fail(Code::invalid_argument, "calibration", "a sample has no tokens");
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= max_vocab_size) {
      fail(Code::invalid_argument, "calibration",
           "token id " + std::to_string(id) + " is not between 0 and " + std::to_string(max_vocab_size - 1));
    }
  }
  if (size() == max_samples) {
    fail(Code::invalid_argument, "calibration", "more than " + std::to_string(max_samples) + " samples; set a limit");
  }
  const auto used = ids.first(std::min(ids.size(), static_cast<std::size_t>(sequence_length_)));
  // So that the two vectors grow together or not at all.
  if (lengths_.size() == lengths_.capacity()) lengths_.reserve(2 * lengths_.size() + 16);
  ids_.resize(ids_.size() + static_cast<std::size_t>(sequence_length_), 0);
  std::copy(used.begin(), used.end(), ids_.end() - sequence_length_);
  lengths_.push_back(static_cast<std::int64_t>(used.size()));
}

void SampleSet::add_text(std::string_view text) {
  require_utf8(text);
  add_tokens(encode_sample(required(tokenizer_), text, true, sequence_length_));
}

std::size_t SampleSet::add_windows(std::string_view text, std::size_t limit, bool drop_last) {
  require_utf8(text);
  const auto next_part = [&]() -> std::optional<std::string> {
    if (text.empty()) return std::nullopt;
    return std::string(take_characters(text, TextEncoder::default_piece_bytes));
  };
  return all_or_nothing([&] { return add_windows_of(next_part, limit, drop_last); });
}

std::size_t SampleSet::add_jsonl(const std::string& path, const JsonlOptions& options) {
  const InputFile file = InputFile::open(path);
  const std::string beginning = file_beginning(file);
  reject_compressed(beginning, path);
  const bool array = kind_of(beginning, path) == TextKind::json_array;
  return all_or_nothing([&] { return add_json_samples(file, array, options); });
}

std::size_t SampleSet::add_file(const std::string& path, std::size_t limit, bool drop_last) {
  const InputFile file = InputFile::open(path);
  const std::string beginning = file_beginning(file);
  reject_compressed(beginning, path);
  if (const TextKind kind = kind_of(beginning, path); kind != TextKind::prose)
    return all_or_nothing([&] { return add_json_samples(file, kind == TextKind::json_array, {"", limit, false}); });

  TextReader reader(file);
  return all_or_nothing([&] {
    const std::size_t added = add_windows_of([&] { return reader.next(); }, limit, drop_last);
    if (added == 0) {
      fail(Code::parse, path,
           "the text does not fill one window of " + std::to_string(sequence_length_) + " tokens; 0 usable samples");
    }
    return added;
  });
}

std::size_t SampleSet::all_or_nothing(const std::function<std::size_t()>& add) {
  // A host that mends a bad line and tries again must not end up with samples twice.
  const std::size_t ids_before = ids_.size(), samples_before = lengths_.size();
  bool complete = false;
  const auto roll_back = gsl::finally([&] {
    if (complete) return;
    ids_.resize(ids_before);
    lengths_.resize(samples_before);
  });
  const std::size_t added = add();
  complete = true;
  return added;
}

std::size_t SampleSet::add_windows_of(const std::function<std::optional<std::string>()>& next_part, std::size_t limit,
                                      bool drop_last) {
  const Tokenizer& tokenizer = required(tokenizer_);
  const TokenIds prefix = tokenizer.prefix_ids(), suffix = tokenizer.suffix_ids();
  const auto length = static_cast<std::size_t>(sequence_length_);
  if (prefix.size() + suffix.size() >= length) {
    fail(Code::invalid_argument, "seqlen",
         "is " + std::to_string(sequence_length_) + ", which the tokenizer's own " +
             std::to_string(prefix.size() + suffix.size()) + " special tokens leave no room in");
  }
  const std::size_t step = length - prefix.size() - suffix.size();
  const auto enough = [&](std::size_t added) { return limit != 0 && added == limit; };

  TextEncoder encoder(tokenizer);
  TokenIds ids;  // of the text, those that are in no window yet
  std::size_t added = 0;
  bool ended = false;
  while (!ended && !enough(added)) {
    const std::optional<std::string> part = next_part();
    ended = !part;
    const TokenIds sure = ended ? encoder.finish() : encoder.add(*part);
    ids.insert(ids.end(), sure.begin(), sure.end());

    std::size_t begin = 0;
    const std::size_t least = ended && !drop_last ? 1 : step;
    while (ids.size() - begin >= least && !enough(added)) {
      const std::size_t count = std::min(step, ids.size() - begin);
      add_tokens(framed(prefix, gsl::span<const std::int64_t>(ids).subspan(begin, count), suffix));
      ++added;
      begin += count;
    }
    ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(begin));
  }
  log_.info("calibration: " + std::to_string(added) + " windows of " + std::to_string(sequence_length_) + " tokens" +
            (ended ? "" : ", as many as were asked for"));
  return added;
}

std::size_t SampleSet::add_json_samples(const InputFile& file, bool array, const JsonlOptions& options) {
  const std::string& path = file.path();
  std::size_t added = 0, empty = 0, bad = 0;
  std::string first_bad;
  LineReader reader(file);
  while (options.limit == 0 || added < options.limit) {
    const std::optional<Line> line = array ? reader.next_element() : reader.next();
    if (!line) break;
    if (!array && is_blank(line->text)) continue;

    TokenIds ids;
    try {
      ids = tokenize(parse_jsonl_sample(*line, path, options.field), tokenizer_, sequence_length_);
    } catch (const Error& error) {
      if (error.code() != Code::parse) throw;
      // Of an array, all may stand in one line.
      const std::string element =
          array ? "element " + std::to_string(added + empty + bad + 1) + " of the array: " : std::string();
      const int number = std::max(line->number, error.line());
      if (!options.skip_bad_lines)
        throw Error(error.code(), path, element + about(error, path), number, error.column());
      if (++bad == 1) first_bad = "; the first, " + element + placed(error, number);
      continue;
    }
    if (ids.empty()) {
      ++empty;
    } else {
      add_tokens(ids);
      ++added;
    }
  }

  const std::string tally = std::to_string(added) + " usable samples, " + std::to_string(empty) +
                            " without tokens and " + std::to_string(bad) + " bad lines" + first_bad;
  if (added == 0) fail(Code::parse, path, "the file has " + tally);
  log_.write(bad == 0 ? LogLevel::info : LogLevel::warn, path + ": " + tally);
  return added;
}

std::int64_t SampleSet::token_count() const noexcept {
  return std::accumulate(lengths_.begin(), lengths_.end(), std::int64_t{0});
}

}  // namespace autoround::calibration
