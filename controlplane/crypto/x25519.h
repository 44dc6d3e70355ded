// X25519 (RFC 7748). Any thread.
#pragma once

#include <array>
#include <cstdint>

#include "gateway/base/bytes.h"
#include "gateway/base/secret.h"

namespace penstock {

using X25519Public = std::array<uint8_t, 32>;

// Clamps as curve25519 implementations store private keys; scalar multiplication clamps anyway.
void x25519_clamp(Secret<32>& private_key);
[[nodiscard]] X25519Public x25519_public(const Secret<32>& private_key);
// False, and `shared` all zeros, where the result is zero: the public key is a low-order point
// (RFC 7748 section 6.1).
[[nodiscard]] bool x25519(const Secret<32>& private_key, const X25519Public& public_key,
                          Secret<32>& shared);

}  // namespace penstock
