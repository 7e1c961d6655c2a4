// Compiled with OpenMP (guided_for.hpp) and therefore without the precompiled header.
#include "model/linear_products.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "model/guided_for.hpp"
#include "model/kernels/kernels.hpp"
#include "model/mapped_memory.hpp"
#include "model/product_pieces.hpp"

namespace autoround::model {
namespace {

constexpr std::int64_t kLargeBytes = 1 << 20;         // of a result: more than a core's caches hold beside the operands
constexpr std::int64_t kOperationsPerTask = 1 << 21;  // below this a thread costs more than it brings

Bf16Matrix matrix(const at::Tensor& x) {
  return {static_cast<const Bf16*>(x.const_data_ptr()), x.stride(0), x.size(0), x.size(1)};
}

/// One piece of memory cut into parts of 64-byte multiples.
class Cutter {
 public:
  static std::int64_t padded(std::int64_t bytes) { return round_up(bytes, 64); }
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

/// Memory of one thread.
std::int64_t stored_bytes(const Pieces& pieces) {
  return Cutter::padded(pieces.group * pieces.panel * 2) + Cutter::padded(pieces.partial_bytes());
}

/// C[m, n] = A B + bias with A as stored. Tasks are slices of A under one group of panels after the other, so that all
/// threads have equal work whatever the shape; each keeps the group that it packed last. `pack(first, panel)` packs the
/// columns of B from `first`.
template <class Pack>
void multiply_stored(const ProductKernels& kernels, const Pieces& pieces, const Bf16Matrix& a, const Pack& pack,
                     const Bf16* bias, const at::Tensor& c, std::byte* memory) {
  const std::int64_t columns = c.size(1), slices = divide_up(a.rows, pieces.slice);
  const std::int64_t grain = divide_up(kOperationsPerTask, pieces.slice * pieces.group * pieces.panel / 2);
  std::vector<std::int64_t> packed(static_cast<std::size_t>(at::get_num_threads()), -1);  // the group that a thread has
  guided_for(pieces.groups() * slices, grain, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t& group = packed[static_cast<std::size_t>(at::get_thread_num())];
    const Multiplying multiplying(kernels);
    Cutter cutter(memory + at::get_thread_num() * stored_bytes(pieces));
    auto* panels = cutter.take<Bf16>(pieces.group * pieces.panel * 2);
    Product product;
    product.partial = cutter.take<float>(pieces.partial_bytes());
    product.a_row = a.step;
    product.pairs = a.columns / 2;
    product.c_row = c.stride(0);
    product.c_is_large = c.numel() * 2 >= kLargeBytes;
    product.b = panels;
    product.bias = bias;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t first = task / slices * pieces.group, row = task % slices * pieces.slice;
      if (std::exchange(group, task / slices) != task / slices) {
        for (std::int64_t i = 0; i < std::min(pieces.group, pieces.panels - first); ++i) {
          pack((first + i) * kPanelColumns, panels + i * pieces.panel);
        }
      }
      product.a = a.data + row * a.step;
      product.rows = std::min(pieces.slice, a.rows - row);
      product.c = static_cast<Bf16*>(c.mutable_data_ptr()) + row * product.c_row;
      multiply_slice(kernels, pieces, product, first, columns);
    }
  });
}

/// All of x as panels, one under the other, for products that sum over its rows.
void pack_columns(const ProductKernels& kernels, const Pieces& pieces, const Bf16Matrix& x, Bf16* panels) {
  constexpr std::int64_t strip = 32;  // rows at once, so that they are read along and not across
  guided_for(divide_up(x.rows, strip), 2, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin * strip; row < std::min(end * strip, x.rows); row += strip) {
      for (std::int64_t panel = 0; panel < pieces.panels; ++panel) {
        kernels.panel_from_columns(columns_of(rows_of(x, row, strip), panel * kPanelColumns, kPanelColumns), row / 2,
                                   pieces.pairs, panels + panel * pieces.panel);
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

std::byte* LinearProducts::thread_memory(std::int64_t bytes) { return workspace(at::get_num_threads() * bytes); }

// Gradients of weights need a large workspace: while it is there, products as deep as a wide layer keep more panels.
std::int64_t LinearProducts::most_packed() const {
  return std::max(kMostPacked, workspace_.defined() ? workspace_.numel() / at::get_num_threads() : 0);
}

at::Tensor LinearProducts::whole_gradient(std::int64_t outputs, std::int64_t inputs, const at::Tensor& like) {
  if (!like.is_cpu()) return at::empty({outputs, inputs}, like.options());
  std::byte* memory = workspace(outputs * inputs * static_cast<std::int64_t>(like.element_size()));
  return at::from_blob(memory, {outputs, inputs}, like.options());
}

void LinearProducts::forward(at::Tensor& y, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::NoGradGuard no_grad;  // operations that write into given memory refuse tensors that need a gradient
  if (packs(x, weight)) {
    const ProductKernels& kernels = *kernels::select_kernels().products;
    const Bf16Matrix w = matrix(weight);
    const Pieces pieces(kernels, x.size(0), w.rows, w.columns, most_packed());
    const auto pack = [&](std::int64_t column, Bf16* panel) {
      kernels.panel_from_rows(rows_of(w, column, kPanelColumns), panel);
    };
    const at::Tensor dense = bias.defined() ? bias.to(at::kBFloat16).contiguous() : bias;
    const auto* added = dense.defined() ? static_cast<const Bf16*>(dense.const_data_ptr()) : nullptr;
    multiply_stored(kernels, pieces, matrix(x), pack, added, y, thread_memory(stored_bytes(pieces)));
  } else if (bias.defined()) {
    at::addmm_out(y, bias, x, weight.t());
  } else {
    at::mm_out(y, x, weight.t());
  }
}

void LinearProducts::input_gradient(at::Tensor& gradient, const at::Tensor& output_gradient, const at::Tensor& weight) {
  const at::NoGradGuard no_grad;
  if (packs(output_gradient, weight)) {
    const ProductKernels& kernels = *kernels::select_kernels().products;
    const Bf16Matrix w = matrix(weight);
    const Pieces pieces(kernels, output_gradient.size(0), w.columns, w.rows, most_packed());
    const auto pack = [&](std::int64_t column, Bf16* panel) {
      kernels.panel_from_columns(columns_of(w, column, kPanelColumns), 0, pieces.pairs, panel);
    };
    multiply_stored(kernels, pieces, matrix(output_gradient), pack, nullptr, gradient,
                    thread_memory(stored_bytes(pieces)));
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

  const ProductKernels& kernels = *kernels::select_kernels().products;
  const Pieces pieces = gradient_pieces(kernels, outputs, inputs, tokens, at::get_num_threads());
  const std::int64_t tiles = pieces.slice * pieces.pairs * 4, block = pieces.slice * inputs * 2;
  const std::int64_t per_thread = Cutter::padded(tiles) + Cutter::padded(block) + pieces.partial_bytes();
  std::byte* memory = workspace(pieces.panels * pieces.panel * 2 + at::get_num_threads() * per_thread);
  auto* packed = reinterpret_cast<Bf16*>(memory);
  pack_columns(kernels, pieces, matrix(x), packed);

  guided_for(divide_up(outputs, pieces.slice), 1, [&](std::int64_t begin, std::int64_t end) {
    Cutter cutter(memory + pieces.panels * pieces.panel * 2 + at::get_thread_num() * per_thread);
    auto* left = cutter.take<Bf16>(tiles);
    auto* gradient = cutter.take<Bf16>(block);
    Product product;
    product.a = left;
    product.partial = cutter.take<float>(pieces.partial_bytes());
    product.pairs = pieces.pairs;
    product.c = gradient;
    product.c_row = inputs;
    for (std::int64_t row = begin * pieces.slice; row < std::min(end * pieces.slice, outputs); row += pieces.slice) {
      const Bf16Matrix columns = columns_of(matrix(output_gradient), row, pieces.slice);
      kernels.tiles_from_columns(columns, left);
      product.rows = columns.columns;
      {
        const Multiplying multiplying(kernels);
        for (std::int64_t panel = 0; panel < pieces.panels; panel += pieces.group) {
          product.b = packed + panel * pieces.panel;
          multiply_slice(kernels, pieces, product, panel, inputs);
        }
      }
      take(row, at::from_blob(gradient, {product.rows, inputs}, x.options()));
    }
  });
}

}  // namespace autoround::model
