#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>

#include "dlpack.hpp"
#include "host.hpp"

namespace {

constexpr int64_t out_features = 48, in_features = 128;

/// Values as a model's are: inputs that depend on one another, some channels much louder than others.
std::vector<float> correlated(int64_t rows, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::mt19937 fixed(99);
  std::vector<float> mixing(16 * in_features), values;
  for (float& weight : mixing) weight = normal(fixed);
  for (int64_t row = 0; row < rows; ++row) {
    float hidden[16];
    for (float& h : hidden) h = normal(engine);
    for (int64_t column = 0; column < in_features; ++column) {
      float value = 0.1f * normal(engine);
      for (int64_t k = 0; k < 16; ++k) value += hidden[k] * mixing[static_cast<size_t>(k * in_features + column)];
      values.push_back(column % 31 == 0 ? 4.0f * value : 0.3f * value);
    }
  }
  return values;
}

std::vector<float> random_values(size_t count, uint32_t seed, float scale = 0.05f) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(engine);
  return values;
}

host::Tensor tensor(const char* dtype, std::vector<int64_t> sizes, const void* data, size_t length) {
  return host::make<host::Tensor>(autoround_tensor_new, dtype, static_cast<const int64_t*>(sizes.data()), sizes.size(),
                                  data, length);
}
host::Tensor tensor(std::vector<int64_t> sizes, const std::vector<float>& values) {
  return tensor("F32", std::move(sizes), values.data(), values.size() * sizeof(float));
}
/// The upper halves of fp32 values: BF16 by truncation.
host::Tensor bf16_tensor(std::vector<int64_t> sizes, const std::vector<float>& values) {
  std::vector<uint16_t> halves;
  for (const float value : values) {
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    halves.push_back(static_cast<uint16_t>(bits >> 16));
  }
  return tensor("BF16", std::move(sizes), halves.data(), halves.size() * sizeof(uint16_t));
}

host::Layer layer_of(const host::Tensor& weight, const autoround_tensor* bias = nullptr, const char* name = "proj") {
  return host::make<host::Layer>(autoround_layer_new, static_cast<autoround_context*>(nullptr), name,
                                 static_cast<const autoround_tensor*>(weight.get()), bias);
}
void add(const host::Layer& layer, const host::Tensor& inputs, const autoround_tensor* targets = nullptr) {
  host::ok(autoround_layer_add_inputs, layer.get(), static_cast<const autoround_tensor*>(inputs.get()), targets);
}

/// 32 samples of 8 tokens.
host::Layer plain_layer() {
  host::Layer layer = layer_of(tensor({out_features, in_features}, random_values(out_features * in_features, 1)));
  add(layer, tensor({32, 8, in_features}, correlated(32 * 8, 2)));
  return layer;
}

host::Recipe recipe(const char* scheme, int64_t iters = 40, int64_t group = 0) {
  host::Recipe made = host::make<host::Recipe>(autoround_recipe_new);
  host::ok(autoround_recipe_set_string, made.get(), "scheme", scheme);
  host::ok(autoround_recipe_set_int, made.get(), "iters", iters);
  if (group != 0) host::ok(autoround_recipe_set_int, made.get(), "weights.group_size", group);
  return made;
}

host::Options fp32_options() {
  host::Options options = host::make<host::Options>(autoround_options_new);
  host::ok(autoround_options_set_compute_dtype, options.get(), "fp32");
  return options;
}

host::Result tune(const host::Layer& layer, const host::Recipe& recipe, const autoround_options* options = nullptr) {
  return host::make<host::Result>(autoround_layer_tune, static_cast<const autoround_layer*>(layer.get()),
                                  static_cast<const autoround_recipe*>(recipe.get()), options);
}
host::Failure failing_tune(const host::Layer& layer, const host::Recipe& recipe,
                           const autoround_options* options = nullptr) {
  autoround_result* none = nullptr;
  const host::Failure said = host::failure(autoround_layer_tune, static_cast<const autoround_layer*>(layer.get()),
                                           static_cast<const autoround_recipe*>(recipe.get()), options, &none);
  CHECK(none == nullptr);
  return said;
}

host::Tensor part(const host::Result& result, const char* name) {
  return host::make<host::Tensor>(autoround_result_layer_tensor, static_cast<const autoround_result*>(result.get()),
                                  size_t{0}, name);
}
bool has_part(const host::Result& result, const char* name) {
  autoround_tensor* out = nullptr;
  autoround_error* error = nullptr;
  const autoround_status status = autoround_result_layer_tensor(result.get(), 0, name, &out, &error);
  const host::Tensor owned(out);
  const host::Error said(error);
  REQUIRE((status == AUTOROUND_OK || status == AUTOROUND_ERROR_NOT_FOUND));
  return status == AUTOROUND_OK;
}
std::string bytes(const host::Tensor& tensor) {
  return {static_cast<const char*>(autoround_tensor_data(tensor.get())), autoround_tensor_byte_size(tensor.get())};
}

/// Mean squared error of the layer with weights `used` on what plain_layer() is given.
double output_error(const float* used) {
  const std::vector<float> original = random_values(out_features * in_features, 1), x = correlated(32 * 8, 2);
  double sum = 0.0;
  for (int64_t row = 0; row < 32 * 8; ++row) {
    for (int64_t o = 0; o < out_features; ++o) {
      double difference = 0.0;
      for (int64_t i = 0; i < in_features; ++i) {
        const auto at = static_cast<size_t>(o * in_features + i);
        difference += (static_cast<double>(used[at]) - static_cast<double>(original[at])) *
                      static_cast<double>(x[static_cast<size_t>(row * in_features + i)]);
      }
      sum += difference * difference;
    }
  }
  return sum / static_cast<double>(32 * 8 * out_features);
}

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
    managed.tensor = {values.data(), {cpu, 0}, static_cast<int32_t>(sizes.size()), {2, 32, 1}, sizes.data(), nullptr, 0};
  }
  host::Tensor take() {
    return host::make<host::Tensor>(autoround_tensor_from_dlpack, &managed);
  }
};

}  // namespace

TEST_CASE("layer: tuning beats rounding to nearest, by the library's figures and by the host's own", "[capi][layer]") {
  const host::Layer layer = plain_layer();
  CHECK(autoround_layer_sample_count(layer.get()) == 32);
  CHECK(autoround_layer_token_count(layer.get()) == 256);
  const host::Options options = fp32_options();
  const host::Recipe plain = recipe("W4A16", 0, 32);
  host::ok(autoround_recipe_set_bool, plain.get(), "disable_opt_rtn", int32_t{1});
  const host::Result nearest = tune(layer, plain, options.get()),
                     optimised = tune(layer, recipe("W4A16", 0, 32), options.get()),
                     tuned = tune(layer, recipe("W4A16", 100, 32), options.get());
  const double before = autoround_result_block_loss_before(tuned.get(), 0),
               after = autoround_result_block_loss_after(tuned.get(), 0);
  CAPTURE(before, after);
  CHECK(after < 0.8 * before);
  CHECK(autoround_result_block_best_iteration(tuned.get(), 0) >= 0);
  CHECK(autoround_result_block_loss_after(nearest.get(), 0) == before);
  CHECK(autoround_result_block_loss_after(optimised.get(), 0) < before);
  CHECK(output_error(static_cast<const float*>(autoround_tensor_data(part(nearest, "weight").get()))) ==
        Approx(before).epsilon(1e-3));
  CHECK(output_error(static_cast<const float*>(autoround_tensor_data(part(tuned, "weight").get()))) ==
        Approx(after).epsilon(1e-3));

  REQUIRE(autoround_result_block_count(tuned.get()) == 1);
  REQUIRE(autoround_result_layer_count(tuned.get()) == 1);
  CHECK(std::string(autoround_result_block_name(tuned.get(), 0)) == "proj");
  CHECK(std::string(autoround_result_layer_name(tuned.get(), 0)) == "proj");
  CHECK(std::string(autoround_result_layer_scheme(tuned.get(), 0)) != "");
  const host::Tensor codes = part(tuned, "qweight"), scales = part(tuned, "scales");
  CHECK(std::string(autoround_tensor_dtype(codes.get())) == "U8");
  CHECK(autoround_tensor_size(codes.get(), 0) == out_features);
  CHECK(autoround_tensor_size(codes.get(), 1) == in_features);
  CHECK(autoround_tensor_size(scales.get(), 1) == in_features / 32);
  CHECK_FALSE(has_part(tuned, "zero_points"));

  autoround_result* result = tuned.get();
  const host::Text json = host::make<host::Text>(autoround_result_report, static_cast<const autoround_result*>(result));
  CHECK(std::string(json.get()).find("\"tokens\": 256") != std::string::npos);
  CHECK(host::make<host::Text>(autoround_result_report_html, static_cast<const autoround_result*>(result)) != nullptr);
}

TEST_CASE("layer: the same seed gives the same codes, and a layer may be tuned again", "[capi][layer]") {
  const host::Layer layer = plain_layer();
  const host::Recipe w4 = recipe("W4A16", 20, 32);
  const std::string first = bytes(part(tune(layer, w4), "qweight"));
  CHECK(bytes(part(tune(layer, recipe("W8A16", 5, 32)), "qweight")) != first);
  CHECK(bytes(part(tune(layer, w4), "qweight")) == first);
  CHECK(bytes(part(tune(plain_layer(), w4), "qweight")) == first);
  host::Options options = host::make<host::Options>(autoround_options_new);
  host::ok(autoround_options_set_seed, options.get(), uint64_t{7});
  CHECK(bytes(part(tune(layer, w4, options.get()), "qweight")) != first);
}

TEST_CASE("layer: two threads tune one layer at once", "[capi][layer]") {
  const host::Layer layer = plain_layer();
  const host::Recipe w4 = recipe("W4A16", 20, 32), w8 = recipe("W8A16", 20, 32);
  const std::string alone4 = bytes(part(tune(layer, w4), "qweight")), alone8 = bytes(part(tune(layer, w8), "qweight"));
  // No Catch in the other thread: its assertions are not thread-safe.
  autoround_result* other = nullptr;
  autoround_status status = AUTOROUND_ERROR_INTERNAL;
  std::thread thread([&] { status = autoround_layer_tune(layer.get(), w8.get(), nullptr, &other, nullptr); });
  const host::Result result = tune(layer, w4);
  thread.join();
  const host::Result owned(other);
  REQUIRE(status == AUTOROUND_OK);
  CHECK(bytes(part(result, "qweight")) == alone4);
  CHECK(bytes(part(owned, "qweight")) == alone8);
}

TEST_CASE("layer: element types, biases, and calls in parts", "[capi][layer]") {
  const std::vector<float> weight = random_values(out_features * in_features, 1), x = correlated(32 * 8, 2),
                           bias = random_values(out_features, 5, 1.0f);
  const host::Recipe w4 = recipe("W4A16", 30, 32);
  const host::Options options = fp32_options();
  std::vector<uint16_t> ones(out_features * in_features, 0x3c00);  // 1.0 in F16
  const auto half_layer = layer_of(tensor("F16", {out_features, in_features}, ones.data(), 2 * ones.size()));
  add(half_layer, tensor({32, 8, in_features}, x));
  CHECK(std::string(autoround_tensor_dtype(part(tune(half_layer, w4), "scales").get())) == "F16");

  const auto bf16_layer = layer_of(bf16_tensor({out_features, in_features}, weight));
  add(bf16_layer, bf16_tensor({32, 8, in_features}, x));
  const host::Result bf16 = tune(bf16_layer, w4, options.get());
  CHECK(std::string(autoround_tensor_dtype(part(bf16, "scales").get())) == "BF16");
  CHECK(autoround_result_block_loss_after(bf16.get(), 0) < 0.8 * autoround_result_block_loss_before(bf16.get(), 0));

  // A bias shifts outputs and targets alike.
  const auto biased = layer_of(tensor({out_features, in_features}, weight), tensor({out_features}, bias).get());
  add(biased, tensor({32, 8, in_features}, x));
  CHECK(autoround_result_block_loss_before(tune(biased, w4, options.get()).get(), 0) ==
        Approx(autoround_result_block_loss_before(tune(plain_layer(), w4, options.get()).get(), 0)).epsilon(1e-3));

  // The same samples, one call each.
  const auto parts = layer_of(tensor({out_features, in_features}, weight));
  for (int sample = 0; sample < 32; ++sample) {
    const auto begin = x.begin() + sample * 8 * in_features;
    add(parts, tensor({8, in_features}, {begin, begin + 8 * in_features}));
  }
  CHECK(autoround_layer_sample_count(parts.get()) == 32);
  CHECK(bytes(part(tune(parts, w4), "qweight")) == bytes(part(tune(plain_layer(), w4), "qweight")));
}

TEST_CASE("layer: samples of different lengths are padded, and padding counts for nothing", "[capi][layer]") {
  const auto layer = layer_of(tensor({out_features, in_features}, random_values(out_features * in_features, 1)));
  add(layer, tensor({16, 8, in_features}, correlated(16 * 8, 2)));
  add(layer, tensor({3, in_features}, correlated(3, 3)));
  add(layer, tensor({2, 1, in_features}, correlated(2, 4)));
  CHECK(autoround_layer_sample_count(layer.get()) == 19);
  CHECK(autoround_layer_token_count(layer.get()) == 133);
  const host::Result result = tune(layer, recipe("W4A16", 40, 32));
  CHECK(autoround_result_block_loss_after(result.get(), 0) < autoround_result_block_loss_before(result.get(), 0));
}

TEST_CASE("layer: targets of the host are what is tuned for", "[capi][layer]") {
  const std::vector<float> weight = random_values(out_features * in_features, 1), x = correlated(32 * 8, 2);
  std::vector<float> targets(32 * 8 * out_features);
  for (int64_t row = 0; row < 32 * 8; ++row)
    for (int64_t o = 0; o < out_features; ++o)
      for (int64_t i = 0; i < in_features; ++i)
        targets[static_cast<size_t>(row * out_features + o)] +=
            weight[static_cast<size_t>(o * in_features + i)] * x[static_cast<size_t>(row * in_features + i)];
  const host::Recipe w4 = recipe("W4A16", 40, 32);
  const host::Options options = fp32_options();
  const auto own = [&](float shift) {
    std::vector<float> wanted = targets;
    for (float& value : wanted) value += shift;
    const auto layer = layer_of(tensor({out_features, in_features}, weight));
    add(layer, tensor({32, 8, in_features}, x), tensor({32, 8, out_features}, wanted).get());
    return tune(layer, w4, options.get());
  };
  const double computed = autoround_result_block_loss_before(tune(plain_layer(), w4, options.get()).get(), 0);
  CHECK(autoround_result_block_loss_before(own(0.0f).get(), 0) == Approx(computed).epsilon(1e-3));
  CHECK(autoround_result_block_loss_before(own(2.0f).get(), 0) > computed + 3.0);
}

TEST_CASE("layer: floating-point formats and quantized inputs", "[capi][layer]") {
  const host::Layer layer = plain_layer();
  struct Row {
    const char* scheme;
    const char* scales;
    bool global, input_scale, input_global;
  };
  const Row row = GENERATE(values<Row>({{"FP8", "F32", false, true, false},
                                        {"FP8_DYNAMIC", "F32", false, false, false},
                                        {"MXFP4", "U8", false, false, false},
                                        {"NVFP4", "F8_E4M3", true, false, true},
                                        {"NVFP4A16", "F8_E4M3", true, false, false},
                                        {"INT8", "F32", false, false, false}}));
  CAPTURE(row.scheme);
  const host::Result result = tune(layer, recipe(row.scheme, 40));
  const double before = autoround_result_block_loss_before(result.get(), 0),
               after = autoround_result_block_loss_after(result.get(), 0);
  CAPTURE(before, after);
  CHECK(after <= before);
  if (std::string(row.scheme).find("FP4") != std::string::npos) CHECK(after < 0.95 * before);
  CHECK(std::string(autoround_tensor_dtype(part(result, "scales").get())) == row.scales);
  CHECK(has_part(result, "global_scale") == row.global);
  CHECK(has_part(result, "input_scale") == row.input_scale);
  CHECK(has_part(result, "input_global_scale") == row.input_global);
  CHECK(autoround_tensor_byte_size(part(result, "weight").get()) == out_features * in_features * 4);
}

TEST_CASE("layer: asymmetric codes have zero points", "[capi][layer]") {
  const host::Result result = tune(plain_layer(), recipe("W4A16_ASYM", 10, 32));
  const host::Tensor zeros = part(result, "zero_points");
  CHECK(std::string(autoround_tensor_dtype(zeros.get())) == "U8");
  CHECK(autoround_tensor_size(zeros.get(), 1) == in_features / 32);
}

TEST_CASE("layer: the recipe's rules for a module of that name", "[capi][layer]") {
  const auto layer = layer_of(tensor({out_features, in_features}, random_values(out_features * in_features, 1)),
                              nullptr, "model.layers.0.mlp.up_proj");
  const host::Recipe made = recipe("W4A16", 0, 32);
  host::ok(autoround_recipe_set_string, made.get(), "layers.re:.*up_proj.scheme", "W8A16");
  host::ok(autoround_recipe_set_string, made.get(), "layers.lm_head.scheme", "W8A16");  // of another layer
  CHECK(std::string(autoround_result_layer_scheme(tune(layer, made).get(), 0)).find("8") != std::string::npos);
  host::ok(autoround_recipe_append, made.get(), "ignore", "re:.*mlp.*");
  CHECK(std::string(autoround_result_layer_scheme(tune(layer, made).get(), 0)).find("8") != std::string::npos);

  const host::Recipe ignoring = recipe("W4A16", 0, 32);
  host::ok(autoround_recipe_append, ignoring.get(), "ignore", "re:.*mlp.*");
  const host::Failure said = failing_tune(layer, ignoring);
  CHECK(said.status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(said.subject == "model.layers.0.mlp.up_proj");
  CHECK(said.message.find("ignored by `re:.*mlp.*`") != std::string::npos);
}

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
  const int64_t sizes[] = {2, 2}, negative[] = {2, -2};
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
    const host::Failure said =
        host::failure(autoround_layer_new, static_cast<autoround_context*>(nullptr), name,
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

TEST_CASE("layer: events, and a callback that stops", "[capi][layer]") {
  struct Seen {
    int begin = 0, iterations = 0, end = 0, progress = 0, stop_at = -1;
    double fraction = 0.0;
  };
  const auto watch = [](void* user_data, const autoround_event* event) -> int32_t {
    Seen& seen = *static_cast<Seen*>(user_data);
    const autoround_event_kind what = autoround_event_what(event);
    seen.begin += what == AUTOROUND_EVENT_BLOCK_BEGIN;
    seen.end += what == AUTOROUND_EVENT_BLOCK_END;
    seen.progress += what == AUTOROUND_EVENT_PROGRESS;
    seen.iterations += what == AUTOROUND_EVENT_ITERATION;
    if (what != AUTOROUND_EVENT_PROGRESS) {
      CHECK(autoround_event_block(event) == 0);
      CHECK(std::string(autoround_event_name(event)) == "proj");
    }
    CHECK(autoround_event_fraction(event) >= seen.fraction);
    seen.fraction = autoround_event_fraction(event);
    return seen.iterations == seen.stop_at ? 1 : 0;
  };
  const host::Layer layer = plain_layer();
  const host::Recipe w4 = recipe("W4A16", 10, 32);
  const auto options_for = [&](Seen& seen) {
    host::Options options = host::make<host::Options>(autoround_options_new);
    host::ok(autoround_options_set_callback, options.get(), int32_t{31}, +watch, static_cast<void*>(&seen),
             static_cast<autoround_release_fn>(nullptr));
    return options;
  };
  Seen all;
  tune(layer, w4, options_for(all).get());
  CHECK(all.begin == 1);
  CHECK(all.iterations == 10);
  CHECK(all.end == 1);
  CHECK(all.progress == 2);
  CHECK(all.fraction == 1.0);
  Seen some;
  some.stop_at = 3;
  CHECK(failing_tune(layer, w4, options_for(some).get()).status == AUTOROUND_ERROR_CANCELLED);
  CHECK(some.iterations == 3);

  const host::Cancel cancel(autoround_cancel_new());
  autoround_cancel_request(cancel.get());
  host::Options cancelled = host::make<host::Options>(autoround_options_new);
  host::ok(autoround_options_set_cancel, cancelled.get(), cancel.get());
  CHECK(failing_tune(layer, w4, cancelled.get()).status == AUTOROUND_ERROR_CANCELLED);
}

TEST_CASE("layer: handles are counted and freed in any order", "[capi][layer]") {
  host::Tensor codes;
  {
    const host::Layer layer = plain_layer();
    CHECK(autoround_live_handles("layer") == 1);
    CHECK(autoround_live_handles("tensor") == 0);  // what the layer was made from is gone
    codes = part(tune(layer, recipe("W4A16", 2, 32)), "qweight");
  }
  CHECK(autoround_live_handles(nullptr) == 1);
  CHECK(bytes(codes).size() == out_features * in_features);
}
