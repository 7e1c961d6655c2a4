// Plain operations that group the products of experts as those of a device do, and count them.
#pragma once

#include "model/ops.hpp"

namespace autoround::test {

class GroupingOps final : public model::AtenOps {
 public:
  bool groups(const model::ExpertProjections& experts) const override { return model::stack_of(experts).defined(); }
  at::Tensor grouped_linear(const model::ExpertProjections& experts, const model::ExpertRows& rows,
                            const at::Tensor& x) override {
    ++products;
    return AtenOps::grouped_linear(experts, rows, x);
  }
  std::int64_t products = 0;
};

}  // namespace autoround::test
