#include "exporter/gguf_file.hpp"

#include <cstring>
#include <limits>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"

namespace autoround::exporter {
namespace {

enum ValueType : std::uint32_t { u32 = 4, i32 = 5, f32 = 6, boolean = 7, string = 8, array = 9 };
constexpr std::uint32_t version = 3;
constexpr std::uint64_t alignment = 32;
constexpr std::size_t name_limit = 64;  // with the NUL that readers add

template <class T>
void put(std::string& to, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  to.append(bytes, sizeof value);
}

void put_text(std::string& to, std::string_view text) {
  put<std::uint64_t>(to, text.size());
  to.append(text);
}

std::uint64_t padded(std::uint64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

/// An entry of the list of tensors.
void put_tensor(std::string& to, const GgufTensor& tensor, std::size_t slices, std::uint64_t offset) {
  if (tensor.name.size() >= name_limit)
    fail(Code::unsupported, tensor.name, "readers of GGUF take names of at most 63 bytes");
  const bool stacked = tensor.slice >= 0;
  put_text(to, tensor.name);
  put(to, static_cast<std::uint32_t>(tensor.shape.size() + (stacked ? 1 : 0)));
  for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size)
    put(to, static_cast<std::uint64_t>(*size));
  if (stacked) put<std::uint64_t>(to, slices);
  put(to, tensor.type->id);
  put(to, offset);
}

}  // namespace

void GgufMetadata::begin(std::string_view key, std::uint32_t type) {
  ++count_;
  put_text(bytes_, key);
  put(bytes_, type);
}

void GgufMetadata::begin_list(std::string_view key, std::uint32_t type, std::size_t count) {
  begin(key, ValueType::array);
  put(bytes_, type);
  put<std::uint64_t>(bytes_, count);
}

void GgufMetadata::add_integer(std::string_view key, std::int64_t value) {
  if (value < 0 || value > std::numeric_limits<std::uint32_t>::max())
    fail(Code::unsupported, std::string(key),
         std::to_string(value) + " does not fit into 32 bits, which GGUF has here");
  begin(key, ValueType::u32);
  put(bytes_, static_cast<std::uint32_t>(value));
}

void GgufMetadata::add_number(std::string_view key, double value) {
  begin(key, ValueType::f32);
  put(bytes_, static_cast<float>(value));
}

void GgufMetadata::add_flag(std::string_view key, bool value) {
  begin(key, ValueType::boolean);
  bytes_ += value ? '\1' : '\0';
}

void GgufMetadata::add_text(std::string_view key, std::string_view value) {
  begin(key, ValueType::string);
  put_text(bytes_, value);
}

void GgufMetadata::add_texts(std::string_view key, const std::vector<std::string>& values) {
  begin_list(key, ValueType::string, values.size());
  for (const std::string& value : values) put_text(bytes_, value);
}

void GgufMetadata::add_numbers(std::string_view key, const std::vector<float>& values) {
  begin_list(key, ValueType::f32, values.size());
  for (const float value : values) put(bytes_, value);
}

void GgufMetadata::add_integers(std::string_view key, const std::vector<std::int32_t>& values) {
  begin_list(key, ValueType::i32, values.size());
  for (const std::int32_t value : values) put(bytes_, value);
}

std::uint64_t GgufTensor::byte_size() const {
  std::int64_t elements = 1;  // shapes come from a checkpoint, which was checked for overflow
  for (const std::int64_t dimension : shape) elements *= dimension;
  return static_cast<std::uint64_t>(elements / type->values * type->bytes);
}

checkpoint::ShardLayout lay_out_gguf(std::string file_name, const GgufMetadata& metadata,
                                     const std::vector<GgufTensor>& tensors) {
  checkpoint::ShardLayout layout{std::move(file_name), "GGUF", {}, 0};
  std::string list;
  std::uint64_t count = 0, offset = 0;
  for (std::size_t first = 0, next = 0; first < tensors.size(); first = next, ++count) {
    const GgufTensor& tensor = tensors[first];
    do ++next;
    while (next < tensors.size() && tensors[next].name == tensor.name);
    put_tensor(list, tensor, next - first, offset);
    for (std::size_t i = first; i < next; ++i) {
      const std::string name = tensor.slice < 0 ? tensor.name : tensor.name + "[" + std::to_string(i - first) + "]";
      const std::uint64_t end = offset + tensor.byte_size(), last = i + 1 == next ? padded(end) : end;
      layout.tensors.push_back(
          {{name, checkpoint::DType::u8, {static_cast<std::int64_t>(last - offset)}}, std::exchange(offset, last)});
    }
  }
  put(layout.header, version);
  put(layout.header, count);
  put<std::uint64_t>(layout.header, metadata.count());
  layout.header.append(metadata.bytes()).append(list);
  layout.header.resize(padded(layout.header.size()), '\0');
  for (checkpoint::LaidTensor& tensor : layout.tensors) tensor.begin += layout.header.size();
  layout.file_bytes = layout.header.size() + offset;
  return layout;
}

}  // namespace autoround::exporter
