#include "model/compute_type.hpp"

#include "support/catch.hpp"

namespace autoround::model {
namespace {

TEST_CASE("compute type: bf16 needs the instructions and no limit below them", "[model]") {
  CHECK(compute_type(true, nullptr, nullptr) == at::kBFloat16);
  CHECK(compute_type(false, nullptr, nullptr) == at::kFloat);
  CHECK(compute_type(true, "avx2", nullptr) == at::kFloat);
  CHECK(compute_type(true, "default", nullptr) == at::kFloat);
  CHECK(compute_type(true, "avx512", nullptr) == at::kBFloat16);
  CHECK(compute_type(true, nullptr, "AVX2") == at::kFloat);
  CHECK(compute_type(true, nullptr, "avx512_core_vnni") == at::kFloat);
  CHECK(compute_type(true, nullptr, "AVX512_CORE_BF16") == at::kBFloat16);
  CHECK(compute_type(true, nullptr, "DEFAULT") == at::kBFloat16);
}

}  // namespace
}  // namespace autoround::model
