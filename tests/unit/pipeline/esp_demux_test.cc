// IKE, ESP and keepalives among what comes in (RFC 3948 2, RFC 7296 2.23).
#include <gtest/gtest.h>

#include "tests/unit/pipeline/esp_peer.h"

namespace penstock::test {
namespace {

const Endpoint kPeer4{ip("100.64.1.1"), 4500}, kPeer6{ip("2001:db8:64::1"), 4500};

ByteVector ike_message(bool initial, size_t bytes = 100) {
  ByteVector message(bytes, 0x11);
  if (initial) std::memset(message.data() + 8, 0, 8);
  return message;
}
ByteVector with_marker(Bytes message) {
  const ByteVector marker(4);
  return joined({marker, message});
}
ByteVector to_port(uint16_t port, Bytes payload, bool v6 = false) {
  return udp_packet(v6 ? kPeer6 : kPeer4, {ip(v6 ? "2001:db8:51::1" : "198.51.100.1"), port},
                    payload);
}

TEST(EspDemux, ike_of_both_ports_is_punted_apart_from_first_messages) {
  EspGateway gateway;
  for (const bool v6 : {false, true}) {
    for (const bool initial : {false, true}) {
      const ByteVector message = ike_message(initial);
      const ByteVector on_500 = to_port(500, message, v6);
      const ByteVector on_4500 = to_port(4500, with_marker(message), v6);
      gateway.receive(kOutside, {from_outside(on_500), from_outside(on_4500)});
      const auto punts = gateway.punts(initial ? PuntClass::kIkeInitial : PuntClass::kIke);
      ASSERT_EQ(punts.size(), 2U);
      EXPECT_EQ(punts[0].meta.punt, PuntKind::kIke);
      EXPECT_EQ(punts[0].bytes, on_500);
      EXPECT_EQ(punts[1].bytes, on_4500);
      EXPECT_TRUE(gateway.punts(initial ? PuntClass::kIke : PuntClass::kIkeInitial).empty());
    }
  }
  EXPECT_EQ(gateway.all_drops(), 0U);
}

TEST(EspDemux, keepalives_are_dropped_and_counted) {
  EspGateway gateway;
  const ByteVector keepalive = {0xff};
  gateway.receive(kOutside, {from_outside(to_port(4500, keepalive)),
                             from_outside(to_port(4500, keepalive, true))});
  EXPECT_EQ(gateway.drops(DropReason::kNatKeepalive), 2U);
  EXPECT_EQ(gateway.all_drops(), 2U);
  EXPECT_TRUE(gateway.sent().empty());
}

TEST(EspDemux, what_is_neither_is_malformed) {
  EspGateway gateway;
  for (const ByteVector& payload :
       {ByteVector{0xfe}, ByteVector{0xff, 0xff}, ByteVector(3, 0xff)}) {
    gateway.receive(kOutside, from_outside(to_port(4500, payload)));
  }
  EXPECT_EQ(gateway.drops(DropReason::kIkeMalformed), 3U);
  gateway.receive(kOutside, from_outside(to_port(4500, with_marker(ByteVector(27, 1)))));
  gateway.receive(kOutside, from_outside(to_port(4500, ByteVector(4))));
  gateway.receive(kOutside, from_outside(to_port(500, ByteVector(27, 1))));
  EXPECT_EQ(gateway.drops(DropReason::kIkeMalformed), 6U);
  ByteVector bad_checksum = to_port(500, ike_message(false));
  bad_checksum[40] ^= 1;
  gateway.receive(kOutside, from_outside(bad_checksum));
  EXPECT_EQ(gateway.drops(DropReason::kIkeMalformed), 7U);
  gateway.receive(kOutside, from_outside(to_port(4500, ByteVector(20, 7))));  // too short an ESP
  EXPECT_EQ(gateway.drops(DropReason::kTunnelMalformed), 1U);
  EXPECT_TRUE(gateway.punts(PuntClass::kIke).empty());
}

TEST(EspDemux, without_a_udp_checksum_ike_over_ipv4_is_taken) {
  EspGateway gateway;
  ByteVector packet = to_port(500, ike_message(false));
  packet[26] = packet[27] = 0;
  gateway.receive(kOutside, from_outside(packet));
  EXPECT_EQ(gateway.punts(PuntClass::kIke).size(), 1U);
}

TEST(EspDemux, unknown_spis_are_all_counted_and_reported_at_a_limited_rate) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  EspPeer native = peer;
  native.options.encapsulation = Encapsulation::kNone;
  std::vector<ByteVector> frames;
  for (uint32_t i = 0; i < 60; ++i) {
    const EspPeer& from = i % 2 == 0 ? peer : native;
    frames.push_back(esp_frame_of(
        from, esp_message(peer, 1, esp_plain(peer, ByteVector(40, 1)), peer.spi ^ (i + 1) << 16)));
  }
  gateway.receive(kOutside, frames);
  EXPECT_EQ(gateway.drops(DropReason::kTunnelUnknownIndex), 60U);
  auto punts = gateway.punts(PuntClass::kIkeInitial);
  EXPECT_EQ(punts.size(), 10U);
  EXPECT_EQ(punts[0].meta.punt, PuntKind::kUnknownSpi);
  EXPECT_TRUE(equal_bytes(punts[0].bytes, Bytes(frames[0]).subspan(14)));
  EXPECT_TRUE(equal_bytes(punts[1].bytes, Bytes(frames[1]).subspan(14)));
  gateway.set_time(gateway.time() + kSecond);
  gateway.receive(kOutside, frames);
  EXPECT_EQ(gateway.punts(PuntClass::kIkeInitial).size(), 10U);
}

TEST(EspDemux, spi_of_zero_is_no_sa) {
  EspGateway gateway;
  EspOptions options;
  options.encapsulation = Encapsulation::kNone;
  EspPeer peer = gateway.add_esp_peer(options);
  gateway.receive(kOutside, esp_frame_of(peer, esp_message(peer, 1, ByteVector(40, 1), 0)));
  EXPECT_EQ(gateway.drops(DropReason::kTunnelUnknownIndex), 1U);
}

TEST(EspDemux, nothing_is_terminated_from_the_inside_or_out_of_a_tunnel) {
  EspGateway gateway;
  EspPeer peer = gateway.add_esp_peer();
  gateway.set_selectors(peer, {{network("0.0.0.0/0"), network("172.16.1.0/24")}});
  const IpAddress ours = ip("192.0.2.1");
  IpFields esp;
  esp.protocol = kProtocolEsp;
  const ByteVector ike = udp_packet({kHost4, 500}, {ours, 500}, ike_message(false));
  gateway.receive(kInside,
                  {from_inside(ike), from_inside(ip_packet(kHost4, ours, ByteVector(60, 1), esp))});
  EXPECT_EQ(gateway.drops(DropReason::kUnderlayMismatch), 2U);
  const ByteVector nested = udp_packet({peer.inner4, 500}, {ours, 500}, ike_message(false));
  gateway.receive(kOutside,
                  {esp_frame(peer, nested),
                   esp_frame(peer, ip_packet(peer.inner4, ours, ByteVector(60, 1), esp))});
  EXPECT_EQ(gateway.drops(DropReason::kTunnelNested), 2U);
  EXPECT_TRUE(gateway.punts(PuntClass::kIke).empty());
}

TEST(EspDemux, other_addresses_take_nothing) {
  EspGateway gateway;
  gateway.receive(kOutside,
                  from_outside(udp_packet(kPeer4, {ip("192.0.2.10"), 500}, ike_message(false))));
  EXPECT_EQ(gateway.drops(DropReason::kForwardDenied), 1U);
  EXPECT_TRUE(gateway.punts(PuntClass::kIke).empty());
}

TEST(EspDemux, gateway_without_ike_takes_nothing) {
  Gateway gateway;
  gateway.receive(kOutside, from_outside(to_port(500, ike_message(false))));
  IpFields esp;
  esp.protocol = kProtocolEsp;
  gateway.receive(kOutside, from_outside(ip_packet(kPeer4.address, ip("198.51.100.1"),
                                                   ByteVector(60, 1), esp)));
  EXPECT_EQ(gateway.drops(DropReason::kLocalNoService), 2U);
  EXPECT_TRUE(gateway.punts(PuntClass::kIke).empty());
}

TEST(EspDemux, fragmented_ike_is_put_together) {
  EspGateway gateway;
  const ByteVector packet = to_port(500, ike_message(false, 1200));
  const Bytes payload = Bytes(packet).subspan(20);
  IpFields first, second;
  first.fragment = kIpv4MoreFragments;
  second.fragment = 640 / 8;
  const IpAddress to = ip("198.51.100.1");
  gateway.receive(kOutside,
                  {from_outside(ip_packet(kPeer4.address, to, payload.first(640), first)),
                   from_outside(ip_packet(kPeer4.address, to, payload.subspan(640), second))});
  const auto punts = gateway.punts(PuntClass::kIke);
  ASSERT_EQ(punts.size(), 1U);
  EXPECT_TRUE(equal_bytes(Bytes(punts[0].bytes).subspan(20), payload));
}

TEST(EspDemux, fragmented_ike_larger_than_a_buffer_is_punted_whole) {
  for (const bool v6 : {false, true}) {
    EspGateway gateway;
    const ByteVector packet = to_port(4500, with_marker(ike_message(false, 9000)), v6);
    const size_t ip_bytes = v6 ? 40 : 20;
    const Bytes payload = Bytes(packet).subspan(ip_bytes);
    std::vector<ByteVector> frames;
    for (size_t at = 0; at < payload.size(); at += 1400) {
      const Bytes part = payload.subspan(at, std::min<size_t>(1400, payload.size() - at));
      const bool more = at + part.size() < payload.size();
      IpFields fields;
      ByteVector content = to_vector(part);
      if (v6) {
        Ipv6FragmentHeader header{};
        header.next_header = kProtocolUdp;
        header.offset_more = Be16(static_cast<uint16_t>(at | (more ? 1 : 0)));
        content = joined({{reinterpret_cast<const uint8_t*>(&header), sizeof header}, part});
        fields.protocol = kProtocolFragment;
      } else {
        fields.fragment = static_cast<uint16_t>(at / 8 | (more ? kIpv4MoreFragments : 0));
      }
      frames.push_back(
          from_outside(ip_packet(v6 ? kPeer6.address : kPeer4.address,
                                 ip(v6 ? "2001:db8:51::1" : "198.51.100.1"), content, fields)));
    }
    gateway.receive(kOutside, frames);
    const auto punts = gateway.punts(PuntClass::kIke);
    ASSERT_EQ(punts.size(), 1U);
    EXPECT_EQ(punts[0].meta.punt, PuntKind::kIke);
    EXPECT_TRUE(equal_bytes(Bytes(punts[0].bytes).subspan(ip_bytes), payload));
    EXPECT_EQ(gateway.all_drops(), 0U);
  }
}

}  // namespace
}  // namespace penstock::test
