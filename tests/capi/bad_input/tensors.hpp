// Safetensors files taken apart and put together again, without a check: they are to be wrong.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "capi/bad_input/scene.hpp"

namespace bad_input {

struct StoredTensor {
  std::string name, dtype;
  std::string shape;  // as JSON, "[64,32]"
  std::string bytes;
};

/// Of a file in the spelling of the toy checkpoint.
std::vector<StoredTensor> read_tensors(const std::string& file);
void write_tensors(const std::string& file, const std::vector<StoredTensor>& tensors);
StoredTensor& find(std::vector<StoredTensor>& tensors, std::string_view name);

/// 8 bytes of `length`, then `rest`.
void write_with_length(const std::string& file, uint64_t length, std::string_view rest);
/// Replaces the first `from` in the header of the model's weights and corrects its length.
void replace_in_header(const Scene& scene, std::string_view from, std::string_view to);
/// Adds a tensor behind the others.
void add_tensor(const std::string& file, const StoredTensor& tensor);

/// Moves the weights into a.safetensors, which begins with the embedding, and b.safetensors, which ends with the last
/// norm, and writes their index.
void split(const Scene& scene);

}  // namespace bad_input
