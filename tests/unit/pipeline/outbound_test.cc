// What an outbound packet needs of its tunnel, and what happens where something is missing.
#include <gtest/gtest.h>

#include "tests/unit/pipeline/frames.h"

namespace penstock::test {
namespace {

ByteVector to_peer(const Peer& peer, size_t bytes = 100, const IpFields& fields = {}) {
  return from_inside(sample_packet(kHost4, peer.inner4, bytes, fields));
}

TEST(Outbound, destination_of_no_peer_is_unreachable) {
  Gateway gateway;
  (void)gateway.add_peer();
  gateway.receive(kInside, from_inside(sample_packet(kHost4, ip("10.77.0.1"))));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelNoPeer), 1U);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].port, kInside);
  EXPECT_EQ(sent[0].packet()[20], kIcmpDestinationUnreachable);
  EXPECT_EQ(sent[0].packet()[21], kIcmpHostUnreachable);
}

TEST(Outbound, longest_allowed_ip_chooses_the_peer) {
  Gateway gateway;
  Peer wide = gateway.add_peer(), narrow = gateway.add_peer();
  gateway.allow("10.20.0.0/16", wide);
  gateway.allow("10.20.30.0/24", narrow);
  gateway.receive(kInside, {from_inside(sample_packet(kHost4, ip("10.20.30.9"))),
                            from_inside(sample_packet(kHost4, ip("10.20.31.9")))});
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_TRUE(open_frame(narrow, sent[0]));
  EXPECT_TRUE(open_frame(wide, sent[1]));
}

TEST(Outbound, without_session_the_packet_waits_and_the_event_is_raised) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  gateway.tunnels().set_current_outbound(peer.tunnel, {});
  const ByteVector packet = sample_packet(kHost4, peer.inner4);
  gateway.receive(kInside, from_inside(packet));
  EXPECT_TRUE(gateway.sent().empty());
  const auto punts = gateway.punts(PuntClass::kWaiting);
  ASSERT_EQ(punts.size(), 1U);
  EXPECT_EQ(punts[0].meta.punt, PuntKind::kNeedSession);
  EXPECT_EQ(punts[0].meta.tunnel, peer.tunnel.value);
  EXPECT_EQ(punts[0].bytes, one_hop_less(packet));
  const auto events = gateway.events(false);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].flags, uint32_t{kEventNeedSession});
  // And goes in unchanged once there is one.
  gateway.tunnels().set_current_outbound(peer.tunnel, peer.outbound);
  gateway.inject_into_tunnel(peer, punts[0].bytes);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  const auto opened = open_frame(peer, sent[0]);
  ASSERT_TRUE(opened);
  EXPECT_TRUE(std::equal(punts[0].bytes.begin(), punts[0].bytes.end(), opened->plain.begin()));
}

TEST(Outbound, expired_session_counts_as_none) {
  Gateway gateway;
  SaOptions options;
  options.expires_at_ns = 9 * kSecond;
  Peer peer = gateway.add_peer(false, options);
  gateway.set_time(9 * kSecond - 1);
  gateway.receive(kInside, to_peer(peer));
  EXPECT_EQ(gateway.sent().size(), 1U);
  gateway.set_time(9 * kSecond);
  gateway.receive(kInside, to_peer(peer));
  EXPECT_TRUE(gateway.sent().empty());
  EXPECT_EQ(gateway.punts(PuntClass::kWaiting).size(), 1U);
  gateway.inject_keepalive(peer);  // which waits for nothing
  EXPECT_TRUE(gateway.punts(PuntClass::kWaiting).empty());
}

TEST(Outbound, staging_queue_that_is_full_drops_with_its_own_reason) {
  GatewayOptions options;
  options.ring_size = 16;
  Gateway gateway(options);
  Peer peer = gateway.add_peer();
  gateway.tunnels().set_current_outbound(peer.tunnel, {});
  gateway.receive(kInside, std::vector<ByteVector>(20, to_peer(peer)));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelNoSession), 5U);
}

TEST(Outbound, sequence_stops_at_its_limit_and_never_begins_again) {
  for (const uint16_t workers : {1, 2}) {
    GatewayOptions gateway_options;
    gateway_options.workers = workers;
    Gateway gateway(gateway_options);
    SaOptions options;
    options.sequence_limit = UINT64_MAX - 8192;
    options.rekey_sequence = options.sequence_limit - 5;
    options.first_sequence = options.sequence_limit - 10;
    Peer peer = gateway.add_peer(false, options);
    gateway.receive(kInside, std::vector<ByteVector>(5, to_peer(peer)));
    EXPECT_TRUE(gateway.events(false).empty());
    gateway.receive(kInside, to_peer(peer));
    ASSERT_EQ(gateway.events(false).size(), 1U);
    gateway.receive(kInside, std::vector<ByteVector>(50, to_peer(peer)));
    auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 10U);
    for (size_t i = 0; i < sent.size(); ++i) {
      EXPECT_EQ(open_frame(peer, sent[i])->counter, options.first_sequence + i);
    }
    EXPECT_EQ(gateway.drops(DropReason::kTunnelSequenceExhausted), 46U);
    for (int i = 0; i < 200; ++i) {  // past 2^64, were they counted on
      gateway.receive(kInside, std::vector<ByteVector>(64, to_peer(peer)));
    }
    EXPECT_TRUE(gateway.sent().empty());
    EXPECT_EQ(gateway.drops(DropReason::kTunnelSequenceExhausted), 46U + 200 * 64);
  }
}

TEST(Outbound, endpoint_must_be_known_and_reachable_in_clear) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const auto expect = [&](DropReason reason) {
    gateway.receive(kInside, to_peer(peer));
    EXPECT_EQ(gateway.drops(reason), 1U) << text_of(reason).label;
    EXPECT_TRUE(gateway.sent().empty());
  };
  gateway.route("100.64.0.0/16", {NextHop::Kind::kBlackhole, {}, {}, {}});
  expect(DropReason::kBlackhole);
  gateway.route("100.64.0.0/16", {NextHop::Kind::kTunnel, {}, InterfaceId{0}, {}});
  expect(DropReason::kEndpointInTunnel);
  gateway.fib().remove_route(prefix("100.64.0.0/16"));
  expect(DropReason::kNoRoute);
  const uint8_t nothing[kMaxOuterHeader] = {};
  gateway.tunnels().set_header(peer.tunnel, nothing);
  expect(DropReason::kTunnelNoEndpoint);
}

TEST(Outbound, endpoint_that_changes_is_followed_at_once) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  gateway.receive(kInside, to_peer(peer));
  EXPECT_TRUE(open_frame(peer, gateway.sent().at(0)));
  peer.endpoint = {ip("2001:db8:64::1234"), 9};
  uint8_t header[kMaxOuterHeader];
  ASSERT_TRUE(build_outer_header(our_endpoint(peer), peer.endpoint, header));
  gateway.tunnels().set_header(peer.tunnel, header);
  gateway.receive(kInside, to_peer(peer));
  EXPECT_TRUE(open_frame(peer, gateway.sent().at(0)));
}

TEST(Outbound, unresolved_router_makes_the_sealed_packet_wait) {
  for (const bool v6 : {false, true}) {
    Gateway gateway;
    gateway.tables().ports[kOutside].transmit_udp_checksum = true;
    Peer peer = gateway.add_peer(v6);
    const IpAddress router = ip(v6 ? "2001:db8:51::fe" : "198.51.100.254");
    gateway.fib().remove_neighbour(PortId{kOutside}, router);
    gateway.receive(kInside, to_peer(peer));
    const auto punts = gateway.punts(PuntClass::kWaiting);
    ASSERT_EQ(punts.size(), 1U);
    EXPECT_EQ(punts[0].meta.punt, PuntKind::kNeedNeighbour);
    EXPECT_EQ(punts[0].meta.next_hop, router);
    EXPECT_EQ(punts[0].meta.port, kOutside);
    ASSERT_TRUE(gateway.fib().set_neighbour(PortId{kOutside}, router, kRouterMac).ok());
    gateway.inject(RingMeta{}, punts[0].bytes);
    const auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_TRUE(open_frame(peer, sent[0]));  // its checksum is complete
  }
}

TEST(Outbound, port_that_fills_in_checksums_is_told_to) {
  Gateway gateway;
  gateway.tables().ports[kOutside].transmit_udp_checksum = true;
  Peer peer = gateway.add_peer(true);
  gateway.receive(kInside, to_peer(peer));
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].offloads, RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM);
}

TEST(Outbound, packet_that_was_not_sealed_never_leaves) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  gateway.engine().failing_seal = 2;
  gateway.receive(kInside, std::vector<ByteVector>(5, to_peer(peer)));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelCipherFailed), 1U);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 4U);
  for (const Frame& frame : sent) EXPECT_TRUE(open_frame(peer, frame));
}

TEST(Outbound, packet_without_room_for_the_headers_is_dropped) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const ByteVector packet = sample_packet(kHost4, peer.inner4);
  const auto inject_at = [&](uint16_t offset, uint16_t room_end) {
    rte_mbuf* m = rte_pktmbuf_alloc(gateway.pool());
    ring_meta(m) = RingMeta{};
    m->data_off = offset;
    append(m, packet);
    const uint16_t whole = m->buf_len;
    if (room_end != 0) m->buf_len = room_end;
    gateway.pipeline().inject(&m, 1);
    gateway.finish_turn();
    m->buf_len = whole;
  };
  const auto bytes = static_cast<uint16_t>(packet.size());
  inject_at(77, 0);
  inject_at(128, static_cast<uint16_t>(128 + bytes + 31));
  EXPECT_EQ(gateway.drops(DropReason::kNoRoom), 2U);
  inject_at(78, 0);
  inject_at(128, static_cast<uint16_t>(128 + bytes + 32));
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_TRUE(open_frame(peer, sent[0]));
  EXPECT_TRUE(open_frame(peer, sent[1]));
}

TEST(Outbound, bad_packet_at_any_place_of_a_vector_leaves_the_others_unharmed) {
  for (const uint16_t workers : {1, 2}) {
    GatewayOptions options;
    options.workers = workers;
    options.icmp_errors_per_second = 1'000'000;
    Gateway gateway(options);
    Peer peer = gateway.add_peer(), other = gateway.add_peer(true), mute = gateway.add_peer();
    gateway.tunnels().set_current_outbound(mute.tunnel, {});
    IpFields dont_fragment;
    dont_fragment.fragment = kIpv4DontFragment;
    for (size_t bad = 0; bad < 32; ++bad) {
      std::vector<ByteVector> frames;
      for (size_t i = 0; i < 32; ++i) frames.push_back(to_peer(i < 16 ? peer : other, 60 + i));
      const std::vector<ByteVector> ways = {to_peer(mute), to_peer(peer, 1430, dont_fragment),
                                            from_inside(sample_packet(kHost4, ip("10.99.0.1"))),
                                            ByteVector(3)};
      frames[bad] = ways[bad % ways.size()];
      gateway.receive(kInside, frames);
      (void)gateway.punts(PuntClass::kWaiting);
      size_t opened = 0;
      for (const Frame& frame : gateway.sent()) {
        if (frame.port != kOutside) continue;
        const bool v4 = frame.packet()[0] == 0x45;
        EXPECT_TRUE(open_frame(v4 ? peer : other, frame));
        ++opened;
      }
      EXPECT_EQ(opened, 31U) << bad;
    }
  }
}

TEST(Outbound, traffic_class_follows_rfc_6040_and_the_dscp_mode) {
  for (const bool v6 : {false, true}) {
    Gateway gateway;
    Peer peer = gateway.add_peer(v6);
    for (const bool copy : {false, true}) {
      gateway.tables().interfaces[0].traffic_class_mask = copy ? 0xff : 0x03;
      for (const uint8_t tos : {0x00, 0x01, 0x02, 0x03, 0xb8, 0xbb}) {
        IpFields fields;
        fields.traffic_class = tos;
        gateway.receive(kInside, {from_inside(sample_packet(kHost4, peer.inner4, 80, fields)),
                                  from_inside(sample_packet(kHost6, peer.inner6, 80, fields))});
        const auto sent = gateway.sent();
        ASSERT_EQ(sent.size(), 2U);
        for (const Frame& frame : sent) {
          EXPECT_EQ(open_frame(peer, frame)->outer_traffic_class, copy ? tos : tos & 3);
        }
      }
    }
  }
}

TEST(Inbound, congestion_marks_follow_the_table_of_rfc_6040) {
  Gateway gateway;
  // RFC 6040 figure 4; rows: inner Not-ECT, ECT(1), ECT(0), CE; columns: outer likewise.
  constexpr int kTable[4][4] = {{0, 0, 0, -1}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
  for (const bool outer_v6 : {false, true}) {
    Peer peer = gateway.add_peer(outer_v6);
    for (uint8_t inner = 0; inner < 4; ++inner) {
      for (uint8_t outer = 0; outer < 4; ++outer) {
        IpFields inside, outside;
        inside.traffic_class = static_cast<uint8_t>(0x28 | inner);
        outside.traffic_class = static_cast<uint8_t>(0xb8 | outer);
        const int wanted = kTable[inner][outer];
        for (const bool v6 : {false, true}) {
          const uint64_t before = gateway.drops(DropReason::kTunnelEcnInvalid);
          gateway.receive(kOutside, tunnel_frame(peer,
                                                 sample_packet(v6 ? peer.inner6 : peer.inner4,
                                                               v6 ? kHost6 : kHost4, 90, inside),
                                                 outside));
          const auto sent = gateway.sent();
          ASSERT_EQ(sent.size(), wanted < 0 ? 0U : 1U);
          EXPECT_EQ(gateway.drops(DropReason::kTunnelEcnInvalid) - before, wanted < 0 ? 1U : 0U);
          if (wanted < 0) continue;
          const Bytes packet = sent[0].packet();
          const uint8_t tos = v6 ? header_at<Ipv6Header>(packet)->traffic_class()
                                 : header_at<Ipv4Header>(packet)->tos;
          EXPECT_EQ(tos, 0x28 | wanted);
          if (!v6) {
            EXPECT_EQ(slow_checksum(packet.first(20)), 0);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace penstock::test
