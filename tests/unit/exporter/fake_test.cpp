#include "base/error.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "exporter/fake_layout.hpp"
#include "exporter/folder_format.hpp"
#include "exporter/quantized_source.hpp"
#include "folder_fixture.hpp"
#include "support/catch.hpp"

using autoround::test::integer_scheme;
using autoround::test::open;
using autoround::test::TinyModel;
namespace exporter = autoround::exporter;
namespace quant = autoround::quant;

TEST_CASE("fake: a full-precision folder with the values of the quantized weights", "[exporter]") {
  const bool tied = GENERATE(false, true);
  TinyModel model(tied);
  autoround::recipe::Recipe recipe;
  recipe.config_groups = {{"g", integer_scheme({"Linear"}, 3, false, 0)}};
  model.apply(recipe);
  exporter::FolderFormat format(exporter::fake_layout());
  const auto plan = model.plan();
  format.check(plan);
  format.begin(plan, model.output);
  for (const auto& [name, weight] : model.weights) {
    const auto written = format.write(weight);
    CHECK(written.size() == 1);
    CHECK_FALSE(format.damage(name, written).empty());  // there is nothing to resume from
  }
  format.finish();
  const auto written = open(model.output);
  const auto config = written->config().json();
  CHECK_FALSE(config.contains("quantization_config"));
  CHECK(config["tie_word_embeddings"] == false);
  const auto source = exporter::open_weights(written);
  for (const auto& [name, weight] : model.weights)
    CHECK(at::equal(source->load(name + ".weight", at::kBFloat16), quant::dequantize(weight, at::kBFloat16)));
}
