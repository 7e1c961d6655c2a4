#include "tuner/schedule.hpp"

#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround::tuner {

// Expected rates are those of torch.optim.lr_scheduler.LinearLR(start_factor=1, end_factor=0) on an fp32 rate.
TEST_CASE("linear decay: torch's values to the last bit", "[tuner]") {
  struct Case {
    double rate;
    std::int64_t iters;
    std::vector<float> first;
    float last;  // rate of the last iteration
  };
  const Case cases[] = {
      {0.005, 200, {0x1.47ae14p-8f, 0x1.460aa6p-8f, 0x1.446738p-8f, 0x1.42c3cap-8f, 0x1.41205cp-8f}, 0x1.a36e5p-16f},
      {0.005, 7, {0x1.47ae14p-8f, 0x1.18de5ap-8f, 0x1.d41d4p-9f, 0x1.767dcep-9f, 0x1.18de5ap-9f}, 0x1.767dcep-11f},
      {0.5, 3, {0x1p-1f, 0x1.555556p-2f}, 0x1.555556p-3f},
      {1.0, 1, {1.0f}, 1.0f},
  };
  for (const auto& c : cases) {
    LinearDecay decay(c.rate, c.iters);
    for (std::int64_t i = 0; i < c.iters; ++i, decay.advance()) {
      if (i < static_cast<std::int64_t>(c.first.size())) CHECK(decay.rate() == c.first[static_cast<std::size_t>(i)]);
      if (i + 1 == c.iters) CHECK(decay.rate() == c.last);
    }
    CHECK(decay.rate() == 0.0f);
    decay.advance();
    CHECK(decay.rate() == 0.0f);
  }
}

TEST_CASE("layer rates: whole multiples of a tick, whose sum 16 bits hold", "[tuner]") {
  for (const std::int64_t iters : {std::int64_t{1}, std::int64_t{7}, std::int64_t{50}, most_iterations_in_ticks}) {
    for (const double lr : {0.0, 0.003, 1.0}) {
      TuneOptions options;
      options.iters = iters;
      options.lr = lr;
      LayerRates rates(options, 4);
      const float tick = rates.tick();
      std::int64_t sum = 0;
      for (std::int64_t i = 0; i < iters; ++i, rates.advance()) {
        INFO("iteration " << i << " of " << iters << ", lr " << lr);
        const float ticks = rates.current().value / tick;
        CHECK(ticks == Approx(iters - i).epsilon(0).margin(0.01));
        sum += iters - i;
      }
      CHECK(sum <= std::numeric_limits<std::int16_t>::max());
    }
  }
}

TEST_CASE("layer rates: chosen from iterations and bits unless given", "[tuner]") {
  TuneOptions options;
  options.iters = 200;
  CHECK(LayerRates(options, 2).current().value == 1.0f / 200.0f);
  options.iters = 1000;
  CHECK(LayerRates(options, 4).current().value == 1.0f / 1000.0f);
  CHECK(LayerRates(options, 3).current().value == 2.0f / 1000.0f);
  CHECK(LayerRates(options, 3).current().minmax == 2.0f / 1000.0f);
  options.lr = 0.25;
  CHECK(LayerRates(options, 3).current().value == 0.25f);
  CHECK(LayerRates(options, 3).current().minmax == 0.25f);
  options.minmax_lr = 0.125;
  CHECK(LayerRates(options, 3).current().minmax == 0.125f);
  CHECK(LayerRates(options, 3).current().value == 0.25f);
}

}  // namespace autoround::tuner
