// What a frame is: link layer, IP headers, tunnel messages of every type and length.
#include <gtest/gtest.h>

#include "dataplane/wire/arp.h"
#include "tests/unit/pipeline/frames.h"

namespace penstock::test {
namespace {

// One frame alone: it is dropped for this reason and nothing leaves.
void expect_drop(Gateway& gateway, uint16_t port, const ByteVector& frame, DropReason reason) {
  const uint64_t before = gateway.drops(reason), all = gateway.all_drops();
  gateway.receive(port, frame);
  EXPECT_EQ(gateway.drops(reason), before + 1) << text_of(reason).label;
  EXPECT_EQ(gateway.all_drops(), all + 1) << text_of(reason).label;
  EXPECT_TRUE(gateway.sent().empty()) << text_of(reason).label;
}

ByteVector refresh_checksum(ByteVector packet) {
  packet[10] = packet[11] = 0;
  const Be16 checksum(slow_checksum(Bytes(packet).first(20)));
  std::memcpy(packet.data() + 10, &checksum, 2);
  return packet;
}

TEST(Classify, frames_that_are_not_ip_for_us_have_their_reasons) {
  Gateway gateway;
  const ByteVector good = sample_packet(kHost4, ip("100.64.0.1"));
  for (size_t length = 0; length < 14; ++length) {
    expect_drop(gateway, kInside, ByteVector(length, 2), DropReason::kEthTooShort);
  }
  expect_drop(gateway, kInside, frame_to(kOutsideMac, good), DropReason::kEthNotForUs);
  expect_drop(gateway, kInside, ethernet(kInsideMac, 0x8100, good), DropReason::kEthVlan);
  expect_drop(gateway, kInside, ethernet(kInsideMac, 0x88a8, good), DropReason::kEthVlan);
  expect_drop(gateway, kInside, ethernet(kInsideMac, 0x88cc, good), DropReason::kEthUnknownType);
  expect_drop(gateway, kInside, ethernet(kInsideMac, kEtherTypeArp, ByteVector(27)),
              DropReason::kEthTooShort);
  expect_drop(gateway, kInside, frame_to(kBroadcastMac, good), DropReason::kIpBroadcast);
  expect_drop(gateway, kInside,
              frame_to(kBroadcastMac, sample_packet(kHost6, ip("2001:db8:51::9"))),
              DropReason::kIpBroadcast);
}

TEST(Classify, every_truncation_of_a_packet_is_refused) {
  Gateway gateway;
  for (const ByteVector& packet : {sample_packet(kHost4, ip("198.51.100.254")),
                                   sample_packet(kHost6, ip("2001:db8:51::fe"))}) {
    for (size_t length = 0; length < packet.size(); ++length) {
      const Bytes part = Bytes(packet).first(length);
      expect_drop(gateway, kInside,
                  ethernet(kInsideMac, packet[0] == 0x45 ? kEtherTypeIpv4 : kEtherTypeIpv6, part),
                  DropReason::kIpTruncated);
    }
  }
}

TEST(Classify, bad_ipv4_headers_are_refused) {
  Gateway gateway;
  const ByteVector good = sample_packet(kHost4, ip("198.51.100.254"));
  const auto with = [&](size_t at, uint8_t value, bool checksum = true) {
    ByteVector packet = good;
    packet[at] = value;
    if (checksum) packet = refresh_checksum(packet);
    return ethernet(kInsideMac, kEtherTypeIpv4, packet);
  };
  expect_drop(gateway, kInside, with(0, 0x46), DropReason::kIpOptions);
  expect_drop(gateway, kInside, with(0, 0x4f), DropReason::kIpOptions);
  expect_drop(gateway, kInside, with(0, 0x44), DropReason::kIpBadHeader);
  expect_drop(gateway, kInside, with(0, 0x55), DropReason::kIpBadHeader);
  expect_drop(gateway, kInside, with(0, 0x65), DropReason::kIpBadHeader);
  expect_drop(gateway, kInside, with(3, 19), DropReason::kIpTruncated);
  expect_drop(gateway, kInside, with(2, 0xff), DropReason::kIpTruncated);
  expect_drop(gateway, kInside, with(10, static_cast<uint8_t>(good[10] ^ 1), false),
              DropReason::kIpBadHeader);
  ByteVector v6 = sample_packet(kHost6, ip("2001:db8:51::fe"));
  v6[0] = 0x45;
  expect_drop(gateway, kInside, ethernet(kInsideMac, kEtherTypeIpv6, v6), DropReason::kIpBadHeader);
}

TEST(Classify, ethernet_padding_is_not_forwarded) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const ByteVector packet = sample_packet(peer.inner4, kHost4, 28);
  ByteVector frame = tunnel_frame(peer, packet);
  frame.resize(frame.size() + 30, 0xee);
  gateway.receive(kOutside, frame);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(equal_bytes(sent[0].packet(), one_hop_less(packet)));
}

TEST(Classify, chained_buffers_are_joined_or_refused) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const ByteVector inner = sample_packet(peer.inner4, kHost4, 900);
  gateway.receive_split(kOutside, tunnel_frame(peer, inner), 100);
  auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(equal_bytes(sent[0].packet(), one_hop_less(inner)));
  ByteVector large = from_inside(sample_packet(kHost4, peer.inner4, 3000));
  gateway.receive_split(kInside, large, 1500);
  EXPECT_EQ(gateway.drops(DropReason::kRxNotLinear), 1U);
  EXPECT_TRUE(gateway.sent().empty());
}

TEST(Classify, arp_and_neighbour_discovery_go_to_the_control_plane) {
  Gateway gateway;
  ByteVector arp(46, 0x11);
  gateway.receive(kInside, ethernet(kBroadcastMac, kEtherTypeArp, arp, kHostMac));
  auto punts = gateway.punts(PuntClass::kNeighbour);
  ASSERT_EQ(punts.size(), 1U);
  EXPECT_EQ(punts[0].meta.punt, PuntKind::kArp);
  EXPECT_EQ(punts[0].meta.port, kInside);
  EXPECT_EQ(punts[0].meta.source_mac, kHostMac);
  EXPECT_EQ(punts[0].bytes, ByteVector(sizeof(ArpHeader), 0x11));

  NeighbourSolicitation ns{};
  ns.type = kIcmpv6NeighbourSolicitation;
  ns.target = ip("2001:db8:2::1").v6();
  IpFields fields;
  fields.protocol = kProtocolIcmpv6;
  fields.ttl = 255;
  ByteVector packet = ip_packet(kHost6, ip("ff02::1:ff00:1"),
                                {reinterpret_cast<const uint8_t*>(&ns), sizeof ns}, fields);
  const Be16 checksum(slow_transport_checksum(packet));
  std::memcpy(packet.data() + 42, &checksum, 2);
  const MacAddress group{{0x33, 0x33, 0xff, 0, 0, 1}};
  gateway.receive(kInside, ethernet(group, kEtherTypeIpv6, packet, kHostMac));
  punts = gateway.punts(PuntClass::kNeighbour);
  ASSERT_EQ(punts.size(), 1U);
  EXPECT_EQ(punts[0].meta.punt, PuntKind::kNeighbourDiscovery);
  EXPECT_EQ(punts[0].bytes, packet);
  EXPECT_EQ(punts[0].meta.source_mac, kHostMac);
  packet[7] = 254;  // forwarded by a router: forged
  expect_drop(gateway, kInside, ethernet(group, kEtherTypeIpv6, packet), DropReason::kIpBroadcast);
  packet[7] = 255;
  packet[42] ^= 1;
  expect_drop(gateway, kInside, ethernet(group, kEtherTypeIpv6, packet), DropReason::kIpBroadcast);
}

TEST(Classify, punt_queue_that_is_full_drops_with_its_own_reason) {
  GatewayOptions options;
  options.ring_size = 16;
  Gateway gateway(options);
  const ByteVector arp = ethernet(kBroadcastMac, kEtherTypeArp, ByteVector(46));
  gateway.receive(kInside, std::vector<ByteVector>(20, arp));
  EXPECT_EQ(gateway.drops(DropReason::kPuntQueueFull), 5U);
  EXPECT_EQ(gateway.punts(PuntClass::kNeighbour).size(), 15U);
}

class Messages : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Families, Messages, testing::Bool());

// Types 0 to 5, 255 and one with reserved bits, in every length: exactly the handshakes of exactly
// their size are punted, and no data message is taken for authentic.
TEST_P(Messages, every_type_in_every_length_has_its_exit) {
  Gateway gateway;
  const Peer peer = gateway.add_peer(GetParam());
  const auto send = [&](Bytes message) {
    gateway.receive(kOutside, from_outside(udp_packet(peer.endpoint, our_endpoint(peer), message)));
  };
  for (const uint32_t type : {0U, 1U, 2U, 3U, 4U, 5U, 255U, 0x104U}) {
    for (size_t length = 0; length <= 160; ++length) {
      ByteVector message(length, 0x5a);
      for (size_t i = 0; i < 4 && i < length; ++i) {
        message[i] = static_cast<uint8_t>(type >> (8 * i));
      }
      const bool handshake = (type == 1 && length == 148) || (type == 2 && length == 92) ||
                             (type == 3 && length == 64);
      const uint64_t before = gateway.all_drops();
      send(message);
      const auto punts = gateway.punts(PuntClass::kHandshake);
      ASSERT_EQ(punts.size(), handshake ? 1U : 0U) << type << ' ' << length;
      ASSERT_EQ(gateway.all_drops() - before, handshake ? 0U : 1U) << type << ' ' << length;
      if (handshake) {
        EXPECT_EQ(punts[0].meta.punt, PuntKind::kHandshake);
        EXPECT_EQ(punts[0].meta.interface, 0);
        EXPECT_EQ(punts[0].meta.port, kOutside);
        EXPECT_TRUE(std::equal(message.rbegin(), message.rend(), punts[0].bytes.rbegin()));
      }
      // Shorter than a type it is no tunnel message: ordinary UDP to us, which is answered.
      (void)gateway.sent();
    }
  }
  EXPECT_EQ(gateway.drops(DropReason::kHandshakeMalformed), 3U * 157 - 3);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelUnknownIndex), 160U - 31);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelMalformed), 4U * 157 + 28);
}

TEST_P(Messages, udp_length_that_lies_is_malformed) {
  Gateway gateway;
  Peer peer = gateway.add_peer(GetParam());
  const ByteVector good = tunnel_frame(peer, sample_packet(peer.inner4, kHost4));
  const size_t length_at = 14 + (GetParam() ? 40 : 20) + 4;
  const auto real = load_unaligned<Be16>(good.data() + length_at).get();
  for (const int lie : {0, 7, 8, 11, int{real} + 1, 65535}) {
    ByteVector bad = good;
    store_unaligned(bad.data() + length_at, Be16(static_cast<uint16_t>(lie)));
    expect_drop(gateway, kOutside, bad, DropReason::kTunnelMalformed);
  }
  gateway.receive(kOutside, good);
  EXPECT_EQ(gateway.sent().size(), 1U);
}

// A data message cut at every length, its length fields consistent: never a packet out.
TEST_P(Messages, truncated_data_message_never_passes) {
  Gateway gateway;
  Peer peer = gateway.add_peer(GetParam());
  const ByteVector message = data_message(peer, 0, padded(sample_packet(peer.inner4, kHost4, 100)));
  for (size_t length = 0; length < message.size(); ++length) {
    gateway.receive(kOutside, from_outside(udp_packet(peer.endpoint, our_endpoint(peer),
                                                      Bytes(message).first(length))));
    for (const Frame& frame : gateway.sent()) EXPECT_NE(frame.port, kInside) << length;
  }
  EXPECT_EQ(gateway.drops(DropReason::kTunnelAuthFailed), message.size() - 32);
  EXPECT_EQ(gateway.tunnels().counters(peer.tunnel).rx_packets, 0U);
}

TEST(Classify, tunnel_message_on_an_inside_port_is_not_terminated) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const ByteVector packet =
      udp_packet({kHost4, 40'000}, our_endpoint(peer),
                 data_message(peer, 0, padded(sample_packet(peer.inner4, kHost4))));
  expect_drop(gateway, kInside, from_inside(packet), DropReason::kUnderlayMismatch);
}

TEST(Classify, tunnel_message_inside_a_tunnel_is_not_terminated) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const ByteVector packet =
      udp_packet({peer.inner4, 40'000}, {ip("198.51.100.1"), kListenPort}, ByteVector(148, 1));
  expect_drop(gateway, kOutside, tunnel_frame(peer, packet), DropReason::kTunnelNested);
}

}  // namespace
}  // namespace penstock::test
