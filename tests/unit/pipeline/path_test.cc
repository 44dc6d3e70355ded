// The straight way through: inbound and outbound, IPv4 and IPv6 inside and outside.
#include <gtest/gtest.h>

#include "tests/unit/pipeline/frames.h"

namespace penstock::test {
namespace {

struct Mix {
  bool outer_v6, inner_v6;
};
class Path : public testing::TestWithParam<Mix> {};
INSTANTIATE_TEST_SUITE_P(Families, Path,
                         testing::Values(Mix{false, false}, Mix{false, true}, Mix{true, false},
                                         Mix{true, true}));

TEST_P(Path, inbound_every_size_arrives_unchanged_but_for_ttl) {
  Gateway gateway;
  Peer peer = gateway.add_peer(GetParam().outer_v6);
  const IpAddress from = GetParam().inner_v6 ? peer.inner6 : peer.inner4;
  const IpAddress to = GetParam().inner_v6 ? kHost6 : kHost4;
  for (size_t bytes = GetParam().inner_v6 ? 48 : 28; bytes <= 1420; bytes += 13) {
    const ByteVector inner = sample_packet(from, to, bytes);
    gateway.receive(kOutside, tunnel_frame(peer, inner));
    const auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U) << bytes;
    EXPECT_EQ(sent[0].port, kInside);
    EXPECT_TRUE(equal_bytes(Bytes(sent[0].bytes).first(6), kHostMac.bytes));
    EXPECT_TRUE(equal_bytes(Bytes(sent[0].bytes).subspan(6, 6), kInsideMac.bytes));
    EXPECT_TRUE(equal_bytes(sent[0].packet(), one_hop_less(inner))) << bytes;
  }
  EXPECT_EQ(gateway.all_drops(), 0U);
}

TEST_P(Path, outbound_every_size_decrypts_with_libsodium) {
  Gateway gateway;
  Peer peer = gateway.add_peer(GetParam().outer_v6);
  const IpAddress from = GetParam().inner_v6 ? kHost6 : kHost4;
  const IpAddress to = GetParam().inner_v6 ? peer.inner6 : peer.inner4;
  uint64_t expected = 0;
  for (size_t bytes = GetParam().inner_v6 ? 48 : 28; bytes <= 1420; bytes += 13) {
    const ByteVector inner = sample_packet(from, to, bytes);
    gateway.receive(kInside, from_inside(inner));
    const auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U) << bytes;
    const auto opened = open_frame(peer, sent[0]);
    ASSERT_TRUE(opened) << bytes;
    EXPECT_EQ(opened->counter, expected++);
    // Paper 5.4.6: zero-padded to 16, here never beyond the MTU.
    EXPECT_EQ(opened->plain.size(), std::min<size_t>((bytes + 15) / 16 * 16, 1420));
    ByteVector wanted = one_hop_less(inner);
    wanted.resize(opened->plain.size());
    EXPECT_EQ(opened->plain, wanted);
  }
  EXPECT_EQ(gateway.all_drops(), 0U);
}

TEST_P(Path, vectors_of_many_peers_each_get_their_own_key) {
  Gateway gateway;
  std::vector<Peer> peers;
  for (int i = 0; i < 20; ++i) peers.push_back(gateway.add_peer(GetParam().outer_v6));
  std::vector<ByteVector> in, out;
  for (size_t i = 0; i < 64; ++i) {
    Peer& peer = peers[i * 7 % peers.size()];
    const IpAddress inner = GetParam().inner_v6 ? peer.inner6 : peer.inner4;
    const IpAddress host = GetParam().inner_v6 ? kHost6 : kHost4;
    in.push_back(tunnel_frame(peer, sample_packet(inner, host, 60 + i)));
    out.push_back(from_inside(sample_packet(host, inner, 60 + i)));
  }
  gateway.receive(kOutside, in);
  EXPECT_EQ(gateway.sent().size(), 64U);
  gateway.receive(kInside, out);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 64U);
  for (size_t i = 0; i < 64; ++i) {
    const auto opened = open_frame(peers[i * 7 % peers.size()], sent[i]);
    ASSERT_TRUE(opened) << i;
    EXPECT_EQ(opened->counter, i / 20);
  }
  for (const Peer& peer : peers) {
    const TunnelCounters counters = gateway.tunnels().counters(peer.tunnel);
    EXPECT_EQ(counters.rx_packets, counters.tx_packets);
    EXPECT_GE(counters.rx_packets, 3U);
    EXPECT_EQ(counters.rx_bytes, counters.tx_bytes);
  }
  EXPECT_EQ(gateway.all_drops(), 0U);
}

TEST_P(Path, keepalive_in_is_counted_and_leaves_nothing) {
  Gateway gateway;
  Peer peer = gateway.add_peer(GetParam().outer_v6);
  gateway.receive(kOutside, tunnel_frame(peer, {}));
  EXPECT_TRUE(gateway.sent().empty());
  const auto events = gateway.events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].flags, uint32_t{kEventReceivedKeepalive});
  EXPECT_EQ(gateway.tunnels().counters(peer.tunnel).rx_packets, 1U);
  EXPECT_EQ(gateway.tunnels().counters(peer.tunnel).rx_bytes, 32U);
  EXPECT_EQ(gateway.all_drops(), 0U);
}

TEST_P(Path, keepalive_out_is_an_empty_sealed_message) {
  Gateway gateway;
  Peer peer = gateway.add_peer(GetParam().outer_v6);
  gateway.inject_keepalive(peer);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  const auto opened = open_frame(peer, sent[0]);
  ASSERT_TRUE(opened);
  EXPECT_TRUE(opened->plain.empty());
  EXPECT_EQ(gateway.events()[0].flags, uint32_t{kEventSentKeepalive});
  EXPECT_EQ(gateway.tunnels().counters(peer.tunnel).tx_bytes, 32U);
}

TEST(PathBetweenPeers, packet_of_one_peer_reaches_the_other_re_encrypted) {
  Gateway gateway;
  Peer from = gateway.add_peer(false), to = gateway.add_peer(true);
  const ByteVector inner = sample_packet(from.inner4, to.inner4, 333);
  gateway.receive(kOutside, tunnel_frame(from, inner));
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  const auto opened = open_frame(to, sent[0]);
  ASSERT_TRUE(opened);
  ByteVector wanted = one_hop_less(inner);
  wanted.resize(opened->plain.size());
  EXPECT_EQ(opened->plain, wanted);
}

TEST(PathPadding, padding_stays_within_the_path_mtu) {
  Gateway gateway;  // 1500 outside: an IPv6 tunnel carries at most 1420
  gateway.tables().interfaces[0].mtu = 1440;
  gateway.fib().set_interface_mtu(InterfaceId{0}, 1440);
  Peer peer = gateway.add_peer(true);
  for (size_t bytes = 1400; bytes <= 1420; ++bytes) {
    gateway.receive(kInside, from_inside(sample_packet(kHost4, peer.inner4, bytes)));
    const auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U) << bytes;
    EXPECT_LE(sent[0].packet().size(), 1500U) << bytes;
    EXPECT_TRUE(open_frame(peer, sent[0]));
  }
}

TEST(PathJumbo, nine_thousand_byte_packets_pass_both_ways) {
  GatewayOptions options;
  options.mtu = 9000;
  options.buffer_room = 9600;
  Gateway gateway(options);
  Peer peer = gateway.add_peer();
  const ByteVector out = sample_packet(kHost4, peer.inner4, 8920);
  gateway.receive(kInside, from_inside(out));
  auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  ASSERT_TRUE(open_frame(peer, sent[0]));
  const ByteVector in = sample_packet(peer.inner4, kHost4, 8920);
  gateway.receive(kOutside, tunnel_frame(peer, in));
  sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(equal_bytes(sent[0].packet(), one_hop_less(in)));
}

}  // namespace
}  // namespace penstock::test
