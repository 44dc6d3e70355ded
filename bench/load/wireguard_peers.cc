// Initiators of WireGuard (paper 5.4): the gateway's library computes, here it is said when.
#include <deque>
#include <vector>

#include "bench/load/peers.h"
#include "controlplane/crypto/x25519.h"
#include "controlplane/sansio/deadline_heap.h"
#include "controlplane/wire/wireguard_messages.h"
#include "controlplane/wireguard/compute.h"
#include "controlplane/wireguard/cookie.h"
#include "controlplane/wireguard/limits.h"
#include "controlplane/wireguard/tai64n.h"

namespace penstock::load {
namespace {

using namespace wireguard;

class WireguardPeers final : public Peers {
 public:
  WireguardPeers(const Plan& plan, RandomSource& random, Nanoseconds answer_within_ns)
      : plan_(plan),
        random_(random),
        answer_within_ns_(answer_within_ns),
        gateway_(plan.gateway_public_key()),
        peers_(plan.tunnels()) {}

  void prepare(const PeerNow& now, uint32_t tunnel) override;
  void initiate(const PeerNow& now, uint32_t tunnel) override;
  void defer_answers(bool on) override { defers_ = on; }
  bool compute_deferred() override;
  void on_datagram(const PeerNow& now, uint32_t tunnel, uint16_t local_port, uint16_t remote_port,
                   Bytes payload) override;
  void on_timeout(const PeerNow& now) override;
  [[nodiscard]] std::optional<PeerEffect> poll() override;
  [[nodiscard]] Nanoseconds rekey_after_ns() const override { return timers_.rekey_after_time_ns; }
  [[nodiscard]] std::string trouble() const override { return trouble_; }

 private:
  // A handshake from its first message on.
  struct Pending {
    Secret<32> ephemeral;
    NoiseState noise;
    uint32_t local_index = 0;
    InitiationMessage message{};
    Nanoseconds began_ns = 0, took_ns = 0;
    bool sent = false;
    std::optional<ResponseMessage> answer;  // that waits to be computed
  };
  struct Peer {
    std::unique_ptr<CookieJar> jar;  // from the first use on, as what follows
    Secret<32> private_key;
    PublicKey public_key{};
    Secret<32> static_static;
    std::unique_ptr<Pending> pending;
    uint64_t last_timestamp_ns = 0;
    uint32_t generation = 0;
    bool was_up = false;
  };

  Peer& ready(uint32_t tunnel);
  void send(const PeerNow& now, uint32_t tunnel, Peer& peer);
  void on_response(const PeerNow& now, uint32_t tunnel, Bytes payload);
  void consume(uint32_t tunnel, const ResponseMessage& message);
  void on_cookie_reply(const PeerNow& now, uint32_t tunnel, Bytes payload);

  const Plan& plan_;
  RandomSource& random_;
  const Nanoseconds answer_within_ns_;
  const TimerConfig timers_;
  const PublicKey gateway_;
  std::vector<Peer> peers_;
  std::deque<uint32_t> deferred_;
  bool defers_ = false;
  DeadlineHeap deadlines_;
  std::deque<PeerEffect> effects_;
  std::string trouble_;
};

WireguardPeers::Peer& WireguardPeers::ready(uint32_t tunnel) {
  Peer& peer = peers_[tunnel];
  if (peer.jar) return peer;
  peer.private_key = plan_.peer_key(tunnel);
  peer.public_key = x25519_public(peer.private_key);
  (void)x25519(peer.private_key, gateway_, peer.static_static);
  peer.jar = std::make_unique<CookieJar>(gateway_);
  return peer;
}

void WireguardPeers::prepare(const PeerNow& now, uint32_t tunnel) {
  Peer& peer = ready(tunnel);
  auto pending = std::make_unique<Pending>();
  InitiateJob job;
  job.our_private = peer.private_key;
  job.our_public = peer.public_key;
  job.peer_public = gateway_;
  job.static_static = peer.static_static;
  random_.fill(job.ephemeral_private.mutable_bytes());
  peer.last_timestamp_ns = next_timestamp_ns(now.wall_ns, peer.last_timestamp_ns);
  job.timestamp = tai64n_of(peer.last_timestamp_ns);
  const auto result = std::get<InitiateResult>(run_compute(job));
  if (!result.ok) {
    effects_.emplace_back(HandshakeFailed{tunnel, "the gateway's public key is no usable one"});
    return;
  }
  pending->ephemeral = job.ephemeral_private;
  pending->noise = result.noise;
  pending->local_index = index_of(tunnel, peer.generation++);
  pending->message.type = Le32(static_cast<uint32_t>(MessageType::kInitiation));
  pending->message.sender_index = Le32(pending->local_index);
  pending->message.ephemeral = result.ephemeral_public;
  pending->message.encrypted_static = result.encrypted_static;
  pending->message.encrypted_timestamp = result.encrypted_timestamp;
  peer.pending = std::move(pending);
}

void WireguardPeers::initiate(const PeerNow& now, uint32_t tunnel) {
  Peer& peer = ready(tunnel);
  if (!peer.pending || peer.pending->sent) prepare(now, tunnel);
  if (!peer.pending) return;
  peer.pending->began_ns = now.boot_ns;
  send(now, tunnel, peer);
  deadlines_.set_no_later_than(tunnel, now.boot_ns + answer_within_ns_);
}

void WireguardPeers::send(const PeerNow& now, uint32_t tunnel, Peer& peer) {
  Pending& pending = *peer.pending;
  pending.sent = true;
  ByteVector bytes(sizeof pending.message);
  std::memcpy(bytes.data(), &pending.message, bytes.size());
  // Used a little shorter than the maker's secret lives, as Linux does.
  peer.jar->add_macs(now.boot_ns, timers_.cookie_secret_lifetime_ns - timers_.rekey_timeout_ns,
                     bytes);
  effects_.emplace_back(SendToGateway{tunnel, kPeerPort, plan_.listen_port(), std::move(bytes)});
}

void WireguardPeers::on_datagram(const PeerNow& now, uint32_t tunnel, uint16_t, uint16_t,
                                 Bytes payload) {
  if (payload.size() < 4) return;
  switch (load_unaligned<Le32>(payload.data()).get()) {
    case static_cast<uint32_t>(MessageType::kResponse):
      return on_response(now, tunnel, payload);
    case static_cast<uint32_t>(MessageType::kCookieReply):
      return on_cookie_reply(now, tunnel, payload);
    default:
      // Initiations of the gateway: not answered, as ours come before they are due.
      return;
  }
}

void WireguardPeers::on_response(const PeerNow& now, uint32_t tunnel, Bytes payload) {
  const auto* message = header_at<ResponseMessage>(payload);
  Peer& peer = peers_[tunnel];
  if (message == nullptr || !peer.pending || !peer.pending->sent ||
      message->receiver_index.get() != peer.pending->local_index) {
    return;
  }
  peer.pending->took_ns = now.boot_ns - peer.pending->began_ns;
  if (!defers_) return consume(tunnel, *message);
  if (peer.pending->answer) return;
  peer.pending->answer = *message;
  deferred_.push_back(tunnel);
  deadlines_.remove(tunnel);
  effects_.emplace_back(Answered{tunnel, peer.pending->took_ns});
}

bool WireguardPeers::compute_deferred() {
  if (deferred_.empty()) return false;
  const uint32_t tunnel = deferred_.front();
  deferred_.pop_front();
  const auto& pending = peers_[tunnel].pending;
  if (pending && pending->answer) consume(tunnel, *pending->answer);
  return true;
}

void WireguardPeers::consume(uint32_t tunnel, const ResponseMessage& message) {
  Peer& peer = peers_[tunnel];
  const Pending& pending = *peer.pending;
  const ConsumeResponseJob job{pending.noise,     peer.private_key,         pending.ephemeral, {},
                               message.ephemeral, message.encrypted_nothing};
  const auto result = std::get<ConsumeResponseResult>(run_compute(job));
  if (!result.ok) {
    trouble_ = "the gateway's response does not authenticate: it has a preshared key for the peer";
    return;  // somebody else's, perhaps; else the deadline ends it
  }
  SessionUp up;
  up.tunnel = tunnel;
  up.local_index = pending.local_index;
  up.peer_index = message.sender_index.get();
  up.send_keys.cipher_key = result.keys.initiator_to_responder;
  up.receive_keys.cipher_key = result.keys.responder_to_initiator;
  up.rekeyed = peer.was_up;
  up.took_ns = pending.took_ns;
  peer.was_up = true;
  peer.pending.reset();
  deadlines_.remove(tunnel);
  effects_.emplace_back(std::move(up));
}

// The gateway is under load and wants our address proved: the same message once more, with MAC2.
void WireguardPeers::on_cookie_reply(const PeerNow& now, uint32_t tunnel, Bytes payload) {
  const auto* message = header_at<CookieReplyMessage>(payload);
  Peer& peer = peers_[tunnel];
  if (message == nullptr || !peer.pending || !peer.pending->sent ||
      message->receiver_index.get() != peer.pending->local_index) {
    return;
  }
  if (peer.jar->take_reply(now.boot_ns, *message)) send(now, tunnel, peer);
}

void WireguardPeers::on_timeout(const PeerNow& now) {
  while (deadlines_.earliest_ns() <= now.boot_ns) {
    const uint32_t tunnel = deadlines_.pop();
    peers_[tunnel].pending.reset();
    if (trouble_.empty()) {
      trouble_ = "the gateway does not answer initiations: does it listen on " +
                 Endpoint{plan_.gateway_outside(), plan_.listen_port()}.to_string() +
                 ", does it have our peers' keys (--seed as for its configuration), and we its key "
                 "(--gateway-key)?";
    }
    effects_.emplace_back(HandshakeFailed{tunnel, trouble_});
  }
}

std::optional<PeerEffect> WireguardPeers::poll() {
  if (effects_.empty()) return std::nullopt;
  PeerEffect effect = std::move(effects_.front());
  effects_.pop_front();
  return effect;
}

}  // namespace

std::unique_ptr<Peers> make_wireguard_peers(const Plan& plan, RandomSource& random,
                                            Nanoseconds answer_within_ns) {
  return std::make_unique<WireguardPeers>(plan, random, answer_within_ns);
}

}  // namespace penstock::load
