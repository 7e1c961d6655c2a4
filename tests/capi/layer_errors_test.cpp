// Tensors that come as capsules, and what is refused.
#include <cmath>
#include <cstring>
#include <limits>

#include "dlpack.hpp"
#include "layer_scene.hpp"

using namespace layer_scene;

namespace {

/// A capsule as an engine makes one; counts how often it was deleted.
struct Capsule {
  static constexpr int32_t cpu = 1, cuda = 2;
  DLManagedTensorVersioned managed{};
  std::vector<int64_t> sizes, strides;
  std::vector<float> values;
  int deleted = 0;

  Capsule(std::vector<int64_t> shape, std::vector<float> data) : sizes(std::move(shape)), values(std::move(data)) {
    managed.version = {1, 1};
    managed.manager = this;
    managed.deleter = [](DLManagedTensorVersioned* self) { ++static_cast<Capsule*>(self->manager)->deleted; };
    managed.tensor = {values.data(), {cpu, 0}, static_cast<int32_t>(sizes.size()), {2, 32, 1}, sizes.data(),
                      nullptr,       0};
  }
  host::Tensor take() { return host::make<host::Tensor>(autoround_tensor_from_dlpack, &managed); }
};

}  // namespace

TEST_CASE("layer: DLPack capsules in and out share memory", "[capi][layer]") {
  const std::vector<float> weight = random_values(out_features * in_features, 1);
  Capsule capsule({32, 8, in_features}, correlated(32 * 8, 2));
  {
    const auto layer = layer_of(tensor({out_features, in_features}, weight));
    {
      const host::Tensor inputs = capsule.take();
      CHECK(autoround_tensor_data(inputs.get()) == capsule.values.data());
      add(layer, inputs);
    }
    CHECK(capsule.deleted == 0);  // the layer still uses it
    const host::Recipe w4 = recipe("W4A16", 10, 32);
    CHECK(bytes(part(tune(layer, w4), "qweight")) == bytes(part(tune(plain_layer(), w4), "qweight")));
  }
  CHECK(capsule.deleted == 1);

  // Out again: the tensor of a capsule as a capsule.
  Capsule second({2, 3}, {1, 2, 3, 4, 5, 6});
  DLManagedTensorVersioned* managed = nullptr;
  {
    const host::Tensor taken = second.take();
    host::ok(autoround_tensor_to_dlpack, static_cast<const autoround_tensor*>(taken.get()), &managed);
  }
  CHECK(managed->tensor.data == second.values.data());
  CHECK(second.deleted == 0);
  managed->deleter(managed);
  CHECK(second.deleted == 1);

  // Transposed memory is copied, and given back at once.
  Capsule transposed({3, 2}, {1, 2, 3, 4, 5, 6});
  transposed.strides = {1, 3};
  transposed.managed.tensor.strides = transposed.strides.data();
  const host::Tensor copy = transposed.take();
  CHECK(transposed.deleted == 1);
  const float wanted[] = {1, 4, 2, 5, 3, 6};
  CHECK(std::memcmp(autoround_tensor_data(copy.get()), wanted, sizeof wanted) == 0);
}

TEST_CASE("layer: capsules that are refused stay the host's", "[capi][layer]") {
  Capsule capsule({2, 3}, {1, 2, 3, 4, 5, 6});
  capsule.strides = {3, 1};
  autoround_tensor* none = nullptr;
  const auto refused = [&](autoround_status status) {
    CHECK(host::failure(autoround_tensor_from_dlpack, &capsule.managed, &none).status == status);
    CHECK(none == nullptr);
    CHECK(capsule.deleted == 0);
  };
  auto& given = capsule.managed.tensor;
  SECTION("another version") {
    capsule.managed.version.major = 2;
    refused(AUTOROUND_ERROR_UNSUPPORTED);
  }
  SECTION("a device") {
    given.device = {Capsule::cuda, 0};
    refused(AUTOROUND_ERROR_UNSUPPORTED);
  }
  SECTION("vectors of elements") {
    given.dtype.lanes = 4;
    refused(AUTOROUND_ERROR_UNSUPPORTED);
  }
  SECTION("a type that nobody knows") {
    given.dtype = {99, 32, 1};
    refused(AUTOROUND_ERROR_UNSUPPORTED);
  }
  SECTION("a negative size") {
    capsule.sizes[0] = -2;
    refused(AUTOROUND_ERROR_INVALID_ARGUMENT);
  }
  SECTION("more elements than there can be") {
    capsule.sizes = {int64_t{1} << 40, int64_t{1} << 40};
    given.shape = capsule.sizes.data();
    refused(AUTOROUND_ERROR_INVALID_ARGUMENT);
  }
  SECTION("no elements, in sizes whose strides there cannot be") {
    capsule.sizes = {0, int64_t{1} << 40, int64_t{1} << 40};
    given.ndim = 3;
    given.shape = capsule.sizes.data();
    given.strides = nullptr;
    refused(AUTOROUND_ERROR_INVALID_ARGUMENT);
  }
  SECTION("a negative stride") {
    capsule.strides[0] = -3;
    given.strides = capsule.strides.data();
    refused(AUTOROUND_ERROR_UNSUPPORTED);
  }
  SECTION("no data") {
    given.data = nullptr;
    refused(AUTOROUND_ERROR_INVALID_ARGUMENT);
  }
  SECTION("no capsule") {
    CHECK(host::failure(autoround_tensor_from_dlpack, static_cast<DLManagedTensorVersioned*>(nullptr), &none).status ==
          AUTOROUND_ERROR_INVALID_ARGUMENT);
  }
}

TEST_CASE("layer: what is wrong with a tensor", "[capi][layer]") {
  const float four[4] = {1, 2, 3, 4};
  const int64_t sizes[] = {2, 2}, negative[] = {2, -2}, empty[] = {0, int64_t{1} << 40, int64_t{1} << 40};
  autoround_tensor* none = nullptr;
  const auto said = [&](const char* dtype, const int64_t* shape, size_t rank, const void* data, size_t length) {
    const host::Failure failure = host::failure(autoround_tensor_new, dtype, shape, rank, data, length, &none);
    CHECK(none == nullptr);
    return failure;
  };
  CHECK(said("float32", sizes, 2, four, 16).subject == "dtype");
  CHECK(said("F4", sizes, 2, four, 2).status == AUTOROUND_ERROR_UNSUPPORTED);
  CHECK(said("F32", negative, 2, four, 16).subject == "sizes");
  CHECK(said("F32", nullptr, 2, four, 16).subject == "sizes");
  CHECK(said("F32", empty, 3, nullptr, 0).subject == "sizes");  // strides are products of sizes
  CHECK(said("F32", sizes, 2, four, 12).message.find("16") != std::string::npos);
  CHECK(said("F32", sizes, 2, nullptr, 16).subject == "data");
  CHECK(said(nullptr, sizes, 2, four, 16).subject == "dtype");
  const auto scalar = tensor("F32", {}, four, 4);
  CHECK(autoround_tensor_rank(scalar.get()) == 0);
}

TEST_CASE("layer: what is wrong with a weight or its inputs", "[capi][layer]") {
  const std::vector<float> values(8 * 32, 0.5f);
  const auto weight = tensor({8, 32}, values);
  autoround_layer* none = nullptr;
  const auto refused = [&](const char* name, const host::Tensor& given, const autoround_tensor* bias) {
    const host::Failure said = host::failure(autoround_layer_new, static_cast<autoround_context*>(nullptr), name,
                                             static_cast<const autoround_tensor*>(given.get()), bias, &none);
    CHECK(none == nullptr);
    return said;
  };
  CHECK(refused("", weight, nullptr).subject == "name");
  CHECK(refused("proj", tensor({8 * 32}, values), nullptr).status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(refused("proj", tensor("F32", {0, 32}, nullptr, 0), nullptr).status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(refused("proj", tensor("I32", {8, 32}, values.data(), 8 * 32 * 4), nullptr).status ==
        AUTOROUND_ERROR_UNSUPPORTED);
  const host::Failure bias = refused("proj", weight, tensor({4}, {1, 2, 3, 4}).get());
  CHECK(bias.message.find("wanted [8]") != std::string::npos);
  std::vector<float> broken = values;
  broken[3 * 32 + 17] = std::numeric_limits<float>::quiet_NaN();
  const host::Failure nan = refused("proj", tensor({8, 32}, broken), nullptr);
  CHECK(nan.status == AUTOROUND_ERROR_NUMERIC);
  CHECK(nan.subject == "proj");
  CHECK(nan.message.find("[3, 17]") != std::string::npos);

  const auto layer = layer_of(weight);
  const auto refused_inputs = [&](const host::Tensor& inputs, const autoround_tensor* targets) {
    const size_t before = autoround_layer_sample_count(layer.get());
    const host::Failure said = host::failure(autoround_layer_add_inputs, layer.get(),
                                             static_cast<const autoround_tensor*>(inputs.get()), targets);
    CHECK(autoround_layer_sample_count(layer.get()) == before);
    CHECK(said.subject == "proj");
    return said;
  };
  CHECK(refused_inputs(tensor({4, 16}, std::vector<float>(64, 1.f)), nullptr).message.find("32]") != std::string::npos);
  CHECK(refused_inputs(tensor({32}, std::vector<float>(32, 1.f)), nullptr).status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(refused_inputs(tensor("F32", {0, 32}, nullptr, 0), nullptr).status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  std::vector<float> infinite(2 * 3 * 32, 1.f);
  infinite[1 * 96 + 2 * 32 + 5] = std::numeric_limits<float>::infinity();
  CHECK(refused_inputs(tensor({2, 3, 32}, infinite), nullptr).message.find("[1, 2, 5]") != std::string::npos);
  const auto inputs = tensor({4, 32}, std::vector<float>(128, 1.f));
  CHECK(refused_inputs(inputs, tensor({3, 8}, std::vector<float>(24, 1.f)).get()).message.find("[3, 8]") !=
        std::string::npos);
  CHECK(refused_inputs(inputs, tensor({4, 7}, std::vector<float>(28, 1.f)).get()).message.find("8]") !=
        std::string::npos);
  add(layer, inputs);
  CHECK(refused_inputs(inputs, tensor({4, 8}, std::vector<float>(32, 1.f)).get()).message.find("all or for none") !=
        std::string::npos);
}

TEST_CASE("layer: what is wrong with a recipe or options", "[capi][layer]") {
  const auto empty = layer_of(tensor({out_features, in_features}, random_values(out_features * in_features, 1)));
  CHECK(failing_tune(empty, recipe("W4A16")).message.find("needs inputs") != std::string::npos);
  CHECK(failing_tune(empty, recipe("FP8", 0)).message.find("static scale") != std::string::npos);
  const host::Result rounded = tune(empty, recipe("W4A16", 0));
  CHECK(std::isnan(autoround_result_block_loss_before(rounded.get(), 0)));
  CHECK(autoround_result_block_best_iteration(rounded.get(), 0) == -1);

  const host::Layer layer = plain_layer();
  const host::Failure indivisible = failing_tune(layer, recipe("W4A16", 4, 96));
  CHECK(indivisible.subject == "group_size");
  CHECK(indivisible.message.find("128 columns") != std::string::npos);
  CHECK(failing_tune(layer, host::make<host::Recipe>(autoround_recipe_new)).status == AUTOROUND_ERROR_INVALID_ARGUMENT);

  host::Options limited = host::make<host::Options>(autoround_options_new);
  host::ok(autoround_options_set_memory_limit, limited.get(), "cpu", int64_t{1} << 20);
  CHECK(failing_tune(layer, recipe("W4A16", 4), limited.get()).subject == "memory_limit");
  const autoround::test::TemporaryDirectory folder;
  host::Options writing = host::make<host::Options>(autoround_options_new);
  host::ok(autoround_options_set_output, writing.get(), (folder / "out").c_str(), "compressed-tensors");
  CHECK(failing_tune(layer, recipe("W4A16", 4), writing.get()).subject == "options");

  autoround_result* none = nullptr;
  const auto* handle = static_cast<const autoround_layer*>(layer.get());
  CHECK(host::failure(autoround_layer_tune, handle, static_cast<const autoround_recipe*>(nullptr),
                      static_cast<const autoround_options*>(nullptr), &none)
            .subject == "recipe");
  CHECK(autoround_layer_sample_count(nullptr) == 0);
  CHECK(autoround_layer_token_count(nullptr) == 0);
  autoround_layer_free(nullptr);
}
