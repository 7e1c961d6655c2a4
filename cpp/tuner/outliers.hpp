// The largest differences between a block's output and its target. SignRoundV2 leaves them out of the loss where bits
// are few: squared, they would drown the rest. Source: auto-round 0.15.1 sign_roundv2/quantizer.py, _get_loss.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/where.h>
#include <c10/util/BFloat16.h>

#include <cstdint>
#include <gsl/span>
#include <vector>

namespace autoround::tuner {

class Outliers {
 public:
  /// The `share` of the elements on real tokens, at least one, with the largest differences as bf16 has them; of equal
  /// ones the first. What is not finite is none of them: it has to show. Same whatever the number of threads.
  /// @param prediction,target,lengths,length as squared_error has them
  Outliers(const at::Tensor& prediction, const at::Tensor& target, gsl::span<const std::int64_t> lengths,
           std::int64_t length, double share);

  /// On a device: `prediction` with its outliers equal to their targets.
  at::Tensor equalled(const at::Tensor& prediction, const at::Tensor& target) const {
    return at::where(mask_, target, prediction);
  }

  /// On the CPU: turns the differences of one row, in order, to zero where they are outliers.
  class RowFilter {
   public:
    RowFilter(std::size_t least, std::int64_t ties) : least_(least), ties_(ties) {}
    float keep(float difference) {
      const std::size_t key = key_of(difference);
      if (key < least_ || key >= finite_keys) return difference;
      return key > least_ || ties_-- > 0 ? 0.0f : difference;
    }

   private:
    std::size_t least_;
    std::int64_t ties_;  // how many as large as the least are left
  };
  RowFilter of_row(std::int64_t row) const { return {least_, ties_[static_cast<std::size_t>(row)]}; }

  /// Bits of a magnitude as bf16 has it: larger for a larger one.
  static std::size_t key_of(float difference) { return c10::BFloat16(difference).x & 0x7fffu; }
  static constexpr std::size_t finite_keys = 0x7f80;

 private:
  void find_on_device(const at::Tensor& prediction, const at::Tensor& target, gsl::span<const std::int64_t> lengths,
                      std::int64_t length, double share);
  std::int64_t find_least(const std::int64_t* counts, gsl::span<const std::int64_t> lengths, std::int64_t width,
                          double share);

  std::size_t least_ = finite_keys;  // key of the smallest outliers
  std::vector<std::int64_t> ties_;   // of each row, how many with that key are outliers
  at::Tensor mask_;                  // on a device instead: true where an element is one
};

}  // namespace autoround::tuner
