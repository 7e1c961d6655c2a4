#include "base/json_reader.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "base/text.hpp"

namespace autoround {
namespace {

// Walks the text for the lexer and leaves its place where the reader can see it: nlohmann's events carry no position.
class TrackingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TrackingIterator(const char* at, const char** position) : at_(at), position_(position) {}
  reference operator*() const { return *at_; }
  TrackingIterator& operator++() {
    *position_ = ++at_;
    return *this;
  }
  TrackingIterator operator++(int) {
    const TrackingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const TrackingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const TrackingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** position_;
};

// nlohmann's text is "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error ...": the part
// after the place is what a person needs, for the place is stated by the Error itself.
std::string plain_reason(std::string_view what) {
  if (const auto end = what.find("] "); end != std::string_view::npos) what.remove_prefix(end + 2);
  if (what.substr(0, 11) == "parse error") {
    if (const auto colon = what.find(": "); colon != std::string_view::npos) what.remove_prefix(colon + 2);
  }
  constexpr std::size_t enough = 300;  // the library quotes the last token, however long
  const std::size_t end = whole_characters(what, enough);
  return std::string(what.substr(0, end)) + (end < what.size() ? "..." : "");
}

}  // namespace

void JsonReader::parse(std::string_view text) {
  text_ = text;
  position_ = text.data();
  depth_ = 0;
  if (text.size() > limits_.max_bytes) {
    fail(Code::parse, subject_,
         "the text has " + std::to_string(text.size()) + " bytes; the limit is " + std::to_string(limits_.max_bytes));
  }
  if (const auto offset = invalid_utf8(text)) {
    fail_at(*offset, "the byte at offset " + std::to_string(*offset) + " is not valid UTF-8", Code::parse);
  }
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) {  // nlohmann takes it for the end of the text
    fail_at(nul, "the byte at offset " + std::to_string(nul) + " is NUL", Code::parse);
  }
  const TrackingIterator first(text.data(), &position_);
  const TrackingIterator last(text.data() + text.size(), &position_);
  Json::sax_parse(first, last, this);
}

bool JsonReader::parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) {
  fail_at(position == 0 ? 0 : position - 1, plain_reason(error.what()), Code::parse);
}

bool JsonReader::enter() {
  if (++depth_ > limits_.max_depth) {
    fail_here("objects and arrays are nested deeper than " + std::to_string(limits_.max_depth) + " levels, the limit");
  }
  return true;
}

void JsonReader::fail_here(const std::string& message, Code code) const {
  const auto taken = static_cast<std::size_t>(position_ - text_.data());
  fail_at(taken == 0 ? 0 : taken - 1, message, code);
}

void JsonReader::fail_at(std::size_t offset, const std::string& message, Code code) const {
  const std::string_view before = text_.substr(0, offset);
  const auto line = limits_.first_line + std::count(before.begin(), before.end(), '\n');
  const auto newline = before.rfind('\n');
  const std::size_t column = offset - (newline == std::string_view::npos ? 0 : newline + 1) + 1;
  throw Error(code, subject_, "line " + std::to_string(line) + ", column " + std::to_string(column) + ": " + message,
              static_cast<int>(line), static_cast<int>(column));
}

}  // namespace autoround
