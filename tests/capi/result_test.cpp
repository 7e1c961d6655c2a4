#include <cmath>
#include <cstring>

#include "dlpack.hpp"
#include "host.hpp"

namespace {

host::Tensor part(const host::Result& result, size_t layer, const char* name) {
  return host::make<host::Tensor>(autoround_result_layer_tensor, static_cast<const autoround_result*>(result.get()),
                                  layer, name);
}

}  // namespace

TEST_CASE("result: blocks and layers", "[capi][result]") {
  const host::Toy toy;
  const host::Result result = toy.oneshot();
  REQUIRE(autoround_result_block_count(result.get()) == 2);
  for (size_t block = 0; block < 2; ++block) {
    CHECK(autoround_result_block_loss_before(result.get(), block) > 0.0);
    CHECK(autoround_result_block_loss_after(result.get(), block) <=
          autoround_result_block_loss_before(result.get(), block));
    CHECK(autoround_result_block_best_iteration(result.get(), block) < 4);
    CHECK(autoround_result_block_seconds(result.get(), block) > 0.0);
  }
  CHECK(std::isnan(autoround_result_block_loss_before(result.get(), 2)));
  REQUIRE(autoround_result_layer_count(result.get()) == 15);  // 7 a block, and lm_head
  CHECK(std::string(autoround_result_layer_scheme(result.get(), 0)) != "");
  CHECK(std::string(autoround_result_layer_reason(result.get(), 0)) == "");
  CHECK(std::string(autoround_result_layer_name(result.get(), 14)) == "lm_head");
  CHECK(std::string(autoround_result_layer_scheme(result.get(), 14)) == "");
  CHECK(std::string(autoround_result_layer_reason(result.get(), 14)).find("ignored") != std::string::npos);
  CHECK(autoround_result_warning_count(result.get()) == 0);
}

TEST_CASE("result: tensors of a run without outputs", "[capi][result]") {
  const host::Toy toy;
  const host::Result result = toy.oneshot();
  const host::Tensor codes = part(result, 0, "qweight"), scales = part(result, 0, "scales"),
                     weight = part(result, 0, "weight");
  CHECK(std::string(autoround_tensor_dtype(codes.get())) == "U8");
  CHECK(std::string(autoround_tensor_dtype(scales.get())) == "BF16");
  CHECK(std::string(autoround_tensor_dtype(weight.get())) == "F32");
  REQUIRE(autoround_tensor_rank(codes.get()) == 2);
  CHECK(autoround_tensor_size(codes.get(), 0) == 64);
  CHECK(autoround_tensor_size(codes.get(), 1) == 64);
  CHECK(autoround_tensor_size(scales.get(), 1) == 2);
  CHECK(autoround_tensor_size(codes.get(), 2) == 0);

  const auto* code = static_cast<const uint8_t*>(autoround_tensor_data(codes.get()));
  const auto* value = static_cast<const float*>(autoround_tensor_data(weight.get()));
  const auto* scale_bits = static_cast<const uint16_t*>(autoround_tensor_data(scales.get()));
  for (int i = 0; i < 64; ++i) {
    const uint32_t bits = static_cast<uint32_t>(scale_bits[i / 32]) << 16;
    float scale = 0.0f;
    std::memcpy(&scale, &bits, sizeof scale);
    CHECK(code[i] < 16);
    CHECK(value[i] == Approx((code[i] - 8) * scale).epsilon(0.01));  // the product is rounded to the stored type
  }
  std::vector<char> copy(autoround_tensor_byte_size(codes.get()));
  host::ok(autoround_tensor_copy, static_cast<const autoround_tensor*>(codes.get()), static_cast<void*>(copy.data()),
           copy.size());
  CHECK(std::memcmp(copy.data(), code, copy.size()) == 0);

  autoround_tensor* none = nullptr;
  const auto* source = static_cast<const autoround_result*>(result.get());
  CHECK(host::failure(autoround_result_layer_tensor, source, size_t{0}, "zero_points", &none).status ==
        AUTOROUND_ERROR_NOT_FOUND);
  CHECK(host::failure(autoround_result_layer_tensor, source, size_t{0}, "weights", &none).status ==
        AUTOROUND_ERROR_NOT_FOUND);
  CHECK(host::failure(autoround_result_layer_tensor, source, size_t{14}, "scales", &none).status ==
        AUTOROUND_ERROR_NOT_FOUND);
  CHECK(host::failure(autoround_result_layer_tensor, source, size_t{15}, "scales", &none).status ==
        AUTOROUND_ERROR_INVALID_ARGUMENT);
}

TEST_CASE("result: tensors that were written are not kept", "[capi][result]") {
  host::Toy toy;
  toy.write_to("out");
  const host::Result result = toy.oneshot();
  autoround_tensor* none = nullptr;
  CHECK(host::failure(autoround_result_layer_tensor, static_cast<const autoround_result*>(result.get()), size_t{0},
                      "scales", &none)
            .status == AUTOROUND_ERROR_INVALID_STATE);
}

TEST_CASE("result: report as JSON and as a page that needs nothing else", "[capi][result]") {
  const host::Toy toy;
  const host::Result result = toy.oneshot();
  const std::string json =
      host::make<host::Text>(autoround_result_report, static_cast<const autoround_result*>(result.get())).get();
  const std::string html =
      host::make<host::Text>(autoround_result_report_html, static_cast<const autoround_result*>(result.get())).get();
  for (const char* key :
       {"\"blocks\"", "\"layers\"", "\"recipe\"", "\"bits_per_weight\"", "\"peak_memory_bytes\"", "\"libtorch\""})
    CHECK(json.find(key) != std::string::npos);
  CHECK(html.find("<svg") != std::string::npos);
  CHECK(html.find("model.layers.1") != std::string::npos);
  for (const char* outside : {"<script", "http://", "https://", "src="}) CHECK(html.find(outside) == std::string::npos);
}

TEST_CASE("tensor: a DLPack capsule shares the memory and outlives the handle", "[capi][result]") {
  const host::Toy toy;
  host::Tensor tensor = host::make<host::Tensor>(
      autoround_model_tensor, static_cast<const autoround_model*>(toy.model.get()), "model.embed_tokens.weight");
  DLManagedTensorVersioned* capsule = nullptr;
  host::ok(autoround_tensor_to_dlpack, static_cast<const autoround_tensor*>(tensor.get()), &capsule);
  REQUIRE(capsule != nullptr);
  CHECK(capsule->version.major == 1);
  CHECK(capsule->tensor.data == autoround_tensor_data(tensor.get()));
  tensor.reset();
  CHECK(capsule->tensor.ndim == 2);
  CHECK(capsule->tensor.shape[0] == 64);
  CHECK(capsule->tensor.dtype.code == 4);  // bfloat
  CHECK(capsule->tensor.dtype.bits == 16);
  CHECK(static_cast<const uint16_t*>(capsule->tensor.data)[0] != 0);
  capsule->deleter(capsule);
}
