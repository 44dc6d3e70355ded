// Frames that are sealed, read and opened again.
#include "bench/load/outer_frame.h"

#include <gtest/gtest.h>

#include "bench/load/inner_packet.h"
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

}  // namespace
}  // namespace penstock::load
