// Initiations of 256 peers into one device, to the responses and the installed keypairs, the first
// packet of each peer included.
#include <deque>

#include "bench/handshake/scenario.h"
#include "controlplane/crypto/x25519.h"
#include "controlplane/wire/wireguard_messages.h"
#include "controlplane/wireguard/cookie.h"
#include "controlplane/wireguard/device.h"
#include "controlplane/wireguard/noise.h"
#include "controlplane/wireguard/tai64n.h"
#include "dataplane/api/tunnel.h"

namespace penstock::bench {
namespace {

using namespace wireguard;

constexpr size_t kPerTurn = 32;  // datagrams that one turn of the loop takes

class Indices final : public IndexSource {
 public:
  Result<uint32_t> reserve() override { return ++last_; }
  void release(uint32_t) override {}

 private:
  uint32_t last_ = 0;
};

struct Initiator {
  Secret<32> private_key;
  PublicKey public_key{};
  Secret<32> static_static;
  Endpoint endpoint;
};

class WireguardResponder final : public Scenario {
 public:
  WireguardResponder() : device_(random_, indices_, {}), jar_({}) {
    Secret<32> key;
    random_.fill(key.mutable_bytes());
    x25519_clamp(key);
    public_key_ = x25519_public(key);
    jar_ = CookieJar(public_key_);
    DeviceChange change;
    change.private_key = key;
    change.listen_port = 51820;
    for (size_t i = 0; i < kBatch; ++i) {
      initiators_.push_back(make_initiator(static_cast<uint32_t>(i)));
      PeerChange peer;
      peer.public_key = initiators_.back().public_key;
      peer.allowed_ips.push_back(
          {IpPrefix::host(Ipv4Address::from_host(0x0a000000 + static_cast<uint32_t>(i))), false});
      change.peers.push_back(peer);
    }
    configured_ = device_.apply(now_, change).ok();
    drain(nullptr);
  }

  PhaseTimes batch(Stage& stage, bool& ok) override {
    now_.boot_ns += 10 * kSecond;
    now_.wall_ns += 10 * kSecond;
    answered_ = installed_ = next_ = 0;
    messages_.clear();
    for (size_t i = 0; i < kBatch; ++i) messages_.push_back(initiation(i));
    const PhaseTimes times = stage.run([&] { return turn(stage); },
                                       [this] { return answered_ == kBatch && jobs_ == 0; });
    ok = ok && configured_ && installed_ == kBatch;
    return times;
  }

  // <- es; -> e, ee, se. DH(s, s) is computed once in a peer's life.
  void primitives() override {
    const Initiator& peer = initiators_[next_primitive_++ % kBatch];
    Secret<32> shared;
    Secret<32> ephemeral;
    random_.fill(ephemeral.mutable_bytes());
    (void)x25519_public(ephemeral);
    for (int i = 0; i < 3; ++i) (void)x25519(ephemeral, peer.public_key, shared);
  }

 private:
  Initiator make_initiator(uint32_t number) {
    Initiator made;
    random_.fill(made.private_key.mutable_bytes());
    x25519_clamp(made.private_key);
    made.public_key = x25519_public(made.private_key);
    (void)x25519(made.private_key, public_key_, made.static_static);
    made.endpoint = {Ipv4Address::from_host(0xc6120000 + number), 51820};
    return made;
  }

  ByteVector initiation(size_t number) {
    const Initiator& peer = initiators_[number];
    InitiateJob job;
    job.our_private = peer.private_key;
    job.our_public = peer.public_key;
    job.peer_public = public_key_;
    job.static_static = peer.static_static;
    random_.fill(job.ephemeral_private.mutable_bytes());
    job.timestamp = tai64n_of(static_cast<uint64_t>(now_.wall_ns));
    const auto result = std::get<InitiateResult>(run_compute(job));
    InitiationMessage message{};
    message.type = Le32(static_cast<uint32_t>(MessageType::kInitiation));
    message.sender_index = Le32(static_cast<uint32_t>(number + 1));
    message.ephemeral = result.ephemeral_public;
    message.encrypted_static = result.encrypted_static;
    message.encrypted_timestamp = result.encrypted_timestamp;
    ByteVector bytes(sizeof message);
    std::memcpy(bytes.data(), &message, sizeof message);
    jar_.add_macs(now_.boot_ns, kSecond, bytes);
    return bytes;
  }

  bool turn(Stage& stage) {
    const Endpoint ours{Ipv4Address::from_host(0xc0000201), 51820};
    const size_t last = std::min(next_ + kPerTurn, kBatch);
    const bool worked = next_ < last;
    for (; next_ < last; ++next_) {
      device_.on_datagram(now_, initiators_[next_].endpoint, ours, WorkerId{0}, messages_[next_]);
      drain(&stage);
    }
    return worked;
  }

  // Without a stage jobs are done at once.
  void drain(Stage* stage) {
    while (auto effect = device_.poll()) {
      if (auto* const compute = std::get_if<Compute>(&*effect)) {
        start(stage, std::move(*compute));
      } else if (std::get_if<SendDatagram>(&*effect) != nullptr) {
        ++answered_;
      } else if (const auto* const install = std::get_if<InstallKeypair>(&*effect)) {
        ++installed_;
        device_.on_events(now_, install->peer, kEventPromoted | kEventReceivedKeepalive,
                          install->local_index, {}, {});
      }
    }
  }

  void start(Stage* stage, Compute compute) {
    if (stage == nullptr) {
      device_.on_compute(now_, compute.id, run_compute(compute.job));
      return;
    }
    ++jobs_;
    stage->compute([this, stage, compute = std::move(compute)]() -> EventLoop::Task {
      auto result = std::make_shared<ComputeResult>(run_compute(compute.job));
      return [this, stage, id = compute.id, result] {
        --jobs_;
        device_.on_compute(now_, id, std::move(*result));
        drain(stage);
      };
    });
  }

  SystemRandom random_;
  Indices indices_;
  Device device_;
  PublicKey public_key_{};
  CookieJar jar_;
  std::vector<Initiator> initiators_;
  std::vector<ByteVector> messages_;
  Now now_{1000 * kSecond, 1'800'000'000 * kSecond};
  size_t next_ = 0, answered_ = 0, installed_ = 0, jobs_ = 0, next_primitive_ = 0;
  bool configured_ = false;
};

}  // namespace

std::vector<ScenarioFactory> wireguard_scenarios() {
  return {{"wireguard/responder", [] { return std::make_unique<WireguardResponder>(); }}};
}

}  // namespace penstock::bench
