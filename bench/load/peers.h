// The initiators of one protocol, as a machine without input or output: what a tunnel needs to come
// up, be rekeyed and stay up. Handshakes are computed where they are called, on the caller's
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "bench/load/plan.h"
#include "dataplane/api/tunnel.h"
#include "gateway/base/bytes.h"
#include "gateway/base/clock.h"
#include "gateway/base/random.h"
#include "gateway/base/result.h"

namespace penstock::load {

// What the gateway writes into packets for us (WireGuard's receiver index, ESP's SPI): the tunnel's
// number in the low bits, a generation above. Never 0..255.
inline constexpr unsigned kIndexTunnelBits = 20;
static_assert(kMaxTunnels <= 1U << kIndexTunnelBits);
inline constexpr uint32_t kIndexGenerations = (1U << (32 - kIndexTunnelBits)) - 1;
constexpr uint32_t index_of(uint32_t tunnel, uint32_t generation) {
  return (generation % kIndexGenerations + 1) << kIndexTunnelBits | tunnel;
}
constexpr uint32_t tunnel_of_index(uint32_t index) {
  return index & ((1U << kIndexTunnelBits) - 1);
}

// A datagram to the gateway, from the tunnel's peer address.
struct SendToGateway {
  uint32_t tunnel = 0;
  uint16_t local_port = 0, remote_port = 0;
  ByteVector payload;
};

// A session of both directions. It is used for sending at once.
struct SessionUp {
  uint32_t tunnel = 0;
  uint32_t local_index = 0, peer_index = 0;
  SaAlgorithm algorithm = SaAlgorithm::kChacha20Poly1305;
  SaKeys send_keys, receive_keys;
  // Of packets that we send: the first, and the first that is not sent any more.
  uint64_t first_sequence = 0, sequence_limit = UINT64_MAX;
  bool esn = false;
  bool in_udp = true;
  bool rekeyed = false;     // there was one before
  Nanoseconds took_ns = 0;  // from the first message to the answer
};

// A handshake that will not be tried again by itself.
struct HandshakeFailed {
  uint32_t tunnel = 0;
  std::string why;  // a sentence for the operator
};

// An answer has come whose session is computed later (Peers::defer_answers).
struct Answered {
  uint32_t tunnel = 0;
  Nanoseconds took_ns = 0;
};

using PeerEffect = std::variant<SendToGateway, SessionUp, HandshakeFailed, Answered>;

struct PeerNow {
  Nanoseconds boot_ns = 0, wall_ns = 0;
};

class Peers {
 public:
  virtual ~Peers() = default;

  // Computes what can be computed before initiate(), so that a storm does not wait for it.
  virtual void prepare(const PeerNow& now, uint32_t tunnel) = 0;
  // A new session of a tunnel; of one that has one: a rekeying.
  virtual void initiate(const PeerNow& now, uint32_t tunnel) = 0;
  // On: what an answer still needs to become a session waits for compute_deferred(), so that a
  // storm measures the gateway rather than us. A machine that cannot wait computes at once.
  virtual void defer_answers(bool on) = 0;
  // One of them. False: none is left.
  virtual bool compute_deferred() = 0;
  // The payload of a UDP datagram from the gateway to `tunnel` that carries no packet.
  virtual void on_datagram(const PeerNow& now, uint32_t tunnel, uint16_t local_port,
                           uint16_t remote_port, Bytes payload) = 0;
  virtual void on_timeout(const PeerNow& now) = 0;
  [[nodiscard]] virtual std::optional<PeerEffect> poll() = 0;
  // After so long a session wants a new one; kNever: never by itself.
  [[nodiscard]] virtual Nanoseconds rekey_after_ns() const = 0;
  // Why tunnels that are not up are not: the last that was heard of one.
  [[nodiscard]] virtual std::string trouble() const = 0;

 protected:
  Peers() = default;
};

// The plan and the source outlive it. `answer_within_ns`: after which a handshake has failed.
std::unique_ptr<Peers> make_wireguard_peers(const Plan& plan, RandomSource& random,
                                            Nanoseconds answer_within_ns);

// What IKEv2 asks for.
struct EspWish {
  SaAlgorithm algorithm = SaAlgorithm::kAes128Gcm16;
  bool in_udp = true;
  bool esn = true;  // offered: the gateway chooses
};
// As an ESP proposal in the words of swanctl.conf.
std::string esp_proposal(const EspWish& wish);
Result<std::unique_ptr<Peers>> make_ike_peers(const Plan& plan, const EspWish& wish,
                                              RandomSource& random, Nanoseconds answer_within_ns);

// In clear: a tunnel is up as soon as it is wanted, without keys.
std::unique_ptr<Peers> make_clear_peers();

}  // namespace penstock::load
