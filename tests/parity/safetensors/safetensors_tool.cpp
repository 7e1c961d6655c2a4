// What compare_safetensors.py asks of our reader and writer, by command line:
//   write DIR MAX_SHARD_BYTES   lines "name dtype shape module hex-bytes" from stdin become a folder of shards
//   read FILE                   prints "name dtype shape hex-bytes" for each tensor
//   judge FILE...               prints "ok" or the message for each file
#include <cstdint>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/file.hpp"
#include "checkpoint/safetensors_reader.hpp"
#include "checkpoint/shard_writer.hpp"

namespace {

using autoround::InputFile;
using namespace autoround::checkpoint;

std::string to_hex(const std::vector<std::byte>& bytes) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    text += digits[std::to_integer<int>(byte >> 4)];
    text += digits[std::to_integer<int>(byte & std::byte{15})];
  }
  return text.empty() ? "-" : text;
}

std::vector<std::byte> from_hex(const std::string& text) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; text != "-" && i < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string shape_word(const std::vector<std::int64_t>& shape) {
  std::string text = "s";
  for (const std::int64_t dimension : shape) text += (text == "s" ? "" : "x") + std::to_string(dimension);
  return text;
}

std::vector<std::int64_t> from_shape_word(const std::string& word) {
  std::vector<std::int64_t> shape;
  std::istringstream parts(word.substr(1));
  for (std::string part; std::getline(parts, part, 'x');) shape.push_back(std::stoll(part));
  return shape;
}

int write(const std::string& directory, std::uint64_t max_shard_bytes) {
  std::vector<PlannedTensor> plan;
  std::vector<std::vector<std::byte>> contents;
  std::string name, dtype, shape, module, hex;
  while (std::cin >> name >> dtype >> shape >> module >> hex) {
    plan.push_back({{name, parse_dtype(dtype).value(), from_shape_word(shape)}, module});
    contents.push_back(from_hex(hex));
  }
  ShardWriter writer(directory, plan, max_shard_bytes);
  for (std::size_t i = plan.size(); i-- > 0;) writer.write(plan[i].info.name, 0, contents[i]);
  writer.finish();
  return 0;
}

int read(const std::string& path) {
  const InputFile file = InputFile::open(path);
  for (const StoredTensor& tensor : read_safetensors_header(file)) {
    std::vector<std::byte> bytes(tensor.info.byte_size());
    file.read(tensor.begin, bytes);
    std::cout << tensor.info.name << ' ' << dtype_name(tensor.info.dtype) << ' ' << shape_word(tensor.info.shape) << ' '
              << to_hex(bytes) << '\n';
  }
  return 0;
}

int judge(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    try {
      read_safetensors_header(InputFile::open(path));
      std::cout << "ok\n";
    } catch (const autoround::Error& error) {
      std::cout << error.what() << '\n';
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 3 && arguments[0] == "write") return write(arguments[1], std::stoull(arguments[2]));
  if (arguments.size() == 2 && arguments[0] == "read") return read(arguments[1]);
  if (arguments.size() >= 2 && arguments[0] == "judge") return judge({arguments.begin() + 1, arguments.end()});
  std::cerr << "usage: safetensors_tool write DIR MAX_SHARD_BYTES | read FILE | judge FILE...\n";
  return 2;
}
