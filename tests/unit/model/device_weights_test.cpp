// "cpu:0" stands for the device: another one than the host's "cpu", and at hand everywhere.
#include <ATen/ATen.h>

#include <mutex>

#include "expect_error.hpp"
#include "tiny_model.hpp"

namespace autoround::model {
namespace {

using test::TinyFolder;

const at::Device there(at::kCPU, 0);

/// Counts how often each tensor is read.
class CountingWeights final : public WeightSource {
 public:
  explicit CountingWeights(std::shared_ptr<WeightSource> inner) : inner_(std::move(inner)) {}
  bool has(const std::string& name) const override { return inner_->has(name); }
  at::Tensor load(const std::string& name, at::ScalarType dtype) const override {
    count(name);
    return inner_->load(name, dtype);
  }
  void load_into(const std::string& name, at::Tensor out) const override {
    count(name);
    if (name == broken) fail(Code::io, name, "broken");
    inner_->load_into(name, std::move(out));
  }
  at::Tensor load_rows(const std::string& name, const at::Tensor& ids, at::ScalarType dtype) const override {
    return inner_->load_rows(name, ids, dtype);
  }
  /// Waits for nobody: only to be asked when nothing is read.
  std::map<std::string, int> reads() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return reads_;
  }
  std::string broken;

 private:
  void count(const std::string& name) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++reads_[name];
  }
  std::shared_ptr<WeightSource> inner_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, int> reads_;
};

struct Fixture {
  TinyFolder folder{test::tiny_config(), test::random_tensors(test::parse_spec(test::tiny_config()))};
  DecoderSpec spec = read_spec(*folder.open());
  std::shared_ptr<CountingWeights> host = std::make_shared<CountingWeights>(checkpoint_weights(folder.open()));
  CausalLm model{spec, on_device(host, there), at::kBFloat16};

  at::Tensor output(std::size_t index) {
    AtenOps ops;
    const at::Tensor x = test::random_tensor({5, 12}, 3).to(at::kBFloat16);
    return model.load_layer(index)->forward(x, 1, model.rope(index, 5), ops);
  }
};

}  // namespace

TEST_CASE("device weights: what was announced is read once, ahead, and is the same", "[model]") {
  Fixture announced, plain;
  announced.model.will_load_layer(0);
  announced.model.will_load_layer(1);
  for (const std::size_t layer : {0, 1}) CHECK(at::equal(announced.output(layer), plain.output(layer)));
  const auto reads = announced.host->reads();
  CHECK(reads == plain.host->reads());
  for (const auto& [name, times] : reads) CHECK(times == 1);
  announced.output(0);  // nothing is left of what was taken
  CHECK(announced.host->reads().at("model.layers.0.mlp.down_proj.weight") == 2);
}

TEST_CASE("device weights: what cannot be read ahead says so when it is asked for", "[model]") {
  Fixture fixture;
  fixture.host->broken = "model.layers.0.mlp.down_proj.weight";
  fixture.model.will_load_layer(0);
  autoround::test::expect_error(Code::io, {"down_proj"}, [&] { fixture.model.load_layer(0); });
  fixture.host->broken.clear();
  CHECK(at::equal(fixture.output(0), Fixture().output(0)));
}

TEST_CASE("device weights: a type other than announced is read again", "[model]") {
  Fixture fixture;
  const std::string name = "model.layers.0.mlp.down_proj.weight";
  fixture.model.will_load_layer(0);
  CHECK(at::equal(fixture.model.weights().load(name, at::kFloat), fixture.host->load(name, at::kFloat)));
}

TEST_CASE("device weights: nobody has to fetch what was announced", "[model]") {
  std::shared_ptr<CountingWeights> host;
  {
    Fixture fixture;
    host = fixture.host;
    fixture.model.will_load_layer(1);
  }
  CHECK(host->reads().count("model.layers.1.mlp.down_proj.weight") <= 1);
}

}  // namespace autoround::model
