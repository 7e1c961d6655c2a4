#include "session/journal.hpp"

#include <limits>
#include <utility>

#include "base/hash.hpp"

namespace autoround::session {
namespace {

constexpr std::uint64_t max_bytes = std::uint64_t{1} << 30;
constexpr std::int64_t any = std::numeric_limits<std::int64_t>::max();

Json fingerprint_json(const Fingerprint& fingerprint) {
  Json json = Json::object();
  for (const auto& [field, value] : fingerprint) json[field] = value;
  return json;
}

Fingerprint read_fingerprint(const JsonView& json) {
  Fingerprint fingerprint;
  for (const auto& item : json.json().items()) fingerprint.emplace_back(item.key(), json.string(item.key()));
  return fingerprint;
}

Json finished_json(std::size_t index, const FinishedBlock& block) {
  Json modules = Json::array();
  for (const FinishedModule& module : block.modules) {
    Json tensors = Json::array();
    for (const exporter::WrittenTensor& tensor : module.tensors)
      tensors.push_back({{"name", tensor.name}, {"bytes", tensor.bytes}, {"hash", tensor.hash}});
    modules.push_back({{"name", module.name}, {"tensors", std::move(tensors)}});
  }
  return {{"block", index}, {"stats", block_json(block.stats)}, {"modules", std::move(modules)}};
}

template <typename Read>
void each(const JsonView& object, const std::string& key, const Read& read) {
  const auto list = object.json().find(key);
  if (list == object.json().end() || !list->is_array()) fail(Code::parse, object.subject(), "`" + key + "` is no list");
  for (const Json& item : *list) read(JsonView(item, object.subject() + ": " + key));
}

FinishedBlock read_finished(const JsonView& json, std::size_t index) {
  const auto wanted = static_cast<std::int64_t>(index);
  json.integer("block", wanted, wanted);
  const auto stats = json.object("stats");
  if (!stats) fail(Code::parse, json.subject(), "`stats` is missing");
  FinishedBlock block{read_block_stats(*stats), {}};
  each(json, "modules", [&](const JsonView& module) {
    FinishedModule finished{module.string("name"), {}};
    each(module, "tensors", [&](const JsonView& tensor) {
      finished.tensors.push_back(
          {tensor.string("name"), static_cast<std::uint64_t>(tensor.integer("bytes", 0, any)), tensor.string("hash")});
    });
    block.modules.push_back(std::move(finished));
  });
  return block;
}

// "HASH JSON" without the line's end. nullopt: torn, or changed by someone.
std::optional<std::string_view> content(std::string_view line) {
  if (line.size() <= hash_digits || line[hash_digits] != ' ') return std::nullopt;
  const std::string_view text = line.substr(hash_digits + 1);
  return hash_of(text) == line.substr(0, hash_digits) ? std::optional(text) : std::nullopt;
}

}  // namespace

Journal::Journal(const std::string& directory) : path_(join_path(directory, file_name)) {
  std::string text;
  try {
    text = read_text_file(InputFile::open_no_follow(path_), max_bytes);
  } catch (const Error& error) {
    if (error.code() == Code::not_found) return;
    throw;
  }
  for (std::size_t begin = 0;;) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) return;
    const auto json_text = content(std::string_view(text).substr(begin, end - begin));
    if (!json_text) return;
    const std::string subject = path_ + ", line " + std::to_string(ends_.size() + 1);
    const Json json = parse_json(*json_text, subject, {.max_bytes = max_bytes});
    if (ends_.empty())
      fingerprint_ = read_fingerprint(JsonView(json, subject));
    else
      blocks_.push_back(read_finished(JsonView(json, subject), blocks_.size()));
    begin = end + 1;
    ends_.push_back(begin);
  }
}

void Journal::begin(const Fingerprint& fingerprint) {
  fingerprint_ = fingerprint;
  blocks_.clear();
  ends_.clear();
  file_ = OutputFile::open(path_, 0);
  write_line(fingerprint_json(fingerprint));
}

void Journal::cut(std::size_t count) {
  blocks_.resize(count);
  ends_.resize(count + 1);
  file_ = OutputFile::open(path_, ends_.back());
}

void Journal::append(FinishedBlock block) {
  write_line(finished_json(blocks_.size(), block));
  blocks_.push_back(std::move(block));
}

void Journal::write_line(const Json& json) {
  const std::string text = json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
  const std::string line = hash_of(text) + " " + text + "\n";
  const std::uint64_t begin = ends_.empty() ? 0 : ends_.back();
  file_->write(begin, gsl::as_bytes(gsl::make_span(line)));
  file_->sync();
  ends_.push_back(begin + line.size());
}

}  // namespace autoround::session
