// What an IKE_SA_INIT request must show before any Diffie-Hellman is computed for it: a cookie
// under load (RFC 7296 section 2.6), and room among the half-open IKE SAs of its address (RFC 8019
// section 4.2). Cookies take no memory.
#pragma once

#include <map>

#include "controlplane/ike/options.h"
#include "gateway/base/bytes.h"
#include "gateway/base/clock.h"
#include "gateway/base/net.h"
#include "gateway/base/random.h"
#include "gateway/base/secret.h"

namespace penstock::ike {

class HalfOpenGuard {
 public:
  HalfOpenGuard(RandomSource& random, const Options& options)
      : random_(random), options_(options) {}

  [[nodiscard]] bool wants_cookie() const { return count_ >= options_.cookie_threshold; }
  // Of address, port, SPI and nonce, under a secret that changes.
  ByteVector make_cookie(Nanoseconds now_ns, const Endpoint& source, uint64_t spi_initiator,
                         Bytes nonce);
  // Under the present secret or the one before.
  [[nodiscard]] bool cookie_is_valid(Nanoseconds now_ns, const Endpoint& source,
                                     uint64_t spi_initiator, Bytes nonce, Bytes cookie);

  // Whether the address may have one more.
  [[nodiscard]] bool has_room(const IpAddress& source) const;
  void add(const IpAddress& source);
  void remove(const IpAddress& source);
  [[nodiscard]] size_t count() const { return count_; }

 private:
  void rotate(Nanoseconds now_ns);
  [[nodiscard]] ByteVector cookie_under(const Secret<32>& secret, uint8_t version,
                                        const Endpoint& source, uint64_t spi_initiator,
                                        Bytes nonce) const;

  RandomSource& random_;
  const Options& options_;
  size_t count_ = 0;
  std::map<IpPrefix, uint32_t> sources_;  // IPv4 /32, IPv6 /64; only those that have any
  Secret<32> secret_, previous_;
  uint8_t version_ = 0;
  Nanoseconds secret_made_ns_ = -1;  // -1: none yet
};

}  // namespace penstock::ike
