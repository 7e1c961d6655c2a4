#include "checkpoint/safetensors_reader.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_set>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/json_reader.hpp"
#include "base/text.hpp"
#include "checkpoint/checked.hpp"
#include "checkpoint/limits.hpp"

namespace autoround::checkpoint {
namespace {

constexpr std::uint64_t prefix_bytes = 8;  // the little-endian length in front of the header
constexpr std::string_view metadata_key = "__metadata__";
constexpr int deepest = 3;  // the header, a tensor in it, its shape

// Takes the header apart as it streams by:
//   {"__metadata__": {text: text}, NAME: {"dtype": text, "shape": [n], "data_offsets": [begin, end]}, ...}
// The depth says what a value is: 1 a tensor, 2 one of its members, 3 a number of its shape or offsets.
class HeaderReader final : public JsonReader {
 public:
  HeaderReader(const std::string& file, std::uint64_t data_begin)
      : JsonReader(file, {max_header_bytes, deepest}), data_begin_(data_begin) {}

  std::vector<StoredTensor> take() { return std::move(tensors_); }

  bool key(std::string& name) override {
    if (depth() == 1) {
      begin_entry(name);
    } else if (!in_metadata_) {
      begin_member(name);
    } else if (!metadata_keys_.insert(name).second) {
      fail_here("`__metadata__` has the key " + quote(name) + " twice");
    }
    return true;
  }

  bool string(std::string& value) override {
    if (in_metadata_ && depth() == 2) return true;
    if (depth() != 2 || member_ != Member::dtype) refuse("a string", value);
    const auto type = parse_dtype(value);
    if (!type) fail_here("tensor " + quote(name_) + " has the unknown dtype " + quote(value), Code::unsupported);
    tensors_.back().info.dtype = *type;
    return true;
  }

  bool number_unsigned(std::uint64_t value) override {
    if (depth() != 3) refuse("a number", std::to_string(value));
    if (member_ == Member::shape) {
      add_dimension(value);
    } else {
      add_offset(value);
    }
    return true;
  }

  bool number_integer(std::int64_t value) override { refuse("a negative number", std::to_string(value)); }
  bool number_float(double, const std::string& text) override { refuse("a number that is not whole", text); }
  bool boolean(bool value) override { refuse("a truth value", value ? "true" : "false"); }
  bool null() override { refuse("a value", "null"); }

  bool start_object(std::size_t size) override {
    JsonReader::start_object(size);
    if (depth() == deepest) refuse("an object", "{");
    return true;
  }

  bool end_object() override {
    if (depth() == 2 && !in_metadata_) end_tensor();
    return JsonReader::end_object();
  }

  bool start_array(std::size_t size) override {
    JsonReader::start_array(size);
    if (depth() != 3 || in_metadata_ || member_ == Member::dtype) refuse("an array", "[");
    return true;
  }

 private:
  enum class Member { dtype, shape, data_offsets };
  static constexpr std::array<std::string_view, 3> member_names{"dtype", "shape", "data_offsets"};

  void begin_entry(const std::string& name) {
    name_ = name;
    in_metadata_ = name == metadata_key;
    if (in_metadata_) {
      if (seen_metadata_) fail_here("the key `__metadata__` occurs twice");
      seen_metadata_ = true;
      return;
    }
    if (name.empty()) fail_here("a tensor has an empty name");
    if (name.size() > max_name_bytes) {
      fail_here("the tensor name " + quote(name, 60) + " has " + std::to_string(name.size()) + " bytes; the limit is " +
                std::to_string(max_name_bytes));
    }
    if (tensors_.size() == max_tensors) {
      fail_here("the file holds more than " + std::to_string(max_tensors) + " tensors, the limit");
    }
    tensors_.emplace_back().info.name = name;
    seen_members_ = {};
    offset_count_ = 0;
  }

  void begin_member(const std::string& name) {
    const auto* const found = std::find(member_names.begin(), member_names.end(), name);
    if (found == member_names.end()) fail_here("tensor " + quote(name_) + " has the unknown key " + quote(name));
    const auto index = static_cast<std::size_t>(found - member_names.begin());
    if (std::exchange(seen_members_[index], true)) {
      fail_here("tensor " + quote(name_) + " has the key " + quote(name) + " twice");
    }
    member_ = static_cast<Member>(index);
  }

  void add_dimension(std::uint64_t value) {
    auto& shape = tensors_.back().info.shape;
    if (shape.size() == max_rank) {
      fail_here("tensor " + quote(name_) + " has more than " + std::to_string(max_rank) + " dimensions, the limit");
    }
    if (value > max_dimension) {
      fail_here("tensor " + quote(name_) + " has a dimension of " + std::to_string(value) + "; the limit is " +
                std::to_string(max_dimension));
    }
    shape.push_back(static_cast<std::int64_t>(value));
  }

  void add_offset(std::uint64_t value) {
    if (offset_count_ == offsets_.size())
      fail_here("`data_offsets` of tensor " + quote(name_) + " has more than 2 numbers");
    offsets_[offset_count_++] = value;
  }

  void end_tensor() {
    for (std::size_t i = 0; i < member_names.size(); ++i) {
      if (!seen_members_[i]) fail_here("tensor " + quote(name_) + " lacks the key " + quote(member_names[i]));
    }
    if (offset_count_ != offsets_.size())
      fail_here("`data_offsets` of tensor " + quote(name_) + " has fewer than 2 numbers");
    const auto [begin, end] = offsets_;
    if (begin > end) {
      fail_here("tensor " + quote(name_) + " begins at " + std::to_string(begin) + ", after its end " +
                std::to_string(end));
    }
    const TensorInfo& info = tensors_.back().info;
    if (const std::uint64_t wanted = byte_size_of(info); end - begin != wanted) {
      fail_here("tensor " + quote(name_) + " has " + std::to_string(end - begin) + " bytes; " +
                std::string(dtype_name(info.dtype)) + " of shape " + shape_text(info.shape) + " needs " +
                std::to_string(wanted));
    }
    const auto place = checked_add(data_begin_, begin);
    if (!place || !checked_add(data_begin_, end)) fail_here("the offsets of tensor " + quote(name_) + " are too large");
    tensors_.back().begin = *place;
  }

  // Multiplied in the order of the shape and checked at each step, so that a zero cannot hide an overflow before it.
  std::uint64_t byte_size_of(const TensorInfo& info) const {
    std::optional<std::uint64_t> bits = static_cast<std::uint64_t>(bit_width(info.dtype));
    for (const std::int64_t dimension : info.shape) {
      bits = checked_multiply(*bits, static_cast<std::uint64_t>(dimension));
      if (!bits)
        fail_here("tensor " + quote(name_) + " of shape " + shape_text(info.shape) + " is too large for any file");
    }
    if (*bits % 8 != 0) {
      fail_here("tensor " + quote(name_) + ": " + std::string(dtype_name(info.dtype)) + " of shape " +
                shape_text(info.shape) + " does not fill whole bytes");
    }
    return *bits / 8;
  }

  [[noreturn]] void refuse(const std::string& what, const std::string& text) const {
    if (in_metadata_)
      fail_here("`__metadata__` holds " + what + " (" + quote(text) + "); only strings are allowed there");
    fail_here("tensor " + quote(name_) + " holds " + what + " (" + quote(text) +
              ") where a dtype, a shape or two offsets are wanted");
  }

  std::uint64_t data_begin_;
  std::vector<StoredTensor> tensors_;
  std::string name_;
  bool in_metadata_ = false;
  bool seen_metadata_ = false;
  std::unordered_set<std::string> metadata_keys_;
  Member member_ = Member::dtype;
  std::array<bool, 3> seen_members_{};
  std::array<std::uint64_t, 2> offsets_{};
  std::size_t offset_count_ = 0;
};

void require_distinct_names(const std::vector<StoredTensor>& tensors, const std::string& subject) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const StoredTensor& tensor : tensors) names.emplace_back(tensor.info.name);
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end()) {
    fail(Code::parse, subject, "the tensor " + quote(*twice) + " occurs twice in the header");
  }
}

// In order of data, each tensor begins where the one before it ended, and the last ends with the file.
void require_exact_cover(std::vector<StoredTensor>& tensors, std::uint64_t begin, std::uint64_t end,
                         const std::string& subject) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return std::make_pair(a.begin, a.info.byte_size()) < std::make_pair(b.begin, b.info.byte_size());
  });
  std::uint64_t reached = begin;
  for (const StoredTensor& tensor : tensors) {
    const std::uint64_t tensor_end = tensor.begin + tensor.info.byte_size();  // was checked to fit
    if (tensor_end > end) {
      fail(Code::parse, subject,
           "the data of tensor " + quote(tensor.info.name) + " ends at offset " + std::to_string(tensor_end) +
               ", past the end of the file at " + std::to_string(end));
    }
    if (tensor.begin != reached) {
      fail(Code::parse, subject,
           "the data of tensor " + quote(tensor.info.name) + " begins at offset " + std::to_string(tensor.begin) +
               (tensor.begin < reached ? ", inside" : ", not at the end of") + " the data before it, which ends at " +
               std::to_string(reached));
    }
    reached = tensor_end;
  }
  if (reached != end) {
    fail(Code::parse, subject,
         std::to_string(end - reached) + " bytes at offset " + std::to_string(reached) + " belong to no tensor");
  }
}

std::uint64_t little_endian(gsl::span<const std::byte, prefix_bytes> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  return value;
}

// A clone without git-lfs leaves a short text in place of each large file.
void refuse_lfs_pointer(const InputFile& file) {
  constexpr std::string_view mark = "version https://git-lfs.github.com/spec/";
  std::string text(mark.size(), '\0');
  if (file.size() < mark.size()) return;
  file.read(0, gsl::as_writable_bytes(gsl::make_span(text)));
  if (text == mark) {
    fail(Code::parse, file.path(),
         "this is a git LFS pointer, a text that stands for the weights; fetch the weights themselves with `git lfs "
         "pull`");
  }
}

}  // namespace

std::vector<StoredTensor> parse_safetensors_header(std::string_view header, std::uint64_t data_begin,
                                                   std::uint64_t data_bytes, const std::string& subject) {
  const auto data_end = checked_add(data_begin, data_bytes);
  if (!data_end) fail(Code::parse, subject, "the file is too large");
  if (header.empty() || header.front() != '{') {
    fail(Code::parse, subject, "the header does not begin with `{`; this is not a safetensors file");
  }
  HeaderReader reader(subject, data_begin);
  reader.parse(header);
  std::vector<StoredTensor> tensors = reader.take();
  require_distinct_names(tensors, subject);
  require_exact_cover(tensors, data_begin, *data_end, subject);
  return tensors;
}

namespace {

std::string read_header_text(const InputFile& file) {
  refuse_lfs_pointer(file);
  if (file.size() < prefix_bytes) {
    fail(Code::parse, file.path(),
         "the file has " + std::to_string(file.size()) +
             " bytes and is too small for a safetensors file, which begins with 8 bytes of header length");
  }
  std::array<std::byte, prefix_bytes> prefix{};
  file.read(0, prefix);
  const std::uint64_t length = little_endian(prefix);
  if (length > max_header_bytes) {
    fail(Code::parse, file.path(),
         "the header length at offset 0 is " + std::to_string(length) + " bytes; the limit is " +
             std::to_string(max_header_bytes));
  }
  const std::uint64_t rest = file.size() - prefix_bytes;
  if (length > rest) {
    fail(Code::parse, file.path(),
         "the header length at offset 0 is " + std::to_string(length) + " bytes, but only " + std::to_string(rest) +
             " follow; the file was cut short or is not safetensors");
  }
  std::string header(static_cast<std::size_t>(length), '\0');
  file.read(prefix_bytes, gsl::as_writable_bytes(gsl::make_span(header)));
  return header;
}

}  // namespace

std::vector<StoredTensor> read_safetensors_header(const InputFile& file) {
  const std::string header = read_header_text(file);
  const std::uint64_t data_begin = prefix_bytes + header.size();
  return parse_safetensors_header(header, data_begin, file.size() - data_begin, file.path());
}

std::string header_hash(const InputFile& file) { return hash_of(read_header_text(file)); }

}  // namespace autoround::checkpoint
