#include "controlplane/crypto/x25519.h"

#include <sodium.h>

#include <cstdio>
#include <cstdlib>

namespace penstock {
namespace {

// libsodium picks its CPU-specific code here; calling it again is cheap and safe on any thread.
void require_sodium() {
  static const bool ready = sodium_init() >= 0;
  if (!ready) {
    std::fputs("penstock: libsodium does not start\n", stderr);
    std::abort();
  }
}

}  // namespace

void x25519_clamp(Secret<32>& private_key) {
  uint8_t* k = private_key.data();
  k[0] = static_cast<uint8_t>(k[0] & 248);
  k[31] = static_cast<uint8_t>((k[31] & 127) | 64);
}

X25519Public x25519_public(const Secret<32>& private_key) {
  require_sodium();
  X25519Public out{};
  (void)crypto_scalarmult_curve25519_base(out.data(), private_key.data());  // cannot fail
  return out;
}

bool x25519(const Secret<32>& private_key, const X25519Public& public_key, Secret<32>& shared) {
  require_sodium();
  // libsodium refuses its list of low-order points; the zero check does not depend on that list.
  const bool computed =
      crypto_scalarmult_curve25519(shared.data(), private_key.data(), public_key.data()) == 0;
  if (computed && !shared.is_zero()) return true;
  wipe(shared.mutable_bytes());
  return false;
}

}  // namespace penstock
