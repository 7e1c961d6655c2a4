// LibTorch's operations on the device that the CPU stands in for: those of the CPU, on the same memory.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/set_native.h>
#include <c10/core/CPUAllocator.h>
#include <torch/library.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "queue.hpp"

namespace autoround::cuda::on_host {
namespace {

using torch::jit::Stack;

const c10::Device kDevice(c10::kCUDA, 0);

c10::Storage same_memory(const c10::Storage& storage, c10::Device device) {
  auto* held = new c10::Storage(storage);
  const auto let_go = [](void* context) { delete static_cast<c10::Storage*>(context); };
  return c10::Storage(c10::Storage::use_byte_size_t(), storage.nbytes(),
                      c10::DataPtr(held->mutable_data(), held, let_go, device), c10::GetDefaultCPUAllocator(),
                      /*resizable=*/true);
}

at::Tensor like_in(const at::Tensor& x, const c10::Storage& storage) {
  const auto key = storage.device().is_cpu() ? c10::DispatchKey::CPU : c10::DispatchKey::CUDA;
  at::Tensor y = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(storage), c10::DispatchKeySet(key), x.dtype());
  y.unsafeGetTensorImpl()->set_sizes_and_strides(x.sizes(), x.strides(), x.storage_offset());
  return y;
}

at::Tensor on_cpu(const at::Tensor& x) {
  return x.defined() && x.is_cuda() ? like_in(x, same_memory(x.storage(), c10::kCPU)) : x;
}

/// An operation's arguments for the CPU, and its results for the device. What shares a storage goes on to share it.
class Translation {
 public:
  c10::IValue to_cpu(const c10::IValue& value) {
    if (value.isTensor()) return translated(value.toTensor());
    if (value.isDevice()) return c10::Device(c10::kCPU);
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& x : value.toTensorVector()) list.push_back(translated(x));
      return list;
    }
    if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor>& x : value.toOptionalTensorVector()) {
        list.push_back(x ? std::optional(translated(*x)) : std::nullopt);
      }
      return list;
    }
    return value;
  }

  /// What the operation gave another size has other memory, which the argument takes over.
  void take_sizes() const {
    for (const auto& [x, alias] : seen_) {
      if (alias.sizes() == x.sizes()) continue;
      x.unsafeGetTensorImpl()->set_storage_keep_dtype(on_device(alias.storage()));
      x.unsafeGetTensorImpl()->set_sizes_and_strides(alias.sizes(), alias.strides(), alias.storage_offset());
    }
  }

  c10::IValue to_device(const c10::IValue& value) const {
    if (value.isTensor()) return to_device(value.toTensor());
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& x : value.toTensorVector()) list.push_back(to_device(x));
      return list;
    }
    return value;
  }

 private:
  at::Tensor translated(const at::Tensor& x) {
    if (!x.defined() || x.is_cpu()) return x;
    return seen_.emplace_back(x, on_cpu(x)).second;
  }

  at::Tensor to_device(const at::Tensor& y) const {
    if (!y.defined()) return y;
    for (const auto& [x, alias] : seen_) {
      if (alias.is_same(y)) return x;
      if (alias.storage().unsafeGetStorageImpl() == y.storage().unsafeGetStorageImpl()) return like_in(y, x.storage());
    }
    return like_in(y, on_device(y.storage()));
  }

  static c10::Storage on_device(const c10::Storage& memory) {
    const c10::Storage storage = same_memory(memory, kDevice);
    keep(std::make_shared<c10::Storage>(storage));
    return storage;
  }

  std::vector<std::pair<at::Tensor, at::Tensor>> seen_;
};

Stack call(const c10::OperatorHandle& op, Stack arguments) {
  const at::AutoDispatchBelowADInplaceOrView below;
  op.callBoxed(arguments);
  return arguments;
}

/// The arguments that an operation writes, in the order in which it returns them.
Stack written(const c10::FunctionSchema& schema, const Stack& arguments) {
  Stack results;
  for (const c10::Argument& result : schema.returns()) {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const c10::AliasInfo* info = schema.arguments()[i].alias_info();
      if (info && result.alias_info() && *info == *result.alias_info()) results.push_back(arguments[i]);
    }
  }
  TORCH_INTERNAL_ASSERT(results.size() == schema.returns().size());
  return results;
}

/// Computes nothing: memory without values, or another look at the same.
bool only_shapes(const c10::FunctionSchema& schema) {
  return schema.name().starts_with("aten::empty") ||
         (!schema.returns().empty() && schema.returns()[0].alias_info() && !schema.is_mutable());
}

/// What it returns to the host depends on values.
bool makes_host_wait(const c10::FunctionSchema& schema) {
  static const std::set<std::string> names{"aten::_local_scalar_dense", "aten::equal", "aten::nonzero",
                                           "aten::masked_select"};
  return names.contains(schema.name());
}

/// While a graph is recorded, what an operation writes is written when the graph runs; what it returns has memory from
/// the start, and its values then.
Stack record(const c10::OperatorHandle& op, const Stack& arguments) {
  TORCH_CHECK(!makes_host_wait(op.schema()), op.schema().name(), " makes the host wait, which a graph cannot");
  if (op.schema().is_mutable()) {
    const Stack results = written(op.schema(), arguments);
    for (const c10::IValue& result : results) {
      if (result.toTensor().numel() > 0) continue;
      call(op, arguments);  // gives it the size that it is to have; there is no value that would be lost
      break;
    }
    std::vector<std::vector<std::int64_t>> sizes;
    for (const c10::IValue& result : results) sizes.push_back(result.toTensor().sizes().vec());
    queue([op, arguments, results, sizes] {
      call(op, arguments);
      for (std::size_t i = 0; i < results.size(); ++i) {
        TORCH_CHECK(results[i].toTensor().sizes() == sizes[i], op.schema().name(), " gave what it writes another size");
      }
    });
    return results;
  }
  const Stack results = call(op, arguments);
  if (only_shapes(op.schema())) return results;
  queue([op, arguments, results] {
    const Stack again = call(op, arguments);
    for (std::size_t i = 0; i < results.size(); ++i) {
      const bool has_values = results[i].isTensor() && results[i].toTensor().defined();
      if (has_values) results[i].toTensor().copy_(again[i].toTensor());
    }
  });
  return results;
}

void run(const c10::OperatorHandle& op, Stack* stack) {
  const std::size_t count = op.schema().arguments().size();
  Translation translation;
  Stack arguments;
  for (const c10::IValue& value : torch::jit::last(*stack, count)) arguments.push_back(translation.to_cpu(value));
  torch::jit::drop(*stack, count);
  const Stack results = is_recording() ? record(op, arguments) : call(op, std::move(arguments));
  translation.take_sizes();
  for (const c10::IValue& result : results) stack->push_back(translation.to_device(result));
}

/// Between the device and the host, or on the device.
at::Tensor& copy(at::Tensor& self, const at::Tensor& source, bool non_blocking) {
  const at::Tensor to = on_cpu(self), from = on_cpu(source);
  if (is_recording()) {
    const at::Tensor& host = self.is_cpu() ? self : source;
    TORCH_CHECK(!host.is_cpu() || (non_blocking && host.is_pinned()),
                "a copy from or to the host makes it wait, which a graph cannot");
  }
  queue([to, from] {
    const at::AutoDispatchBelowADInplaceOrView below;
    to.copy_(from);
  });
  return self;
}

}  // namespace

TORCH_LIBRARY_IMPL(_, CUDA, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&run>()); }

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  library.impl("copy_", copy);
  library.impl("set_.source_Storage_storage_offset", at::native::set_storage_cpu_);  // of any device
}

}  // namespace autoround::cuda::on_host
