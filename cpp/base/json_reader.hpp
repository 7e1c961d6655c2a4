// Strict JSON as a stream of events, for texts too large to be turned into a tree (safetensors headers) and as the
// ground that parse_json() stands on. It refuses what nlohmann-json lets pass: excessive depth, size and invalid UTF-8;
// what a handler refuses on top gets the same place in the text.
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/json.hpp"

namespace autoround {

/// Override the events of interest; return true to go on, call fail_here() to refuse. Every event defaults to "go on".
/// start_object and start_array must call the overridden function: it counts the depth.
class JsonReader : public nlohmann::json_sax<Json> {
 public:
  JsonReader(std::string subject, const JsonLimits& limits) : subject_(std::move(subject)), limits_(limits) {}

  /// Reads one whole document. @throws Error parse, with line and column
  void parse(std::string_view text);

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(std::int64_t) override { return true; }
  bool number_unsigned(std::uint64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool key(std::string&) override { return true; }
  bool start_object(std::size_t) override { return enter(); }
  bool end_object() override { return leave(); }
  bool start_array(std::size_t) override { return enter(); }
  bool end_array() override { return leave(); }
  bool parse_error(std::size_t position, const std::string& last_token, const nlohmann::detail::exception& error) final;

 protected:
  int depth() const noexcept { return depth_; }  // open objects and arrays
  const std::string& subject() const noexcept { return subject_; }
  /// Refuses the text at the place reached so far: the end of the key or value that the current event is about.
  [[noreturn]] void fail_here(const std::string& message, Code code = Code::parse) const;

 private:
  bool enter();
  bool leave() {
    --depth_;
    return true;
  }
  [[noreturn]] void fail_at(std::size_t offset, const std::string& message, Code code) const;

  std::string subject_;
  JsonLimits limits_;
  std::string_view text_;
  const char* position_ = nullptr;  // one past the last character that the lexer took
  int depth_ = 0;
};

}  // namespace autoround
