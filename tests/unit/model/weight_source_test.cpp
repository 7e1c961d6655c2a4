#include <ATen/ATen.h>

#include <limits>

#include "expect_error.hpp"
#include "tiny_model.hpp"

namespace autoround::model {
namespace {

using autoround::test::expect_error;
using test::random_tensor;
using test::TinyFolder;

std::shared_ptr<WeightSource> source_of(const TinyFolder& folder) { return checkpoint_weights(folder.open()); }

TEST_CASE("weight source: every stored type is read and converted", "[model]") {
  const at::Tensor values = random_tensor({7, 5}, 1);
  const TinyFolder folder(test::tiny_config(),
                          {{"single", values}, {"half", values.to(at::kHalf)}, {"brain", values.to(at::kBFloat16)}});
  const auto source = source_of(folder);
  CHECK(source->has("half"));
  CHECK_FALSE(source->has("quarter"));
  CHECK(at::equal(source->load("single", at::kFloat), values));
  CHECK(at::equal(source->load("single", at::kBFloat16), values.to(at::kBFloat16)));
  CHECK(at::equal(source->load("half", at::kFloat), values.to(at::kHalf).to(at::kFloat)));
  CHECK(at::equal(source->load("brain", at::kBFloat16), values.to(at::kBFloat16)));
  CHECK(at::equal(source->load("brain", at::kFloat), values.to(at::kBFloat16).to(at::kFloat)));
}

TEST_CASE("weight source: tensors of several chunks are read whole", "[model]") {
  const at::Tensor values = random_tensor({1500, 1001}, 2);  // 6 MB
  const TinyFolder folder(test::tiny_config(), {{"large", values}});
  const auto source = source_of(folder);
  CHECK(at::equal(source->load("large", at::kFloat), values));
  CHECK(at::equal(source->load("large", at::kBFloat16), values.to(at::kBFloat16)));
}

TEST_CASE("weight source: NaN and Inf are refused with tensor and element", "[model]") {
  at::Tensor values = random_tensor({1500, 1001}, 3);
  values.view(-1)[1500000] = std::numeric_limits<float>::infinity();
  at::Tensor brain = random_tensor({9}, 4).to(at::kBFloat16), half = random_tensor({9}, 5).to(at::kHalf);
  brain[7] = std::numeric_limits<float>::quiet_NaN();
  half[8] = -std::numeric_limits<float>::infinity();
  const TinyFolder folder(test::tiny_config(), {{"large", values}, {"brain", brain}, {"half", half}});
  const auto source = source_of(folder);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    expect_error(Code::parse, {"large", "element 1500000"}, [&] { source->load("large", dtype); });
    expect_error(Code::parse, {"brain", "element 7"}, [&] { source->load("brain", dtype); });
    expect_error(Code::parse, {"half", "element 8"}, [&] { source->load("half", dtype); });
  }
}

TEST_CASE("weight source: load_into fills rows of a larger tensor and insists on the shape", "[model]") {
  const at::Tensor values = random_tensor({2, 3}, 6);
  const TinyFolder folder(test::tiny_config(), {{"part", values}});
  const auto source = source_of(folder);
  at::Tensor whole = at::zeros({5, 3});
  source->load_into("part", whole.narrow(0, 2, 2));
  CHECK(at::equal(whole.narrow(0, 2, 2), values));
  CHECK(whole.narrow(0, 0, 2).abs().sum().item<float>() == 0.0f);
  CHECK(whole[4].abs().sum().item<float>() == 0.0f);
  expect_error(Code::parse, {"part", "[2, 3]", "[3, 2]"}, [&] { source->load_into("part", at::zeros({3, 2})); });
}

TEST_CASE("weight source: load_rows reads single rows in any order", "[model]") {
  const at::Tensor values = random_tensor({11, 4}, 7);
  const TinyFolder folder(test::tiny_config(), {{"table", values}, {"vector", values[0]}});
  const auto source = source_of(folder);
  const at::Tensor ids = at::tensor({3, 4, 5, 10, 0, 0, 9}, at::kLong);
  CHECK(at::equal(source->load_rows("table", ids, at::kFloat), values.index_select(0, ids)));
  CHECK(at::equal(source->load_rows("table", ids, at::kBFloat16), values.index_select(0, ids).to(at::kBFloat16)));
  for (const std::int64_t bad : {-1, 11})
    expect_error(Code::invalid_argument, {"table", std::to_string(bad), "11"},
                 [&] { source->load_rows("table", at::tensor({10, static_cast<int>(bad)}, at::kLong), at::kFloat); });
  expect_error(Code::parse, {"vector", "[4]"}, [&] { source->load_rows("vector", ids, at::kFloat); });
}

TEST_CASE("weight source: absent tensors and integer tensors are refused by name", "[model]") {
  const TinyFolder folder(test::tiny_config(), {{"codes", at::zeros({4}, at::kInt)}});
  const auto source = source_of(folder);
  expect_error(Code::not_found, {"missing"}, [&] { source->load("missing", at::kFloat); });
  expect_error(Code::unsupported, {"codes", "I32"}, [&] { source->load("codes", at::kFloat); });
}

TEST_CASE("weight source: element types translate both ways", "[model]") {
  CHECK(torch_type(checkpoint::DType::bf16) == at::kBFloat16);
  CHECK(disk_type(at::kInt) == checkpoint::DType::i32);
  expect_error(Code::unsupported, {"F4"}, [] { torch_type(checkpoint::DType::f4); });
  expect_error(Code::unsupported, {"QInt8"}, [] { disk_type(at::kQInt8); });
}

}  // namespace
}  // namespace autoround::model
