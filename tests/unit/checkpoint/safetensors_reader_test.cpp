#include "checkpoint/safetensors_reader.hpp"

#include <chrono>
#include <string>

#include "fixtures.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_directory.hpp"

using namespace std::string_literals;

namespace autoround::checkpoint {
namespace {

using autoround::test::error_of;
using autoround::test::mentions;
using autoround::test::TemporaryDirectory;
using autoround::test::text_of;
using test::safetensors;

// {"w": {dtype, shape, data_offsets}}
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

std::vector<StoredTensor> read(const std::string& bytes) {
  const TemporaryDirectory dir;
  return read_safetensors_header(InputFile::open(dir.write("model.safetensors", bytes)));
}

std::string little_endian(std::uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  return bytes;
}

TEST_CASE("safetensors: tensors come in the order of their data", "[checkpoint]") {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
      R"("a":{"shape":[],"data_offsets":[0,4],"dtype":"F32"},"empty":{"dtype":"I64","shape":[5,0],"data_offsets":[4,4]}}   )";
  const auto tensors = read(safetensors(header, std::string(16, 'x')));
  REQUIRE(tensors.size() == 3);
  CHECK(tensors[0].info.name == "a");
  CHECK(tensors[0].info.shape.empty());
  CHECK(tensors[0].begin == 8 + header.size());
  CHECK(tensors[1].info.name == "empty");
  CHECK(tensors[1].info.shape == std::vector<std::int64_t>{5, 0});
  CHECK(tensors[2].info.name == "b");
  CHECK(tensors[2].info.dtype == DType::bf16);
  CHECK(tensors[2].begin == 8 + header.size() + 4);
}

TEST_CASE("safetensors: a file without tensors, a sub-byte type, odd names", "[checkpoint]") {
  CHECK(read(safetensors("{}")).empty());
  CHECK(read(safetensors(R"({"__metadata__":{}})")).empty());
  CHECK(read(safetensors(one("F4", "[4]", "[0,2]"), "ab")).size() == 1);
  CHECK(read(safetensors(one("F6_E3M2", "[4]", "[0,3]"), "abc")).size() == 1);
  CHECK(read(safetensors(one("U8", "[1,1,1,1,1,1,1,1]", "[0,1]"), "a")).front().info.shape.size() == 8);
  CHECK(read(safetensors(R"({"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "a")).size() == 1);
}

TEST_CASE("safetensors: every broken file is refused and the message says why", "[checkpoint]") {
  struct Case {
    std::string what;
    std::string bytes;
    std::vector<std::string> mention;
    Code code = Code::parse;
  };
  const std::string header_only = "{\"w\"";
  const std::string ok = one("U8", "[4]", "[0,4]");
  const auto two = [](const std::string& a, const std::string& b) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}";
  };
  std::string long_name(1025, 'n');
  std::vector<Case> cases{
      {"n = 0", little_endian(0), {"does not begin with `{`"}},
      {"n = 1, no byte", little_endian(1), {"header length", "1 bytes, but only 0"}},
      {"n = 1", little_endian(1) + "{", {"unexpected end"}},
      {"n = limit + 1", little_endian(100'000'001) + "{}", {"100000001", "limit is 100000000"}},
      {"n = 2^63", little_endian(std::uint64_t{1} << 63) + "{}", {"9223372036854775808"}},
      {"n = 2^64 - 1", little_endian(~std::uint64_t{0}) + "{}", {"18446744073709551615"}},
      {"n larger than the file", little_endian(100) + "{}", {"100 bytes, but only 2"}},
      {"an array", safetensors("[]"), {"does not begin with `{`"}},
      {"leading space", safetensors(" {}"), {"does not begin with `{`"}},
      {"byte order mark", safetensors("\xEF\xBB\xBF{}"), {"does not begin with `{`"}},
      {"NUL padding", safetensors("{}\0\0"s), {"offset 2 is NUL"}},
      {"not UTF-8", safetensors("{\"\xFF\":1}"), {"offset 2 is not valid UTF-8"}},
      {"cut JSON", safetensors(header_only), {"column"}},
      {"text after", safetensors("{}{}"), {"column 3"}},
      {"duplicate tensor",
       safetensors(
           R"({"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
       {"`w`", "twice"}},
      {"two metadata", safetensors(R"({"__metadata__":{},"__metadata__":{}})"), {"`__metadata__` occurs twice"}},
      {"metadata key twice", safetensors(R"({"__metadata__":{"a":"1","a":"2"}})"), {"`a` twice"}},
      {"metadata number", safetensors(R"({"__metadata__":{"a":1}})"), {"`__metadata__`", "only strings"}},
      {"metadata nested", safetensors(R"({"__metadata__":{"a":{}}})"), {"`__metadata__`", "an object"}},
      {"metadata list", safetensors(R"({"__metadata__":["a"]})"), {"`__metadata__`", "an array"}},
      {"metadata null", safetensors(R"({"__metadata__":{"a":null}})"), {"`__metadata__`", "null"}},
      {"tensor is a number", safetensors(R"({"w":1})"), {"`w`", "a number"}},
      {"tensor is a list", safetensors(R"({"w":[]})"), {"`w`", "an array"}},
      {"tensor is null", safetensors(R"({"w":null})"), {"`w`", "null"}},
      {"no name", safetensors(R"({"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"), {"empty name"}},
      {"long name", safetensors("{\"" + long_name + "\":{}}"), {"1025 bytes", "limit is 1024"}},
      {"dtype unknown",
       safetensors(one("Q4", "[4]", "[0,4]"), "abcd"),
       {"`w`", "unknown dtype `Q4`"},
       Code::unsupported},
      {"dtype lower case", safetensors(one("u8", "[4]", "[0,4]"), "abcd"), {"`w`", "`u8`"}, Code::unsupported},
      {"dtype a number",
       safetensors(R"({"w":{"dtype":1,"shape":[0],"data_offsets":[0,0]}})"),
       {"`w`", "a number (`1`)"}},
      {"dtype missing", safetensors(R"({"w":{"shape":[0],"data_offsets":[0,0]}})"), {"`w`", "lacks the key `dtype`"}},
      {"shape missing", safetensors(R"({"w":{"dtype":"U8","data_offsets":[0,0]}})"), {"lacks the key `shape`"}},
      {"offsets missing", safetensors(R"({"w":{"dtype":"U8","shape":[0]}})"), {"lacks the key `data_offsets`"}},
      {"shape twice",
       safetensors(R"({"w":{"dtype":"U8","shape":[0],"shape":[0],"data_offsets":[0,0]}})"),
       {"`shape` twice"}},
      {"unknown member",
       safetensors(R"({"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}})"),
       {"`w`", "unknown key `x`"}},
      {"shape text", safetensors(one("U8", "\"4\"", "[0,4]"), "abcd"), {"`w`", "a string"}},
      {"shape object", safetensors(one("U8", "{}", "[0,4]"), "abcd"), {"`w`", "an object"}},
      {"shape nested", safetensors(one("U8", "[[4]]", "[0,4]"), "abcd"), {"nested deeper"}},
      {"dimension negative", safetensors(one("U8", "[-4]", "[0,4]"), "abcd"), {"`w`", "-4"}},
      {"dimension float", safetensors(one("U8", "[4.0]", "[0,4]"), "abcd"), {"`w`", "4.0"}},
      {"dimension text", safetensors(one("U8", "[\"4\"]", "[0,4]"), "abcd"), {"`w`", "a string"}},
      {"dimension too large",
       safetensors(one("U8", "[9223372036854775805]", "[0,4]"), "abcd"),
       {"`w`", "9223372036854775805"}},
      {"dimension 2^64", safetensors(one("U8", "[18446744073709551616]", "[0,4]"), "abcd"), {"`w`"}},
      {"rank 9", safetensors(one("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), "a"), {"`w`", "more than 8 dimensions"}},
      {"product overflow", safetensors(one("U8", "[4294967296,4294967296]", "[0,0]")), {"`w`", "too large"}},
      {"overflow hidden by a zero", safetensors(one("U8", "[1099511627776,1099511627776,0]", "[0,0]")), {"too large"}},
      {"overflow by the width", safetensors(one("F64", "[1099511627776,4194304]", "[0,0]")), {"too large"}},
      {"half a byte", safetensors(one("F4", "[3]", "[0,1]"), "a"), {"`w`", "whole bytes"}},
      {"begin after end", safetensors(one("U8", "[4]", "[4,0]"), "abcd"), {"`w`", "begins at 4, after its end 0"}},
      {"offset negative", safetensors(one("U8", "[4]", "[-4,0]"), "abcd"), {"`w`", "-4"}},
      {"offset float", safetensors(one("U8", "[4]", "[0,4.0]"), "abcd"), {"`w`", "4.0"}},
      {"three offsets", safetensors(one("U8", "[4]", "[0,4,4]"), "abcd"), {"`w`", "more than 2"}},
      {"one offset", safetensors(one("U8", "[4]", "[4]"), "abcd"), {"`w`", "fewer than 2"}},
      {"offsets overflow",
       safetensors(one("U8", "[4]", "[18446744073709551611,18446744073709551615]"), "abcd"),
       {"`w`", "too large"}},
      {"beyond the end", safetensors(one("U8", "[8]", "[0,8]"), "abcd"), {"`w`", "past the end of the file"}},
      {"far beyond the end",
       safetensors(one("U8", "[4]", "[4611686018427387904,4611686018427387908]"), "abcd"),
       {"`w`", "past the end"}},
      {"shape and bytes differ",
       safetensors(one("BF16", "[4]", "[0,4]"), "abcd"),
       {"`w` has 4 bytes", "BF16 of shape [4] needs 8"}},
      {"overlap", safetensors(two("[0,4]", "[2,6]"), "abcdef"), {"`b`", "inside the data before it"}},
      {"same place twice", safetensors(two("[0,4]", "[0,4]"), "abcd"), {"`b`", "inside"}},
      {"gap", safetensors(two("[0,4]", "[5,9]"), "abcdefghi"), {"`b`", "not at the end of"}},
      {"gap in front", safetensors(one("U8", "[4]", "[1,5]"), "abcde"), {"`w`", "not at the end of"}},
      {"trailing bytes", safetensors(ok, "abcdPK\x05\x06"), {"4 bytes at offset", "belong to no tensor"}},
      {"data without tensors", safetensors("{}", "abcd"), {"belong to no tensor"}},
      {"git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", {"git LFS pointer"}},
      {"a zip file", "PK\x03\x04" + std::string(40, '\0'), {"header length"}},
  };
  for (int size = 0; size < 8; ++size) {
    cases.push_back({"file of " + std::to_string(size) + " bytes",
                     std::string(static_cast<std::size_t>(size), '{'),
                     {std::to_string(size) + " bytes", "too small"}});
  }
  for (const Case& c : cases) {
    CAPTURE(c.what);
    const Error error = error_of([&] { read(c.bytes); });
    CAPTURE(text_of(error));
    CHECK(error.code() == c.code);
    CHECK(mentions(error, "model.safetensors"));
    for (const std::string& part : c.mention) {
      CAPTURE(part);
      CHECK(mentions(error, part));
    }
  }
}

TEST_CASE("safetensors: unsorted entries of whole cover are legal", "[checkpoint]") {
  const auto tensors = read(safetensors(
      R"({"z":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
      "xyz"));
  CHECK(tensors[0].info.name == "a");
  CHECK(tensors[1].info.name == "z");
}

TEST_CASE("safetensors: the number of tensors is limited", "[checkpoint]") {
  std::string header = "{";
  header.reserve(70'000'000);
  for (int i = 0; i <= 1'000'000; ++i) {
    header.append(i == 0 ? "" : ",").append("\"").append(std::to_string(i));
    header.append(R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})");
  }
  const auto start = std::chrono::steady_clock::now();
  const Error error = error_of([&] { parse_safetensors_header(header + "}", 0, 0, "f"); });
  CHECK(error.code() == Code::parse);
  CHECK(mentions(error, "more than 1000000 tensors"));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
}

TEST_CASE("safetensors: a million dimensions stop at the ninth", "[checkpoint]") {
  std::string shape = "[1";
  for (int i = 1; i < 1'000'000; ++i) shape += ",1";
  const Error error = error_of([&] { parse_safetensors_header(one("U8", shape + "]", "[0,1]"), 0, 1, "f"); });
  CHECK(mentions(error, "more than 8 dimensions"));
  CHECK(error.column() < 100);
}

}  // namespace
}  // namespace autoround::checkpoint
