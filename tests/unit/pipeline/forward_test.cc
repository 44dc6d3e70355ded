// Routing: sources, destinations, TTL, MTU, fragments, MSS, and packets to the gateway itself.
#include <gtest/gtest.h>

#include "dataplane/wire/reassembly.h"
#include "tests/unit/pipeline/frames.h"

namespace penstock::test {
namespace {

TEST(Forward, bad_sources_and_destinations_have_their_reasons) {
  struct Case {
    uint16_t port;
    const char *from, *to;
    DropReason reason;
  };
  const Case cases[] = {
      {kInside, "127.0.0.1", "10.0.1.1", DropReason::kIpMartianSource},
      {kInside, "0.0.0.0", "10.0.1.1", DropReason::kIpMartianSource},
      {kInside, "224.0.0.1", "10.0.1.1", DropReason::kIpMartianSource},
      {kInside, "255.255.255.255", "10.0.1.1", DropReason::kIpMartianSource},
      {kInside, "::1", "fd00::1:1", DropReason::kIpMartianSource},
      {kInside, "ff02::1", "fd00::1:1", DropReason::kIpMartianSource},
      {kInside, "192.0.2.10", "127.0.0.1", DropReason::kIpMartianDestination},
      {kInside, "192.0.2.10", "0.0.0.1", DropReason::kIpMartianDestination},
      {kInside, "192.0.2.10", "240.0.0.1", DropReason::kIpMartianDestination},
      {kInside, "192.0.2.10", "169.254.0.1", DropReason::kIpMartianDestination},
      {kInside, "2001:db8:2::10", "::1", DropReason::kIpMartianDestination},
      {kInside, "192.0.2.10", "224.0.0.5", DropReason::kIpBroadcast},
      {kInside, "192.0.2.10", "255.255.255.255", DropReason::kIpBroadcast},
      {kInside, "192.0.2.10", "192.0.2.255", DropReason::kIpBroadcast},
      {kInside, "2001:db8:2::10", "ff05::2", DropReason::kIpBroadcast},
      {kInside, "10.0.1.1", "10.0.1.2", DropReason::kIpSourceCheck},     // a tunnel's
      {kInside, "192.0.2.1", "10.0.1.1", DropReason::kIpSourceCheck},    // our own
      {kInside, "203.0.113.9", "10.0.1.1", DropReason::kIpSourceCheck},  // nobody's
      {kOutside, "10.0.1.1", "192.0.2.10", DropReason::kCleartextFromOutside},
      {kOutside, "fd00::1:1", "2001:db8:2::10", DropReason::kCleartextFromOutside},
      {kOutside, "10.0.1.1", "198.51.100.1", DropReason::kCleartextFromOutside},
      {kOutside, "100.64.0.1", "192.0.2.10", DropReason::kForwardDenied},
      {kOutside, "100.64.0.1", "10.0.1.1", DropReason::kForwardDenied},
      {kInside, "192.0.2.10", "100.64.0.1", DropReason::kForwardDenied},
  };
  for (const Case& one : cases) {
    Gateway gateway;
    (void)gateway.add_peer();
    gateway.receive(one.port, frame_to(one.port == kInside ? kInsideMac : kOutsideMac,
                                       sample_packet(ip(one.from), ip(one.to))));
    EXPECT_EQ(gateway.drops(one.reason), 1U) << one.from << " > " << one.to;
    EXPECT_EQ(gateway.all_drops(), 1U) << one.from << " > " << one.to;
    EXPECT_TRUE(gateway.sent().empty()) << one.from << " > " << one.to;
  }
}

TEST(Forward, strict_source_check_wants_the_way_back) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  gateway.route("203.0.113.0/24", {NextHop::Kind::kGateway, PortId{0}, {}, ip("198.51.100.254")});
  const ByteVector frame = from_inside(sample_packet(ip("203.0.113.5"), peer.inner4));
  gateway.receive(kInside, frame);
  EXPECT_EQ(gateway.sent().size(), 1U);  // loose: there is a route
  gateway.tables().ports[kInside].source_check = SourceCheck::kStrict;
  gateway.receive(kInside, frame);
  EXPECT_EQ(gateway.drops(DropReason::kIpSourceCheck), 1U);
  gateway.tables().ports[kInside].source_check = SourceCheck::kOff;
  gateway.receive(kInside, from_inside(sample_packet(ip("9.9.9.9"), peer.inner4)));
  EXPECT_EQ(gateway.sent().size(), 1U);
}

TEST(Forward, no_route_and_blackhole) {
  Gateway gateway;
  gateway.route("9.0.0.0/8", {NextHop::Kind::kBlackhole, {}, {}, {}});
  gateway.receive(kInside, from_inside(sample_packet(kHost4, ip("9.1.1.1"))));
  EXPECT_EQ(gateway.drops(DropReason::kBlackhole), 1U);
  EXPECT_TRUE(gateway.sent().empty());
  gateway.receive(kInside, {from_inside(sample_packet(kHost4, ip("8.8.8.8"))),
                            from_inside(sample_packet(kHost6, ip("2001:db8:ffff::1")))});
  EXPECT_EQ(gateway.drops(DropReason::kNoRoute), 2U);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(icmp_of(sent[0].packet()).code, kIcmpNetUnreachable);
  EXPECT_EQ(icmp_of(sent[0].packet()).from, ip("192.0.2.1"));
  EXPECT_EQ(icmp_of(sent[1].packet()).type, kIcmpv6DestinationUnreachable);
  EXPECT_EQ(icmp_of(sent[1].packet()).from, ip("2001:db8:2::1"));
}

TEST(Forward, last_hop_is_reported_from_the_port_and_from_within_the_tunnel) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  for (const uint8_t ttl : {0, 1}) {
    IpFields fields;
    fields.ttl = ttl;
    for (const bool v6 : {false, true}) {
      const IpAddress host = v6 ? kHost6 : kHost4, inner = v6 ? peer.inner6 : peer.inner4;
      const ByteVector packet = sample_packet(host, inner, 100, fields);
      gateway.receive(kInside, from_inside(packet));
      auto sent = gateway.sent();
      ASSERT_EQ(sent.size(), 1U);
      const Icmp error = icmp_of(sent[0].packet());
      EXPECT_EQ(error.type, v6 ? uint8_t{kIcmpv6TimeExceeded} : uint8_t{kIcmpTimeExceeded});
      EXPECT_EQ(error.to, host);
      EXPECT_TRUE(equal_bytes(error.quoted, packet));  // as it came

      const ByteVector back = sample_packet(inner, host, 100, fields);
      gateway.receive(kOutside, tunnel_frame(peer, back));
      sent = gateway.sent();
      ASSERT_EQ(sent.size(), 1U);
      const auto opened = open_frame(peer, sent[0]);
      ASSERT_TRUE(opened);
      const size_t length = v6 ? 40 + 8 + 100 : 20 + 8 + 100;
      const Icmp inside = icmp_of(Bytes(opened->plain).first(length));
      EXPECT_EQ(inside.from, ip(v6 ? "fd00::1" : "10.0.0.1"));
      EXPECT_TRUE(equal_bytes(inside.quoted, back));
    }
  }
  EXPECT_EQ(gateway.drops(DropReason::kIpTtlExceeded), 8U);
}

TEST(Forward, too_big_is_reported_with_the_mtu_of_the_tunnel) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  IpFields fields;
  fields.fragment = kIpv4DontFragment;
  gateway.receive(kInside, {from_inside(sample_packet(kHost4, peer.inner4, 1421, fields)),
                            from_inside(sample_packet(kHost6, peer.inner6, 1421))});
  EXPECT_EQ(gateway.drops(DropReason::kIpTooBig), 2U);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(icmp_of(sent[0].packet()).code, kIcmpFragmentationNeeded);
  EXPECT_EQ(icmp_of(sent[0].packet()).rest, 1420U);
  EXPECT_EQ(icmp_of(sent[1].packet()).type, kIcmpv6PacketTooBig);
  EXPECT_EQ(icmp_of(sent[1].packet()).rest, 1420U);
}

TEST(Forward, too_big_for_the_path_of_the_outer_packet_is_reported_too) {
  Gateway gateway;
  gateway.tables().interfaces[0].mtu = 1500;
  gateway.fib().set_interface_mtu(InterfaceId{0}, 1500);
  Peer v4 = gateway.add_peer(false), v6 = gateway.add_peer(true);
  IpFields fields;
  fields.fragment = kIpv4DontFragment;
  gateway.receive(kInside, {from_inside(sample_packet(kHost4, v4.inner4, 1441, fields)),
                            from_inside(sample_packet(kHost6, v6.inner6, 1421))});
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(icmp_of(sent[0].packet()).rest, 1440U);
  EXPECT_EQ(icmp_of(sent[1].packet()).rest, 1420U);
}

TEST(Forward, ipv4_that_may_be_split_is_and_reassembles) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const ByteVector packet = sample_packet(kHost4, peer.inner4, 1500);
  gateway.receive(kInside, from_inside(packet));
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 2U);
  Reassembler reassembler({}, 1);
  FragmentDrops drops;
  ByteVector whole;
  for (const Frame& frame : sent) {
    const auto opened = open_frame(peer, frame);
    ASSERT_TRUE(opened);
    const size_t length = header_at<Ipv4Header>(opened->plain)->total_length.get();
    EXPECT_LE(length, 1420U);
    whole = to_vector(reassembler.add(1, Bytes(opened->plain).first(length), drops));
  }
  EXPECT_EQ(whole, one_hop_less(packet));
}

TEST(Forward, fragments_too_many_for_one_vector_fail) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  gateway.fib().set_interface_mtu(InterfaceId{0}, 40);
  gateway.receive(kInside, from_inside(sample_packet(kHost4, peer.inner4, 1400)));
  EXPECT_EQ(gateway.drops(DropReason::kFragmentFailed), 1U);
  EXPECT_TRUE(gateway.sent().empty());
}

TEST(Forward, mss_of_syn_is_clamped_both_ways) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const auto syn = [](const IpAddress& from, const IpAddress& to) {
    TcpHeader tcp{};
    tcp.data_offset = 6 << 4;
    tcp.flags = kTcpSyn;
    const uint8_t option[] = {2, 4, 0x05, 0xb4};  // 1460
    const ByteVector segment =
        joined({{reinterpret_cast<const uint8_t*>(&tcp), sizeof tcp}, option});
    IpFields fields;
    fields.protocol = kProtocolTcp;
    ByteVector packet = ip_packet(from, to, segment, fields);
    const Be16 checksum(slow_transport_checksum(packet));
    std::memcpy(packet.data() + packet.size() - 24 + 16, &checksum, 2);
    return packet;
  };
  const auto check = [](Bytes packet, uint16_t wanted) {
    EXPECT_EQ(slow_transport_checksum(packet), 0);
    EXPECT_EQ(load_unaligned<Be16>(packet.data() + packet.size() - 2).get(), wanted);
  };
  for (const bool v6 : {false, true}) {
    const IpAddress host = v6 ? kHost6 : kHost4, inner = v6 ? peer.inner6 : peer.inner4;
    const uint16_t wanted = v6 ? 1360 : 1380;
    const ByteVector in = syn(inner, host), out = syn(host, inner);
    gateway.receive(kOutside, tunnel_frame(peer, in));
    auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U);
    check(sent[0].packet(), wanted);
    gateway.receive(kInside, from_inside(out));
    sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U);
    const auto opened = open_frame(peer, sent[0]);
    ASSERT_TRUE(opened);
    check(Bytes(opened->plain).first(out.size()), wanted);
  }
}

TEST(Forward, unresolved_host_makes_the_packet_wait) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  for (const char* host : {"192.0.2.99", "2001:db8:2::99"}) {
    const bool v6 = ip(host).is_v6();
    const ByteVector packet = sample_packet(v6 ? peer.inner6 : peer.inner4, ip(host));
    gateway.receive(kOutside, tunnel_frame(peer, packet));
    const auto punts = gateway.punts(PuntClass::kWaiting);
    ASSERT_EQ(punts.size(), 1U);
    EXPECT_EQ(punts[0].meta.punt, PuntKind::kNeedNeighbour);
    EXPECT_EQ(punts[0].meta.next_hop, ip(host));
    EXPECT_EQ(punts[0].meta.port, kInside);
    EXPECT_EQ(punts[0].bytes, one_hop_less(packet));
    ASSERT_TRUE(gateway.fib().set_neighbour(PortId{kInside}, ip(host), kHostMac).ok());
    gateway.inject(RingMeta{}, punts[0].bytes);
    const auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_TRUE(equal_bytes(sent[0].packet(), one_hop_less(packet)));
  }
}

TEST(Forward, queue_for_neighbours_that_is_full_drops_with_its_own_reason) {
  GatewayOptions options;
  options.ring_size = 16;
  Gateway gateway(options);
  Peer peer = gateway.add_peer();
  std::vector<ByteVector> frames;
  for (int i = 0; i < 20; ++i) {
    frames.push_back(tunnel_frame(peer, sample_packet(peer.inner4, ip("192.0.2.99"))));
  }
  gateway.receive(kOutside, frames);
  EXPECT_EQ(gateway.drops(DropReason::kNeighbourQueueFull), 5U);
}

}  // namespace
}  // namespace penstock::test
