// MAC1, MAC2 and cookies (paper sections 5.3, 5.4.4, 5.4.7): what a handshake message must show
// before any curve is computed for it.
#pragma once

#include <optional>

#include "controlplane/crypto/blake2s.h"
#include "controlplane/wire/wireguard_messages.h"
#include "controlplane/wireguard/configuration.h"
#include "gateway/base/clock.h"
#include "gateway/base/net.h"
#include "gateway/base/random.h"
#include "gateway/base/secret.h"

namespace penstock::wireguard {

// Receiving side: one per device. Messages are whole, with both MACs at their end.
class CookieChecker {
 public:
  CookieChecker(RandomSource& random, Nanoseconds secret_lifetime_ns)
      : random_(random), secret_lifetime_ns_(secret_lifetime_ns) {}

  void set_public_key(const PublicKey& ours);
  [[nodiscard]] bool mac1_is_valid(Bytes message) const;
  [[nodiscard]] bool mac2_is_valid(Nanoseconds now_ns, const Endpoint& source, Bytes message);
  [[nodiscard]] CookieReplyMessage make_reply(Nanoseconds now_ns, const Endpoint& source,
                                              uint32_t receiver_index, Bytes message);

 private:
  // MAC over the source's address and port, under a secret that changes.
  Mac128 cookie_of(Nanoseconds now_ns, const Endpoint& source);

  RandomSource& random_;
  Nanoseconds secret_lifetime_ns_;
  Secret<32> mac1_key_;
  Secret<32> cookie_key_;
  Secret<32> secret_;
  Nanoseconds secret_made_ns_ = -1;
};

// Sending side: one per peer.
class CookieJar {
 public:
  explicit CookieJar(const PublicKey& peer);
  // Writes both MACs at the end of `message`; MAC2 is zero without a fresh cookie.
  void add_macs(Nanoseconds now_ns, Nanoseconds cookie_lifetime_ns, MutableBytes message);
  // Takes the cookie of a reply to our last message. One reply per message is taken.
  [[nodiscard]] bool take_reply(Nanoseconds now_ns, const CookieReplyMessage& reply);

 private:
  Secret<32> mac1_key_;
  Secret<32> cookie_key_;
  Mac128 cookie_{};
  Mac128 last_mac1_{};
  bool awaits_reply_ = false;
  Nanoseconds cookie_taken_ns_ = -1;  // -1: none
};

}  // namespace penstock::wireguard
