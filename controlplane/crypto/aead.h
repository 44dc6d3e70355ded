// The AEADs of handshake messages. Packets of data have their own engine in the dataplane.
#pragma once

#include <array>
#include <cstdint>

#include "gateway/base/bytes.h"
#include "gateway/base/secret.h"

namespace penstock {

inline constexpr size_t kAeadTagSize = 16;

// ChaCha20-Poly1305 (RFC 8439). The nonce is WireGuard's and Noise's: 32 zero bits, then `counter`
// little-endian. Requires sealed.size() == plain.size() + kAeadTagSize.
void chacha20_poly1305_seal(const Secret<32>& key, uint64_t counter, Bytes additional, Bytes plain,
                            MutableBytes sealed);
// False, with `plain` zeroed, where the tag is wrong or the sizes do not fit.
[[nodiscard]] bool chacha20_poly1305_open(const Secret<32>& key, uint64_t counter, Bytes additional,
                                          Bytes sealed, MutableBytes plain);

// XChaCha20-Poly1305 with its nonce of 24 bytes (draft-irtf-cfrg-xchacha-03).
using XchachaNonce = std::array<uint8_t, 24>;
void xchacha20_poly1305_seal(const Secret<32>& key, const XchachaNonce& nonce, Bytes additional,
                             Bytes plain, MutableBytes sealed);
[[nodiscard]] bool xchacha20_poly1305_open(const Secret<32>& key, const XchachaNonce& nonce,
                                           Bytes additional, Bytes sealed, MutableBytes plain);

}  // namespace penstock
