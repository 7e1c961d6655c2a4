// Heads of q, k and v out of what their projection computed, and gradients back into it: a block a token, and as many
// lanes of a warp a head as its elements need.
#include <algorithm>
#include <type_traits>

#include "cuda/vectors.cuh"

namespace autoround::cuda {
namespace {

/// Lanes of a warp that work on one head.
struct Team {
  int first, lanes;  // of this lane's elements, before `step` more; how many there are: a power of two
  unsigned mask;

  __device__ Team(int count, int elements) : first(threadIdx.x % count * elements), lanes(count) {
    const unsigned all = count == kWarp ? kAllLanes : (1u << count) - 1;
    mask = all << (threadIdx.x % kWarp / count * count);
  }
  __device__ float sum(float value) const {
    for (int distance = lanes / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(mask, value, distance);
    return value;
  }
};

/// What a team works on: a head of q, k or v at one token. A head of v is neither normalized nor rotated.
struct Place {
  int part, index;  // 0 q, 1 k, 2 v; which head of those
  std::int64_t sample, position;
  std::int64_t begin;      // in qkv
  const void* norm;        // null: none
  const float *cos, *sin;  // of this position
  int half;                // 0: no rotation
};

__device__ Place place_of(const device::Heads& a, int head) {
  const int heads = static_cast<int>(a.heads), kv_heads = static_cast<int>(a.kv_heads);
  const unsigned token = blockIdx.x, length = static_cast<unsigned>(a.length);
  Place place = {};
  place.part = head < heads ? 0 : (head < heads + kv_heads ? 1 : 2);
  place.index = place.part == 0 ? head : (place.part == 1 ? head - heads : head - heads - kv_heads);
  place.sample = token / length;
  place.position = token % length;
  place.begin = (static_cast<std::int64_t>(token) * (heads + 2 * kv_heads) + head) * a.dim;
  if (place.part == 2) return place;
  place.norm = place.part == 0 ? a.q_norm : a.k_norm;
  if (a.cos == nullptr) return place;
  place.half = static_cast<int>(a.half);
  place.cos = a.cos + place.position * a.half;
  place.sin = a.sin + place.position * a.half;
  return place;
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads, 4) heads_kernel(device::Heads a, int lanes) {
  const int dim = static_cast<int>(a.dim), heads = static_cast<int>(a.heads + 2 * a.kv_heads);
  const Team team(lanes, N);
  const int step = lanes * N, teams = blockDim.x / lanes;
  for (int head = threadIdx.x / lanes; head < heads; head += teams) {
    const Place place = place_of(a, head);
    const T *from = static_cast<const T*>(a.qkv) + place.begin, *weights = static_cast<const T*>(place.norm);
    const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (place.part == 0 ? a.heads : a.kv_heads);
    T* to = static_cast<T*>(place.part == 0 ? a.q : (place.part == 1 ? a.k : a.v)) + (row + place.index) * dim;

    float rstd = 1.0f;
    if (weights != nullptr) {
      float squares = 0.0f;
      for (int i = team.first; i < dim; i += step) {
        float value[N];
        load_vector<N>(from + i, value);
#pragma unroll
        for (int j = 0; j < N; ++j) squares = fmaf(value[j], value[j], squares);
      }
      rstd = inverse_rms(team.sum(squares), static_cast<float>(dim), a.eps);
    }
    const auto normed = [&](int i, float(&value)[N]) {
      load_vector<N>(from + i, value);
      if (weights == nullptr) return;
      float weight[N];
      load_vector<N>(weights + i, weight);
#pragma unroll
      for (int j = 0; j < N; ++j) value[j] = rounded<T>(rounded<T>(value[j] * rstd) * weight[j]);
    };

    for (int i = team.first; i < place.half; i += step) {
      float low[N], high[N], cos[N], sin[N];
      normed(i, low);
      normed(place.half + i, high);
      load_vector<N>(place.cos + i, cos);
      load_vector<N>(place.sin + i, sin);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float x = low[j], y = high[j];
        low[j] = x * cos[j] - y * sin[j];
        high[j] = y * cos[j] + x * sin[j];
      }
      store_vector<N>(to + i, low);
      store_vector<N>(to + place.half + i, high);
    }
    for (int i = 2 * place.half + team.first; i < dim; i += step) {
      float value[N];
      normed(i, value);
      store_vector<N>(to + i, value);
    }
  }
}

/// body(i, gradient) over a head's vectors of this lane: the gradient before the rotation, which is turned back.
template <int N, typename T, typename Body>
__device__ void each_unturned(const Team& team, const Place& place, const T* grad, int dim, Body body) {
  const int step = team.lanes * N;
  for (int i = team.first; i < place.half; i += step) {
    float low[N], high[N], cos[N], sin[N];
    load_vector<N>(grad + i, low);
    load_vector<N>(grad + place.half + i, high);
    load_vector<N>(place.cos + i, cos);
    load_vector<N>(place.sin + i, sin);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float x = low[j], y = high[j];
      low[j] = x * cos[j] + y * sin[j];
      high[j] = y * cos[j] - x * sin[j];
    }
    body(i, low);
    body(place.half + i, high);
  }
  for (int i = 2 * place.half + team.first; i < dim; i += step) {
    float value[N];
    load_vector<N>(grad + i, value);
    body(i, value);
  }
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads, 4) heads_backward_kernel(device::HeadsBackward a, int lanes) {
  const device::Heads& forward = a.forward;
  const int dim = static_cast<int>(forward.dim), heads = static_cast<int>(forward.heads + 2 * forward.kv_heads);
  const Team team(lanes, N);
  const int teams = blockDim.x / lanes;
  for (int head = threadIdx.x / lanes; head < heads; head += teams) {
    const Place place = place_of(forward, head);
    const device::HeadsBackward::Gradient& of = place.part == 0 ? a.q : (place.part == 1 ? a.k : a.v);
    const T* grad =
        static_cast<const T*>(of.data) + place.sample * of.sample + place.position * of.token + place.index * of.head;
    T* to = static_cast<T*>(a.grad_qkv) + place.begin;
    if (place.norm == nullptr) {
      each_unturned<N>(team, place, grad, dim, [&](int i, float(&own)[N]) { store_vector<N>(to + i, own); });
      continue;
    }

    // dx = rstd (w g - x rstd^2 mean(w g x))
    const T *x = static_cast<const T*>(forward.qkv) + place.begin, *weights = static_cast<const T*>(place.norm);
    float squares = 0.0f, dot = 0.0f;
    each_unturned<N>(team, place, grad, dim, [&](int i, float(&own)[N]) {
      float value[N], weight[N];
      load_vector<N>(x + i, value);
      load_vector<N>(weights + i, weight);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        squares = fmaf(value[j], value[j], squares);
        dot = fmaf(own[j] * weight[j], value[j], dot);
      }
    });
    const float rstd = inverse_rms(team.sum(squares), static_cast<float>(dim), forward.eps);
    const float pull = -rstd * rstd * team.sum(dot) / static_cast<float>(dim);
    each_unturned<N>(team, place, grad, dim, [&](int i, float(&own)[N]) {
      float value[N], weight[N];
      load_vector<N>(x + i, value);
      load_vector<N>(weights + i, weight);
#pragma unroll
      for (int j = 0; j < N; ++j) value[j] = fmaf(pull, value[j], own[j] * weight[j]) * rstd;
      store_vector<N>(to + i, value);
    });
  }
}

/// Whether `count` neighbours can be moved at once wherever a head or its table begins: 16 bytes at most are one
/// access.
bool moves(const device::Heads& a, std::size_t count) {
  const std::size_t element = a.element == device::Element::f32 ? sizeof(float) : sizeof(Bf16);
  const std::size_t bytes = std::min<std::size_t>(16, count * element), wide = std::min<std::size_t>(16, count * 4);
  const bool tables = a.cos == nullptr || (a.half % count == 0 && aligned(wide, a.cos, a.sin));
  return tables && a.dim % count == 0 && aligned(bytes, a.q_norm, a.k_norm, a.qkv, a.q, a.k, a.v);
}

bool moves(const device::HeadsBackward& a, std::size_t count) {
  const std::size_t element = a.forward.element == device::Element::f32 ? sizeof(float) : sizeof(Bf16);
  const std::size_t bytes = std::min<std::size_t>(16, count * element);
  const auto fits = [&](const device::HeadsBackward::Gradient& g) {
    return aligned(bytes, g.data) && g.sample % count == 0 && g.token % count == 0 && g.head % count == 0;
  };
  return moves(a.forward, count) && fits(a.q) && fits(a.k) && fits(a.v) && aligned(bytes, a.grad_qkv);
}

/// start(an element, how many are moved at once, threads of a block, lanes of a head)
template <typename Arguments, typename Start>
void with_element(const device::Heads& a, const Arguments& moved, Start start) {
  const auto with_count = [&](auto count) {
    const std::int64_t elements = a.cos == nullptr ? a.dim : a.half, heads = a.heads + 2 * a.kv_heads;
    int lanes = 1;
    while (lanes < kWarp && lanes * count() < elements) lanes *= 2;
    // Rounds of equally many heads.
    const std::int64_t rounds = (heads * lanes + kThreads - 1) / kThreads;
    const unsigned threads = threads_for((heads + rounds - 1) / rounds * lanes, kThreads);
    a.element == device::Element::f32 ? start(float{}, count, threads, lanes) : start(Bf16{}, count, threads, lanes);
  };
  if (moves(moved, 8)) return with_count(std::integral_constant<int, 8>{});
  moves(moved, 2) ? with_count(std::integral_constant<int, 2>{}) : with_count(std::integral_constant<int, 1>{});
}

}  // namespace

void heads(const device::Heads& a, cudaStream_t stream) {
  if (a.tokens == 0) return;
  with_element(a, a, [&](auto element, auto count, unsigned threads, int lanes) {
    const auto kernel = heads_kernel<decltype(element), decltype(count)::value>;
    launch(kernel, static_cast<unsigned>(a.tokens), threads, stream, a, lanes);
  });
  check_launch("heads");
}

void heads_backward(const device::HeadsBackward& a, cudaStream_t stream) {
  if (a.forward.tokens == 0) return;
  with_element(a.forward, a, [&](auto element, auto count, unsigned threads, int lanes) {
    const auto kernel = heads_backward_kernel<decltype(element), decltype(count)::value>;
    launch(kernel, static_cast<unsigned>(a.forward.tokens), threads, stream, a, lanes);
  });
  check_launch("heads_backward");
}

}  // namespace autoround::cuda
