// Diffie-Hellman: MODP groups 14 to 16 (RFC 3526), ECP groups 19 to 21 (RFC 5903), Curve25519
// (RFC 8031). Any thread. Private keys are drawn in one place and used in another, so that a
// compute thread needs no source of randomness.
#pragma once

#include <optional>

#include "controlplane/ike/wire/iana.h"
#include "gateway/base/bytes.h"
#include "gateway/base/random.h"
#include "gateway/base/result.h"
#include "gateway/base/secret.h"

namespace penstock::ike {

// 0: a group that we do not have.
size_t dh_public_bytes(DhGroup group);
// nullopt: not ours.
std::optional<DhGroup> dh_group_of(uint16_t id);

enum class DhFault : uint8_t {
  kUnknownGroup,
  kPublicSize,   // not exactly dh_public_bytes()
  kPublicValue,  // RFC 6989: not in 2 .. p - 2; not on the curve
  kZeroResult,   // RFC 7748 6.1: a point of low order
  kInternal,     // the library failed: out of memory
};
const char* to_string(DhFault fault);

// Cheap. Requires a group that we have.
SecretBytes dh_private_key(DhGroup group, RandomSource& random);
// Expensive: for the compute pool.
Result<ByteVector, DhFault> dh_public_value(DhGroup group, const SecretBytes& private_key);
// Expensive. The shared secret has the size that the group says, leading zeros included
// (RFC 7296 2.14; ECP: the x coordinate, RFC 5903 7).
Result<SecretBytes, DhFault> dh_shared_secret(DhGroup group, const SecretBytes& private_key,
                                              Bytes peer_public);

}  // namespace penstock::ike
