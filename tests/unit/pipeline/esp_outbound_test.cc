// Packets into ESP tunnels: numbers, limits, padding, marks, sizes, owners.
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/pipeline/esp_peer.h"

namespace penstock::test {
namespace {

ByteVector to_peer(const EspPeer& peer, size_t bytes = 100, const IpFields& fields = {}) {
  return from_inside(sample_packet(kHost4, peer.inner4, bytes, fields));
}

TEST(EspOutbound, numbers_begin_with_one_and_end_before_they_repeat) {
  EspGateway gateway;
  EspOptions options;
  options.first_sequence = 0xffff'fffd;
  EspPeer peer = gateway.add_esp_peer(options);
  for (const uint64_t wanted : {0xffff'fffd, 0xffff'fffe, 0xffff'ffff}) {
    gateway.receive(kInside, to_peer(peer));
    const auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(open_esp(peer, sent[0])->sequence, wanted);
  }
  for (int i = 0; i < 5; ++i) gateway.receive(kInside, to_peer(peer));
  EXPECT_TRUE(gateway.sent().empty());
  EXPECT_EQ(gateway.drops(DropReason::kTunnelSequenceExhausted), 5U);
  const auto events = gateway.events(false);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].flags & kEventHardLimit, uint32_t{kEventHardLimit});
  EXPECT_EQ(events[0].limit_outbound, peer.outbound);
  EXPECT_EQ(gateway.tunnels().outbound_counters(peer.outbound).packets, 3U);
  gateway.receive(kInside, to_peer(peer));
  EXPECT_TRUE(gateway.events(false).empty());  // told once
}

TEST(EspOutbound, extended_numbers_go_on_past_the_low_half) {
  for (const SaAlgorithm algorithm :
       {SaAlgorithm::kAes128Gcm16, SaAlgorithm::kChacha20Poly1305, SaAlgorithm::kAes256CbcSha256}) {
    EspGateway gateway;
    EspOptions options;
    options.algorithm = algorithm;
    options.parameters.esn = true;
    options.first_sequence = 0xffff'fffe;
    EspPeer peer = gateway.add_esp_peer(options);
    for (uint64_t wanted = 0xffff'fffe; wanted < 0x1'0000'0003; ++wanted) {
      gateway.receive(kInside, to_peer(peer));
      const auto sent = gateway.sent();
      ASSERT_EQ(sent.size(), 1U);
      const auto opened = open_esp(peer, sent[0], static_cast<uint32_t>(wanted >> 32));
      ASSERT_TRUE(opened) << wanted;
      EXPECT_EQ(opened->sequence, wanted);
      EXPECT_FALSE(open_esp(peer, sent[0], static_cast<uint32_t>(wanted >> 32) + 1));
    }
  }
}

TEST(EspOutbound, limits_are_told_once_and_the_hard_one_ends_the_sa) {
  EspGateway gateway;
  EspOptions options;
  options.rekey_sequence = 2;  // the second packet
  options.parameters.soft_packets = 3;
  options.parameters.hard_packets = 5;
  EspPeer peer = gateway.add_esp_peer(options);
  const auto flags = [&] {
    uint32_t sum = 0;
    for (const TunnelEvents& one : gateway.events(false)) {
      sum |= one.flags;
      EXPECT_EQ(one.limit_outbound, peer.outbound);
    }
    return sum;
  };
  const uint32_t near = kEventNearLimit, soft = kEventSoftLimit;
  const std::vector<uint32_t> wanted = {0, near, 0, near | soft, 0, near | soft | kEventHardLimit,
                                        0};
  for (size_t i = 0; i < wanted.size(); ++i) {
    gateway.receive(kInside, to_peer(peer));
    EXPECT_EQ(flags() & ~uint32_t{kEventSentData}, wanted[i]) << i;
    EXPECT_EQ(gateway.sent().size(), i < 5 ? 1U : 0U);
  }
  EXPECT_EQ(gateway.drops(DropReason::kTunnelExpired), 2U);
}

TEST(EspOutbound, byte_limits_count_inner_packets) {
  EspGateway gateway;
  EspOptions options;
  options.parameters.soft_bytes = 250;
  options.parameters.hard_bytes = 350;
  EspPeer peer = gateway.add_esp_peer(options);
  for (int i = 0; i < 6; ++i) gateway.receive(kInside, to_peer(peer, 100));
  EXPECT_EQ(gateway.sent().size(), 4U);
  EXPECT_EQ(gateway.tunnels().outbound_counters(peer.outbound).bytes, 400U);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelExpired), 2U);
}

TEST(EspOutbound, expired_or_missing_sa_asks_for_a_session_and_lets_nothing_out) {
  EspGateway gateway;
  EspOptions options;
  options.expires_at_ns = 2 * kSecond;
  EspPeer peer = gateway.add_esp_peer(options);
  gateway.set_time(2 * kSecond);
  gateway.receive(kInside, to_peer(peer));
  gateway.tunnels().set_current_outbound(peer.tunnel, {});
  gateway.receive(kInside, to_peer(peer));
  EXPECT_TRUE(gateway.sent().empty());
  const auto punts = gateway.punts(PuntClass::kWaiting);
  ASSERT_EQ(punts.size(), 2U);
  EXPECT_EQ(punts[0].meta.punt, PuntKind::kNeedSession);
  EXPECT_EQ(punts[0].meta.tunnel, peer.tunnel.value);
  EXPECT_NE(gateway.events(false)[0].flags & kEventNeedSession, 0U);
  // And out it goes once there is one.
  gateway.set_time(kSecond);
  gateway.tunnels().set_current_outbound(peer.tunnel, peer.outbound);
  RingMeta meta;
  meta.inject = RingMeta::Inject::kTunnelPacket;
  meta.tunnel = peer.tunnel.value;
  meta.tunnel_generation = gateway.tunnels().tunnel_generation(peer.tunnel.value);
  meta.interface = kPolicyInterface.value;
  gateway.inject(meta, punts[0].bytes);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(equal_bytes(open_esp(peer, sent[0])->payload, punts[0].bytes));
}

TEST(EspOutbound, keepalive_is_a_dummy_packet) {
  for (const SaAlgorithm algorithm : {SaAlgorithm::kAes128Gcm16, SaAlgorithm::kAes128CbcSha256}) {
    EspGateway gateway;
    EspOptions options;
    options.algorithm = algorithm;
    EspPeer peer = gateway.add_esp_peer(options);
    RingMeta meta;
    meta.inject = RingMeta::Inject::kKeepalive;
    meta.tunnel = peer.tunnel.value;
    meta.tunnel_generation = gateway.tunnels().tunnel_generation(peer.tunnel.value);
    meta.interface = kPolicyInterface.value;
    gateway.inject(meta, {});
    const auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U);
    const auto opened = open_esp(peer, sent[0]);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->next_header, 59);
    EXPECT_TRUE(opened->payload.empty());
  }
}

TEST(EspOutbound, short_packets_are_padded_as_far_as_asked_and_possible) {
  for (const uint16_t pad_to : {200, 1300, 65535}) {
    EspGateway gateway;
    EspOptions options;
    options.parameters.pad_to_bytes = pad_to;
    EspPeer peer = gateway.add_esp_peer(options);
    std::set<size_t> lengths;
    for (const size_t bytes : {28, 64, 150, 199}) {
      const ByteVector packet = sample_packet(kHost4, peer.inner4, bytes);
      gateway.receive(kInside, from_inside(packet));
      const auto sent = gateway.sent();
      ASSERT_EQ(sent.size(), 1U);
      EXPECT_LE(sent[0].bytes.size(), 1514U);
      lengths.insert(sent[0].bytes.size());
      const auto opened = open_esp(peer, sent[0]);
      ASSERT_TRUE(opened);
      EXPECT_EQ(opened->payload.size(), std::min<size_t>(pad_to, 1438));
      EXPECT_TRUE(equal_bytes(Bytes(opened->payload).first(bytes), one_hop_less(packet)));
    }
    EXPECT_EQ(lengths.size(), 1U);
    gateway.receive(kInside, to_peer(peer, 1400));
    EXPECT_EQ(gateway.sent().size(), 1U);
  }
}

TEST(EspOutbound, marks_and_df_are_copied_as_configured) {
  for (const bool copy : {false, true}) {
    EspGateway gateway;
    EspOptions options;
    options.dscp = copy ? DscpMode::kCopy : DscpMode::kZero;
    options.copy_df = copy;
    EspPeer peer = gateway.add_esp_peer(options);
    IpFields fields;
    fields.traffic_class = 0xb8 | 1;  // EF, ECT(1)
    fields.fragment = kIpv4DontFragment;
    gateway.receive(kInside, to_peer(peer, 100, fields));
    fields.fragment = 0;
    gateway.receive(kInside, to_peer(peer, 100, fields));
    gateway.receive(kInside, from_inside(sample_packet(kHost6, peer.inner6, 100, fields)));
    const auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 3U);
    const std::vector<bool> df = {copy, false, copy};
    for (size_t i = 0; i < 3; ++i) {
      const auto opened = open_esp(peer, sent[i]);
      ASSERT_TRUE(opened);
      EXPECT_EQ(opened->outer_traffic_class, copy ? 0xb9 : 1);
      EXPECT_EQ(opened->outer_df, df[i]);
    }
  }
}

struct Size {
  SaAlgorithm algorithm;
  bool in_udp, outer_v6;
  uint16_t inner_mtu;  // over a link of 1500
};

TEST(EspOutbound, largest_packet_fills_the_link_and_one_more_is_too_big) {
  for (const Size& size : {Size{SaAlgorithm::kAes256Gcm16, true, false, 1438},
                           Size{SaAlgorithm::kAes256Gcm16, false, false, 1446},
                           Size{SaAlgorithm::kAes256Gcm16, true, true, 1418},
                           Size{SaAlgorithm::kAes256Gcm16, false, true, 1426},
                           Size{SaAlgorithm::kAes128CbcSha256, true, false, 1422},
                           Size{SaAlgorithm::kAes128CbcSha256, false, true, 1406}}) {
    EspGateway gateway;
    EspOptions options;
    options.algorithm = size.algorithm;
    options.encapsulation = size.in_udp ? Encapsulation::kUdp : Encapsulation::kNone;
    options.outer_v6 = size.outer_v6;
    EspPeer peer = gateway.add_esp_peer(options);
    IpFields df;
    df.fragment = kIpv4DontFragment;
    gateway.receive(kInside, to_peer(peer, size.inner_mtu, df));
    auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U) << size.inner_mtu;
    EXPECT_TRUE(open_esp(peer, sent[0]));
    gateway.receive(kInside, to_peer(peer, size.inner_mtu + 1U, df));
    sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].port, kInside);
    const Icmp icmp = icmp_of(sent[0].packet());
    EXPECT_EQ(icmp.type, kIcmpDestinationUnreachable);
    EXPECT_EQ(icmp.code, kIcmpFragmentationNeeded);
    EXPECT_EQ(icmp.rest & 0xffff, size.inner_mtu);
    // Without DF it is split inside, and all pieces go the same way.
    gateway.receive(kInside, to_peer(peer, 1500));
    sent = gateway.sent();
    ASSERT_EQ(sent.size(), 2U);
    EXPECT_TRUE(open_esp(peer, sent[0]) && open_esp(peer, sent[1]));
  }
}

TEST(EspOutbound, pieces_follow_their_whole_although_they_have_no_ports) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  EspPeer by_port = gateway.add_esp_peer();
  // Priority over the general policy of the first peer: its network, one port.
  gateway.add_policy(gateway.policies(),
                     {range("192.0.2.0", "192.0.2.255", kProtocolUdp),
                      range("172.16.1.0", "172.16.1.255", kProtocolUdp, 6000, 6000)},
                     PolicyAction::kProtect, by_port.tunnel.value, 1);
  gateway.receive(kInside, to_peer(peer, 1500));
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_TRUE(open_esp(by_port, sent[0]));
  EXPECT_TRUE(open_esp(by_port, sent[1]));
}

TEST(EspOutbound, too_big_for_a_tunnel_is_told_back_into_the_tunnel_it_came_from) {
  EspGateway gateway;
  EspPeer from = gateway.add_esp_peer();
  EspPeer to = gateway.add_esp_peer();
  EXPECT_TRUE(gateway.fib()
                  .set_route(prefix("192.0.2.77/32"), {NextHop::Kind::kBlackhole, {}, {}, {}})
                  .ok());
  // TTL expires in the gateway: its answer goes back protected, though its source is no one's.
  IpFields last_hop;
  last_hop.ttl = 1;
  gateway.receive(kOutside, esp_frame(from, sample_packet(from.inner4, kHost4, 100, last_hop)));
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  const auto opened = open_esp(from, sent[0]);
  ASSERT_TRUE(opened);
  const Icmp icmp = icmp_of(opened->payload);
  EXPECT_EQ(icmp.type, kIcmpTimeExceeded);
  EXPECT_EQ(icmp.to, from.inner4);
}

TEST(EspOutbound, echo_to_the_gateway_is_answered_through_the_tunnel) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  gateway.receive(kOutside, esp_frame(peer, echo_request(peer.inner4, ip("192.0.2.1"))));
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  const auto opened = open_esp(peer, sent[0]);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->payload[20], kIcmpEchoReply);
}

TEST(EspOutbound, failed_seal_drops_its_packet_alone) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  gateway.engine(SaAlgorithm::kAes256Gcm16).failing_seal = 1;
  gateway.receive(kInside, {to_peer(peer), to_peer(peer), to_peer(peer)});
  EXPECT_EQ(gateway.sent().size(), 2U);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelCipherFailed), 1U);
}

TEST(EspOutbound, cbc_ivs_never_repeat_over_workers) {
  GatewayOptions gateway_options;
  gateway_options.workers = 2;
  EspGateway gateway(gateway_options);
  EspOptions options;
  options.algorithm = SaAlgorithm::kAes128CbcSha256;
  EspPeer first = gateway.add_esp_peer(options);
  options.outbound_owner = 1;
  EspPeer second = gateway.add_esp_peer(options);
  std::set<std::string> ivs;
  const auto note = [&ivs](const EspPeer& peer, const std::vector<Frame>& sent) {
    const ByteVector iv = open_esp(peer, sent.at(0))->iv;
    ivs.emplace(iv.begin(), iv.end());
  };
  for (int i = 0; i < 2000; ++i) {
    gateway.receive(kInside, {to_peer(first)}, 0);
    gateway.receive(kInside, {to_peer(second)}, 1);
    note(first, gateway.sent(0));
    note(second, gateway.sent(1));
  }
  EXPECT_EQ(ivs.size(), 4000U);
}

TEST(EspOutbound, packets_of_every_worker_leave_in_order_by_the_owner) {
  GatewayOptions gateway_options;
  gateway_options.workers = 3;
  EspGateway gateway(gateway_options);
  EspOptions options;
  options.outbound_owner = 2;
  EspPeer peer = gateway.add_esp_peer(options);
  uint64_t next = 1;
  for (int round = 0; round < 5; ++round) {
    for (uint16_t worker = 0; worker < 3; ++worker) {
      gateway.receive(kInside, {to_peer(peer), to_peer(peer)}, worker);
      EXPECT_TRUE(worker == 2 || gateway.sent(worker).empty());
    }
    gateway.run_hand_over(2);
    for (const Frame& frame : gateway.sent(2)) {
      const auto opened = open_esp(peer, frame);
      ASSERT_TRUE(opened);
      EXPECT_EQ(opened->sequence, next++);
    }
  }
  EXPECT_EQ(next, 31U);
  // A removed tunnel's packets in the ring are nobody's.
  gateway.receive(kInside, {to_peer(peer)}, 0);
  gateway.tunnels().remove_tunnel(peer.tunnel, gateway.defer());
  gateway.run_hand_over(2);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelNoPeer), 1U);
}

TEST(EspOutbound, too_big_is_reported_by_the_owner_to_where_the_packet_came_from) {
  GatewayOptions gateway_options;
  gateway_options.workers = 2;
  EspGateway gateway(gateway_options);
  EspOptions options;
  options.outbound_owner = 1;
  EspPeer peer = gateway.add_esp_peer(options);
  IpFields df;
  df.fragment = kIpv4DontFragment;
  gateway.receive(kInside, {to_peer(peer, 1500, df)}, 0);
  gateway.run_hand_over(1);
  const auto sent = gateway.sent(1);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(icmp_of(sent[0].packet()).from, ip("192.0.2.1"));
}

}  // namespace
}  // namespace penstock::test
