#include "model/compute_threads.hpp"

#include <ATen/Parallel.h>

#include <thread>

#include "support/catch.hpp"

namespace autoround::model {
namespace {

int threads_elsewhere() {
  int count = 0;
  std::thread([&] { count = at::get_num_threads(); }).join();
  return count;
}

TEST_CASE("compute threads: of this thread, while it lasts", "[model]") {
  const int here = at::get_num_threads(), elsewhere = threads_elsewhere();
  {
    const ThreadCount three(3);
    CHECK(at::get_num_threads() == 3);
    CHECK(threads_elsewhere() == elsewhere);
    {
      const ThreadCount one(1);
      CHECK(at::get_num_threads() == 1);
      const ThreadCount as_before(0);
      CHECK(at::get_num_threads() == 1);
    }
    CHECK(at::get_num_threads() == 3);
  }
  CHECK(at::get_num_threads() == here);
}

}  // namespace
}  // namespace autoround::model
