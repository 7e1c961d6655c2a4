// Billions of operations a second of the three products of a linear layer, ours and LibTorch's: medians of many runs,
// results in memory that is there. Run it on an idle machine.
//   products_bench [tokens = 2048] [threads = 2] [outputs inputs ...: those of SmolLM2-135M and Llama-3.2-1B]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <utility>
#include <vector>

#include "model/kernels/kernels.hpp"
#include "model/linear_products.hpp"
#include "model/mapped_memory.hpp"

namespace {

using namespace autoround;

double median_seconds(const std::function<void()>& body) {
  std::vector<double> seconds(15);
  for (int warm_up = 0; warm_up < 2; ++warm_up) body();
  for (double& one : seconds) {
    const auto start = std::chrono::steady_clock::now();
    body();
    one = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return *middle;
}

void report(std::int64_t tokens, std::int64_t outputs, std::int64_t inputs) {
  const auto random = [](std::int64_t rows, std::int64_t columns) {
    return model::mapped_tensor({rows, columns}, at::kBFloat16).normal_();
  };
  const at::Tensor x = random(tokens, inputs), weight = random(outputs, inputs), grad = random(tokens, outputs);
  at::Tensor y = random(tokens, outputs), grad_x = random(tokens, inputs);
  const auto take = [](std::int64_t, const at::Tensor&) {};
  for (const bool fused : {true, false}) {
    model::LinearProducts products(fused);
    const double operations = 2e-9 * static_cast<double>(tokens * outputs * inputs);
    std::printf("%5lld x %-5lld %-10s", static_cast<long long>(outputs), static_cast<long long>(inputs),
                fused ? "ours" : "LibTorch");
    std::printf(" %8.0f", operations / median_seconds([&] { products.forward(y, x, weight, {}); }));
    std::printf(" %8.0f", operations / median_seconds([&] { products.input_gradient(grad_x, grad, weight); }));
    std::printf(" %8.0f\n", operations / median_seconds([&] { products.weight_gradient(grad, x, take); }));
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
