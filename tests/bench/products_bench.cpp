// Billions of operations a second of the three products of a linear layer, ours and LibTorch's: medians of many runs,
// one of ours after one of LibTorch's, as a shared machine changes its speed within a second. Results go to memory that
// is there.
//   products_bench [tokens = 2048] [threads = 2] [outputs inputs ...: those of SmolLM2-135M and Llama-3.2-1B]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <utility>
#include <vector>

#include "median.hpp"
#include "model/kernels/kernels.hpp"
#include "model/linear_products.hpp"
#include "model/mapped_memory.hpp"

namespace {

using namespace autoround;

using Work = std::function<void()>;

double seconds_of(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Median seconds of both, in turns.
std::pair<double, double> in_turns(const Work& first, const Work& second) {
  constexpr int warm_up = 2, turns = 31;
  std::vector<double> of_first, of_second;
  for (int turn = -warm_up; turn < turns; ++turn) {
    const double one = seconds_of(first), other = seconds_of(second);
    if (turn < 0) continue;
    of_first.push_back(one);
    of_second.push_back(other);
  }
  return {bench::median(of_first), bench::median(of_second)};
}

void report(std::int64_t tokens, std::int64_t outputs, std::int64_t inputs) {
  const auto random = [](std::int64_t rows, std::int64_t columns) {
    return model::mapped_tensor({rows, columns}, at::kBFloat16).normal_();
  };
  const at::Tensor x = random(tokens, inputs), weight = random(outputs, inputs), grad = random(tokens, outputs);
  at::Tensor y = random(tokens, outputs), grad_x = random(tokens, inputs);
  const auto take = [](std::int64_t, const at::Tensor&) {};
  model::LinearProducts own(true), plain(false);
  const auto with_both = [&](const auto& product) { return in_turns([&] { product(own); }, [&] { product(plain); }); };
  const std::pair<double, double> seconds[] = {
      with_both([&](auto& products) { products.forward(y, x, weight, {}); }),
      with_both([&](auto& products) { products.input_gradient(grad_x, grad, weight); }),
      with_both([&](auto& products) { products.weight_gradient(grad, x, take); })};
  const double operations = 2e-9 * static_cast<double>(tokens * outputs * inputs);
  for (const bool ours : {true, false}) {
    std::printf("%5lld x %-5lld %-10s", static_cast<long long>(outputs), static_cast<long long>(inputs),
                ours ? "ours" : "LibTorch");
    for (const auto& [own_seconds, plain_seconds] : seconds) {
      std::printf(" %8.0f", operations / (ours ? own_seconds : plain_seconds));
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int i, std::int64_t otherwise) { return argc > i ? std::atoll(argv[i]) : otherwise; };
  const std::int64_t tokens = number(1, 2048);
  at::set_num_threads(static_cast<int>(number(2, 2)));
  std::vector<std::pair<std::int64_t, std::int64_t>> shapes;
  for (int i = 3; i + 1 < argc; i += 2) shapes.emplace_back(std::atoll(argv[i]), std::atoll(argv[i + 1]));
  if (shapes.empty()) shapes = {{960, 576}, {576, 576}, {3072, 576}, {576, 1536}, {16384, 2048}, {2048, 8192}};
  std::printf("kernels: %s, %lld tokens, %d threads, GFLOP/s\n%24s %8s %8s %8s\n",
              model::kernels::select_kernels().name, static_cast<long long>(tokens), at::get_num_threads(), "", "y",
              "dX", "dW");
  for (const auto& [outputs, inputs] : shapes) report(tokens, outputs, inputs);
  return 0;
}
