#include "checkpoint/shard_index.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "checkpoint/limits.hpp"
#include "checkpoint/model_folder.hpp"

namespace autoround::checkpoint {
namespace {

void require_shard_name(const std::string& tensor, const Json& file, const std::string& subject) {
  constexpr std::string_view ending = ".safetensors";
  const std::string where = "`weight_map`: tensor " + quote(tensor);
  if (!file.is_string())
    fail(Code::parse, subject, where + " maps to " + quote(file.dump()) + "; a file name is wanted");
  const auto& name = file.get_ref<const std::string&>();
  try {
    require_plain_file_name(name, subject);
  } catch (const Error& error) {
    fail(error.code(), subject, where + ": " + error.what());
  }
  if (name.size() <= ending.size() || name.compare(name.size() - ending.size(), ending.size(), ending) != 0) {
    fail(Code::parse, subject, where + " maps to " + quote(name) + "; a *.safetensors file is wanted");
  }
}

void require_tensor_name(const std::string& name, const std::string& subject) {
  if (name.empty()) fail(Code::parse, subject, "`weight_map` has a tensor with an empty name");
  if (name.size() > max_name_bytes) {
    fail(Code::parse, subject,
         "`weight_map`: the tensor name " + quote(name, 60) + " has " + std::to_string(name.size()) +
             " bytes; the limit is " + std::to_string(max_name_bytes));
  }
}

// Only for a comparison with what is found: a wrong total is worth a warning, never an allocation.
std::optional<std::uint64_t> claimed_size(const JsonView& index, const Logger& log) {
  const auto metadata = index.json().find("metadata");
  if (metadata == index.json().end() || !metadata->is_object() || !metadata->contains("total_size"))
    return std::nullopt;
  const Json& claimed = (*metadata)["total_size"];
  if (claimed.is_number_unsigned()) return claimed.get<std::uint64_t>();
  if (claimed.is_number_float() && claimed.get<double>() >= 0 && claimed.get<double>() < 9e15) {
    return static_cast<std::uint64_t>(claimed.get<double>());  // PyTorch wrote floats for a while
  }
  log.warn(index.subject() + ": `metadata.total_size` is not a size and is ignored");
  return std::nullopt;
}

}  // namespace

ShardIndex ShardIndex::parse(std::string_view text, const std::string& subject, const Logger& log) {
  const Json json = parse_json(text, subject, {max_index_bytes});
  const JsonView view(json, subject);
  const auto weight_map = view.object("weight_map");
  if (!weight_map || weight_map->json().empty()) fail(Code::parse, subject, "the key `weight_map` is missing or empty");
  const Json& entries = weight_map->json();
  if (entries.size() > max_tensors) {
    fail(
        Code::parse, subject,
        "`weight_map` has " + std::to_string(entries.size()) + " tensors; the limit is " + std::to_string(max_tensors));
  }

  ShardIndex index;
  for (const auto& [tensor, file] : entries.items()) {
    require_tensor_name(tensor, subject);
    require_shard_name(tensor, file, subject);
    index.shards.push_back(file.get<std::string>());
  }
  std::sort(index.shards.begin(), index.shards.end());
  index.shards.erase(std::unique(index.shards.begin(), index.shards.end()), index.shards.end());
  if (index.shards.size() > max_shards) {
    fail(Code::parse, subject,
         "`weight_map` names " + std::to_string(index.shards.size()) + " shards; the limit is " +
             std::to_string(max_shards));
  }
  for (const auto& [tensor, file] : entries.items()) {
    const auto place = std::lower_bound(index.shards.begin(), index.shards.end(), file.get_ref<const std::string&>());
    index.shard_of.emplace(tensor, static_cast<std::size_t>(place - index.shards.begin()));
  }
  index.total_size = claimed_size(view, log);
  return index;
}

}  // namespace autoround::checkpoint
