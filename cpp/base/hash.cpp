#include "base/hash.hpp"

#define XXH_INLINE_ALL  // the library's own way to be used as a header, which leaves nothing to link or to load
#include <xxhash.h>

namespace autoround {
namespace {

std::string hexadecimal(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;  // the same digits on every machine
  XXH128_canonicalFromHash(&canonical, hash);
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : canonical.digest) text.append({digits[byte >> 4], digits[byte & 15]});
  return text;
}

}  // namespace

struct Hasher::State {
  XXH3_state_t xxh3;
};

Hasher::Hasher() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->xxh3); }
Hasher::~Hasher() = default;

void Hasher::add(gsl::span<const std::byte> bytes) { XXH3_128bits_update(&state_->xxh3, bytes.data(), bytes.size()); }
std::string Hasher::text() const { return hexadecimal(XXH3_128bits_digest(&state_->xxh3)); }

std::string hash_of(gsl::span<const std::byte> bytes) { return hexadecimal(XXH3_128bits(bytes.data(), bytes.size())); }
std::string hash_of(std::string_view text) { return hexadecimal(XXH3_128bits(text.data(), text.size())); }

}  // namespace autoround
