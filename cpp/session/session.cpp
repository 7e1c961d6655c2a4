#include "session/session.hpp"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.hpp"
#include "device/device.hpp"
#include "model/compute_threads.hpp"
#include "model/mapped_memory.hpp"
#include "modifier/autoround_modifier.hpp"
#include "modifier/lifecycle.hpp"
#include "session/data.hpp"
#include "session/events.hpp"
#include "session/fingerprint.hpp"
#include "session/memory_plan.hpp"
#include "session/outputs.hpp"
#include "session/pipeline.hpp"
#include "session/predict.hpp"
#include "session/report.hpp"
#include "session/run_types.hpp"

namespace autoround::session {
namespace {

constexpr double no_loss = std::numeric_limits<double>::quiet_NaN();

}  // namespace

struct Session::Impl {
  Impl(std::shared_ptr<const Model> model_in, recipe::Recipe recipe_in,
       std::shared_ptr<const calibration::SampleSet> data_in, Options options_in)
      : model(std::move(model_in)),
        data(std::move(data_in)),
        options(std::move(options_in)),
        recipe(std::move(recipe_in)) {
    if (options.seed) recipe.seed = static_cast<std::int64_t>(*options.seed);
    if (!options.cancel) options.cancel = std::make_shared<CancelToken>();
    modifier = std::make_unique<modifier::AutoRoundModifier>(recipe);
  }

  /// Runs one step of the lifecycle. Work that fails half-way leaves nothing to go on with: the session is FAILED and
  /// its half-written outputs are gone, or with `resume` left to a later session.
  template <class Step>
  auto guarded(Step&& step) {
    try {
      if (!own_stream) own_stream.emplace(compute_device(options));
      const device::Scope scope(*own_stream);
      const model::ThreadCount threads(model->threads());
      const model::KeptMemory::Scope memory(kept_memory);
      const c10::InferenceMode off(false);  // the host's may be on, and its tensors could not be saved for backward
      options.cancel->throw_if_requested();
      return step();
    } catch (...) {
      lifecycle.enter(modifier::State::failed);
      if (outputs) outputs->log_kept(model->log());
      outputs.reset();
      release();
      throw;
    }
  }

  /// What only tuning needs: a session that tunes no more does not hold it.
  void release() {
    pipeline.reset();
    modifier->release();
    if (run) run->streams = {};
    kept_memory.reset();
    if (own_stream) device::release_memory(own_stream->device());
  }

  std::size_t samples() const {
    return data ? std::min<std::size_t>(data->size(), static_cast<std::size_t>(recipe.nsamples)) : 0;
  }
  bool uses_data() const { return samples() > 0; }

  at::Tensor token_ids() const {
    if (!uses_data()) return {};
    return at::from_blob(const_cast<std::int64_t*>(data->ids().data()),
                         {static_cast<std::int64_t>(samples()), data->sequence_length()}, at::kLong);
  }

  exporter::ExportPlan export_plan() const {
    return {model->checkpoint(), recipe,
            model->modules(),    modifier->assignment(),
            modifier->formats(), model->spec().tie_word_embeddings,
            model->log(),        modifier->caches()};
  }

  void emit(EventKind kind, std::int64_t block, const std::string& name, double done_in_block,
            std::int64_t iteration = -1, double loss = no_loss, std::vector<at::Tensor> inputs = {}) const {
    const double layers = static_cast<double>(model->spec().layers.size());
    const double fraction =
        block < 0 ? done_in_block
                  : (static_cast<double>(block) + done_in_block * static_cast<double>(reached->layers)) / layers;
    session::emit(options, {kind, fraction, block, name, iteration, loss, std::move(inputs)});
  }

  void count_weight(const quant::QuantizedWeight& weight);
  void on_weight(quant::QuantizedWeight&& weight);
  void initialize();
  void start();
  std::optional<std::size_t> next_block();
  void tune(const std::vector<std::string>& module_names);
  BlockStats tune_block(const modifier::Subgraph& subgraph);
  BlockStats restore_block(const modifier::Subgraph& subgraph, const Outputs::KeptBlock& kept);
  void end();

  std::optional<device::OwnStream> own_stream;  // of one step after the other: memory goes from each to the next
  std::shared_ptr<const Model> model;
  std::shared_ptr<const calibration::SampleSet> data;
  Options options;
  recipe::Recipe recipe;

  modifier::Lifecycle lifecycle;
  modifier::HookRegistry hooks;
  std::unique_ptr<modifier::AutoRoundModifier> modifier;
  std::optional<model::CausalLm> lm;
  std::optional<modifier::Run> run;
  RunShape shape;
  std::shared_ptr<model::KeptMemory> kept_memory = std::make_shared<model::KeptMemory>();  // from layer to layer
  std::optional<exporter::ExportPlan> plan;
  std::optional<Outputs> outputs;
  std::optional<SequentialPipeline> pipeline;
  struct Reached {
    std::size_t first, layers;  // of the model's decoder layers
    std::string name;
    std::int64_t index() const { return static_cast<std::int64_t>(first); }
  };
  std::optional<Reached> reached;  // the block that the data has reached and that is not tuned yet
  std::shared_ptr<Result> result = std::make_shared<Result>();
  Stopwatch clock;
};

void Session::Impl::count_weight(const quant::QuantizedWeight& weight) {
  const auto layer = std::find_if(result->layers.begin(), result->layers.end(),
                                  [&](const LayerStats& stats) { return stats.name == weight.name; });
  if (layer != result->layers.end()) layer->bits_per_weight = bits_per_weight(weight);
}

void Session::Impl::on_weight(quant::QuantizedWeight&& weight) {
  count_weight(weight);
  if (outputs->empty())
    result->tensors.push_back(std::move(weight));
  else
    outputs->write(std::move(weight));
}

void Session::Impl::initialize() {
  if (model->is_quantized())
    fail(Code::unsupported, model->checkpoint().directory(),
         "the checkpoint is already quantized (quantization_config)");
  if (options.resume && options.outputs.empty())
    fail(Code::invalid_argument, "resume", "there is nothing to resume without an output directory: set one");
  if (uses_data()) check_token_ids(*data, samples(), model->spec().vocab_size);

  lm.emplace(model->causal_lm(compute_type(options), compute_device(options)));
  run.emplace(modifier::Run{
      model->spec(), model->modules(), lm->weights(), lm->dtype(), scale_type(model->weight_type(), recipe, options),
      uses_data() ? std::vector<std::int64_t>(data->lengths().begin(),
                                              data->lengths().begin() + static_cast<std::ptrdiff_t>(samples()))
                  : std::vector<std::int64_t>{},
      uses_data() ? data->sequence_length() : 0, hooks, *options.cancel, model->log(),
      [this](quant::QuantizedWeight&& weight) { on_weight(std::move(weight)); },
      [this](const quant::CacheScales& cache) { outputs->write_cache(cache); },
      [this](const tuner::Iteration& it) {
        const double done =
            static_cast<double>(it.index + 1) / static_cast<double>(std::max<std::int64_t>(recipe.iters, 1));
        emit(EventKind::iteration, reached->index(), reached->name, done, it.index, it.loss);
      }});
  modifier->on_initialize(*run);
  if (!modifier->caches().empty() && options.outputs.empty())
    fail(Code::invalid_argument, "kv_cache_scheme",
         "scales of the cache are only written to a folder: set an output directory");
  shape = run_shape(modifier->assignment(), recipe, data.get(), options);
  MemoryPlan& memory = result->memory;
  memory = plan_memory(recipe, shape, modifier->formats(), options,
                       [&](const MemoryMode& mode) { return predict_memory(model->spec(), recipe, shape, mode); });
  check_memory(memory);
  run->micro_batch = memory.mode.micro_batch;
  run->deterministic = is_deterministic(options);
  plan.emplace(export_plan());
  outputs.emplace(options.outputs, *plan);
  result->layers = layer_stats(modifier->assignment());
  result->wrote_outputs = !outputs->empty();
  if (uses_data()) log_data(*data, samples(), recipe, model->log());
  log_memory(result->memory, recipe, model->log());
}

void Session::Impl::start() {
  modifier->on_start(*run);
  if (!outputs->empty())
    outputs->begin(*plan, fingerprint(*model, recipe, data.get(), samples(), options, run->micro_batch), options.resume,
                   model->log());
  const auto layers = static_cast<std::int64_t>(model->spec().layers.size());
  run->streams = make_streams(result->memory, options, most_streams(std::min(recipe.nblocks, layers)),
                              stream_bytes(shape, model->spec().hidden_size), model->log());
  pipeline.emplace(*lm, token_ids(), run->micro_batch, recipe.nblocks,
                   model::Arithmetic{recipe.enable_torch_compile, run->deterministic}, hooks, *options.cancel,
                   run->streams);
  emit(EventKind::progress, -1, "start", 0.0);
}

std::optional<std::size_t> Session::Impl::next_block() {
  const auto first = pipeline->advance();
  if (!first) return first;
  const auto layers = pipeline->subgraph(model->modules()).layers;
  reached.emplace(Reached{*first, layers.size(), tuner::DecoderBlock(layers).name()});
  outputs->settle();  // a block begins when those before it are on disk
  emit(EventKind::block_begin, reached->index(), reached->name, 0.0);
  if (uses_data() && (options.event_mask & EventKind::block_inputs)) {
    const auto stream = modifier->captured_input(*first);
    const auto quantized = modifier->quantized_input().defined() ? modifier->quantized_input() : stream;
    const auto sized = [&](const at::Tensor& t) {
      return run->streams.on_cpu(t).view({static_cast<std::int64_t>(samples()), run->length, -1});
    };
    emit(EventKind::block_inputs, reached->index(), reached->name, 0.0, -1, no_loss, {sized(stream), sized(quantized)});
    for (const at::Tensor& shown : {stream, quantized}) run->streams.rest(shown);
  }
  return first;
}

void Session::Impl::tune(const std::vector<std::string>& module_names) {
  modifier::Subgraph subgraph = pipeline->subgraph(model->modules());
  subgraph.modules = module_names;
  const auto kept = outputs->kept(result->blocks.size());
  BlockStats stats = kept ? restore_block(subgraph, *kept) : tune_block(subgraph);
  pipeline->release_layers();
  if (stats.fell_back)
    result->warnings.push_back(stats.name + ": the loss was not finite; rounded to nearest instead (on_nan: rtn)");
  if (stats.idle_experts > 0)
    result->warnings.push_back(stats.name + ": no calibration token went to " + std::to_string(stats.idle_experts) +
                               " of " + std::to_string(stats.experts) +
                               " experts; they are rounded to nearest. More samples reach more experts.");
  result->blocks.push_back(std::move(stats));
  const BlockStats& done = result->blocks.back();
  emit(EventKind::block_end, reached->index(), done.name, 1.0, done.best_iteration, done.loss);
  reached.reset();
}

BlockStats Session::Impl::tune_block(const modifier::Subgraph& subgraph) {
  modifier->on_sequential_epoch_end(*run, subgraph);
  const tuner::BlockResult& tuned = modifier->last_block();
  BlockStats stats{reached->name, tuned.rtn_loss,  tuned.loss,    tuned.best_iteration, tuned.seconds,
                   tuned.losses,  tuned.fell_back, tuned.experts, tuned.idle_experts};
  if (!uses_data()) stats.rtn_loss = stats.loss = no_loss;
  outputs->finish_block(stats);
  return stats;
}

BlockStats Session::Impl::restore_block(const modifier::Subgraph& subgraph, const Outputs::KeptBlock& kept) {
  for (const quant::QuantizedWeight& weight : kept.weights) count_weight(weight);
  modifier->restore_block(*run, subgraph, kept.weights);
  ++result->resumed_blocks;
  return kept.stats;
}

void Session::Impl::end() {
  modifier->on_end(*run);
  result->io.reading = pipeline->reading_seconds();
  release();
  outputs->settle();
  result->io.writing = outputs->seconds();
}

Session::Session(std::shared_ptr<const Model> model, recipe::Recipe recipe,
                 std::shared_ptr<const calibration::SampleSet> data, Options options)
    : impl_(std::make_unique<Impl>(std::move(model), std::move(recipe), std::move(data), std::move(options))) {}
Session::~Session() = default;

State Session::state() const noexcept { return static_cast<State>(impl_->lifecycle.state()); }

void Session::initialize() {
  impl_->lifecycle.require("initialize", {modifier::State::created});
  impl_->guarded([&] { impl_->initialize(); });
  impl_->lifecycle.enter(modifier::State::initialized);
}

void Session::start() {
  impl_->lifecycle.require("start", {modifier::State::initialized});
  impl_->guarded([&] { impl_->start(); });
  impl_->lifecycle.enter(modifier::State::started);
}

std::optional<std::size_t> Session::next_block() {
  impl_->lifecycle.require("next_block", {modifier::State::started});
  if (impl_->reached)
    fail(Code::invalid_state, "next_block",
         "block " + std::to_string(impl_->reached->first) +
             " was reached and not tuned: call sequential_epoch_end first");
  return impl_->guarded([&] { return impl_->next_block(); });
}

void Session::sequential_epoch_end() {
  impl_->lifecycle.require("sequential_epoch_end", {modifier::State::started});
  if (!impl_->reached) fail(Code::invalid_state, "sequential_epoch_end", "no block was reached: call next_block first");
  impl_->guarded([&] { impl_->tune(impl_->pipeline->subgraph(impl_->model->modules()).modules); });
}

void Session::sequential_epoch_end(const std::vector<std::string>& module_names) {
  impl_->lifecycle.require("sequential_epoch_end", {modifier::State::started});
  const std::optional<std::size_t> block = impl_->modifier->decoding_block(module_names);
  if (!block) return;
  if (!impl_->reached || *block != impl_->reached->first) {
    const std::string layer = impl_->model->spec().layer_name(*block);
    fail(Code::invalid_state, layer,
         layer + " is not the layer that the data has reached: call next_block until it is");
  }
  impl_->guarded([&] { impl_->tune(module_names); });
}

void Session::end() {
  impl_->lifecycle.require("end", {modifier::State::started});
  const std::size_t total = impl_->model->spec().layers.size();
  const std::size_t tuned = impl_->reached ? impl_->reached->first : impl_->pipeline->position();
  if (tuned < total)
    fail(Code::invalid_state, "end",
         std::to_string(tuned) + " of " + std::to_string(total) +
             " blocks are tuned: call next_block and sequential_epoch_end for the others first");
  impl_->guarded([&] { impl_->end(); });
  impl_->lifecycle.enter(modifier::State::ended);
}

std::shared_ptr<const Result> Session::finalize() {
  impl_->lifecycle.require("finalize", {modifier::State::started, modifier::State::ended});
  if (impl_->lifecycle.state() == modifier::State::started) end();
  impl_->guarded([&] {
    impl_->modifier->on_finalize(*impl_->run);
    impl_->result->report_json =
        report_json(*impl_->model, impl_->recipe, impl_->options, impl_->data.get(), impl_->samples(), *impl_->result,
                    impl_->outputs->disk_bytes(), impl_->clock);
    impl_->emit(EventKind::progress, -1, "finish", 1.0);  // the last moment at which a host can still say no
    impl_->outputs->finish();
  });
  impl_->lifecycle.enter(modifier::State::finalized);
  return impl_->result;
}

}  // namespace autoround::session
