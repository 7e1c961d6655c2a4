// A block in memory that others have used: nothing may count on zeros, as the system gives them.
#include <ATen/ATen.h>

#include "model/mapped_memory.hpp"
#include "support/catch.hpp"
#include "tiny_block.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround::tuner {
namespace {

using test::TinyBlock;

/// Keeps more than the block needs, all of it NaN in every type.
std::shared_ptr<model::KeptMemory> used_memory() {
  auto memory = std::make_shared<model::KeptMemory>();
  const model::KeptMemory::Scope scope(memory);
  model::mapped_tensor({64 << 20}, at::kByte).fill_(0xFF);
  return memory;
}

void check_same(const TinyBlock& block, const quant::WeightFormat& format, const TuneOptions& options) {
  const auto tune = [&](std::shared_ptr<model::KeptMemory> memory) {
    const model::KeptMemory::Scope scope(std::move(memory));
    const auto layer = block.layer();
    return tune_block(block.view(*layer), block.data, test::all_linears(*layer, format), options, {}, {}, Logger());
  };
  const BlockResult fresh = tune(nullptr), used = tune(used_memory());
  CHECK(used.losses == fresh.losses);
  CHECK(used.rtn_loss == fresh.rtn_loss);
  CHECK(used.loss == fresh.loss);
  CHECK(test::same_codes(used, fresh));
  CHECK(at::equal(used.output, fresh.output));
}

TuneOptions quick() {
  TuneOptions options;
  options.iters = 6;
  options.batch_size = 4;
  return options;
}

}  // namespace

TEST_CASE("kept memory: what it held does not matter, in any format", "[tuner]") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const std::string preset = GENERATE("W4A16", "W4A16_ASYM", "W8A8", "MXFP4", "NVFP4", "FP8_BLOCK", "FP8");
  INFO(preset << " in " << at::toString(dtype));
  check_same(TinyBlock(dtype), test::preset_format(preset), quick());
}

TEST_CASE("kept memory: what it held does not matter, however a block is tuned", "[tuner]") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  TuneOptions options = quick();
  SECTION("plain operations") { options.arithmetic.fused = false; }
  SECTION("momentum") { options.momentum = 0.9; }
  SECTION("V in fp32") { options.iters = 256; }
  SECTION("steps of several passes") {
    options.gradient_accumulate_steps = 2;
    options.micro_batch = 2;
  }
  SECTION("rounding to nearest") { options.iters = 0; }
  check_same(TinyBlock(dtype), test::int_format(4, 32), options);
}

TEST_CASE("kept memory: what it held does not matter to experts, with tokens or without", "[tuner]") {
  TinyBlock block(GENERATE(at::kFloat, at::kBFloat16));
  test::make_sparse(block, 2);
  check_same(block, test::int_format(3, 32), quick());
}

}  // namespace autoround::tuner
