// The generator's WireGuard initiators against the gateway's own responder, with nothing between
// them: keys and indices of both sides agree, and what goes wrong is told.
#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "controlplane/crypto/x25519.h"
#include "controlplane/wireguard/device.h"
#include "tests/unit/load/peers_lab.h"

namespace penstock::load {
namespace {

using wireguard::Device;
using wireguard::InstallKeypair;

constexpr Nanoseconds kWithinNs = 5 * kSecond;

class Indices final : public wireguard::IndexSource {
 public:
  Result<uint32_t> reserve() override { return next_++; }
  void release(uint32_t) override {}

 private:
  uint32_t next_ = 0x7000;
};

class WireguardPeersTest : public PeersLab {
 protected:
  // The gateway's keys may be of another seed, and it may have a preshared key for each peer.
  void start(uint32_t tunnels, const char* gateway_seed = "penstock-load",
             const Secret<32>& preshared_key = {}, const wireguard::Limits& limits = {}) {
    PlanOptions options;
    options.tunnels = tunnels;
    plan_.emplace(*Plan::make(options));
    peers_ = make_wireguard_peers(*plan_, random_, kWithinNs);
    options.seed = gateway_seed;
    const Plan theirs = *Plan::make(options);
    Device::Options device_options;
    device_options.limits = limits;
    device_.emplace(random_, indices_, device_options);
    wireguard::DeviceChange change;
    change.private_key = theirs.gateway_private_key();
    change.listen_port = theirs.listen_port();
    for (uint32_t tunnel = 0; tunnel < tunnels; ++tunnel) {
      wireguard::PeerChange& peer = change.peers.emplace_back();
      peer.public_key = x25519_public(theirs.peer_key(tunnel));
      peer.preshared_key = preshared_key;
    }
    ASSERT_TRUE(device_->apply(device_now(), change).ok());
    drain_gateway();
  }

  [[nodiscard]] wireguard::Now device_now() const { return {now_.boot_ns, now_.wall_ns}; }

  void drain_gateway() {
    while (auto effect = device_->poll()) {
      if (auto* const job = std::get_if<wireguard::Compute>(&*effect)) {
        device_->on_compute(device_now(), job->id, run_compute(job->job));
      } else if (auto* const datagram = std::get_if<wireguard::SendDatagram>(&*effect)) {
        take_answer(*datagram);
      } else if (auto* const keypair = std::get_if<InstallKeypair>(&*effect)) {
        installed_[keypair->remote_index] = *keypair;
      }
    }
  }
  // What the peers have said reaches the gateway; what it answers waits in to_peers_.
  void reach_gateway() {
    drain_peers();
    for (const SendToGateway& datagram : std::exchange(to_gateway_, {})) {
      EXPECT_EQ(datagram.remote_port, plan_->listen_port());
      device_->on_datagram(device_now(), {plan_->peer(datagram.tunnel), datagram.local_port},
                           {plan_->gateway_outside(), datagram.remote_port}, WorkerId{0},
                           datagram.payload);
      drain_gateway();
    }
  }
  void exchange() {
    reach_gateway();
    reach_peers();
  }

  void expect_agreement(const SessionUp& session) override {
    SCOPED_TRACE(session.tunnel);
    EXPECT_EQ(tunnel_of_index(session.local_index), session.tunnel);
    ASSERT_TRUE(installed_.contains(session.local_index));
    const InstallKeypair& theirs = installed_[session.local_index];
    EXPECT_EQ(theirs.local_index, session.peer_index);
    EXPECT_TRUE(theirs.receive_key == session.send_keys.cipher_key);
    EXPECT_TRUE(theirs.send_key == session.receive_keys.cipher_key);
    EXPECT_FALSE(theirs.send_key == theirs.receive_key);
    const auto known = device_->find_peer(x25519_public(plan_->peer_key(session.tunnel)));
    ASSERT_TRUE(known.has_value());
    EXPECT_EQ(theirs.peer, *known);
    EXPECT_EQ(session.algorithm, SaAlgorithm::kChacha20Poly1305);
    EXPECT_EQ(session.first_sequence, 0U);  // paper 5.4.6
    EXPECT_TRUE(session.in_udp);
  }

  Indices indices_;
  std::optional<Device> device_;
  std::map<uint32_t, InstallKeypair> installed_;  // by the peer's index
};

TEST_F(WireguardPeersTest, tunnels_come_up_with_the_keys_of_the_gateway) {
  start(3);
  for (const uint32_t tunnel : {2U, 0U, 1U}) peers_->initiate(now_, tunnel);
  reach_gateway();
  advance(7 * kMillisecond);
  reach_peers();
  ASSERT_EQ(up_.size(), 3U);
  for (const SessionUp& session : up_) {
    expect_agreement(session);
    EXPECT_FALSE(session.rekeyed);
    EXPECT_EQ(session.took_ns, 7 * kMillisecond);
  }
  EXPECT_EQ(up_[0].tunnel, 2U);
  advance(kWithinNs);
  EXPECT_TRUE(failed_.empty());
  EXPECT_EQ(peers_->trouble(), "");
}

TEST_F(WireguardPeersTest, rekeying_makes_another_session_of_the_same_tunnel) {
  start(2);
  for (int round = 0; round < 3; ++round) {
    for (const uint32_t tunnel : {0U, 1U}) peers_->initiate(now_, tunnel);
    exchange();
    advance(kSecond);
  }
  expect_sessions_of_two_tunnels(6);
}

TEST_F(WireguardPeersTest, silent_gateway_fails_the_handshake_in_time) {
  start(2);
  peers_->initiate(now_, 1);
  reach_gateway();
  advance(kWithinNs - 1);
  EXPECT_TRUE(failed_.empty());
  advance(1);
  ASSERT_EQ(failed_.size(), 1U);
  EXPECT_EQ(failed_[0].tunnel, 1U);
  EXPECT_NE(failed_[0].why.find("does it listen on 192.0.2.1:51820"), std::string::npos);
  EXPECT_NE(failed_[0].why.find("--seed"), std::string::npos);
  EXPECT_EQ(peers_->trouble(), failed_[0].why);
  reach_peers();  // an answer that comes too late
  EXPECT_TRUE(up_.empty());
  peers_->initiate(now_, 1);
  exchange();
  ASSERT_EQ(up_.size(), 1U);
  expect_agreement(up_[0]);
}

TEST_F(WireguardPeersTest, gateway_of_another_seed_does_not_answer) {
  start(1, "another");
  peers_->initiate(now_, 0);
  exchange();
  advance(kWithinNs);
  EXPECT_TRUE(up_.empty());
  ASSERT_EQ(failed_.size(), 1U);
  EXPECT_NE(peers_->trouble().find("does it have our peers' keys (--seed"), std::string::npos);
}

TEST_F(WireguardPeersTest, preshared_key_at_the_gateway_is_told) {
  Secret<32> preshared_key;
  random_.fill(preshared_key.mutable_bytes());
  start(1, "penstock-load", preshared_key);
  peers_->initiate(now_, 0);
  exchange();
  EXPECT_TRUE(up_.empty());
  EXPECT_NE(peers_->trouble().find("preshared key"), std::string::npos);
  advance(kWithinNs);
  ASSERT_EQ(failed_.size(), 1U);
  EXPECT_NE(failed_[0].why.find("preshared key"), std::string::npos);
}

TEST_F(WireguardPeersTest, garbage_changes_nothing) {
  start(2);
  peers_->initiate(now_, 0);
  peers_->initiate(now_, 1);
  reach_gateway();
  ASSERT_EQ(to_peers_.size(), 2U);
  const SendToGateway good = to_peers_[0];
  const auto feed = [&](uint32_t tunnel, Bytes payload) {
    peers_->on_datagram(now_, tunnel, good.local_port, good.remote_port, payload);
  };
  for (size_t bytes = 0; bytes < 200; ++bytes) {
    ByteVector noise(bytes);
    random_.fill(noise);
    for (uint8_t type = 0; type <= 4; ++type) {
      feed(0, noise);
      if (bytes >= 4) noise[0] = type, noise[1] = noise[2] = noise[3] = 0;
    }
  }
  for (size_t bytes = 0; bytes < good.payload.size(); ++bytes) {
    feed(good.tunnel, Bytes(good.payload).first(bytes));
  }
  feed(1 - good.tunnel, good.payload);  // another tunnel's
  for (const size_t at : {size_t{8}, size_t{20}, size_t{50}}) {
    ByteVector changed = good.payload;  // its receiver, its ephemeral key, its proof
    changed[at] ^= 1;
    feed(good.tunnel, changed);
  }
  drain_peers();
  EXPECT_TRUE(up_.empty() && failed_.empty() && to_gateway_.empty());
  reach_peers();
  ASSERT_EQ(up_.size(), 2U);
  for (const SessionUp& session : up_) expect_agreement(session);
}

TEST_F(WireguardPeersTest, cookie_of_a_gateway_under_load_is_given_back) {
  wireguard::Limits limits;
  limits.under_load_per_second = 0;
  start(2, "penstock-load", {}, limits);
  peers_->initiate(now_, 0);
  exchange();
  EXPECT_TRUE(up_.empty());
  ASSERT_EQ(to_gateway_.size(), 1U);  // the same message once more, with MAC2
  exchange();
  ASSERT_EQ(up_.size(), 1U);
  expect_agreement(up_[0]);
}

TEST_F(WireguardPeersTest, deferred_answer_counts_when_it_came) {
  start(2);
  peers_->prepare(now_, 0);
  peers_->prepare(now_, 1);
  drain_peers();
  EXPECT_TRUE(to_gateway_.empty());
  peers_->defer_answers(true);
  peers_->initiate(now_, 0);
  peers_->initiate(now_, 1);
  advance(kMillisecond);
  exchange();
  ASSERT_EQ(answered_.size(), 2U);
  EXPECT_EQ(answered_[1].took_ns, kMillisecond);
  EXPECT_TRUE(up_.empty());
  advance(2 * kWithinNs);
  for (const bool left : {true, true, false}) EXPECT_EQ(peers_->compute_deferred(), left);
  drain_peers();
  EXPECT_TRUE(failed_.empty());
  ASSERT_EQ(up_.size(), 2U);
  for (const SessionUp& session : up_) {
    expect_agreement(session);
    EXPECT_EQ(session.took_ns, kMillisecond);
  }
}

}  // namespace
}  // namespace penstock::load
