#include "tuner/recorded_loop.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/Event.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device/device.hpp"
#include "tuner/device_loss.hpp"
#include "tuner/quant_ops.hpp"
#include "tuner/sampler.hpp"

namespace autoround::tuner {
namespace {

/// Iterations that the host may be ahead: enough to hide its own work, few enough to cancel soon.
constexpr std::size_t most_ahead = 4;

/// The order of all samples and what the loss of each iteration is divided by, known before the first.
struct Schedule {
  at::Tensor indices, elements;  // int64 [iters, step samples], fp64 [iters]
};

Schedule make_schedule(const BlockData& data, const TuneOptions& options, const StepShape& shape) {
  IndexSampler sampler(static_cast<std::int64_t>(data.lengths.size()), shape.samples, options.seed);
  at::Tensor indices = at::empty({options.iters, shape.samples}, at::kLong);
  at::Tensor elements = at::empty({options.iters}, at::kDouble);
  for (std::int64_t i = 0; i < options.iters; ++i) {
    const auto batch = sampler.next();
    std::copy(batch.begin(), batch.end(), indices.data_ptr<std::int64_t>() + i * shape.samples);
    elements.data_ptr<double>()[i] = real_elements(data, batch);
  }
  return {indices.to(data.input.device()), elements.to(data.input.device())};
}

/// What an iteration works with. Everything it touches stays where it is.
class Loop {
 public:
  Loop(const Block& block, RoundingStates& states, const BlockData& data, const TuneOptions& options,
       double largest_loss, model::Ops& ops)
      : block_(block),
        states_(states),
        data_(data),
        shape_(step_shape(data, options)),
        kernels_(device::kernels(data.input.device())),
        schedule_(make_schedule(data, options, shape_)),
        quant_ops_(states, ops) {
    const auto like = data.input.options();
    const device::Progress start;
    progress_ = at::empty({sizeof start}, at::kByte);
    std::memcpy(progress_.mutable_data_ptr(), &start, sizeof start);
    progress_ = progress_.to(like.device());
    lengths_ = lengths_on(like.device(), data.lengths);
    errors_ = at::empty({shape_.samples * data.length}, like.dtype(at::kDouble));
    decide_.progress = progress();
    decide_.errors = errors_.const_data_ptr<double>();
    decide_.count = errors_.numel();
    decide_.elements = schedule_.elements.const_data_ptr<double>();
    decide_.iterations = options.iters;
    decide_.largest_loss = largest_loss;
    decide_.keep_last = options.not_use_best_mse;
    decide_.patience = options.not_use_best_mse ? 0 : std::max<std::int64_t>(0, options.dynamic_max_gap);
    states.record(progress(), options.iters);
  }

  ~Loop() { states_.end_record(); }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void iterate() {
    states_.write_weights();
    for (std::int64_t first = 0; first < shape_.samples; first += shape_.micro_samples) {
      const std::int64_t count = std::min(shape_.micro_samples, shape_.samples - first);
      const bool last = first + count == shape_.samples;
      const at::Tensor output = forward(first, count);
      const at::Tensor gradient = gradient_of_loss(output, first);
      if (last) kernels_.decide(decide_);
      states_.begin({.first = first == 0, .last = last, .is_best = false});
      output.backward(gradient);
    }
    states_.finish_step();
    kernels_.advance(progress());
  }

  void abandon_iteration() { states_.abandon_step(); }

  const device::Kernels& kernels() const { return kernels_; }
  const at::Tensor& progress_bytes() const { return progress_; }

 private:
  device::Progress* progress() { return static_cast<device::Progress*>(progress_.mutable_data_ptr()); }
  const std::int64_t* indices() const { return schedule_.indices.const_data_ptr<std::int64_t>(); }

  /// Holds on to nothing that the backward pass does not need: memory is at its peak there.
  at::Tensor forward(std::int64_t first, std::int64_t count) {
    const at::Tensor input = gather(first, count);
    const at::AutoGradMode record(true);
    quant_ops_.set_recompute(input, [this, first, count] { return gather(first, count); });
    return block_.forward(input, count, quant_ops_);
  }

  /// Samples of the stream from place `first` of this step on.
  at::Tensor gather(std::int64_t first, std::int64_t count) {
    device::Gather a;
    a.progress = progress();
    a.indices = indices();
    a.step_samples = shape_.samples;
    a.first = first;
    a.count = count;
    at::Tensor samples = at::empty({count * data_.length, data_.input.size(1)}, data_.input.options());
    a.sample_bytes = static_cast<std::int64_t>(samples.nbytes()) / count;
    a.stream = data_.input.const_data_ptr();
    a.out = samples.mutable_data_ptr();
    kernels_.gather(a);
    return samples;
  }

  at::Tensor gradient_of_loss(const at::Tensor& output, std::int64_t first) {
    // The last look at the output: its gradient takes its place.
    at::Tensor gradient = output.detach();
    double* const errors = errors_.data_ptr<double>() + first * data_.length;
    device::Loss a = device_loss(gradient, data_.target, lengths_, data_.length, &gradient, shape_.loss_scale, errors);
    a.progress = progress();
    a.indices = indices();
    a.step_samples = shape_.samples;
    a.first = first;
    kernels_.loss(a);
    return gradient;
  }

  const Block& block_;
  RoundingStates& states_;
  const BlockData& data_;
  StepShape shape_;
  const device::Kernels& kernels_;
  Schedule schedule_;
  QuantOps quant_ops_;
  at::Tensor progress_, lengths_, errors_;
  device::Decide decide_;
};

/// What the host sees of the iterations that are done: copies of the progress, one after each.
class Onlooker {
 public:
  Onlooker(const at::Tensor& progress, std::int64_t iterations)
      : progress_(progress),
        seen_(device::pinned_tensor({iterations, progress.size(0)}, at::kByte, progress.device())) {}

  /// Queues a look at iteration `index`.
  void look(std::int64_t index) {
    seen_[index].copy_(progress_, /*non_blocking=*/true);
    pending_.emplace_back(index, c10::Event(progress_.device().type()));
    pending_.back().second.record(c10::impl::VirtualGuardImpl(progress_.device().type()).getStream(progress_.device()));
  }
  /// The oldest look not taken yet; waits for it when more than `most` are queued. False: nothing to see yet.
  bool next(std::size_t most, std::int64_t& index, device::Progress& progress) {
    if (pending_.empty()) return false;
    auto& [oldest, event] = pending_.front();
    if (pending_.size() > most)
      event.synchronize();
    else if (!event.query())
      return false;
    index = oldest;
    std::memcpy(&progress, seen_[index].const_data_ptr(), sizeof progress);
    pending_.pop_front();
    return true;
  }

 private:
  at::Tensor progress_, seen_;
  std::deque<std::pair<std::int64_t, c10::Event>> pending_;
};

/// An iteration that can be run again, or nothing and why: memory that was enough for the one before need not be when
/// all of it has to lie elsewhere, and what others do to the device can spoil a recording. LibTorch's errors and those
/// of our kernels' launches are forgiven here.
std::unique_ptr<device::Graph> record(Loop& loop, std::string& why_not) {
  auto graph = loop.kernels().make_graph();
  const auto give_up = [&](const char* why) {
    why_not = why;
    loop.abandon_iteration();
    graph.reset();
  };
  try {
    graph->begin();
    loop.iterate();
    graph->end();
  } catch (const c10::Error& error) {
    give_up(error.what_without_backtrace());
  } catch (const Error& error) {
    if (error.code() != Code::device && error.code() != Code::out_of_memory) throw;
    give_up(error.what());
  }
  return graph;
}

}  // namespace

Optimization optimize_recorded(const Block& block, RoundingStates& states, const BlockData& data,
                               const TuneOptions& options, double largest_loss, model::Ops& ops,
                               const CancelToken& cancel, const std::function<void(const Iteration&)>& on_iteration) {
  Loop loop(block, states, data, options, largest_loss, ops);
  Onlooker onlooker(loop.progress_bytes(), options.iters);
  std::unique_ptr<device::Graph> graph;
  Optimization result;
  bool stopped = false;
  /// Takes what is there to see, and waits until no more than `most` iterations are ahead.
  const auto watch = [&](std::size_t most) {
    std::int64_t index = 0;
    device::Progress progress;
    while (!stopped && onlooker.next(most, index, progress)) {
      result.losses.push_back(static_cast<float>(progress.loss));
      result.best_iteration = progress.best_index;
      result.diverged = progress.diverged != 0;
      stopped = progress.stopped != 0;
      if (on_iteration && !result.diverged)
        on_iteration({index, progress.loss, progress.best_loss, progress.best_index});
    }
  };

  for (std::int64_t index = 0; index < options.iters && !stopped; ++index) {
    cancel.throw_if_requested();
    if (index == 1) {
      loop.kernels().release_memory();
      graph = record(loop, result.not_recorded);
    }
    // The first one runs by itself: libraries choose their algorithms and get their memory before anything is recorded.
    graph ? graph->run() : loop.iterate();
    onlooker.look(index);
    watch(most_ahead);
  }
  watch(0);
  device::synchronize(data.input.device());  // a stopped loop has iterations ahead that change nothing any more
  graph.reset();
  loop.kernels().release_memory();  // the graph's, which nothing else can use
  return result;
}

}  // namespace autoround::tuner
