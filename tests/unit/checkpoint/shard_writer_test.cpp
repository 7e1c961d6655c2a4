#include "checkpoint/shard_writer.hpp"

#include <filesystem>
#include <thread>

#include "base/file.hpp"
#include "base/hash.hpp"
#include "checkpoint/safetensors_reader.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_directory.hpp"

using namespace std::string_literals;

namespace autoround::checkpoint {
namespace {

namespace fs = std::filesystem;
using autoround::test::error_of;
using autoround::test::mentions;
using autoround::test::TemporaryDirectory;

gsl::span<const std::byte> bytes_of(const std::string& text) { return gsl::as_bytes(gsl::make_span(text)); }

TEST_CASE("shard writer: the exact bytes of a small file", "[checkpoint]") {
  const TemporaryDirectory dir;
  ShardWriter writer(dir.path(), {{{"m.bias", DType::u8, {3}}, "m"},
                                  {{"m.weight", DType::bf16, {2, 2}}, "m"},
                                  {{"m.a", DType::bf16, {}}, "m"},
                                  {{"m.none", DType::i64, {0}}, "m"}});
  writer.write("m.weight", 4, bytes_of("5678"));
  writer.write("m.bias", 0, bytes_of("xyz"));
  writer.write("m.weight", 0, bytes_of("1234"));
  writer.write("m.a", 0, bytes_of("ab"));
  writer.finish();
  // Widest type first, then by name; the header is padded to a multiple of 8.
  std::string header =
      R"({"__metadata__":{"format":"pt"},"m.none":{"dtype":"I64","shape":[0],"data_offsets":[0,0]},)"
      R"("m.a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]},"m.weight":{"dtype":"BF16","shape":[2,2],"data_offsets":[2,10]},)"
      R"("m.bias":{"dtype":"U8","shape":[3],"data_offsets":[10,13]}})";
  while (header.size() % 8 != 0) header += ' ';
  const std::string file = dir.read("model.safetensors");
  CHECK(static_cast<unsigned char>(file[0]) + 256u * static_cast<unsigned char>(file[1]) == header.size());
  CHECK(file.substr(8) == header + "ab12345678xyz");
  CHECK(writer.total_bytes() == file.size());
  CHECK(list_directory(dir.path()).size() == 1);  // one shard needs no index
}

TEST_CASE("shard writer: shards of whole modules, and their index", "[checkpoint]") {
  const TemporaryDirectory dir;
  // 10 bytes fit in a shard: [a: 4+4] [b: 12] [c: 6] and d, whose second tensor comes late in the plan.
  const std::vector<PlannedTensor> plan{{{"a.w", DType::u8, {4}}, "a"},  {{"a.v", DType::u8, {4}}, "a"},
                                        {{"b.w", DType::f32, {3}}, "b"}, {{"d.w", DType::u8, {2}}, "d"},
                                        {{"c.w", DType::u8, {6}}, "c"},  {{"d.v", DType::u8, {1}}, "d"}};
  ShardWriter writer(dir.path(), plan, 10);
  for (const PlannedTensor& planned : plan) {
    writer.write(planned.info.name, 0, bytes_of(std::string(planned.info.byte_size(), planned.info.name[2])));
  }
  writer.finish();
  const auto names = [&](const std::string& shard) {
    std::vector<std::string> found;
    for (const StoredTensor& tensor : read_safetensors_header(InputFile::open(dir / shard)))
      found.push_back(tensor.info.name);
    return found;
  };
  CHECK(names("model-00001-of-00003.safetensors") == std::vector<std::string>{"a.v", "a.w"});
  CHECK(names("model-00002-of-00003.safetensors") == std::vector<std::string>{"b.w"});
  CHECK(names("model-00003-of-00003.safetensors") == std::vector<std::string>{"c.w", "d.v", "d.w"});
  CHECK(list_directory(dir.path()).size() == 4);
  CHECK(dir.read("model.safetensors.index.json") == R"({
  "metadata": {
    "total_parameters": 20,
    "total_size": 29
  },
  "weight_map": {
    "a.v": "model-00001-of-00003.safetensors",
    "a.w": "model-00001-of-00003.safetensors",
    "b.w": "model-00002-of-00003.safetensors",
    "c.w": "model-00003-of-00003.safetensors",
    "d.v": "model-00003-of-00003.safetensors",
    "d.w": "model-00003-of-00003.safetensors"
  }
}
)");
  std::uint64_t on_disk = 0;
  for (const DirectoryEntry& entry : list_directory(dir.path())) on_disk += entry.name.back() == 's' ? entry.size : 0;
  CHECK(writer.total_bytes() == on_disk);
}

TEST_CASE("shard writer: an output with a hole in it is never finished", "[checkpoint]") {
  const TemporaryDirectory dir;
  ShardWriter writer(dir.path(), {{{"a", DType::u8, {10}}, "m"}, {{"b", DType::u8, {0}}, "m"}});
  CHECK(fs::file_size(dir / "model.safetensors") == writer.total_bytes());  // reserved from the start
  writer.write("a", 0, bytes_of("012"));
  writer.write("a", 6, bytes_of("6789"));
  const Error error = error_of([&] { writer.finish(); });
  CHECK(error.code() == Code::internal);
  CHECK(error.subject() == "a");
  CHECK(mentions(error, "from offset 3"));
  CHECK(dir.read("model.safetensors").substr(writer.total_bytes() - 10) == "012\0\0\0"s + "6789");
}

TEST_CASE("shard writer: misuse is told apart", "[checkpoint]") {
  const TemporaryDirectory dir;
  ShardWriter writer(dir.path(), {{{"a", DType::u8, {10}}, "m"}});
  writer.write("a", 2, bytes_of("2345"));
  for (const auto& [offset, text] : std::initializer_list<std::pair<std::uint64_t, std::string>>{
           {0, "012"}, {5, "5"}, {3, "34"}, {2, "2345"}, {0, "0123456789"}}) {
    CAPTURE(offset, text);
    CHECK(mentions(error_of([&, o = offset, t = text] { writer.write("a", o, bytes_of(t)); }), "written twice"));
  }
  CHECK(mentions(error_of([&] { writer.write("a", 8, bytes_of("890")); }), "the tensor has 10 bytes"));
  CHECK(mentions(error_of([&] { writer.write("a", ~std::uint64_t{0}, bytes_of("8")); }), "the tensor has 10 bytes"));
  CHECK(mentions(error_of([&] { writer.write("b", 0, bytes_of("8")); }), "not planned"));
  writer.write("a", 6, bytes_of("6789"));
  writer.write("a", 0, bytes_of("01"));
  writer.finish();
  CHECK(mentions(error_of([&] { writer.write("a", 0, bytes_of("0")); }), "after the output was finished"));
  CHECK(mentions(error_of([&] { writer.finish(); }), "finished twice"));

  const auto plan = [&](TensorInfo info) { return [&, info] { ShardWriter(dir / "x", {{info, "m"}}); }; };
  CHECK(error_of(plan({"a", DType::u8, {-1}})).code() == Code::invalid_argument);
  CHECK(error_of(plan({"a", DType::f4, {3}})).code() == Code::invalid_argument);
  CHECK(error_of(plan({"a", DType::u8, {std::int64_t{1} << 40, std::int64_t{1} << 40}})).code() ==
        Code::invalid_argument);
  for (const char* name : {"", "__metadata__", "\xFF"}) {
    CHECK(error_of(plan({name, DType::u8, {1}})).code() == Code::invalid_argument);
  }
  CHECK(error_of([&] {
          ShardWriter(dir / "x", {{{"a", DType::u8, {1}}, "m"}, {{"a", DType::u8, {1}}, "n"}});
        }).code() == Code::invalid_argument);
  CHECK(error_of(plan({"a", DType::u8, {1}})).code() == Code::not_found);  // the folder is not there
}

TEST_CASE("shard writer: space that is not there is missed before the run", "[checkpoint]") {
  const TemporaryDirectory dir;
  const std::vector<PlannedTensor> plan{{{"a", DType::u8, {std::int64_t{1} << 40, 1 << 19}}, "m"}};
  CHECK(planned_bytes(plan) > std::uint64_t{1} << 59);
  CHECK(error_of([&] { ShardWriter(dir.path(), plan); }).code() == Code::io);
  CHECK(list_directory(dir.path()).empty());
}

TEST_CASE("shard writer: a second writer of the plan finds what the first one wrote", "[checkpoint]") {
  const TemporaryDirectory dir;
  const std::vector<PlannedTensor> plan{{{"a", DType::u8, {5}}, "m"}, {{"b", DType::u8, {3}}, "n"}};
  {
    ShardWriter killed(dir.path(), plan, 5);
    killed.write("a", 0, bytes_of("01234"));
    killed.write("b", 0, bytes_of("xy"));
    killed.sync();
  }
  const std::string header = dir.read("model-00001-of-00002.safetensors").substr(0, 16);
  std::string damaged = dir.read("model-00001-of-00002.safetensors");
  damaged.replace(0, 16, 16, '?');
  dir.write("model-00001-of-00002.safetensors", damaged + "and more");

  ShardWriter writer(dir.path(), plan, 5);
  CHECK(writer.file_names() ==
        std::vector<std::string>{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"});
  CHECK(dir.read("model-00001-of-00002.safetensors").substr(0, 16) == header);
  CHECK(writer.holds("a", hash_of("01234")));
  CHECK_FALSE(writer.holds("a", hash_of("01239")));
  CHECK_FALSE(writer.holds("b", hash_of("xyz")));
  CHECK(writer.place_of("b").rfind("model-00002-of-00002.safetensors, offset ", 0) == 0);
  std::string read(5, '?');
  writer.read("a", 0, gsl::as_writable_bytes(gsl::make_span(read)));
  CHECK(read == "01234");

  CHECK(error_of([&] { writer.finish(); }).subject() == "a");  // there, but nobody vouched for it
  ShardWriter again(dir.path(), plan, 5);
  again.keep("a");
  CHECK(mentions(error_of([&] { again.write("a", 0, bytes_of("0")); }), "written twice"));
  CHECK(mentions(error_of([&] { again.keep("a"); }), "written twice"));
  again.rewrite("a", 3, bytes_of("ab"));
  writer.read("a", 2, gsl::as_writable_bytes(gsl::make_span(read).first(3)));
  CHECK(read == "2ab34");
  CHECK(mentions(error_of([&] { again.rewrite("a", 4, bytes_of("ab")); }), "not 2 at offset 4"));
  again.write("b", 0, bytes_of("xyz"));
  again.finish();
  CHECK(dir.read("model-00001-of-00002.safetensors").size() == damaged.size());
  CHECK(read_safetensors_header(InputFile::open(dir / "model-00002-of-00002.safetensors")).size() == 1);
}

TEST_CASE("shard writer: threads write different tensors at once", "[checkpoint]") {
  const TemporaryDirectory dir;
  std::vector<PlannedTensor> plan;
  for (char letter = 'a'; letter < 'i'; ++letter)
    plan.push_back({{std::string(1, letter), DType::u8, {5000}}, std::string(1, letter)});
  ShardWriter writer(dir.path(), plan, 20'000);
  std::vector<std::thread> threads;
  for (const PlannedTensor& planned : plan) {
    threads.emplace_back([&writer, name = planned.info.name] {
      const std::string piece(100, name[0]);
      for (std::uint64_t i = 50; i-- > 0;) writer.write(name, i * 100, bytes_of(piece));
    });
  }
  for (std::thread& thread : threads) thread.join();
  writer.finish();
  for (const char* shard : {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}) {
    const std::string bytes = dir.read(shard);
    for (const StoredTensor& tensor : read_safetensors_header(InputFile::open(dir / shard))) {
      CHECK(bytes.substr(tensor.begin, 5000) == std::string(5000, tensor.info.name[0]));
    }
  }
}

}  // namespace
}  // namespace autoround::checkpoint
