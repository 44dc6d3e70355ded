// A session from the handshake to frames that are sealed, read and opened again.
#include "bench/load/outer_frame.h"

#include <gtest/gtest.h>

#include <deque>

#include "bench/load/inner_packet.h"
#include "controlplane/crypto/x25519.h"
#include "controlplane/wireguard/device.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/ethernet.h"

namespace penstock::load {
namespace {

Plan make_plan(Protocol protocol, bool v6) {
  PlanOptions options;
  options.protocol = protocol;
  options.tunnels = 5;
  options.outer_v6 = options.inner_v6 = v6;
  return *Plan::make(options);
}

// Makes the frame of a peer look like one for it: source and destination change places.
void turn_round(MutableBytes frame, bool v6) {
  uint8_t* const source = frame.data() + 14 + (v6 ? 8 : 12);
  std::swap_ranges(source, source + (v6 ? 16 : 4), source + (v6 ? 16 : 4));
}

struct Case {
  Protocol protocol;
  bool v6, in_udp, esn;
  SaAlgorithm algorithm;
};

class OuterFramesTest : public testing::TestWithParam<Case> {};

TEST_P(OuterFramesTest, sealed_frame_opens_to_the_packet_that_was_sent) {
  const Case& one = GetParam();
  const Plan plan = make_plan(one.protocol, one.v6);
  auto sessions = Sessions::create(plan.tunnels(), one.algorithm);
  ASSERT_TRUE(sessions.ok());
  const auto engines = AeadEngines::create();
  ASSERT_TRUE(engines.ok());
  SystemRandom random;
  SessionUp up;
  up.tunnel = 3;
  up.local_index = up.peer_index = index_of(3, 17);
  up.algorithm = one.algorithm;
  random.fill(up.send_keys.cipher_key.mutable_bytes());
  random.fill(up.send_keys.salt.mutable_bytes());
  up.receive_keys = up.send_keys;
  up.in_udp = one.in_udp;
  up.esn = one.esn;
  up.first_sequence = one.protocol == Protocol::kEsp ? 1 : 0;
  sessions->install(up, 0);
  OuterFrames outer(plan, *sessions);
  outer.set_macs({{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}});
  Verifier verifier(plan);
  verifier.begin(1);

  for (const uint16_t bytes : {80, 81, 83, 600, 1420, 9000}) {
    ByteVector memory(9400);
    const auto& session = sessions->outbound(3);
    PacketTag tag;
    tag.trial = 1;
    tag.tunnel = 3;
    tag.down = true;
    tag.sequence = verifier.next_sequence(3, 0, true);
    verifier.packets().write(memory.data() + outer.inner_offset(session), bytes, tag);
    AeadJob job;
    uint8_t aside[16];
    const uint16_t length = outer.prepare(memory.data(), 3, bytes, job, aside);
    ASSERT_GT(length, bytes);
    ASSERT_LE(length, bytes + OuterFrames::kMostOverheadBytes);
    engines->of(one.algorithm).seal({&job, 1});
    outer.finish(memory.data(), length);
    const MutableBytes frame(memory.data(), length);
    if (one.v6 && one.in_udp) {
      const auto* ip = header_at<Ipv6Header>(frame, 14);
      const Bytes datagram = Bytes(frame).subspan(54);
      EXPECT_TRUE(transport_checksum_ok(pseudo_header_sum(ip->source, ip->destination, kProtocolUdp,
                                                          static_cast<uint32_t>(datagram.size())),
                                        datagram));
    }
    turn_round(frame, one.v6);
    AeadJob open_job;
    uint8_t& last_of_destination = frame[one.v6 ? 14 + 39 : 14 + 19];
    ++last_of_destination;  // to peer 4, who has no such session
    EXPECT_EQ(outer.read(frame, open_job, aside).kind, OuterFrames::Kind::kUnknownIndex);
    --last_of_destination;
    const auto arrival = outer.read(frame, open_job, aside);
    ASSERT_EQ(arrival.kind, OuterFrames::Kind::kData);
    EXPECT_EQ(arrival.tunnel, 3U);
    engines->of(one.algorithm).open({&open_job, 1});
    ASSERT_TRUE(open_job.ok);
    const Bytes content =
        OuterFrames::content_of(arrival, open_job, one.protocol == Protocol::kEsp);
    verifier.take(content, arrival.tunnel, true, 1);
  }
  EXPECT_EQ(verifier.counts(true).good, 6U);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, OuterFramesTest,
    testing::Values(Case{Protocol::kWireguard, false, true, false, SaAlgorithm::kChacha20Poly1305},
                    Case{Protocol::kWireguard, true, true, false, SaAlgorithm::kChacha20Poly1305},
                    Case{Protocol::kEsp, false, true, false, SaAlgorithm::kAes128Gcm16},
                    Case{Protocol::kEsp, false, false, true, SaAlgorithm::kAes256Gcm16},
                    Case{Protocol::kEsp, true, false, false, SaAlgorithm::kChacha20Poly1305},
                    Case{Protocol::kEsp, true, true, true, SaAlgorithm::kAes128Gcm16}));

TEST(OuterFrames, keepalive_of_wireguard_has_no_content) {
  const Plan plan = make_plan(Protocol::kWireguard, false);
  auto sessions = Sessions::create(plan.tunnels(), SaAlgorithm::kChacha20Poly1305);
  SessionUp up;
  up.local_index = up.peer_index = index_of(0, 0);
  sessions->install(up, 0);
  OuterFrames outer(plan, *sessions);
  ByteVector memory(200);
  AeadJob job;
  uint8_t aside[16];
  EXPECT_EQ(outer.prepare(memory.data(), 0, 0, job, aside), 14 + 20 + 8 + 32);
  EXPECT_EQ(job.length, 0U);
}

TEST(OuterFrames, other_frames_are_told_apart) {
  const Plan plan = make_plan(Protocol::kWireguard, false);
  auto sessions = Sessions::create(plan.tunnels(), SaAlgorithm::kChacha20Poly1305);
  const OuterFrames outer(plan, *sessions);
  AeadJob job;
  uint8_t aside[16];
  ByteVector arp(60);
  store_unaligned(arp.data() + 12, Be16(kEtherTypeArp));
  EXPECT_EQ(outer.read(arp, job, aside).kind, OuterFrames::Kind::kNeighbour);
  EXPECT_EQ(outer.read({}, job, aside).kind, OuterFrames::Kind::kOther);
  // A response to tunnel 2, cut short at every place.
  ByteVector frame(200);
  SendToGateway datagram{2, plan.listen_port(), kPeerPort, ByteVector(92)};
  datagram.payload[0] = 2;
  frame.resize(outer.write_datagram(frame.data(), datagram));
  turn_round(frame, false);
  for (size_t size = 0; size < frame.size(); ++size) {
    EXPECT_EQ(outer.read(MutableBytes(frame).first(size), job, aside).kind,
              OuterFrames::Kind::kOther);
  }
  const auto arrival = outer.read(frame, job, aside);
  EXPECT_EQ(arrival.kind, OuterFrames::Kind::kHandshake);
  EXPECT_EQ(arrival.tunnel, 2U);
  EXPECT_EQ(arrival.payload.size(), 92U);
  frame[42] = 4;  // data, of an index that nobody has
  EXPECT_EQ(outer.read(frame, job, aside).kind, OuterFrames::Kind::kUnknownIndex);
}

class Indices final : public wireguard::IndexSource {
 public:
  Result<uint32_t> reserve() override { return ++last_; }
  void release(uint32_t) override {}

 private:
  uint32_t last_ = 0;
};

// The gateway's own machine as the responder.
class WireguardPeersTest : public testing::Test {
 protected:
  WireguardPeersTest()
      : plan_(make_plan(Protocol::kWireguard, false)),
        peers_(make_wireguard_peers(plan_, random_, kSecond)),
        device_(random_, indices_, {}) {
    wireguard::DeviceChange change;
    change.private_key = plan_.gateway_private_key();
    change.listen_port = plan_.listen_port();
    for (uint32_t tunnel = 0; tunnel < 2; ++tunnel) {
      wireguard::PeerChange peer;
      peer.public_key = x25519_public(plan_.peer_key(tunnel));
      change.peers.push_back(peer);
    }
    EXPECT_TRUE(device_.apply(now(), change).ok());
  }

  [[nodiscard]] wireguard::Now now() const { return {now_.boot_ns, now_.wall_ns}; }
  // Everything that either side has to say goes to the other.
  void exchange() {
    for (int round = 0; round < 8; ++round) {
      while (auto effect = peers_->poll()) {
        if (const auto* datagram = std::get_if<SendToGateway>(&*effect)) {
          device_.on_datagram(now(), {plan_.peer(datagram->tunnel), datagram->local_port},
                              {plan_.gateway_outside(), datagram->remote_port}, WorkerId{0},
                              datagram->payload);
        } else if (const auto* up = std::get_if<SessionUp>(&*effect)) {
          up_.push_back(*up);
        } else if (const auto* failed = std::get_if<HandshakeFailed>(&*effect)) {
          failed_.push_back(*failed);
        }
      }
      while (auto effect = device_.poll()) {
        if (auto* compute = std::get_if<wireguard::Compute>(&*effect)) {
          device_.on_compute(now(), compute->id, wireguard::run_compute(compute->job));
        } else if (const auto* datagram = std::get_if<wireguard::SendDatagram>(&*effect)) {
          peers_->on_datagram(now_, plan_.tunnel_of_peer(datagram->remote.address),
                              datagram->remote.port, plan_.listen_port(), datagram->payload);
        } else if (const auto* install = std::get_if<wireguard::InstallKeypair>(&*effect)) {
          installed_.push_back(*install);
        }
      }
    }
  }

  SystemRandom random_;
  Indices indices_;
  PeerNow now_{1000 * kSecond, 1'800'000'000 * kSecond};
  Plan plan_;
  std::unique_ptr<Peers> peers_;
  wireguard::Device device_;
  std::vector<SessionUp> up_;
  std::vector<HandshakeFailed> failed_;
  std::vector<wireguard::InstallKeypair> installed_;
};

TEST_F(WireguardPeersTest, both_sides_have_the_same_keys) {
  peers_->prepare(now_, 1);
  peers_->initiate(now_, 1);
  exchange();
  ASSERT_EQ(up_.size(), 1U);
  ASSERT_EQ(installed_.size(), 1U);
  EXPECT_EQ(up_[0].tunnel, 1U);
  EXPECT_FALSE(up_[0].rekeyed);
  EXPECT_EQ(up_[0].peer_index, installed_[0].local_index);
  EXPECT_EQ(up_[0].local_index, installed_[0].remote_index);
  EXPECT_EQ(up_[0].send_keys.cipher_key, installed_[0].receive_key);
  EXPECT_EQ(up_[0].receive_keys.cipher_key, installed_[0].send_key);
  now_.boot_ns += kSecond;
  now_.wall_ns += kSecond;
  peers_->initiate(now_, 1);
  exchange();
  ASSERT_EQ(up_.size(), 2U);
  EXPECT_TRUE(up_[1].rekeyed);
  EXPECT_NE(up_[1].local_index, up_[0].local_index);
  EXPECT_EQ(tunnel_of_index(up_[1].local_index), 1U);
}

TEST_F(WireguardPeersTest, no_answer_fails_with_a_sentence) {
  peers_->initiate(now_, 4);  // a peer that the gateway does not have
  exchange();
  EXPECT_TRUE(failed_.empty());
  now_.boot_ns += kSecond;
  peers_->on_timeout(now_);
  exchange();
  ASSERT_EQ(failed_.size(), 1U);
  EXPECT_EQ(failed_[0].tunnel, 4U);
  EXPECT_NE(failed_[0].why.find("--seed"), std::string::npos);
}

}  // namespace
}  // namespace penstock::load
