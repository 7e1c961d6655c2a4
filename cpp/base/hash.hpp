// XXH3-128 as hexadecimal text: whether bytes are still those that were written or read before. It tells damage, not
// forgery.
#pragma once

#include <cstddef>
#include <gsl/span>
#include <memory>
#include <string>
#include <string_view>

namespace autoround {

class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  void add(gsl::span<const std::byte> bytes);
  std::string text() const;  // 32 digits, of what was added so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

inline constexpr std::size_t hash_digits = 32;
std::string hash_of(gsl::span<const std::byte> bytes);
std::string hash_of(std::string_view text);

}  // namespace autoround
