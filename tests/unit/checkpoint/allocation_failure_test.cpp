// Memory runs out at every single allocation in turn: the layer that reads hostile files must answer each time with an
// exception, leak nothing (as the address sanitizer sees it) and leave no half-written output behind.
#include <cstdlib>
#include <functional>
#include <limits>
#include <new>

#include "base/file.hpp"
#include "checkpoint/safetensors_reader.hpp"
#include "checkpoint/shard_writer.hpp"
#include "fixtures.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

namespace {

constexpr long disarmed = std::numeric_limits<long>::max();
thread_local long allocations_left = disarmed;
thread_local bool fail_forever = false;

void* allocate(std::size_t bytes) {
  if (allocations_left != disarmed && --allocations_left < 0) {
    if (!fail_forever) allocations_left = disarmed;
    throw std::bad_alloc();
  }
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return allocate(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace autoround::checkpoint {
namespace {

using autoround::test::TemporaryDirectory;

// @return true when `act` ran to its end with `count` allocations granted.
bool survives(const std::function<void()>& act, long count, bool forever) {
  fail_forever = forever;
  allocations_left = count;
  try {
    act();
    allocations_left = disarmed;
    return true;
  } catch (const std::bad_alloc&) {
  } catch (const Error& error) {
    allocations_left = disarmed;
    CHECK(error.code() == Code::out_of_memory);
  }
  allocations_left = disarmed;
  return false;
}

void fail_each_allocation(const std::function<void()>& act) {
  for (const bool forever : {false, true}) {
    long count = 0;
    while (count < 100'000 && !survives(act, count, forever)) ++count;
    CHECK(count > 10);
    CHECK(count < 100'000);
  }
}

// Trees of nlohmann's Json are left out: their destructors allocate, and cannot report that they failed.
TEST_CASE("memory: reading a header survives every failed allocation", "[checkpoint]") {
  const TemporaryDirectory dir;
  const std::string path = dir.write("model.safetensors", test::u8_tensors({"model.layers.0.weight", "a", "b", "c"}));
  fail_each_allocation([&] { read_safetensors_header(InputFile::open(path)); });
}

TEST_CASE("memory: a failed allocation leaves no trace of an output", "[checkpoint]") {
  const TemporaryDirectory dir;
  const std::vector<PlannedTensor> plan{{{"model.layers.0.weight", DType::u8, {4}}, "model.layers.0"},
                                        {{"model.layers.1.weight", DType::u8, {4}}, "model.layers.1"}};
  const std::string bytes = "abcd";
  fail_each_allocation([&] {
    StagingDirectory staging(dir / "out");
    ShardWriter writer(staging.path(), plan, 4);
    for (const PlannedTensor& planned : plan) writer.write(planned.info.name, 0, gsl::as_bytes(gsl::make_span(bytes)));
    writer.finish();
  });
  CHECK(list_directory(dir.path()).empty());
}

}  // namespace
}  // namespace autoround::checkpoint
