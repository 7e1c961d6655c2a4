// What the product of a slice of A and some panels of B is made of. Part of linear_products.cpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "model/kernels/kernels.hpp"

namespace autoround::model {

using kernels::Bf16;
using kernels::Bf16Matrix;
using kernels::kPanelColumns;
using kernels::Product;
using kernels::ProductKernels;

inline std::int64_t divide_up(std::int64_t value, std::int64_t by) { return (value + by - 1) / by; }
inline std::int64_t round_up(std::int64_t value, std::int64_t by) { return divide_up(value, by) * by; }

inline Bf16Matrix rows_of(Bf16Matrix x, std::int64_t first, std::int64_t most) {
  return {x.data + first * x.step, x.step, std::min(most, x.rows - first), x.columns};
}
inline Bf16Matrix columns_of(Bf16Matrix x, std::int64_t first, std::int64_t most) {
  return {x.data + first, x.step, x.rows, std::min(most, x.columns - first)};
}

/// What one product is cut into. Its sums are the same however large slices and groups are: each goes along k in
/// `step`s.
struct Pieces {
  /// @param most bytes of a group of panels and its sums, where that is more than one panel
  Pieces(const ProductKernels& kernels, std::int64_t rows, std::int64_t columns, std::int64_t depth, std::int64_t most)
      : pairs(round_up(divide_up(depth, 2), kernels.cut.pair_multiple)),
        panel(pairs * kPanelColumns * 2),
        panels(divide_up(columns, kPanelColumns)),
        slice(std::min(kernels.cut.slice_rows, round_up(rows, kernels.cut.tile_rows))),
        step(round_up(divide_up(pairs, divide_up(pairs, kernels.cut.depth)), kernels.cut.pair_multiple)),
        group(divide_up(panels, divide_up(panels, most_panels(kernels, most)))) {}

  std::int64_t groups() const { return divide_up(panels, group); }
  std::int64_t sums_of_panel() const { return slice * kPanelColumns * 4; }
  std::int64_t partial_bytes() const { return group * sums_of_panel(); }

  std::int64_t pairs;   // with the zeros at the end
  std::int64_t panel;   // elements of one
  std::int64_t panels;  // of B
  std::int64_t slice;   // rows of A
  std::int64_t step;    // pairs that are summed before the next panel's turn
  std::int64_t group;   // panels that meet a slice of A, one after the other; about as many in each group

 private:
  std::int64_t most_panels(const ProductKernels& kernels, std::int64_t most) const {
    const std::int64_t cached = kernels.cut.group_bytes / (step * kPanelColumns * 4);
    return std::max<std::int64_t>(1, std::min(cached, most / (panel * 2 + sums_of_panel())));
  }
};

constexpr std::int64_t kMostPacked = 4 << 20;  // bytes for a group of panels and its sums, if more than one panel

/// Of a weight's gradient [outputs, inputs], a sum over tokens. Slices are shorter than they could be where there are
/// few of them, so that no thread waits long for the last one.
inline Pieces gradient_pieces(const ProductKernels& kernels, std::int64_t outputs, std::int64_t inputs,
                              std::int64_t tokens, std::int64_t threads) {
  constexpr std::int64_t any = std::numeric_limits<std::int64_t>::max();
  return {kernels, divide_up(outputs, 4 * threads), inputs, tokens, any};
}

/// While it lives, this thread multiplies.
class Multiplying {
 public:
  explicit Multiplying(const ProductKernels& kernels) : kernels_(kernels) { kernels_.begin(); }
  ~Multiplying() { kernels_.end(); }
  Multiplying(const Multiplying&) = delete;
  Multiplying& operator=(const Multiplying&) = delete;

 private:
  const ProductKernels& kernels_;
};

/// One slice of A by the group of panels from `first` on: `product` has what all of them share, its c, bias and columns
/// those of the first column of C, which has `columns`. The sums of a panel wait in a part of `partial` of its own.
inline void multiply_slice(const ProductKernels& kernels, const Pieces& pieces, Product product, std::int64_t first,
                           std::int64_t columns) {
  const Product whole = product;
  const std::int64_t count = std::min(pieces.group, pieces.panels - first);
  for (product.begin = 0; product.begin < product.pairs; product.begin = product.end) {
    product.end = std::min(product.pairs, product.begin + pieces.step);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t column = (first + i) * kPanelColumns;
      product.b = whole.b + i * pieces.panel;
      product.next_b = i + 1 < count ? product.b + pieces.panel : nullptr;
      product.bias = whole.bias == nullptr ? nullptr : whole.bias + column;
      product.columns = std::min(kPanelColumns, columns - column);
      product.c = whole.c + column;
      product.partial = whole.partial + i * pieces.slice * kPanelColumns;
      kernels.multiply(product);
    }
  }
}

}  // namespace autoround::model
