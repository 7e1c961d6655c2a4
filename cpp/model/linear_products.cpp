// Compiled with OpenMP (guided_for.hpp) and therefore without the precompiled header.
#include "model/linear_products.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>

#include <algorithm>

#include "model/guided_for.hpp"
#include "model/kernels/kernels.hpp"

namespace autoround::model {
namespace {

using kernels::Bf16;
using kernels::Bf16Matrix;
using kernels::kPanelColumns;

constexpr std::int64_t kSliceRows = 96;  // rows of A that share a packed panel before the next panel's turn
constexpr std::int64_t kOperationsPerTask = 1 << 21;  // below this a thread costs more than it brings

std::int64_t divide_up(std::int64_t value, std::int64_t by) { return (value + by - 1) / by; }

Bf16Matrix matrix(const at::Tensor& x) {
  return {static_cast<const Bf16*>(x.const_data_ptr()), x.stride(0), x.size(0), x.size(1)};
}
Bf16Matrix rows_of(Bf16Matrix x, std::int64_t first, std::int64_t most) {
  return {x.data + first * x.step, x.step, std::min(most, x.rows - first), x.columns};
}
Bf16Matrix columns_of(Bf16Matrix x, std::int64_t first, std::int64_t most) {
  return {x.data + first, x.step, x.rows, std::min(most, x.columns - first)};
}

/// One piece of memory cut into parts of 64-byte multiples.
class Cutter {
 public:
  static std::int64_t padded(std::int64_t bytes) { return divide_up(bytes, 64) * 64; }
  explicit Cutter(std::byte* memory) : memory_(memory) {}
  template <class T>
  T* take(std::int64_t bytes) {
    auto* taken = reinterpret_cast<T*>(memory_);
    memory_ += padded(bytes);
    return taken;
  }

 private:
  std::byte* memory_;
};

constexpr std::int64_t kPartialBytes = kSliceRows * kPanelColumns * 4;
std::int64_t panel_bytes(std::int64_t depth) { return divide_up(depth, 2) * kPanelColumns * 4; }

/// C[m, n] = A B + bias with A as stored. Tasks are slices of A under one panel after the other, so that every thread
/// packs few panels and all have equal work whatever the shape. `pack(first, panel)` packs the columns of B from
/// `first`.
template <class Pack>
void multiply_stored(const kernels::ProductKernels& kernels, const Bf16Matrix& a, const Pack& pack, const Bf16* bias,
                     const at::Tensor& c, std::byte* memory) {
  const std::int64_t columns = c.size(1), slices = divide_up(a.rows, kSliceRows);
  const std::int64_t per_thread = Cutter::padded(panel_bytes(a.columns)) + kPartialBytes;
  const std::int64_t grain = divide_up(kOperationsPerTask, kSliceRows * kPanelColumns * a.columns);
  guided_for(divide_up(columns, kPanelColumns) * slices, grain, [&](std::int64_t begin, std::int64_t end) {
    Cutter cutter(memory + at::get_thread_num() * per_thread);
    auto* panel = cutter.take<Bf16>(panel_bytes(a.columns));
    kernels::Product product;
    product.b = panel;
    product.partial = cutter.take<float>(kPartialBytes);
    product.a_row = a.step;
    product.pairs = a.columns / 2;
    product.c_row = c.stride(0);
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t column = task / slices * kPanelColumns, row = task % slices * kSliceRows;
      if (task == begin || row == 0) pack(column, panel);
      product.a = a.data + row * a.step;
      product.rows = std::min(kSliceRows, a.rows - row);
      product.columns = std::min(kPanelColumns, columns - column);
      product.bias = bias == nullptr ? nullptr : bias + column;
      product.c = static_cast<Bf16*>(c.mutable_data_ptr()) + row * product.c_row + column;
      kernels.multiply(product);
    }
  });
}

std::int64_t stored_bytes(std::int64_t depth) {
  return at::get_num_threads() * (Cutter::padded(panel_bytes(depth)) + kPartialBytes);
}

/// All of x as panels, one under the other, for products that sum over its rows.
void pack_columns(const kernels::ProductKernels& kernels, const Bf16Matrix& x, Bf16* panels) {
  constexpr std::int64_t strip = 32;  // rows at once, so that they are read along and not across
  guided_for(divide_up(x.rows, strip), 2, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin * strip; row < std::min(end * strip, x.rows); row += strip) {
      for (std::int64_t column = 0; column < x.columns; column += kPanelColumns) {
        Bf16* panel = panels + column / kPanelColumns * (panel_bytes(x.rows) / 2);
        kernels.panel_from_columns(columns_of(rows_of(x, row, strip), column, kPanelColumns),
                                   panel + row * kPanelColumns);
      }
    }
  });
}

}  // namespace

LinearProducts::LinearProducts(bool fused) : fused_(fused) {}

bool LinearProducts::packs_bf16() { return kernels::select_kernels().products != nullptr; }

bool LinearProducts::packs(const at::Tensor& a, const at::Tensor& b) const {
  const auto covered = [](const at::Tensor& x) {
    return x.is_cpu() && x.scalar_type() == at::kBFloat16 && x.stride(1) == 1 && x.size(1) % 2 == 0 && x.numel() > 0;
  };
  return fused_ && packs_bf16() && covered(a) && covered(b);
}

std::byte* LinearProducts::workspace(std::int64_t bytes) {
  if (!workspace_.defined() || workspace_.numel() < bytes) {
    workspace_.reset();
    workspace_ = mapped_tensor({bytes}, at::kByte);
  }
  return static_cast<std::byte*>(workspace_.mutable_data_ptr());
}

at::Tensor LinearProducts::whole_gradient(std::int64_t outputs, std::int64_t inputs, const at::Tensor& like) {
  if (!like.is_cpu()) return at::empty({outputs, inputs}, like.options());
  std::byte* memory = workspace(outputs * inputs * static_cast<std::int64_t>(like.element_size()));
  return at::from_blob(memory, {outputs, inputs}, like.options());
}

void LinearProducts::forward(at::Tensor& y, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::NoGradGuard no_grad;  // operations that write into given memory refuse tensors that need a gradient
  if (packs(x, weight)) {
    const auto& kernels = *kernels::select_kernels().products;
    const Bf16Matrix w = matrix(weight);
    const auto pack = [&](std::int64_t column, Bf16* panel) {
      kernels.panel_from_rows(rows_of(w, column, kPanelColumns), panel);
    };
    const at::Tensor dense = bias.defined() ? bias.to(at::kBFloat16).contiguous() : bias;
    const auto* added = dense.defined() ? static_cast<const Bf16*>(dense.const_data_ptr()) : nullptr;
    multiply_stored(kernels, matrix(x), pack, added, y, workspace(stored_bytes(w.columns)));
  } else if (bias.defined()) {
    at::addmm_out(y, bias, x, weight.t());
  } else {
    at::mm_out(y, x, weight.t());
  }
}

void LinearProducts::input_gradient(at::Tensor& gradient, const at::Tensor& output_gradient, const at::Tensor& weight) {
  const at::NoGradGuard no_grad;
  if (packs(output_gradient, weight)) {
    const auto& kernels = *kernels::select_kernels().products;
    const Bf16Matrix w = matrix(weight);
    const auto pack = [&](std::int64_t column, Bf16* panel) {
      kernels.panel_from_columns(columns_of(w, column, kPanelColumns), panel);
    };
    multiply_stored(kernels, matrix(output_gradient), pack, nullptr, gradient, workspace(stored_bytes(w.rows)));
  } else {
    at::mm_out(gradient, output_gradient, weight);
  }
}

void LinearProducts::weight_gradient(const at::Tensor& output_gradient, const at::Tensor& x, const TakeRows& take) {
  const at::NoGradGuard no_grad;
  const std::int64_t outputs = output_gradient.size(1), inputs = x.size(1), tokens = x.size(0);
  if (!packs(output_gradient, x)) {
    at::Tensor gradient = whole_gradient(outputs, inputs, x);
    at::mm_out(gradient, output_gradient.t(), x);
    return take(0, gradient);
  }

  const auto& kernels = *kernels::select_kernels().products;
  const std::int64_t panels = divide_up(inputs, kPanelColumns), panel = panel_bytes(tokens);
  const std::int64_t tiles = panel_bytes(tokens) / kPanelColumns * kSliceRows, block = kSliceRows * inputs * 2;
  const std::int64_t per_thread = Cutter::padded(tiles) + Cutter::padded(block) + kPartialBytes;
  std::byte* memory = workspace(panels * panel + at::get_num_threads() * per_thread);
  auto* packed = reinterpret_cast<Bf16*>(memory);
  pack_columns(kernels, matrix(x), packed);

  // Slices are shorter than they could be where there are few of them, so that no thread waits long for the last one.
  const std::int64_t share = divide_up(outputs, 4 * at::get_num_threads() * kernels::kTileHeight);
  const std::int64_t rows = std::min(kSliceRows, share * kernels::kTileHeight);
  guided_for(divide_up(outputs, rows), 1, [&](std::int64_t begin, std::int64_t end) {
    Cutter cutter(memory + panels * panel + at::get_thread_num() * per_thread);
    auto* left = cutter.take<Bf16>(tiles);
    auto* gradient = cutter.take<Bf16>(block);
    kernels::Product product;
    product.a = left;
    product.partial = cutter.take<float>(kPartialBytes);
    product.pairs = divide_up(tokens, 2);
    product.c_row = inputs;
    for (std::int64_t row = begin * rows; row < std::min(end * rows, outputs); row += rows) {
      const Bf16Matrix columns = columns_of(matrix(output_gradient), row, rows);
      kernels.tiles_from_columns(columns, left);
      product.rows = columns.columns;
      for (std::int64_t column = 0; column < inputs; column += kPanelColumns) {
        product.b = packed + column / kPanelColumns * (panel / 2);
        product.columns = std::min(kPanelColumns, inputs - column);
        product.c = gradient + column;
        kernels.multiply(product);
      }
      take(row, at::from_blob(gradient, {product.rows, inputs}, x.options()));
    }
  });
}

}  // namespace autoround::model
