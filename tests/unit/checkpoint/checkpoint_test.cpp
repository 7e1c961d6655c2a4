#include "checkpoint/checkpoint.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.hpp"
#include "fixtures.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_directory.hpp"

namespace autoround::checkpoint {
namespace {

namespace fs = std::filesystem;
using autoround::test::error_of;
using autoround::test::mentions;
using autoround::test::TemporaryDirectory;
using autoround::test::text_of;
using test::LogLines;
using test::safetensors;
using test::small_config;
using test::u8_tensors;

std::string read_tensor(const Checkpoint& checkpoint, std::string_view name) {
  std::string bytes(checkpoint.find(name)->byte_size(), '\0');
  checkpoint.read(name, 0, gsl::as_writable_bytes(gsl::make_span(bytes)));
  return bytes;
}

// A folder with two shards: m-1 holds a and b, m-2 holds c.
void write_two_shards(const TemporaryDirectory& dir) {
  dir.write("config.json", small_config);
  dir.write("m-1.safetensors", u8_tensors({"a", "b"}));
  dir.write("m-2.safetensors", u8_tensors({"c"}));
  dir.write(
      "model.safetensors.index.json",
      R"({"metadata":{"total_size":12},"weight_map":{"a":"m-1.safetensors","b":"m-1.safetensors","c":"m-2.safetensors"}})");
}

TEST_CASE("checkpoint: one file", "[checkpoint]") {
  const TemporaryDirectory dir;
  dir.write("config.json", small_config);
  dir.write("model.safetensors", u8_tensors({"x", "y"}));
  LogLines log;
  const auto checkpoint = Checkpoint::open(dir.path(), log.logger);
  CHECK(checkpoint->directory() == dir.path());
  CHECK(checkpoint->config().model_type() == "llama");
  CHECK(checkpoint->byte_size() == 8);
  REQUIRE(checkpoint->tensors().size() == 2);
  CHECK(checkpoint->tensors()[1].name == "y");
  CHECK(read_tensor(*checkpoint, "x") == "aaaa");
  CHECK(read_tensor(*checkpoint, "y") == "bbbb");
  CHECK(checkpoint->find("z") == nullptr);
  CHECK(log.lines.empty());

  std::byte byte{};
  checkpoint->read("x", 3, {&byte, 1});
  CHECK(byte == std::byte{'a'});
  CHECK(error_of([&] { checkpoint->read("x", 4, {&byte, 1}); }).code() == Code::invalid_argument);
  CHECK(error_of([&] { checkpoint->read("x", ~std::uint64_t{0}, {&byte, 1}); }).code() == Code::invalid_argument);
  CHECK(error_of([&] { checkpoint->read("z", 0, {&byte, 1}); }).code() == Code::not_found);
}

TEST_CASE("checkpoint: its folder is known by where it lies, and by the name that it was given", "[checkpoint]") {
  const TemporaryDirectory dir;
  dir.write("model/config.json", small_config);
  dir.write("model/model.safetensors", u8_tensors({"x"}));
  fs::create_directory_symlink(dir / "model", dir / "link");
  const fs::path before = fs::current_path();
  fs::current_path(dir.path());
  const auto plain = Checkpoint::open("model", Logger()), linked = Checkpoint::open("./link/", Logger());
  fs::current_path(before);
  CHECK(plain->directory() == dir / "model");
  CHECK(plain->given_directory() == "model");
  CHECK(linked->directory() == dir / "model");
  CHECK(linked->given_directory() == "./link/");
}

TEST_CASE("checkpoint: shards", "[checkpoint]") {
  const TemporaryDirectory dir;
  write_two_shards(dir);
  LogLines log;
  const auto checkpoint = Checkpoint::open(dir.path(), log.logger);
  CHECK(checkpoint->tensors().size() == 3);
  CHECK(checkpoint->byte_size() == 12);
  CHECK(read_tensor(*checkpoint, "b") == "bbbb");
  CHECK(read_tensor(*checkpoint, "c") == "aaaa");
  CHECK(log.lines.empty());
}

TEST_CASE("checkpoint: a single file wins over an index, as in transformers", "[checkpoint]") {
  const TemporaryDirectory dir;
  write_two_shards(dir);
  dir.write("model.safetensors", u8_tensors({"x"}));
  LogLines log;
  CHECK(Checkpoint::open(dir.path(), log.logger)->tensors().size() == 1);
  CHECK(log.mention("ignored"));
}

TEST_CASE("checkpoint: an open file stays the file that it was", "[checkpoint]") {
  const TemporaryDirectory dir;
  write_two_shards(dir);
  const auto checkpoint = Checkpoint::open(dir.path(), Logger());
  fs::rename(dir / "m-1.safetensors", dir / "old");
  dir.write("m-1.safetensors", std::string(200, 'z'));
  CHECK(read_tensor(*checkpoint, "a") == "aaaa");
  REQUIRE(::truncate((dir / "old").c_str(), 20) == 0);
  const Error error = error_of([&] { read_tensor(*checkpoint, "a"); });
  CHECK(error.code() == Code::io);
  CHECK(mentions(error, "m-1.safetensors"));
}

TEST_CASE("checkpoint: what an index and its shards can disagree on", "[checkpoint]") {
  const TemporaryDirectory dir;
  write_two_shards(dir);
  LogLines log;
  const auto open = [&](bool strict = false) {
    OpenOptions options;
    options.strict_index = strict;
    return Checkpoint::open(dir.path(), log.logger, options);
  };

  SECTION("a listed tensor is not there") {
    dir.write("m-2.safetensors", u8_tensors({"d"}));
    const Error error = error_of(open);
    CHECK(error.code() == Code::parse);
    CHECK(mentions(error, "m-2.safetensors: lacks the tensor `c`"));
  }
  SECTION("a tensor that is not listed") {
    dir.write("m-2.safetensors", u8_tensors({"c", "extra"}));
    const auto checkpoint = open();
    CHECK(checkpoint->find("extra") == nullptr);
    CHECK(checkpoint->byte_size() == 12);
    CHECK(log.mention("`extra` is not listed"));
    const Error error = error_of([&] { open(true); });
    CHECK(error.code() == Code::parse);
    CHECK(mentions(error, "m-2.safetensors"));
    CHECK(mentions(error, "`extra`"));
  }
  SECTION("a tensor in two shards") {
    dir.write("m-2.safetensors", u8_tensors({"c", "a"}));
    const Error error = error_of(open);
    CHECK(error.code() == Code::parse);
    CHECK(mentions(error, "m-2.safetensors: holds the tensor `a`"));
    CHECK(mentions(error, "`m-1.safetensors`"));
  }
  SECTION("a shard is missing") {
    fs::remove(dir / "m-2.safetensors");
    const Error error = error_of(open);
    CHECK(error.code() == Code::not_found);
    CHECK(mentions(error, "m-2.safetensors"));
  }
  SECTION("a shard is empty") {
    dir.write("m-2.safetensors", "");
    const Error error = error_of(open);
    CHECK(error.code() == Code::io);
    CHECK(mentions(error, "m-2.safetensors"));
  }
  SECTION("a shard is a directory") {
    fs::remove(dir / "m-2.safetensors");
    fs::create_directory(dir / "m-2.safetensors");
    const Error error = error_of(open);
    CHECK(error.code() == Code::io);
    CHECK(mentions(error, "m-2.safetensors: is a directory"));
  }
  SECTION("the total size is wrong") {
    dir.write("model.safetensors.index.json",
              R"({"metadata":{"total_size":18446744073709551615},"weight_map":{"c":"m-2.safetensors"}})");
    CHECK(open()->byte_size() == 4);
    CHECK(log.mention("18446744073709551615"));
  }
  SECTION("the index is too large") {
    REQUIRE(::truncate((dir / "model.safetensors.index.json").c_str(), (64 << 20) + 1) == 0);
    const Error error = error_of(open);
    CHECK(error.code() == Code::parse);
    CHECK(mentions(error, "limit is 67108864"));
  }
}

TEST_CASE("checkpoint: config.json can be many things", "[checkpoint]") {
  const TemporaryDirectory dir;
  dir.write("model.safetensors", u8_tensors({"x"}));
  const auto open = [&] { Checkpoint::open(dir.path(), Logger()); };
  Code code = Code::io;
  std::string mention;
  SECTION("absent") { code = Code::not_found; }
  SECTION("a directory") {
    fs::create_directory(dir / "config.json");
    mention = "is a directory";
  }
  SECTION("a FIFO") {
    REQUIRE(::mkfifo((dir / "config.json").c_str(), 0600) == 0);
    mention = "is a FIFO";
  }
  SECTION("an endless device") {
    fs::create_symlink("/dev/zero", dir / "config.json");
    code = Code::parse;
    mention = "outside the model folder";
  }
  SECTION("17 MiB, refused before it is read") {
    dir.write("config.json", "{}");
    REQUIRE(::truncate((dir / "config.json").c_str(), 17 << 20) == 0);
    code = Code::parse;
    mention = "limit is 16777216";
  }
  SECTION("a list") {
    dir.write("config.json", "[]");
    code = Code::parse;
    mention = "an object is wanted";
  }
  const Error error = error_of(open);
  CAPTURE(text_of(error));
  CHECK(error.code() == code);
  CHECK(mentions(error, dir / "config.json"));
  CHECK(mentions(error, mention));
}

TEST_CASE("checkpoint: code that comes with a model is not run", "[checkpoint]") {
  const TemporaryDirectory dir;
  dir.write("config.json", R"({"model_type": "x", "auto_map": {"AutoModel": "modeling_x.X"}})");
  dir.write("model.safetensors", u8_tensors({"x"}));
  LogLines log;
  Checkpoint::open(dir.path(), log.logger);
  CHECK(log.mention("`auto_map` is ignored"));
}

TEST_CASE("checkpoint: the dtype of config.json and those of the tensors", "[checkpoint]") {
  const TemporaryDirectory dir;
  dir.write(
      "model.safetensors",
      safetensors(
          R"({"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"F16","shape":[1],"data_offsets":[2,4]},)"
          R"("codes":{"dtype":"U8","shape":[1],"data_offsets":[4,5]}})",
          "12345"));
  const auto open = [&](const std::string& dtype, const Logger& log) {
    dir.write("config.json", R"({"model_type": "x", "dtype": ")" + dtype + R"("})");
    Checkpoint::open(dir.path(), log);
  };
  LogLines log;
  open("float16", log.logger);
  CHECK(log.mention("the dtype is float16, but 1 tensors have another, such as `a`, which is BF16"));
  open("float32", log.logger);
  CHECK(log.mention("the dtype is float32, but 2 tensors have another"));
  const Error unknown = error_of([&] { open("bfloat17", log.logger); });
  CHECK(unknown.code() == Code::unsupported);
  CHECK(mentions(unknown, "`dtype` is `bfloat17`"));

  LogLines same;
  dir.write("model.safetensors", safetensors(R"({"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}})", "12"));
  open("bfloat16", same.logger);
  CHECK(same.lines.empty());
}

TEST_CASE("checkpoint: folders without safetensors", "[checkpoint]") {
  const TemporaryDirectory dir;
  dir.write("config.json", small_config);
  const auto open = [&] { Checkpoint::open(dir.path(), Logger()); };
  const Error nothing = error_of(open);
  CHECK(nothing.code() == Code::not_found);
  CHECK(mentions(nothing, "model.safetensors"));
  for (const std::string name : {"pytorch_model.bin", "model.pt", "model.pth", "model.ckpt"}) {
    dir.write(name, "\x80");
    const Error error = error_of(open);
    CHECK(error.code() == Code::unsupported);
    CHECK(mentions(error, "`" + name + "`"));
    CHECK(mentions(error, "pickle files are never loaded"));
    fs::remove(dir / name);
  }
  CHECK(error_of([&] { Checkpoint::open(dir / "absent", Logger()); }).code() == Code::not_found);
  CHECK(error_of([&] { Checkpoint::open(dir / "config.json", Logger()); }).code() == Code::not_found);
}

TEST_CASE("checkpoint: a git LFS pointer in place of weights gets a hint", "[checkpoint]") {
  const TemporaryDirectory dir;
  dir.write("config.json", small_config);
  dir.write("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 269060552\n");
  const Error error = error_of([&] { Checkpoint::open(dir.path(), Logger()); });
  CHECK(error.code() == Code::parse);
  CHECK(mentions(error, dir / "model.safetensors"));
  CHECK(mentions(error, "git lfs pull"));
}

TEST_CASE("checkpoint: links stay inside the folder, or in the cache's blob store", "[checkpoint]") {
  const TemporaryDirectory dir;
  const std::string repository = "models--org--name/";
  const std::string snapshot = repository + "snapshots/0123abc/";
  dir.write(repository + "blobs/1", small_config);
  dir.write(repository + "blobs/2", u8_tensors({"x"}));
  dir.write("elsewhere/2", u8_tensors({"x"}));
  fs::create_directories(dir / snapshot);
  const auto link = [&](const std::string& to, const std::string& name) {
    fs::remove(dir / snapshot + name);
    fs::create_symlink(to, dir / snapshot + name);
  };
  const auto open = [&](bool strict = false) {
    OpenOptions options;
    options.strict_paths = strict;
    return Checkpoint::open(dir / snapshot, Logger(), options);
  };
  link("../../blobs/1", "config.json");
  link("../../blobs/2", "model.safetensors");
  CHECK(read_tensor(*open(), "x") == "aaaa");
  const Error strict = error_of([&] { open(true); });
  CHECK(strict.code() == Code::parse);
  CHECK(mentions(strict, "config.json: is a symbolic link"));

  for (const std::string& target :
       {dir / "elsewhere/2", std::string("../../../elsewhere/2"), std::string("/etc/hostname")}) {
    link(target, "model.safetensors");
    const Error error = error_of([&] { open(); });
    CAPTURE(target, text_of(error));
    CHECK(error.code() == Code::parse);
    CHECK(mentions(error, "model.safetensors"));
    CHECK(mentions(error, "outside the model folder"));
  }
  link("../../blobs/absent", "model.safetensors");
  CHECK(error_of([&] { open(); }).code() == Code::not_found);

  // The same link in a folder that is no snapshot leads outside.
  dir.write("plain/config.json", small_config);
  dir.write("blobs/2", u8_tensors({"x"}));
  fs::create_symlink("../blobs/2", dir / "plain/model.safetensors");
  CHECK(error_of([&] { Checkpoint::open(dir / "plain", Logger()); }).code() == Code::parse);
}

TEST_CASE("checkpoint: strict paths refuse a second hard link", "[checkpoint]") {
  const TemporaryDirectory dir;
  dir.write("model/config.json", small_config);
  dir.write("foreign", u8_tensors({"x"}));
  fs::create_hard_link(dir / "foreign", dir / "model/model.safetensors");
  CHECK(Checkpoint::open(dir / "model", Logger())->tensors().size() == 1);
  OpenOptions options;
  options.strict_paths = true;
  const Error error = error_of([&] { Checkpoint::open(dir / "model", Logger(), options); });
  CHECK(error.code() == Code::parse);
  CHECK(mentions(error, "2 hard links"));
}

TEST_CASE("checkpoint: companions are all files but weights, configuration and leftovers", "[checkpoint]") {
  const TemporaryDirectory dir;
  dir.write("config.json", small_config);
  dir.write("model.safetensors", u8_tensors({"x"}));
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json", "merges.txt",
                           "modeling_x.py", "chat_template.jinja", "LICENSE"}) {
    dir.write(name, "1");
  }
  for (const char* name :
       {"consolidated.safetensors", "pytorch_model.bin", "a.pt", "b.pth", "c.gguf", "x.index.json", "tf_model.h5",
        "flax_model.msgpack", "rust_model.ot", "d.onnx", "d.onnx_data", "d.onnx.data", "e.ckpt", "f.pkl", "recipe.yaml",
        "quantization_config.json", ".gitattributes", ".cache/x", "original/params.json"}) {
    dir.write(name, "1");
  }
  fs::create_symlink("/etc/hostname", dir / "secret.txt");
  fs::create_symlink("tokenizer.json", dir / "vocab.json");
  fs::create_symlink("nowhere", dir / "dangling.txt");
  LogLines log;
  CHECK(Checkpoint::open(dir.path(), log.logger)->companion_files() ==
        std::vector<std::string>{"LICENSE", "chat_template.jinja", "generation_config.json", "merges.txt",
                                 "modeling_x.py", "tokenizer.json", "tokenizer_config.json", "vocab.json"});
  CHECK(log.mention("secret.txt"));
}

TEST_CASE("checkpoint: a real model opens", "[checkpoint]") {
  const char* given = std::getenv("AUTOROUND_TEST_MODEL");
  const std::string model = given != nullptr ? given : AUTOROUND_DEFAULT_TEST_MODEL;
  if (!fs::exists(model)) {
    WARN("skipped: no model at " + model);
    return;
  }
  const auto checkpoint = Checkpoint::open(model, Logger());
  CHECK_FALSE(checkpoint->config().model_type().empty());
  CHECK(checkpoint->tensors().size() > 10);
  std::uint64_t bytes = 0;
  for (const TensorInfo& tensor : checkpoint->tensors()) bytes += tensor.byte_size();
  CHECK(bytes == checkpoint->byte_size());
  const TensorInfo& last = checkpoint->tensors()[checkpoint->tensors().size() - 1];
  std::byte byte{};
  checkpoint->read(last.name, last.byte_size() - 1, {&byte, 1});
}

}  // namespace
}  // namespace autoround::checkpoint
