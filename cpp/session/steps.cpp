#include "session/steps.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "session/data.hpp"
#include "session/events.hpp"
#include "session/fingerprint.hpp"
#include "session/memory_plan.hpp"
#include "session/report.hpp"
#include "session/run_types.hpp"

namespace autoround::session {
namespace {

constexpr double no_loss = std::numeric_limits<double>::quiet_NaN();

}  // namespace

Steps::Steps(std::shared_ptr<const Model> model, recipe::Recipe recipe,
             std::shared_ptr<const calibration::SampleSet> data, Options options)
    : model_(std::move(model)), data_(std::move(data)), options_(std::move(options)), recipe_(std::move(recipe)) {
  if (options_.seed) recipe_.seed = *options_.seed;
  if (!options_.cancel) options_.cancel = std::make_shared<CancelToken>();
  modifier_ = std::make_unique<modifier::AutoRoundModifier>(recipe_);
}

Steps::Scope::Scope(Steps& steps)
    : stream_(steps.stream()), threads_(steps.model_->threads()), memory_(steps.kept_memory_) {
  steps.options_.cancel->throw_if_requested();
}

const device::OwnStream& Steps::stream() {
  if (!own_stream_) own_stream_.emplace(compute_device(options_));
  return *own_stream_;
}

void Steps::initialize() {
  if (model_->is_quantized())
    fail(Code::unsupported, model_->checkpoint().given_directory(),
         "the checkpoint is already quantized (quantization_config)");
  if (options_.resume && options_.outputs.empty())
    fail(Code::invalid_argument, "resume", "there is nothing to resume without an output directory: set one");
  if (uses_data()) check_token_ids(*data_, samples(), model_->spec().vocab_size);

  lm_.emplace(model_->causal_lm(compute_type(options_), compute_device(options_)));
  run_.emplace(modifier::Run{
      model_->spec(), model_->modules(), lm_->weights(), lm_->dtype(),
      scale_format(model_->weight_type(), recipe_, options_),
      uses_data() ? std::vector<std::int64_t>(data_->lengths().begin(),
                                              data_->lengths().begin() + static_cast<std::ptrdiff_t>(samples()))
                  : std::vector<std::int64_t>{},
      uses_data() ? data_->sequence_length() : 0, hooks_, *options_.cancel, model_->log(),
      [this](quant::QuantizedWeight&& weight) { on_weight(std::move(weight)); },
      [this](const quant::CacheScales& cache) { outputs_->write_cache(cache); },
      [this](const tuner::Iteration& it) {
        const double done =
            static_cast<double>(it.index + 1) / static_cast<double>(std::max<std::int64_t>(recipe_.iters, 1));
        emit(EventKind::iteration, reached_->index(), reached_->name, done, it.index, it.loss);
      }});
  modifier_->on_initialize(*run_);
  if (!modifier_->caches().empty() && options_.outputs.empty())
    fail(Code::invalid_argument, "kv_cache_scheme",
         "scales of the cache are only written to a folder: set an output directory");
  shape_ = run_shape(modifier_->assignment(), recipe_, data_.get(), options_);
  MemoryPlan& memory = result_->memory;
  memory = plan_memory(recipe_, shape_, modifier_->formats(), options_,
                       [&](const MemoryMode& mode) { return predict_memory(model_->spec(), recipe_, shape_, mode); });
  check_memory(memory);
  run_->micro_batch = memory.mode.micro_batch;
  run_->deterministic = is_deterministic(options_);
  plan_.emplace(export_plan());
  outputs_.emplace(options_.outputs, *plan_);
  result_->layers = layer_stats(modifier_->assignment());
  result_->wrote_outputs = !outputs_->empty();
  if (uses_data()) log_data(*data_, samples(), recipe_, model_->log());
  log_memory(result_->memory, recipe_, model_->log());
}

void Steps::start() {
  modifier_->on_start(*run_);
  if (!outputs_->empty())
    outputs_->begin(*plan_, fingerprint(*model_, recipe_, data_.get(), samples(), options_, run_->micro_batch),
                    options_.resume, model_->log(), *options_.cancel);
  const auto layers = static_cast<std::int64_t>(model_->spec().layers.size());
  run_->streams = make_streams(result_->memory, options_, most_streams(std::min(recipe_.nblocks, layers)),
                               stream_bytes(shape_, model_->spec().hidden_size), model_->log());
  pipeline_.emplace(*lm_, token_ids(), run_->micro_batch, recipe_.nblocks,
                    model::Arithmetic{recipe_.enable_torch_compile, run_->deterministic}, hooks_, *options_.cancel,
                    run_->streams);
  emit(EventKind::progress, -1, "start", 0.0);
}

std::optional<std::size_t> Steps::next_block() {
  const auto first = pipeline_->advance();
  if (!first) return first;
  const auto layers = pipeline_->subgraph(model_->modules()).layers;
  reached_.emplace(Reached{*first, layers.size(), tuner::DecoderBlock(layers).name()});
  outputs_->settle();  // a block begins when those before it are on disk
  emit(EventKind::block_begin, reached_->index(), reached_->name, 0.0);
  if (uses_data() && (options_.event_mask & EventKind::block_inputs)) {
    const auto stream = modifier_->captured_input(*first);
    const auto quantized = modifier_->quantized_input().defined() ? modifier_->quantized_input() : stream;
    const auto sized = [&](const at::Tensor& t) {
      return run_->streams.on_cpu(t).view({static_cast<std::int64_t>(samples()), run_->length, -1});
    };
    emit(EventKind::block_inputs, reached_->index(), reached_->name, 0.0, -1, no_loss,
         {sized(stream), sized(quantized)});
    for (const at::Tensor& shown : {stream, quantized}) run_->streams.rest(shown);
  }
  return first;
}

void Steps::tune(const std::vector<std::string>& module_names) {
  modifier::Subgraph subgraph = pipeline_->subgraph(model_->modules());
  subgraph.modules = module_names;
  const auto kept = outputs_->kept(result_->blocks.size());
  BlockStats stats = kept ? restore_block(subgraph, *kept) : tune_block(subgraph);
  pipeline_->release_layers();
  if (stats.fell_back)
    result_->warnings.push_back(stats.name + ": the loss was not finite; rounded to nearest instead (on_nan: rtn)");
  if (stats.idle_experts > 0)
    result_->warnings.push_back(stats.name + ": no calibration token went to " + std::to_string(stats.idle_experts) +
                                " of " + std::to_string(stats.experts) +
                                " experts; they are rounded to nearest. More samples reach more experts.");
  result_->blocks.push_back(std::move(stats));
  const BlockStats& done = result_->blocks.back();
  emit(EventKind::block_end, reached_->index(), done.name, 1.0, done.best_iteration, done.loss);
  reached_.reset();
}

BlockStats Steps::tune_block(const modifier::Subgraph& subgraph) {
  modifier_->on_sequential_epoch_end(*run_, subgraph);
  const tuner::BlockResult& tuned = modifier_->last_block();
  BlockStats stats{reached_->name, tuned.rtn_loss,  tuned.loss,    tuned.best_iteration, tuned.seconds,
                   tuned.losses,   tuned.fell_back, tuned.experts, tuned.idle_experts};
  if (!uses_data()) stats.rtn_loss = stats.loss = no_loss;
  outputs_->finish_block(stats);
  return stats;
}

BlockStats Steps::restore_block(const modifier::Subgraph& subgraph, const Outputs::KeptBlock& kept) {
  for (const quant::QuantizedWeight& weight : kept.weights) count_weight(weight);
  modifier_->restore_block(*run_, subgraph, kept.weights);
  ++result_->resumed_blocks;
  return kept.stats;
}

void Steps::count_weight(const quant::QuantizedWeight& weight) {
  const auto layer = std::find_if(result_->layers.begin(), result_->layers.end(),
                                  [&](const LayerStats& stats) { return stats.name == weight.name; });
  if (layer != result_->layers.end()) layer->bits_per_weight = bits_per_weight(weight);
}

void Steps::on_weight(quant::QuantizedWeight&& weight) {
  count_weight(weight);
  if (outputs_->empty())
    result_->tensors.push_back(std::move(weight));
  else
    outputs_->write(std::move(weight));
}

void Steps::end() {
  modifier_->on_end(*run_);
  result_->io.reading = pipeline_->reading_seconds();
  release();
  outputs_->settle();
  result_->io.writing = outputs_->seconds();
}

std::shared_ptr<const Result> Steps::finalize() {
  modifier_->on_finalize(*run_);
  result_->report_json =
      report_json(*model_, recipe_, options_, data_.get(), samples(), *result_, outputs_->disk_bytes(), clock_);
  emit(EventKind::progress, -1, "finish", 1.0);  // the last moment at which a host can still say no
  outputs_->finish();
  return result_;
}

void Steps::abandon() {
  if (outputs_) outputs_->log_kept(model_->log());
  outputs_.reset();
  release();
}

/// What only tuning needs: a run that tunes no more does not hold it.
void Steps::release() {
  pipeline_.reset();
  modifier_->release();
  if (run_) run_->streams = {};
  kept_memory_.reset();
  if (own_stream_) device::release_memory(own_stream_->device());
}

std::optional<std::size_t> Steps::reached() const {
  return reached_ ? std::optional<std::size_t>(reached_->first) : std::nullopt;
}

std::vector<std::string> Steps::reached_modules() const { return pipeline_->subgraph(model_->modules()).modules; }

std::size_t Steps::tuned_layers() const { return reached_ ? reached_->first : pipeline_->position(); }

std::optional<std::size_t> Steps::block_of(const std::vector<std::string>& module_names) const {
  return modifier_->decoding_block(module_names);
}

std::size_t Steps::samples() const {
  return data_ ? std::min<std::size_t>(data_->size(), static_cast<std::size_t>(recipe_.nsamples)) : 0;
}

at::Tensor Steps::token_ids() const {
  if (!uses_data()) return {};
  return at::from_blob(const_cast<std::int64_t*>(data_->ids().data()),
                       {static_cast<std::int64_t>(samples()), data_->sequence_length()}, at::kLong);
}

exporter::ExportPlan Steps::export_plan() const {
  return {model_->checkpoint(), recipe_,
          model_->modules(),    modifier_->assignment(),
          modifier_->formats(), model_->spec().tie_word_embeddings,
          model_->log(),        modifier_->caches(),
          options_.cancel.get()};
}

void Steps::emit(EventKind kind, std::int64_t block, const std::string& name, double done_in_block,
                 std::int64_t iteration, double loss, std::vector<at::Tensor> inputs) const {
  const double layers = static_cast<double>(model_->spec().layers.size());
  const double fraction =
      block < 0 ? done_in_block
                : (static_cast<double>(block) + done_in_block * static_cast<double>(reached_->layers)) / layers;
  session::emit(options_, {kind, fraction, block, name, iteration, loss, std::move(inputs)});
}

}  // namespace autoround::session
