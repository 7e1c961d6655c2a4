#include "capi/bad_input/tensors.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace bad_input {
namespace {

struct File {
  std::string header, data;
};

File take_apart(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  uint64_t length = 0;
  REQUIRE(in.read(reinterpret_cast<char*>(&length), sizeof length));
  File parts;
  parts.header.resize(length);
  REQUIRE(in.read(parts.header.data(), static_cast<std::streamsize>(length)));
  parts.data.assign(std::istreambuf_iterator<char>(in), {});
  return parts;
}

/// What stands between `before` and `after`, searched from `at`, which moves behind it.
std::string between(const std::string& text, size_t& at, std::string_view before, std::string_view after) {
  const size_t begin = text.find(before, at) + before.size();
  at = text.find(after, begin);
  return text.substr(begin, at - begin);
}

}  // namespace

std::vector<StoredTensor> read_tensors(const std::string& file) {
  const auto [header, data] = take_apart(file);
  std::vector<StoredTensor> tensors;
  for (size_t at = 1; at < header.size() - 1;) {
    StoredTensor& tensor = tensors.emplace_back();
    tensor.name = between(header, at, "\"", "\":{");
    tensor.dtype = between(header, at, "\"dtype\":\"", "\"");
    tensor.shape = between(header, at, "\"shape\":", ",\"data");
    const size_t begin = std::stoull(between(header, at, "_offsets\":[", ","));
    const size_t end = std::stoull(between(header, at, ",", "]}"));
    at += 2;
    tensor.bytes = data.substr(begin, end - begin);
  }
  return tensors;
}

void write_tensors(const std::string& file, const std::vector<StoredTensor>& tensors) {
  std::string header, data;
  for (const StoredTensor& tensor : tensors) {
    const size_t begin = data.size();
    data += tensor.bytes;
    header += (header.empty() ? "{\"" : ",\"") + tensor.name + "\":{\"dtype\":\"" + tensor.dtype +
              "\",\"shape\":" + tensor.shape + ",\"data_offsets\":[" + std::to_string(begin) + "," +
              std::to_string(data.size()) + "]}";
  }
  header += "}";
  write_with_length(file, header.size(), header + data);
}

StoredTensor& find(std::vector<StoredTensor>& tensors, std::string_view name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.name == name; });
  REQUIRE(found != tensors.end());
  return *found;
}

void write_with_length(const std::string& file, uint64_t length, std::string_view rest) {
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&length), sizeof length);
  out.write(rest.data(), static_cast<std::streamsize>(rest.size()));
}

void replace_in_header(const Scene& scene, std::string_view from, std::string_view to) {
  auto [header, data] = take_apart(scene.weights());
  const auto found = header.find(from);
  INFO(from);
  REQUIRE(found != std::string::npos);
  header.replace(found, from.size(), to);
  write_with_length(scene.weights(), header.size(), header + data);
}

void add_tensor(const std::string& file, const StoredTensor& tensor) {
  auto tensors = read_tensors(file);
  tensors.push_back(tensor);
  write_tensors(file, tensors);
}

void split(const Scene& scene) {
  const auto tensors = read_tensors(scene.weights());
  const auto middle = tensors.begin() + static_cast<std::ptrdiff_t>(tensors.size() / 2);
  write_tensors(scene.model + "/a.safetensors", {tensors.begin(), middle});
  write_tensors(scene.model + "/b.safetensors", {middle, tensors.end()});
  std::filesystem::remove(scene.weights());

  std::string map;
  size_t total = 0;
  for (auto tensor = tensors.begin(); tensor != tensors.end(); ++tensor) {
    map += (map.empty() ? "\"" : ", \"") + tensor->name +
           (tensor < middle ? "\": \"a.safetensors\"" : "\": \"b.safetensors\"");
    total += tensor->bytes.size();
  }
  std::ofstream(scene.index()) << "{\"metadata\": {\"total_size\": " << total << "}, \"weight_map\": {" << map
                               << "}}\n";
}

}  // namespace bad_input
