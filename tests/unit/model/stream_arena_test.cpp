#include "model/stream_arena.hpp"

#include <ATen/ATen.h>

#include <filesystem>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_directory.hpp"

namespace autoround::model {
namespace {

using test::TemporaryDirectory;

constexpr std::int64_t rows = 4096, width = 64;
constexpr std::size_t bytes = rows * width * 4;

at::Tensor take(const StreamArena& arena, std::int64_t count = rows) {
  return arena.take({count, width}, at::kFloat, at::kCPU);
}

TEST_CASE("stream arena: what rests in files is what was written", "[model]") {
  const TemporaryDirectory dir;
  const StreamArena arena(dir.path(), 2, bytes);
  CHECK(arena.in_files());
  CHECK(std::filesystem::is_empty(dir.path()));
  const at::Tensor wanted = at::randn({rows, width});
  at::Tensor stream = take(arena);
  stream.copy_(wanted);
  for (std::int64_t row = 0; row < rows; row += 100)
    arena.rest(stream.narrow(0, row, std::min<std::int64_t>(100, rows - row)));
  CHECK(at::equal(stream, wanted));
}

TEST_CASE("stream arena: files are used again, and never by two streams", "[model]") {
  const TemporaryDirectory dir;
  const StreamArena arena(dir.path(), 1, bytes);
  at::Tensor first = take(arena);
  const void* memory = first.const_data_ptr();
  at::Tensor view = first.narrow(0, 1, 1);
  first.reset();
  const at::Tensor second = take(arena);  // a file more than was reserved
  CHECK(second.const_data_ptr() != memory);
  view.reset();
  CHECK(take(arena, rows / 2).const_data_ptr() == memory);
  CHECK(take(arena, 2 * rows).numel() == 2 * rows * width);
}

TEST_CASE("stream arena: streams outlive it, and memory of others is left alone", "[model]") {
  const TemporaryDirectory dir;
  at::Tensor stream;
  {
    const StreamArena arena(dir.path(), 1, bytes);
    stream = take(arena).fill_(3);
    const at::Tensor other = at::ones({rows, width}), mapped = take(StreamArena()).fill_(2);
    arena.rest(other);
    arena.rest(mapped);
    arena.rest(at::Tensor());
    CHECK(other.sum().item<float>() == static_cast<float>(rows * width));
    CHECK(mapped.mean().item<float>() == 2.f);
  }
  CHECK(stream.mean().item<float>() == 3.f);
}

TEST_CASE("stream arena: a folder that is not there is an error before there is work", "[model]") {
  const TemporaryDirectory dir;
  const Error error = test::error_of([&] { StreamArena(dir / "absent", 1, bytes); });
  CHECK(error.code() == Code::not_found);
  CHECK(error.subject() == dir / "absent");
  CHECK_FALSE(StreamArena().in_files());
}

}  // namespace
}  // namespace autoround::model
