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
#include "calibration/text_input.hpp"

namespace autoround::calibration {
namespace {

constexpr std::int64_t max_sequence_length = 131072;
constexpr std::size_t max_samples = 1000000;
// Tokenizing takes some sixty bytes of memory for each byte of text.
constexpr std::uint64_t max_plain_text_bytes = 64u << 20;

const Tokenizer& required(const std::shared_ptr<const Tokenizer>& tokenizer) {
  if (!tokenizer)
    fail(Code::invalid_state, "calibration",
         "text needs the model's tokenizer, and none is set; give token ids or load one");
  return *tokenizer;
}

TokenIds tokenize(const JsonlSample& sample, const std::shared_ptr<const Tokenizer>& tokenizer) {
  if (const auto* ids = std::get_if<TokenIds>(&sample)) return *ids;
  // A chat template writes the special tokens itself.
  if (const auto* messages = std::get_if<Messages>(&sample)) {
    return required(tokenizer).encode(required(tokenizer).apply_chat_template(*messages), false);
  }
  return required(tokenizer).encode(std::get<Text>(sample), true);
}

/// What an error says about a line of `path`, with its own subject (a template, a tokenizer) when that is another file.
std::string about(const Error& error, const std::string& path) {
  if (error.subject().empty() || error.subject() == path) return error.what();
  return error.subject() + ": " + error.what();
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
  lengths_.reserve(lengths_.size() + 1);  // so that the two vectors grow together or not at all
  ids_.resize(ids_.size() + static_cast<std::size_t>(sequence_length_), 0);
  std::copy(used.begin(), used.end(), ids_.end() - sequence_length_);
  lengths_.push_back(static_cast<std::int64_t>(used.size()));
}

void SampleSet::add_text(std::string_view text) {
  if (const auto offset = invalid_utf8(text)) {
    fail(Code::parse, "calibration", "invalid UTF-8 at byte " + std::to_string(*offset) + " of a text");
  }
  add_tokens(required(tokenizer_).encode(text, true));
}

std::size_t SampleSet::add_windows(std::string_view text, std::size_t limit, bool drop_last) {
  const Tokenizer& tokenizer = required(tokenizer_);
  const std::vector<std::int64_t> prefix = tokenizer.prefix_ids(), suffix = tokenizer.suffix_ids();
  const auto length = static_cast<std::size_t>(sequence_length_);
  if (prefix.size() + suffix.size() >= length) {
    fail(Code::invalid_argument, "seqlen",
         "is " + std::to_string(sequence_length_) + ", which the tokenizer's own " +
             std::to_string(prefix.size() + suffix.size()) + " special tokens leave no room in");
  }
  const std::size_t step = length - prefix.size() - suffix.size();
  const std::vector<std::int64_t> ids = tokenizer.encode(text, false);

  std::size_t added = 0;
  std::vector<std::int64_t> window;
  for (std::size_t begin = 0; begin < ids.size() && (limit == 0 || added < limit); begin += step, ++added) {
    const std::size_t end = std::min(begin + step, ids.size());
    if (drop_last && end - begin < step) break;
    window.assign(prefix.begin(), prefix.end());
    window.insert(window.end(), ids.begin() + static_cast<std::ptrdiff_t>(begin),
                  ids.begin() + static_cast<std::ptrdiff_t>(end));
    window.insert(window.end(), suffix.begin(), suffix.end());
    add_tokens(window);
  }
  log_.info("calibration: " + std::to_string(added) + " windows of " + std::to_string(sequence_length_) +
            " tokens out of a text of " + std::to_string(ids.size()) + " tokens");
  return added;
}

std::size_t SampleSet::add_jsonl(const std::string& path, const JsonlOptions& options) {
  const InputFile file = InputFile::open(path);
  reject_compressed(file_beginning(file), path);

  // All of the file or nothing: a host that mends a bad line and tries again must not end up with samples twice.
  const std::size_t ids_before = ids_.size(), samples_before = lengths_.size();
  bool complete = false;
  const auto roll_back = gsl::finally([&] {
    if (complete) return;
    ids_.resize(ids_before);
    lengths_.resize(samples_before);
  });

  std::size_t added = 0, empty = 0, bad = 0;
  std::string first_bad;
  LineReader reader(file);
  while (options.limit == 0 || added < options.limit) {
    const std::optional<Line> line = reader.next();
    if (!line) break;
    if (line->text.find_first_not_of(" \t\r") == std::string::npos) continue;

    TokenIds ids;
    try {
      ids = tokenize(parse_jsonl_sample(*line, path, options.field), tokenizer_);
    } catch (const Error& error) {
      if (error.code() != Code::parse) throw;
      if (!options.skip_bad_lines) throw Error(error.code(), path, about(error, path), line->number, error.column());
      if (++bad == 1) first_bad = "; the first, line " + std::to_string(line->number) + ": " + error.what();
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
  complete = true;
  return added;
}

std::size_t SampleSet::add_file(const std::string& path, std::size_t limit, bool drop_last) {
  const InputFile file = InputFile::open(path);
  std::string beginning = file_beginning(file);
  reject_compressed(beginning, path);
  const std::size_t first = beginning.find_first_not_of(" \t\r\n", byte_order_mark_size(beginning));
  if (first != std::string::npos && beginning[first] == '{') return add_jsonl(path, {"", limit, false});

  if (file.size() > max_plain_text_bytes) {
    fail(Code::parse, path,
         "the plain text has " + format_bytes(file.size()) + "; at most " + format_bytes(max_plain_text_bytes) +
             " are tokenized in one piece. A .jsonl file may have any size");
  }
  std::string text(file.size(), '\0');
  file.read(0, gsl::as_writable_bytes(gsl::span<char>(text)));
  text.erase(0, byte_order_mark_size(text));
  require_text(text, path);
  const std::size_t added = add_windows(text, limit, drop_last);
  if (added == 0) {
    fail(Code::parse, path,
         "the text does not fill one window of " + std::to_string(sequence_length_) + " tokens; 0 usable samples");
  }
  return added;
}

std::int64_t SampleSet::token_count() const noexcept {
  return std::accumulate(lengths_.begin(), lengths_.end(), std::int64_t{0});
}

}  // namespace autoround::calibration
