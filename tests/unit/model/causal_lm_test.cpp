#include <ATen/ATen.h>

#include <cmath>

#include "expect_error.hpp"
#include "tiny_model.hpp"

namespace autoround::model {
namespace {

using autoround::test::expect_error;
using test::TinyFolder;

at::Tensor token_ids(std::int64_t windows, std::int64_t length) {
  return at::arange(windows * length, at::kLong).mul(7).remainder(17).view({windows, length});
}

/// All layers and the head, window by window.
at::Tensor window_logits(const CausalLm& model, const at::Tensor& ids) {
  AtenOps ops;
  at::Tensor hidden = model.embed(ids.unsqueeze(0));
  for (std::size_t i = 0; i < model.spec().layers.size(); ++i)
    hidden = model.load_layer(i)->forward(hidden, 1, model.rope(i, ids.size(0)), ops);
  return model.logits(hidden, ops);
}

TEST_CASE("causal lm: embed gives the rows of the embedding", "[model]") {
  const test::Tensors tensors = test::random_tensors(test::parse_spec(test::tiny_config()));
  const TinyFolder folder(test::tiny_config(), tensors);
  const CausalLm model = test::open_model(folder);
  const at::Tensor ids = token_ids(3, 5);
  CHECK(at::equal(model.embed(ids), tensors.at("model.embed_tokens.weight").index_select(0, ids.view(-1))));
  CHECK(model.embed(at::empty({0, 5}, at::kLong)).sizes() == at::IntArrayRef({0, 12}));
  expect_error(Code::invalid_argument, {"17"}, [&] { model.embed(at::full({1, 1}, 17, at::kLong)); });
  expect_error(Code::invalid_argument, {"-1"}, [&] { model.embed(at::full({1, 1}, -1, at::kLong)); });
}

TEST_CASE("causal lm: the head is lm_head, or the embedding when tied", "[model]") {
  Json config = test::tiny_config();
  config["tie_word_embeddings"] = GENERATE(false, true);
  const test::Tensors tensors = test::random_tensors(test::parse_spec(config));
  const TinyFolder folder(config, tensors);
  const CausalLm model = test::open_model(folder);
  AtenOps ops;
  const at::Tensor hidden = test::random_tensor({4, 12}, 30);
  const std::string head = config["tie_word_embeddings"] ? "model.embed_tokens.weight" : "lm_head.weight";
  const at::Tensor expected = at::linear(ops.rms_norm(hidden, tensors.at("model.norm.weight"), 1e-5), tensors.at(head));
  CHECK(at::equal(model.logits(hidden, ops), expected));
}

TEST_CASE("causal lm: rope tables are kept by length and stay where they are", "[model]") {
  const TinyFolder folder(test::tiny_config(), test::random_tensors(test::parse_spec(test::tiny_config())));
  const CausalLm model = test::open_model(folder);
  const RopeTable* first = model.rope(0, 5);
  for (std::int64_t length = 6; length < 20; ++length) CHECK(model.rope(0, length)->cos.size(0) == length);
  CHECK(model.rope(0, 5) == first);
  CHECK(model.rope(1, 5) == first);  // the same rope in every layer: one table
}

TEST_CASE("causal lm: a later token changes no earlier logits", "[model]") {
  const TinyFolder folder(test::tiny_config(), test::random_tensors(test::parse_spec(test::tiny_config())));
  const CausalLm model = test::open_model(folder);
  at::Tensor ids = token_ids(1, 8)[0];
  const at::Tensor before = window_logits(model, ids);
  ids[5] = (ids[5].item<std::int64_t>() + 1) % 17;
  const at::Tensor after = window_logits(model, ids);
  CHECK(at::allclose(before.narrow(0, 0, 5), after.narrow(0, 0, 5), 1e-5, 1e-6));
  CHECK((before[5] - after[5]).abs().max().item<float>() > 1e-3f);
}

TEST_CASE("perplexity: equals the mean of the windows' losses, padding left out", "[model]") {
  const TinyFolder folder(test::tiny_config(), test::random_tensors(test::parse_spec(test::tiny_config())));
  const CausalLm model = test::open_model(folder);
  const std::int64_t length = GENERATE(9, 700);  // 700: several blocks of queries and of the head
  const at::Tensor ids = token_ids(3, length);
  const std::vector<std::int64_t> lengths{length, 4, 1};
  double nll = 0.0;
  for (std::int64_t w = 0; w < 2; ++w) {
    const std::int64_t valid = lengths[static_cast<std::size_t>(w)];
    const at::Tensor logits = window_logits(model, ids[w].narrow(0, 0, valid)).to(at::kDouble).log_softmax(-1);
    for (std::int64_t t = 1; t < valid; ++t) nll -= logits[t - 1][ids[w][t].item<std::int64_t>()].item<double>();
  }
  AtenOps ops;
  std::vector<std::pair<std::size_t, std::size_t>> calls;
  const Perplexity result = perplexity(model, ids, lengths, ops, CancelToken(),
                                       [&](std::size_t done, std::size_t total) { calls.emplace_back(done, total); });
  CHECK(result.tokens == length - 1 + 3);
  CHECK(result.nll == Approx(nll / static_cast<double>(result.tokens)).epsilon(1e-5));
  CHECK(result.perplexity == Approx(std::exp(result.nll)));
  CHECK(calls == std::vector<std::pair<std::size_t, std::size_t>>{{1, 2}, {2, 2}});
}

TEST_CASE("perplexity: cancelling stops it, and nothing to predict is an error", "[model]") {
  const TinyFolder folder(test::tiny_config(), test::random_tensors(test::parse_spec(test::tiny_config())));
  const CausalLm model = test::open_model(folder);
  AtenOps ops;
  CancelToken cancel;
  expect_error(Code::cancelled, {}, [&] {
    perplexity(model, token_ids(2, 6), {6, 6}, ops, cancel, [&](std::size_t, std::size_t) { cancel.request(); });
  });
  expect_error(Code::invalid_argument, {"no window"},
               [&] { perplexity(model, token_ids(2, 6), {1, 0}, ops, CancelToken()); });
}

}  // namespace
}  // namespace autoround::model
