// BLAKE2s (RFC 7693), HMAC and HKDF over it, as WireGuard uses them (paper section 5.4). Any
// thread. A failure inside the library aborts: it would mean a broken installation.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "gateway/base/bytes.h"
#include "gateway/base/secret.h"

namespace penstock {

using Mac128 = std::array<uint8_t, 16>;

// HASH(): 32 bytes over the parts one after the other.
[[nodiscard]] Secret<32> blake2s(std::initializer_list<Bytes> parts);
// MAC(): keyed BLAKE2s with 16 bytes of output. The key has 16 or 32 bytes.
[[nodiscard]] Mac128 blake2s_mac128(Bytes key, Bytes data);
// HMAC() with BLAKE2s-256 (RFC 2104), over the parts one after the other.
[[nodiscard]] Secret<32> hmac_blake2s(const Secret<32>& key, std::initializer_list<Bytes> parts);
// KDFn(): fills 1 to 3 outputs (HKDF, RFC 5869, with empty info). `outputs` may hold `key` itself.
void kdf_blake2s(const Secret<32>& key, Bytes input, std::span<Secret<32>* const> outputs);

}  // namespace penstock
