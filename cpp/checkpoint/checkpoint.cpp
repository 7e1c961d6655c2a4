#include "checkpoint/checkpoint.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <unordered_map>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "checkpoint/checked.hpp"
#include "checkpoint/limits.hpp"
#include "checkpoint/model_folder.hpp"
#include "checkpoint/safetensors_reader.hpp"
#include "checkpoint/shard_index.hpp"

namespace autoround::checkpoint {
namespace {

constexpr const char* config_name = "config.json";

constexpr std::array<std::string_view, 5> pickles{".bin", ".pt", ".pth", ".pkl", ".ckpt"};
constexpr std::array<std::string_view, 9> other_weights{".safetensors", ".index.json", ".gguf",      ".h5", ".msgpack",
                                                        ".onnx",        ".onnx_data",  ".onnx.data", ".ot"};
constexpr std::array<std::string_view, 3> written{config_name, "quantization_config.json", "recipe.yaml"};

template <typename Endings>
bool ends_with_any(std::string_view name, const Endings& endings) {
  return std::any_of(endings.begin(), endings.end(), [&](auto ending) { return name.ends_with(ending); });
}

// Neither weights, of any framework, nor what an output has of its own.
bool is_companion(const DirectoryEntry& entry) {
  return entry.regular && entry.name.front() != '.' && !ends_with_any(entry.name, pickles) &&
         !ends_with_any(entry.name, other_weights) &&
         std::find(written.begin(), written.end(), entry.name) == written.end();
}

std::vector<std::string> find_companions(const ModelFolder& folder, const Logger& log) {
  std::vector<std::string> names;
  for (const DirectoryEntry& entry : folder.entries()) {
    if (!is_companion(entry)) continue;
    if (folder.admits(entry.name)) {
      names.push_back(entry.name);
    } else {
      log.warn(folder.path_of(entry.name) + ": leads out of the model folder and will not be copied");
    }
  }
  return names;
}

[[noreturn]] void fail_without_weights(const ModelFolder& folder) {
  for (const DirectoryEntry& entry : folder.entries()) {
    if (ends_with_any(entry.name, pickles)) {
      fail(Code::unsupported, folder.path(),
           "the weights are only there as " + quote(entry.name) +
               "; pickle files are never loaded, because they can run code: convert them to safetensors");
    }
  }
  fail(Code::not_found, folder.path(), std::string("holds neither ") + single_shard_name + " nor " + shard_index_name);
}

}  // namespace

struct Checkpoint::Impl {
  struct Place {
    std::size_t shard;
    std::uint64_t begin;
  };

  Impl(const std::string& directory, const OpenOptions& options) : folder(directory, options.strict_paths) {}

  void load_config(const Logger& log) {
    const std::string path = folder.path_of(config_name);
    config = HfConfig::parse(read_text_file(folder.open(config_name), max_config_bytes), path);
    if (config.view().has("auto_map")) log.info(path + ": `auto_map` is ignored; code of a checkpoint is never run");
  }

  void load_weights(const Logger& log, bool strict_index) {
    if (folder.contains(single_shard_name)) {
      if (folder.contains(shard_index_name)) {
        log.warn(folder.path_of(shard_index_name) + ": ignored, since " + single_shard_name + " is there as well");
      }
      add_shard(single_shard_name, nullptr, log, strict_index);
    } else if (folder.contains(shard_index_name)) {
      load_shards(log, strict_index);
    } else {
      fail_without_weights(folder);
    }
    for (std::size_t i = 0; i < tensors.size(); ++i) index_of.emplace(tensors[i].name, i);
  }

  void load_shards(const Logger& log, bool strict_index) {
    const std::string subject = folder.path_of(shard_index_name);
    const ShardIndex index =
        ShardIndex::parse(read_text_file(folder.open(shard_index_name), max_index_bytes), subject, log);
    for (const std::string& shard : index.shards) add_shard(shard, &index, log, strict_index);
    if (tensors.size() != index.shard_of.size()) fail_missing_tensor(index);
    if (index.total_size && *index.total_size != bytes) {
      log.warn(subject + ": `metadata.total_size` is " + std::to_string(*index.total_size) + ", but the tensors have " +
               std::to_string(bytes) + " bytes");
    }
  }

  void add_shard(const std::string& name, const ShardIndex* index, const Logger& log, bool strict_index) {
    files.push_back(folder.open(name));
    const std::string path = folder.path_of(name);
    if (index != nullptr && files.back().size() == 0) {
      fail(Code::io, path, "the shard is empty, as after a download that did not finish");
    }
    for (StoredTensor& stored : read_safetensors_header(files.back())) {
      if (index != nullptr && !is_listed(stored.info.name, files.size() - 1, *index)) {
        const std::string message = "the tensor " + quote(stored.info.name) + " is not listed in " + shard_index_name;
        if (strict_index) fail(Code::parse, path, message);
        log.warn(path + ": " + message + " and is ignored");
        continue;
      }
      add_tensor(std::move(stored), path);
    }
  }

  // @throws parse when the index puts the tensor into another shard.
  bool is_listed(const std::string& tensor, std::size_t shard, const ShardIndex& index) const {
    const auto found = index.shard_of.find(tensor);
    if (found == index.shard_of.end()) return false;
    if (found->second != shard) {
      fail(Code::parse, folder.path_of(index.shards[shard]),
           "holds the tensor " + quote(tensor) + ", which " + shard_index_name + " puts into " +
               quote(index.shards[found->second]));
    }
    return true;
  }

  void add_tensor(StoredTensor&& stored, const std::string& path) {
    if (tensors.size() == max_tensors) {
      fail(Code::parse, path, "the checkpoint holds more than " + std::to_string(max_tensors) + " tensors, the limit");
    }
    const auto sum = checked_add(bytes, stored.info.byte_size());
    if (!sum) fail(Code::parse, path, "the tensors of the checkpoint are too large to be counted");
    bytes = *sum;
    places.push_back({files.size() - 1, stored.begin});
    tensors.push_back(std::move(stored.info));
  }

  // The tensors say themselves what they are: that config.json says otherwise is worth a warning.
  void check_dtype(const Logger& log) const {
    const auto stated = config.dtype();
    if (!stated) return;
    const auto differs = [&](const TensorInfo& tensor) {
      return tensor.dtype != *stated && !torch_dtype_name(tensor.dtype).empty();
    };
    const auto first = std::find_if(tensors.begin(), tensors.end(), differs);
    if (first == tensors.end()) return;
    const auto count = std::count_if(first, tensors.end(), differs);
    log.warn(folder.path_of(config_name) + ": the dtype is " + std::string(torch_dtype_name(*stated)) + ", but " +
             std::to_string(count) + " tensors have another, such as " + quote(first->name) + ", which is " +
             std::string(dtype_name(first->dtype)) + "; the tensors' own types are used");
  }

  [[noreturn]] void fail_missing_tensor(const ShardIndex& index) const {
    std::unordered_map<std::string_view, bool> found;
    for (const TensorInfo& tensor : tensors) found.emplace(tensor.name, true);
    for (const auto& [name, shard] : index.shard_of) {
      if (found.count(name) == 0) {
        fail(Code::parse, folder.path_of(index.shards[shard]),
             "lacks the tensor " + quote(name) + ", which " + shard_index_name + " puts there");
      }
    }
    fail(Code::internal, folder.path(), "the tensors of the shards and of the index were counted wrongly");
  }

  ModelFolder folder;
  HfConfig config;
  std::vector<InputFile> files;  // one descriptor each, kept open: a file that is replaced meanwhile changes nothing
  std::vector<TensorInfo> tensors;
  std::vector<Place> places;  // parallel to `tensors`
  std::unordered_map<std::string_view, std::size_t> index_of;
  std::uint64_t bytes = 0;
  std::vector<std::string> companions;
};

std::shared_ptr<const Checkpoint> Checkpoint::open(const std::string& directory, const Logger& log,
                                                   const OpenOptions& options) {
  auto impl = std::make_unique<Impl>(directory, options);
  impl->load_config(log);
  impl->load_weights(log, options.strict_index);
  impl->check_dtype(log);
  impl->companions = find_companions(impl->folder, log);
  return std::shared_ptr<const Checkpoint>(new Checkpoint(std::move(impl)));
}

Checkpoint::Checkpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Checkpoint::~Checkpoint() = default;

const std::string& Checkpoint::directory() const noexcept { return impl_->folder.real_path(); }
const std::string& Checkpoint::given_directory() const noexcept { return impl_->folder.path(); }
const HfConfig& Checkpoint::config() const noexcept { return impl_->config; }
gsl::span<const TensorInfo> Checkpoint::tensors() const noexcept { return impl_->tensors; }
std::uint64_t Checkpoint::byte_size() const noexcept { return impl_->bytes; }
const std::vector<std::string>& Checkpoint::companion_files() const noexcept { return impl_->companions; }

std::vector<ShardFile> Checkpoint::shards() const {
  std::vector<ShardFile> shards;
  for (const InputFile& file : impl_->files)
    shards.push_back({file_name(file.path()), file.size(), file.modified(), header_hash(file)});
  return shards;
}

const TensorInfo* Checkpoint::find(std::string_view name) const noexcept {
  const auto found = impl_->index_of.find(name);
  return found == impl_->index_of.end() ? nullptr : &impl_->tensors[found->second];
}

void Checkpoint::read(std::string_view name, std::uint64_t offset, gsl::span<std::byte> out) const {
  const auto found = impl_->index_of.find(name);
  if (found == impl_->index_of.end())
    fail(Code::not_found, std::string(name), "the checkpoint has no tensor of this name");
  const std::uint64_t size = impl_->tensors[found->second].byte_size();
  if (offset > size || out.size() > size - offset) {
    fail(Code::invalid_argument, std::string(name),
         "a read of " + std::to_string(out.size()) + " bytes at offset " + std::to_string(offset) +
             " goes past the tensor's " + std::to_string(size) + " bytes");
  }
  const Impl::Place& place = impl_->places[found->second];
  impl_->files[place.shard].read(place.begin + offset, out);
}

void Checkpoint::will_need(std::string_view prefix) const noexcept {
  for (std::size_t i = 0; i < impl_->tensors.size(); ++i) {
    const TensorInfo& tensor = impl_->tensors[i];
    if (tensor.name.compare(0, prefix.size(), prefix) != 0) continue;
    const Impl::Place& place = impl_->places[i];
    impl_->files[place.shard].will_need(place.begin, tensor.byte_size());
  }
}

}  // namespace autoround::checkpoint
