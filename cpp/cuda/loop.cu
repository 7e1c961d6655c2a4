// The tuning loop around the block: minibatch, loss, and what becomes of an iteration, without a word to the host.
#include "cuda/vectors.cuh"

namespace autoround::cuda {
namespace {

using device::Element;
using device::Progress;

__device__ std::int64_t sample_of(const Progress* progress, const std::int64_t* indices, std::int64_t step_samples,
                                  std::int64_t place) {
  return indices[progress->iteration * step_samples + place];
}

template <class Word>
__global__ void gather_kernel(device::Gather a) {
  const std::int64_t words = a.sample_bytes / static_cast<std::int64_t>(sizeof(Word)), sample = blockIdx.x;
  const std::int64_t from = sample_of(a.progress, a.indices, a.step_samples, a.first + sample);
  const auto* in = static_cast<const Word*>(a.stream) + from * words;
  auto* out = static_cast<Word*>(a.out) + sample * words;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.y) * kThreads;
  for (std::int64_t i = blockIdx.y * kThreads + threadIdx.x; i < words; i += stride) out[i] = in[i];
}

/// A warp takes a row, a lane N neighbours at once.
template <class T, int N>
__global__ void __launch_bounds__(kThreads) loss_kernel(device::Loss a) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (row >= a.rows) return;
  std::int64_t sample = row / a.length;
  if (a.indices) sample = sample_of(a.progress, a.indices, a.step_samples, a.first + sample);
  const bool real = row % a.length < a.lengths[sample];
  const T *prediction = static_cast<const T*>(a.prediction) + row * a.width,
          *target = static_cast<const T*>(a.target) + (sample * a.length + row % a.length) * a.width;
  T* gradient = a.gradient ? static_cast<T*>(a.gradient) + row * a.width : nullptr;
  double sum = 0.0;
  for (std::int64_t i = lane * N; i < a.width; i += N * kWarp) {
    float predicted[N], wanted[N], slope[N];
    load_vector<N>(prediction + i, predicted);
    load_vector<N>(target + i, wanted);
    float part = 0.f;  // of few terms, so that fp32 is exact enough
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float difference = real ? predicted[k] - wanted[k] : 0.f;
      part += difference * difference;
      slope[k] = 2.f * difference * a.scale;
    }
    if (gradient) store_vector<N>(gradient + i, slope);
    sum += part;
  }
  sum = warp_sum(sum);
  if (lane == 0) a.errors[row] = sum;
}

/// One block: every thread adds up its share in order, then the shares are added in pairs.
__global__ void __launch_bounds__(kThreads) decide_kernel(device::Decide a) {
  __shared__ double shares[kThreads];
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < a.count; i += kThreads) sum += a.errors[i];
  shares[threadIdx.x] = sum;
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shares[threadIdx.x] += shares[threadIdx.x + half];
  }
  Progress& progress = *a.progress;
  if (threadIdx.x != 0 || progress.stopped) return;

  const std::int64_t now = progress.iteration;
  const double loss = shares[0] / a.elements[now];
  progress.loss = loss;
  if (!isfinite(loss) || loss > a.largest_loss) {
    progress.diverged = progress.stopped = 1;
    progress.is_best = 0;
    return;
  }
  const bool lower = loss < progress.best_loss;
  if (lower) progress.best_loss = loss;
  progress.is_best = a.keep_last ? now == a.iterations - 1 : lower;
  if (progress.is_best) progress.best_index = now;
  progress.stale = a.patience > 0 && now - progress.best_index >= a.patience;
}

__global__ void advance_kernel(Progress* progress) {
  if (progress->stopped) return;
  if (progress->stale) progress->stopped = 1;
  ++progress->iteration;
}

template <class Word>
void gather_as(const device::Gather& a, cudaStream_t stream) {
  const std::int64_t words = a.sample_bytes / static_cast<std::int64_t>(sizeof(Word));
  const unsigned blocks = min(blocks_for(words, kThreads), 256u);
  launch(gather_kernel<Word>, dim3(static_cast<unsigned>(a.count), blocks), kThreads, stream, a);
}

}  // namespace

void gather(const device::Gather& a, cudaStream_t stream) {
  const bool vectors = a.sample_bytes % 16 == 0 && aligned(16, a.stream, a.out);
  vectors ? gather_as<uint4>(a, stream) : gather_as<std::uint16_t>(a, stream);
  check_launch("gather");
}

void loss(const device::Loss& a, cudaStream_t stream) {
  const bool vectors = a.width % 8 == 0 && aligned(16, a.prediction, a.target, a.gradient);
  auto* kernel = vectors ? loss_kernel<Bf16, 8> : loss_kernel<Bf16, 1>;
  if (a.element == Element::f32) kernel = vectors ? loss_kernel<float, 8> : loss_kernel<float, 1>;
  launch(kernel, blocks_for(a.rows, kWarps), kThreads, stream, a);
  check_launch("loss");
}

void decide(const device::Decide& a, cudaStream_t stream) {
  launch(decide_kernel, 1, kThreads, stream, a);
  check_launch("decide");
}

void advance(Progress* progress, cudaStream_t stream) {
  launch(advance_kernel, 1, 1, stream, progress);
  check_launch("advance");
}

}  // namespace autoround::cuda
