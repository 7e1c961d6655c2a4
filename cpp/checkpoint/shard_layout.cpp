#include "checkpoint/shard_layout.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "checkpoint/checked.hpp"
#include "checkpoint/limits.hpp"
#include "checkpoint/shard_index.hpp"

namespace autoround::checkpoint {
namespace {

constexpr std::size_t prefix_bytes = 8;

struct Module {
  std::vector<TensorInfo> tensors;
  std::uint64_t bytes = 0;
};

// Throws when the byte count of the tensor does not fit, is no whole number, or a dimension is negative.
std::uint64_t require_storable(const TensorInfo& info) {
  std::optional<std::uint64_t> bits = static_cast<std::uint64_t>(bit_width(info.dtype));
  for (const std::int64_t dimension : info.shape) {
    bits = dimension < 0 ? std::nullopt : checked_multiply(*bits, static_cast<std::uint64_t>(dimension));
    if (!bits) break;
  }
  if (info.name.empty() || info.name == "__metadata__" || invalid_utf8(info.name)) {
    fail(Code::invalid_argument, info.name, quote(info.name) + " cannot be the name of a tensor in a safetensors file");
  }
  if (info.name.size() > max_name_bytes || info.shape.size() > max_rank || !bits || *bits % 8 != 0) {
    fail(Code::invalid_argument, info.name,
         "a tensor " + std::string(dtype_name(info.dtype)) + " of shape " + shape_text(info.shape) +
             " cannot be stored in a safetensors file");
  }
  return *bits / 8;
}

// Tensors of one module need not follow each other in the plan; the module stands where its first tensor does.
std::vector<Module> group_by_module(const std::vector<PlannedTensor>& plan) {
  std::vector<Module> modules;
  std::unordered_map<std::string_view, std::size_t> place_of;
  std::unordered_set<std::string_view> names;
  for (const PlannedTensor& planned : plan) {
    if (!names.insert(planned.info.name).second) {
      fail(Code::invalid_argument, planned.info.name, "the tensor is planned twice");
    }
    const auto [place, is_new] = place_of.emplace(planned.module, modules.size());
    if (is_new) modules.emplace_back();
    Module& module = modules[place->second];
    const auto sum = checked_add(module.bytes, require_storable(planned.info));
    if (!sum) fail(Code::invalid_argument, planned.info.name, "the tensors of its module are too large for a file");
    module.bytes = *sum;
    module.tensors.push_back(planned.info);
  }
  return modules;
}

std::string json_string(std::string_view text) { return Json(text).dump(); }

// Written as text and not through a tree of Json: a model has as many entries as tensors.
std::string header_text(const std::vector<LaidTensor>& tensors) {
  std::string text = R"({"__metadata__":{"format":"pt"})";
  for (const LaidTensor& tensor : tensors) {
    text.append(",").append(json_string(tensor.info.name));
    text.append(R"(:{"dtype":")").append(dtype_name(tensor.info.dtype)).append(R"(","shape":[)");
    for (std::size_t i = 0; i < tensor.info.shape.size(); ++i) {
      text.append(i == 0 ? "" : ",").append(std::to_string(tensor.info.shape[i]));
    }
    text.append(R"(],"data_offsets":[)").append(std::to_string(tensor.begin)).append(",");
    text.append(std::to_string(tensor.begin + tensor.info.byte_size())).append("]}");
  }
  text.append("}");
  text.append((prefix_bytes - text.size() % prefix_bytes) % prefix_bytes, ' ');
  std::string prefix;
  for (std::size_t i = 0; i < prefix_bytes; ++i) prefix += static_cast<char>(text.size() >> (8 * i) & 0xFF);
  return prefix + text;
}

ShardLayout lay_out(std::vector<TensorInfo> infos) {
  std::sort(infos.begin(), infos.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::make_tuple(-bit_width(a.dtype), std::string_view(a.name)) <
           std::make_tuple(-bit_width(b.dtype), std::string_view(b.name));
  });
  ShardLayout shard;
  std::uint64_t data_bytes = 0;
  for (TensorInfo& info : infos) {
    const std::uint64_t bytes = info.byte_size();
    shard.tensors.push_back({std::move(info), data_bytes});
    data_bytes += bytes;
  }
  shard.header = header_text(shard.tensors);  // its offsets count from the end of the header
  if (shard.header.size() - prefix_bytes > max_header_bytes) {
    fail(Code::invalid_argument, shard.tensors.front().info.name, "too many tensors for the header of one shard");
  }
  for (LaidTensor& tensor : shard.tensors) tensor.begin += shard.header.size();
  shard.file_bytes = shard.header.size() + data_bytes;
  return shard;
}

std::string padded_number(std::size_t number) {
  constexpr std::size_t digits = 5;
  const std::string text = std::to_string(number);
  return std::string(text.size() < digits ? digits - text.size() : 0, '0') + text;
}

void name_shards(std::vector<ShardLayout>& shards) {
  if (shards.size() == 1) shards.front().file_name = single_shard_name;
  for (std::size_t i = 0; shards.size() > 1 && i < shards.size(); ++i) {
    shards[i].file_name = "model-" + padded_number(i + 1) + "-of-" + padded_number(shards.size()) + ".safetensors";
  }
}

}  // namespace

std::vector<ShardLayout> lay_out_shards(const std::vector<PlannedTensor>& plan, std::uint64_t max_shard_bytes) {
  std::vector<ShardLayout> shards;
  std::vector<TensorInfo> current;
  std::uint64_t bytes = 0;
  for (Module& module : group_by_module(plan)) {
    if (!current.empty() && (module.bytes > max_shard_bytes || bytes > max_shard_bytes - module.bytes)) {
      shards.push_back(lay_out(std::exchange(current, {})));
      bytes = 0;
    }
    bytes += module.bytes;
    std::move(module.tensors.begin(), module.tensors.end(), std::back_inserter(current));
  }
  shards.push_back(lay_out(std::move(current)));
  name_shards(shards);
  return shards;
}

std::string index_text(const std::vector<ShardLayout>& shards) {
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;
  std::map<std::string_view, std::string_view> file_of;  // sorted, as json.dumps(sort_keys=True) does
  for (const ShardLayout& shard : shards) {
    for (const LaidTensor& tensor : shard.tensors) {
      parameters += static_cast<std::uint64_t>(tensor.info.element_count());
      bytes += tensor.info.byte_size();
      file_of.emplace(tensor.info.name, shard.file_name);
    }
  }
  std::string text = "{\n  \"metadata\": {\n    \"total_parameters\": " + std::to_string(parameters) +
                     ",\n    \"total_size\": " + std::to_string(bytes) + "\n  },\n  \"weight_map\": {";
  std::string_view separator = "\n";
  for (const auto& [tensor, file] : file_of) {
    text.append(separator).append("    ").append(json_string(tensor)).append(": ").append(json_string(file));
    separator = ",\n";
  }
  return text + "\n  }\n}\n";
}

}  // namespace autoround::checkpoint
