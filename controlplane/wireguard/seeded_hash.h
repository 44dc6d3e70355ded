// A keyed hash (SipHash-2-4) for tables whose keys strangers choose, so that nobody can make them
// collide.
#pragma once

#include <sodium.h>

#include <array>
#include <cstdint>

#include "controlplane/wireguard/configuration.h"
#include "gateway/base/bytes.h"
#include "gateway/base/net.h"
#include "gateway/base/random.h"

namespace penstock::wireguard {

class SeededHash {
 public:
  explicit SeededHash(RandomSource& random) { random.fill(seed_); }
  [[nodiscard]] uint64_t of(Bytes bytes) const {
    std::array<uint8_t, crypto_shorthash_BYTES> out{};
    crypto_shorthash(out.data(), bytes.data(), bytes.size(), seed_.data());
    return load_unaligned<uint64_t>(out.data());
  }
  size_t operator()(const PublicKey& key) const { return of(key); }
  size_t operator()(const IpPrefix& prefix) const {
    std::array<uint8_t, 18> flat{};
    std::copy(prefix.address.bytes().begin(), prefix.address.bytes().end(), flat.begin());
    flat[16] = static_cast<uint8_t>(prefix.address.family());
    flat[17] = prefix.length;
    return of(flat);
  }

 private:
  std::array<uint8_t, crypto_shorthash_KEYBYTES> seed_{};
};

}  // namespace penstock::wireguard
