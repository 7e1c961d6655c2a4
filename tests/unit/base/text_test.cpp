#include "base/text.hpp"

#include <clocale>
#include <limits>
#include <locale>
#include <sstream>
#include <string>

#include "support/catch.hpp"

using namespace std::string_literals;

namespace autoround {
namespace {

TEST_CASE("text: replaced, all of it", "[base]") {
  CHECK(replaced("a.b..c", ".", "\\.") == "a\\.b\\.\\.c");
  CHECK(replaced("none", ".", "!") == "none");
  CHECK(replaced("aaa", "aa", "b") == "ba");
  CHECK(replaced("", "x", "y") == "");
}

TEST_CASE("UTF-8: the first invalid byte is found", "[base]") {
  struct Case {
    std::string text;
    std::optional<std::size_t> offset;
  };
  const Case cases[] = {
      {"", std::nullopt},
      {"plain", std::nullopt},
      {"h\xC3\xA9llo \xE4\xB8\xAD \xF0\x9F\x98\x80", std::nullopt},
      {"\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF", std::nullopt},  // both sides of the surrogates, and U+10FFFF
      {"ab\xFF", 2},
      {"a\x80", 1},             // continuation without a lead
      {"\xC0\xAF", 0},          // overlong '/'
      {"\xE0\x9F\xBF", 0},      // overlong
      {"\xF0\x8F\xBF\xBF", 0},  // overlong
      {"x\xED\xA0\x80", 1},     // surrogate
      {"\xF4\x90\x80\x80", 0},  // above U+10FFFF
      {"ok\xE4\xB8", 2},        // cut short
      {"\xFF\xFE{\0"s, 0},      // UTF-16
      {"\xF0\x9F\x98z", 0},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK(invalid_utf8(c.text) == c.offset);
  }
}

TEST_CASE("names: a typing slip finds its key, another word finds nothing", "[base]") {
  const std::vector<std::string> keys{"bits", "group_size", "iters", "lr", "nsamples", "seqlen", "batch_size"};
  CHECK(nearest_name("group_sze", keys) == "group_size");
  CHECK(nearest_name("groupsize", keys) == "group_size");
  CHECK(nearest_name("nsample", keys) == "nsamples");
  CHECK(nearest_name("sequen", keys) == "seqlen");
  CHECK(nearest_name("temperature", keys).empty());
  CHECK(nearest_name("xy", keys).empty());
  CHECK(nearest_name("", keys).empty());
  CHECK(nearest_name(std::string(100000, 'a'), keys).empty());
  CHECK(hint("iter", keys) == " (did you mean `iters`?)");
  CHECK(hint("zzz", keys).empty());
}

TEST_CASE("quote: untrusted text cannot break a line or flood a message", "[base]") {
  CHECK(quote("model.norm") == "`model.norm`");
  CHECK(quote("a\nb\x7F\0"s) == "`a\\x0ab\\x7f\\x00`");
  CHECK(quote("abcdef", 3) == "`abc...`");
  CHECK(quote("ab\xE4\xB8\xAD", 4) == "`ab...`");  // never cut inside a character
  CHECK(quote("ab\xE4\xB8\xAD", 5) == "`ab\xE4\xB8\xAD`");
}

TEST_CASE("UTF-8: the longest beginning of whole characters", "[base]") {
  const std::string text = "a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80";  // of 1, 2, 3 and 4 bytes
  const std::size_t whole[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
  for (std::size_t most = 0; most < std::size(whole); ++most) CHECK(whole_characters(text, most) == whole[most]);
  CHECK(whole_characters("\x80\x80\x80\x80\x80\x80", 5) == 5);  // no characters
  CHECK(whole_characters("\x80\x80\x80", 2) == 2);
}

TEST_CASE("numbers: shortest text that reads back the same", "[base]") {
  CHECK(format_number(0.5) == "0.5");
  CHECK(format_number(4096) == "4096");
  CHECK(format_number(0.1) == "0.1");
  CHECK(format_number(1e-5) == "1e-05");
  CHECK(format_number(-0.0) == "-0");
  CHECK(format_number(std::numeric_limits<double>::infinity()) == "inf");
  CHECK(std::stod(format_number(1.0 / 3)) == 1.0 / 3);
}

struct DecimalComma : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

TEST_CASE("numbers: the host's locale changes nothing", "[base]") {
  const std::string before = std::setlocale(LC_NUMERIC, nullptr);
  const std::locale before_in_streams = std::locale::global(std::locale(std::locale::classic(), new DecimalComma));
  std::ostringstream of_the_host;
  of_the_host << 1234.5;
  // The C library's is another one; a machine need not have any with a decimal comma.
  const char* comma = nullptr;
  for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"}) {
    if (comma == nullptr) comma = std::setlocale(LC_NUMERIC, name);
  }
  const std::string number = format_number(1234.5);
  const std::string bytes = format_bytes(1440000000);
  std::locale::global(before_in_streams);
  std::setlocale(LC_NUMERIC, before.c_str());
  CHECK(of_the_host.str() == "1.234,5");
  CHECK(number == "1234.5");
  CHECK(bytes == "1.44 GB");
}

TEST_CASE("bytes: three digits and a decimal unit", "[base]") {
  CHECK(format_bytes(0) == "0 B");
  CHECK(format_bytes(999) == "999 B");
  CHECK(format_bytes(1000) == "1.00 kB");
  CHECK(format_bytes(12345678) == "12.3 MB");
  CHECK(format_bytes(999499) == "999 kB");
  CHECK(format_bytes(999500) == "1.00 MB");
  CHECK(format_bytes(std::numeric_limits<std::uint64_t>::max()) == "18.4 EB");
}

TEST_CASE("join", "[base]") {
  CHECK(join({}, ", ").empty());
  CHECK(join({"a"}, ", ") == "a");
  CHECK(join({"a", "b", ""}, ", ") == "a, b, ");
}

TEST_CASE("concat: parts one after another", "[base]") {
  CHECK(concat({}).empty());
  CHECK(concat({"a", "", std::string("b"), std::string_view("cd", 1)}) == "abc");
}

}  // namespace
}  // namespace autoround
