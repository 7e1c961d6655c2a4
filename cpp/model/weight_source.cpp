#include "model/weight_source.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "model/stacked_experts.hpp"

namespace autoround::model {
namespace {

using checkpoint::Checkpoint;
using checkpoint::DType;
using checkpoint::TensorInfo;

/// Bytes read and converted at a time: large enough for the disk, small enough to stay in the cache.
constexpr std::int64_t chunk_bytes = std::int64_t{4} << 20;

/// Index of the first word whose exponent bits are all set (NaN or Inf).
template <typename Word>
std::optional<std::int64_t> first_full_exponent(const at::Tensor& flat, Word exponent) {
  const Word* words = static_cast<const Word*>(flat.const_data_ptr());
  const std::int64_t count = flat.numel();
  bool found = false;
  for (std::int64_t i = 0; i < count; ++i) found |= (words[i] & exponent) == exponent;  // no branch: vectorises
  if (!found) return std::nullopt;
  return std::find_if(words, words + count, [&](Word w) { return (w & exponent) == exponent; }) - words;
}

void require_finite(const at::Tensor& flat, const std::string& name, std::int64_t offset) {
  if (const auto bad = first_nonfinite(flat))
    fail(Code::parse, name,
         "element " + std::to_string(offset + *bad) + " of the tensor is NaN or infinite; weights must be finite");
}

class CheckpointWeights : public WeightSource {
 public:
  explicit CheckpointWeights(std::shared_ptr<const Checkpoint> checkpoint) : checkpoint_(std::move(checkpoint)) {}

  bool has(const std::string& name) const override {
    return checkpoint_->find(name) != nullptr || find_expert_part(*checkpoint_, name);
  }

  at::Tensor load(const std::string& name, at::ScalarType dtype) const override {
    if (const auto part = find_expert_part(*checkpoint_, name)) {
      at::Tensor out = at::empty(part->shape, dtype);
      read(*part, out);
      return out;
    }
    const TensorInfo& tensor = find(name);
    at::Tensor out = at::empty(tensor.shape, dtype);
    read(tensor, 0, out.view(-1));
    return out;
  }

  void load_into(const std::string& name, at::Tensor out) const override {
    if (const auto part = find_expert_part(*checkpoint_, name)) {
      require_shape(name, part->shape, out.sizes().vec());
      return read(*part, out);
    }
    const TensorInfo& tensor = find(name);
    require_shape(name, tensor.shape, out.sizes().vec());
    read(tensor, 0, out.view(-1));
  }

  at::Tensor load_rows(const std::string& name, const at::Tensor& ids, at::ScalarType dtype) const override {
    const TensorInfo& tensor = find(name);
    if (tensor.shape.size() != 2)
      fail(Code::parse, name, "the tensor has shape " + checkpoint::shape_text(tensor.shape) + "; a matrix is needed");
    const at::Tensor flat_ids = ids.to(at::kLong).contiguous().view(-1);
    const gsl::span<const std::int64_t> rows(flat_ids.const_data_ptr<std::int64_t>(), flat_ids.numel());
    const std::int64_t columns = tensor.shape[1];
    at::Tensor out = at::empty({flat_ids.numel(), columns}, dtype);
    for (std::size_t begin = 0; begin < rows.size();) {
      if (rows[begin] < 0 || rows[begin] >= tensor.shape[0])
        fail(
            Code::invalid_argument, name,
            "row " + std::to_string(rows[begin]) + " was asked for; the tensor has " + std::to_string(tensor.shape[0]));
      std::size_t end = begin + 1;  // neighbouring rows are one read
      while (end < rows.size() && rows[end] == rows[end - 1] + 1 && rows[end] < tensor.shape[0]) ++end;
      const auto count = static_cast<std::int64_t>(end - begin);
      read(tensor, rows[begin] * columns, out.narrow(0, static_cast<std::int64_t>(begin), count).view(-1));
      begin = end;
    }
    return out;
  }

  void will_load(const std::string& prefix, const Load&) const override { checkpoint_->will_need(prefix); }

 private:
  void read(const ExpertPart& part, at::Tensor out) const {
    find(part.stack);
    out.copy_(read_expert_part(*checkpoint_, part));
    require_finite(out.view(-1), part.name, 0);
  }

  const TensorInfo& find(const std::string& name) const {
    const TensorInfo* tensor = checkpoint_->find(name);
    if (!tensor) fail(Code::not_found, name, "the checkpoint has no such tensor");
    if (tensor->dtype != DType::f32 && tensor->dtype != DType::f16 && tensor->dtype != DType::bf16)
      fail(Code::unsupported, name,
           "the tensor is stored as " + std::string(checkpoint::dtype_name(tensor->dtype)) +
               "; full-precision weights are F32, F16 or BF16");
    return *tensor;
  }

  /// Fills `out`, 1-D and contiguous, from element `first` of the tensor: in place when the types agree, otherwise
  /// through a buffer of one chunk.
  void read(const TensorInfo& tensor, std::int64_t first, const at::Tensor& out) const {
    const at::ScalarType stored = torch_type(tensor.dtype);
    const std::int64_t item = static_cast<std::int64_t>(at::elementSize(stored)), total = out.numel();
    const std::int64_t step = chunk_bytes / item;
    const bool in_place = stored == out.scalar_type();
    const at::Tensor buffer = in_place ? at::Tensor() : at::empty({std::min(step, total)}, stored);
    for (std::int64_t done = 0; done < total; done += step) {
      const std::int64_t count = std::min(step, total - done);
      at::Tensor part = out.narrow(0, done, count);
      const at::Tensor raw = in_place ? part : buffer.narrow(0, 0, count);
      checkpoint_->read(tensor.name, static_cast<std::uint64_t>((first + done) * item), bytes_of(raw));
      if (!in_place) part.copy_(raw);
      require_finite(part, tensor.name, first + done);
    }
  }

  std::shared_ptr<const Checkpoint> checkpoint_;
};

constexpr std::pair<DType, at::ScalarType> type_table[] = {
    {DType::boolean, at::kBool},
    {DType::u8, at::kByte},
    {DType::i8, at::kChar},
    {DType::f8_e5m2, at::kFloat8_e5m2},
    {DType::f8_e4m3, at::kFloat8_e4m3fn},
    {DType::f8_e8m0, at::kFloat8_e8m0fnu},
    {DType::f8_e4m3fnuz, at::kFloat8_e4m3fnuz},
    {DType::f8_e5m2fnuz, at::kFloat8_e5m2fnuz},
    {DType::i16, at::kShort},
    {DType::u16, at::kUInt16},
    {DType::f16, at::kHalf},
    {DType::bf16, at::kBFloat16},
    {DType::i32, at::kInt},
    {DType::u32, at::kUInt32},
    {DType::f32, at::kFloat},
    {DType::f64, at::kDouble},
    {DType::i64, at::kLong},
    {DType::u64, at::kUInt64},
    {DType::c64, at::kComplexFloat},
};

}  // namespace

void require_shape(const std::string& name, const std::vector<std::int64_t>& found,
                   const std::vector<std::int64_t>& wanted) {
  if (found == wanted) return;
  fail(Code::parse, name,
       "the tensor has shape " + checkpoint::shape_text(found) + "; config.json implies " +
           checkpoint::shape_text(wanted));
}

gsl::span<std::byte> bytes_of(const at::Tensor& contiguous) {
  return {static_cast<std::byte*>(contiguous.mutable_data_ptr()), contiguous.nbytes()};
}

std::optional<std::int64_t> first_nonfinite(const at::Tensor& values) {
  if (values.scalar_type() == at::kFloat) return first_full_exponent<std::uint32_t>(values, 0x7f800000u);
  return first_full_exponent<std::uint16_t>(values, values.scalar_type() == at::kBFloat16 ? 0x7f80u : 0x7c00u);
}

std::shared_ptr<WeightSource> checkpoint_weights(std::shared_ptr<const Checkpoint> checkpoint) {
  return std::make_shared<CheckpointWeights>(std::move(checkpoint));
}

void WeightSource::will_load(const std::string&, const Load&) const {}

at::Tensor WeightSource::memory(at::IntArrayRef shape, at::ScalarType dtype) const {
  return at::empty(shape, at::device(device()).dtype(dtype));
}

at::ScalarType torch_type(DType type) {
  for (const auto& [disk, torch] : type_table)
    if (disk == type) return torch;
  fail(Code::unsupported, "", "LibTorch has no element type " + std::string(checkpoint::dtype_name(type)));
}

DType disk_type(at::ScalarType type) {
  for (const auto& [disk, torch] : type_table)
    if (torch == type) return disk;
  fail(Code::unsupported, "", "safetensors has no element type " + std::string(c10::toString(type)));
}

}  // namespace autoround::model
