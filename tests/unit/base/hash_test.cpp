#include "base/hash.hpp"

#include <vector>

#include "support/catch.hpp"

namespace autoround {

TEST_CASE("hash: XXH3-128 as xxhsum prints it", "[base]") {
  CHECK(hash_of("") == "99aa06d3014798d86001c324468d497f");
  CHECK(hash_of("").size() == hash_digits);
  CHECK(hash_of("a") != hash_of("b"));
}

TEST_CASE("hash: the pieces do not matter", "[base]") {
  std::vector<std::byte> bytes(5000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * i);
  const gsl::span<const std::byte> all(bytes);
  for (const std::size_t piece : {1u, 7u, 256u, 4999u}) {
    Hasher hasher;
    for (std::size_t at = 0; at < bytes.size(); at += piece)
      hasher.add(all.subspan(at, std::min(piece, bytes.size() - at)));
    CHECK(hasher.text() == hash_of(all));
  }
}

}  // namespace autoround
