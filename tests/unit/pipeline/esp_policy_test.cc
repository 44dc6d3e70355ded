// Policies in the packet path (RFC 4301 5): before the routes, and of an ESP interface.
#include <gtest/gtest.h>

#include "tests/unit/pipeline/esp_peer.h"

namespace penstock::test {
namespace {

constexpr InterfaceId kEspInterface{7};

TEST(EspPolicy, protected_traffic_needs_no_route_and_other_traffic_no_policy) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  Peer wireguard = gateway.add_peer();
  gateway.receive(kInside, {from_inside(sample_packet(kHost4, peer.inner4)),
                            from_inside(sample_packet(kHost4, wireguard.inner4)),
                            from_inside(sample_packet(kHost4, ip("203.0.113.1")))});
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 3U);  // the third is an ICMP error
  size_t found = 0;
  for (const Frame& frame : sent) {
    if (frame.port == kInside) continue;
    found += open_esp(peer, frame) ? 1 : open_frame(wireguard, frame) ? 10 : 100;
  }
  EXPECT_EQ(found, 11U);
  EXPECT_EQ(gateway.drops(DropReason::kNoRoute), 1U);
}

TEST(EspPolicy, bypass_and_discard_precede_by_priority) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  gateway.route("172.16.0.0/12", {NextHop::Kind::kConnected, PortId{1}, {}, {}});
  EXPECT_TRUE(gateway.fib().set_neighbour(PortId{1}, ip("172.16.1.9"), kHostMac).ok());
  PolicyTable& policies = gateway.policies();
  gateway.add_policy(policies, {network("192.0.2.0/24"), network("172.16.1.9/32")},
                     PolicyAction::kBypass, UINT32_MAX, 1);
  gateway.add_policy(policies, {network("192.0.2.0/24"), network("172.16.1.8/32")},
                     PolicyAction::kDiscard, UINT32_MAX, 1);
  for (const char* to : {"172.16.1.7", "172.16.1.8", "172.16.1.9"}) {
    gateway.receive(kInside, from_inside(sample_packet(kHost4, ip(to))));
  }
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_TRUE(open_esp(peer, sent[0]));
  EXPECT_EQ(sent[1].port, kInside);  // in clear, by route
  EXPECT_EQ(gateway.drops(DropReason::kPolicyDiscard), 1U);
}

TEST(EspPolicy, clear_text_that_belongs_into_a_tunnel_is_dropped) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  gateway.tables().ports[kOutside].plain_forward = true;
  gateway.tables().ports[kOutside].source_check = SourceCheck::kOff;
  gateway.receive(kOutside, from_outside(sample_packet(peer.inner4, kHost4)));
  gateway.receive(kOutside, from_outside(sample_packet(peer.inner6, kHost6)));
  EXPECT_EQ(gateway.drops(DropReason::kCleartextFromOutside), 2U);
  EXPECT_TRUE(gateway.sent().empty());
  // Also to the gateway itself.
  gateway.receive(kOutside, from_outside(echo_request(peer.inner4, ip("192.0.2.1"))));
  EXPECT_EQ(gateway.drops(DropReason::kCleartextFromOutside), 3U);
  gateway.tables().ports[kInside].source_check = SourceCheck::kOff;
  gateway.receive(kInside, from_inside(sample_packet(peer.inner4, kHost4)));
  EXPECT_EQ(gateway.drops(DropReason::kIpSourceCheck), 1U);
  // What no policy covers passes; what a bypass covers too.
  gateway.receive(kOutside, from_outside(sample_packet(ip("172.17.0.1"), kHost4)));
  EXPECT_EQ(gateway.sent().size(), 1U);
  gateway.add_policy(gateway.policies(), {network("192.0.2.0/24"), network("172.16.1.0/24")},
                     PolicyAction::kBypass, UINT32_MAX, 1);
  gateway.receive(kOutside, from_outside(sample_packet(peer.inner4, kHost4)));
  EXPECT_EQ(gateway.sent().size(), 1U);
}

TEST(EspPolicy, trap_gives_way_to_the_established_child) {
  EspGateway gateway;
  EspPeer child = gateway.add_esp_peer();
  EspPeer trap = gateway.add_esp_peer();
  gateway.tunnels().set_current_outbound(trap.tunnel, {});
  const SelectorPair pair{network("192.0.2.0/24"), network("172.30.0.0/16")};
  gateway.add_policy(gateway.policies(), pair, PolicyAction::kProtect, trap.tunnel.value, 1000);
  gateway.receive(kInside, from_inside(sample_packet(kHost4, ip("172.30.1.1"))));
  EXPECT_TRUE(gateway.sent().empty());
  const auto punts = gateway.punts(PuntClass::kWaiting);
  ASSERT_EQ(punts.size(), 1U);
  EXPECT_EQ(punts[0].meta.tunnel, trap.tunnel.value);
  gateway.add_policy(gateway.policies(), pair, PolicyAction::kProtect, child.tunnel.value, 500);
  gateway.receive(kInside, from_inside(sample_packet(kHost4, ip("172.30.1.1"))));
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(open_esp(child, sent[0]));
}

TEST(EspPolicy, gateways_own_datagrams_pass_by_the_policies_and_other_packets_do_not) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  // A host-to-host policy with the peer's own address.
  gateway.add_policy(gateway.policies(), {network("198.51.100.1/32"), network("100.64.50.1/32")},
                     PolicyAction::kProtect, peer.tunnel.value, 1);
  RingMeta meta;
  meta.inject = RingMeta::Inject::kDatagram;
  const ByteVector ike =
      udp_packet({ip("198.51.100.1"), 500}, {peer.endpoint.address, 500}, ByteVector(1800, 3));
  gateway.inject(meta, ike);  // too big for the link: in two pieces
  auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 2U);
  for (const Frame& frame : sent) EXPECT_EQ(frame.packet()[9], kProtocolUdp);
  meta.inject = RingMeta::Inject::kIp;
  const ByteVector own = sample_packet(ip("198.51.100.1"), peer.endpoint.address);
  gateway.inject(meta, own);
  sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  const auto opened = open_esp(peer, sent[0]);
  ASSERT_TRUE(opened);
  EXPECT_TRUE(equal_bytes(opened->payload, own));
}

TEST(EspPolicy, tunnels_of_both_protocols_are_routed_between_each_other) {
  EspGateway gateway;
  EspPeer esp = gateway.add_esp_peer();
  Peer wireguard = gateway.add_peer();
  const SelectorPair pair{network("10.0.0.0/8"), network("172.16.1.0/24")};
  gateway.set_selectors(esp, {pair});
  gateway.add_policies(esp, gateway.policies());
  const ByteVector there = sample_packet(wireguard.inner4, esp.inner4);
  gateway.receive(kOutside, tunnel_frame(wireguard, there));
  auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  const auto at_esp = open_esp(esp, sent[0]);
  ASSERT_TRUE(at_esp);
  EXPECT_TRUE(equal_bytes(at_esp->payload, one_hop_less(there)));
  const ByteVector back = sample_packet(esp.inner4, wireguard.inner4);
  gateway.receive(kOutside, esp_frame(esp, back));
  sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  const auto at_wireguard = open_frame(wireguard, sent[0]);
  ASSERT_TRUE(at_wireguard);
  EXPECT_TRUE(equal_bytes(Bytes(at_wireguard->plain).first(back.size()), one_hop_less(back)));
}

TEST(EspPolicy, interface_chooses_among_its_own_policies) {
  EspGateway gateway;
  InterfaceRuntime& runtime = gateway.tables().interfaces[kEspInterface.value];
  PolicyTable own(gateway.defer());
  runtime.protocol = TunnelProtocol::kEsp;
  runtime.policies = &own;
  runtime.mtu = 1400;
  gateway.fib().set_interface_mtu(kEspInterface, 1400);
  gateway.route("172.20.0.0/16", {NextHop::Kind::kTunnel, {}, kEspInterface, {}});
  EspPeer first = gateway.add_esp_peer({}, kEspInterface);
  EspPeer second = gateway.add_esp_peer({}, kEspInterface);
  gateway.set_selectors(first, {{network("0.0.0.0/0"), network("172.20.1.0/24")}});
  gateway.set_selectors(second, {{network("0.0.0.0/0"), network("172.20.2.0/24")}});
  gateway.add_policies(first, own);
  gateway.add_policies(second, own);
  gateway.receive(kInside, {from_inside(sample_packet(kHost4, ip("172.20.1.1"))),
                            from_inside(sample_packet(kHost4, ip("172.20.2.1"))),
                            from_inside(sample_packet(kHost4, ip("172.20.3.1")))});
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 3U);
  size_t found = 0;
  for (const Frame& frame : sent) {
    if (frame.port != kInside)
      found += open_esp(first, frame) ? 1 : open_esp(second, frame) ? 10 : 0;
  }
  EXPECT_EQ(found, 11U);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelNoPeer), 1U);
  gateway.receive(kOutside, esp_frame(second, sample_packet(ip("172.20.2.1"), kHost4)));
  EXPECT_EQ(gateway.sent().size(), 1U);
  runtime.policies = nullptr;
}

TEST(EspPolicy, segment_size_of_connections_is_clamped_to_the_path_both_ways) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();  // in UDP over IPv4: 1438
  const auto syn = [](const IpAddress& from, const IpAddress& to) {
    ByteVector segment(24);
    segment[12] = 6 << 4;
    segment[13] = kTcpSyn;
    segment[20] = 2;  // MSS 1460
    segment[21] = 4;
    segment[22] = 1460 >> 8;
    segment[23] = 1460 & 0xff;
    IpFields fields;
    fields.protocol = kProtocolTcp;
    ByteVector packet = ip_packet(from, to, segment, fields);
    const Be16 checksum(slow_transport_checksum(packet));
    std::memcpy(packet.data() + 20 + 16, &checksum, 2);
    return packet;
  };
  gateway.receive(kInside, from_inside(syn(kHost4, peer.inner4)));
  auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  const auto opened = open_esp(peer, sent[0]);
  ASSERT_TRUE(opened);
  EXPECT_EQ(load_unaligned<Be16>(opened->payload.data() + 42).get(), 1438 - 40);
  EXPECT_EQ(slow_transport_checksum(opened->payload), 0);
  gateway.receive(kOutside, esp_frame(peer, syn(peer.inner4, kHost4)));
  sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(load_unaligned<Be16>(sent[0].packet().data() + 42).get(), 1438 - 40);
  EXPECT_EQ(slow_transport_checksum(sent[0].packet()), 0);
}

}  // namespace
}  // namespace penstock::test
