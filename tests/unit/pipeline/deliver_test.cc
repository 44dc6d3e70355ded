// Packets to the gateway itself: echo, reassembly, services that are not there.
#include <gtest/gtest.h>

#include "dataplane/wire/fragment.h"
#include "tests/unit/pipeline/frames.h"

namespace penstock::test {
namespace {

std::vector<ByteVector> fragments_of(const ByteVector& packet, uint16_t mtu) {
  std::vector<ByteVector> list;
  auto fragmenter = Ipv4Fragmenter::make(packet, mtu);
  while (const auto piece = fragmenter->next()) {
    list.push_back(
        joined({{reinterpret_cast<const uint8_t*>(&piece->header), 20}, piece->payload}));
  }
  return list;
}

TEST(Deliver, echo_to_the_port_is_answered_out_of_it) {
  Gateway gateway;
  for (const bool v6 : {false, true}) {
    const IpAddress host = v6 ? kHost6 : kHost4, ours = ip(v6 ? "2001:db8:2::1" : "192.0.2.1");
    const ByteVector request = echo_request(host, ours);
    gateway.receive(kInside, from_inside(request));
    const auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].port, kInside);
    const Icmp reply = icmp_of(sent[0].packet());
    EXPECT_EQ(reply.type, v6 ? 129 : 0);
    EXPECT_EQ(reply.from, ours);
    EXPECT_EQ(reply.to, host);
    EXPECT_TRUE(equal_bytes(reply.quoted, Bytes(request).last(56)));
  }
}

TEST(Deliver, echo_from_within_a_tunnel_goes_back_into_it) {
  Gateway gateway;
  for (const bool outer_v6 : {false, true}) {
    Peer peer = gateway.add_peer(outer_v6);
    for (const char* ours : {"10.0.0.1", "192.0.2.1", "fd00::1", "2001:db8:51::1"}) {
      const IpAddress inner = ip(ours).is_v6() ? peer.inner6 : peer.inner4;
      const ByteVector request = echo_request(inner, ip(ours));
      gateway.receive(kOutside, tunnel_frame(peer, request));
      const auto sent = gateway.sent();
      ASSERT_EQ(sent.size(), 1U);
      const auto opened = open_frame(peer, sent[0]);
      ASSERT_TRUE(opened);
      const Icmp reply = icmp_of(Bytes(opened->plain).first(request.size()));
      EXPECT_EQ(reply.from, ip(ours));
      EXPECT_EQ(reply.to, inner);
    }
  }
}

TEST(Deliver, whole_vector_of_echo_requests_is_answered) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  std::vector<ByteVector> frames;
  for (int i = 0; i < 64; ++i) {
    frames.push_back(tunnel_frame(peer, echo_request(peer.inner4, ip("10.0.0.1"), 56 + i)));
  }
  gateway.receive(kOutside, frames);
  const auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 64U);
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(open_frame(peer, sent[i])->counter, i);
}

TEST(Deliver, services_that_are_not_there_are_reported_unreachable) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  gateway.receive(kInside, from_inside(sample_packet(kHost4, ip("192.0.2.1"))));
  auto sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(icmp_of(sent[0].packet()).code, kIcmpPortUnreachable);
  IpFields fields;
  fields.protocol = 132;
  gateway.receive(kInside, from_inside(ip_packet(kHost4, ip("192.0.2.1"), ByteVector(20), fields)));
  sent = gateway.sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(icmp_of(sent[0].packet()).code, kIcmpProtocolUnreachable);
  EXPECT_EQ(gateway.drops(DropReason::kLocalNoService), 2U);
  // A damaged echo request, and ICMP errors, are answered by nothing.
  ByteVector damaged = echo_request(kHost4, ip("192.0.2.1"));
  damaged.back() ^= 1;
  gateway.receive(kInside, from_inside(damaged));
  EXPECT_TRUE(gateway.sent().empty());
  EXPECT_EQ(gateway.drops(DropReason::kLocalNoService), 3U);
  // IPv6 extension headers that run past the end.
  fields.protocol = kProtocolDestinationOptions;
  ByteVector options(8);
  options[1] = 200;
  gateway.receive(kInside, from_inside(ip_packet(kHost6, ip("2001:db8:2::1"), options, fields)));
  EXPECT_EQ(gateway.drops(DropReason::kIpBadHeader), 1U);
}

TEST(Deliver, errors_are_rate_limited_and_the_rate_recovers) {
  GatewayOptions options;
  options.icmp_errors_per_second = 100;  // 10 at once
  Gateway gateway(options);
  const ByteVector frame = from_inside(sample_packet(kHost4, ip("8.8.8.8")));
  gateway.receive(kInside, std::vector<ByteVector>(30, frame));
  EXPECT_EQ(gateway.sent().size(), 10U);
  EXPECT_EQ(gateway.drops(DropReason::kIcmpRateLimited), 20U);
  EXPECT_EQ(gateway.drops(DropReason::kNoRoute), 30U);
  gateway.set_time(gateway.time() + kSecond);
  gateway.receive(kInside, std::vector<ByteVector>(30, frame));
  EXPECT_EQ(gateway.sent().size(), 10U);
}

TEST(Deliver, fragmented_tunnel_packets_are_reassembled_and_decrypted) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const ByteVector inner = sample_packet(peer.inner4, kHost4, 1400);
  for (const bool reversed : {false, true}) {
    const ByteVector outer = udp_packet(peer.endpoint, our_endpoint(peer),
                                        data_message(peer, peer.counter++, padded(inner)));
    auto pieces = fragments_of(outer, 576);
    if (reversed) std::reverse(pieces.begin(), pieces.end());
    std::vector<ByteVector> frames;
    for (const ByteVector& piece : pieces) frames.push_back(from_outside(piece));
    gateway.receive(kOutside, frames);
    const auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_TRUE(equal_bytes(sent[0].packet(), one_hop_less(inner)));
  }
  EXPECT_EQ(gateway.all_drops(), 0U);
}

TEST(Deliver, fragmented_handshake_is_reassembled_and_punted) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  ByteVector message(148, 0x33);
  message[0] = 1;
  message[1] = message[2] = message[3] = 0;
  const ByteVector whole = udp_packet(peer.endpoint, our_endpoint(peer), message);
  for (const ByteVector& piece : fragments_of(whole, 100)) {
    gateway.receive(kOutside, from_outside(piece));
  }
  const auto punts = gateway.punts(PuntClass::kHandshake);
  ASSERT_EQ(punts.size(), 1U);
  EXPECT_TRUE(equal_bytes(Bytes(punts[0].bytes).subspan(20), Bytes(whole).subspan(20)));
}

TEST(Deliver, reassembled_packet_of_another_worker_is_handed_over_whole) {
  GatewayOptions options;
  options.workers = 2;
  Gateway gateway(options);
  SaOptions owned;
  owned.owner = 1;
  Peer peer = gateway.add_peer(false, owned);
  const ByteVector inner = sample_packet(peer.inner4, kHost4, 1000);
  const ByteVector outer = udp_packet(peer.endpoint, our_endpoint(peer),
                                      data_message(peer, peer.counter++, padded(inner)));
  for (const ByteVector& piece : fragments_of(outer, 576)) {
    gateway.receive(kOutside, from_outside(piece));
  }
  gateway.run_hand_over(1);
  const auto sent = gateway.sent(1);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_TRUE(equal_bytes(sent[0].packet(), one_hop_less(inner)));
  EXPECT_EQ(gateway.all_drops(), 0U);
}

TEST(Deliver, fragments_have_their_reasons_and_bounds) {
  GatewayOptions options;
  options.reassembly.datagrams = 4;
  options.reassembly.datagrams_per_source = 4;
  Gateway gateway(options);
  const auto piece = [](uint16_t id, uint16_t fragment, size_t bytes) {
    IpFields fields;
    fields.identification = id;
    fields.fragment = fragment;
    return from_outside(ip_packet(ip("100.64.0.9"), ip("198.51.100.1"), ByteVector(bytes), fields));
  };
  gateway.receive(kOutside, piece(1, kIpv4MoreFragments, 8));  // tiny
  EXPECT_EQ(gateway.drops(DropReason::kFragmentInvalid), 1U);
  gateway.receive(kOutside, piece(2, kIpv4MoreFragments, 400));
  gateway.receive(kOutside, piece(2, kIpv4MoreFragments | 10, 400));  // overlaps
  EXPECT_GE(gateway.drops(DropReason::kFragmentInvalid), 2U);
  for (uint16_t id = 10; id < 30; ++id) {
    gateway.receive(kOutside, piece(id, kIpv4MoreFragments, 400));
  }
  EXPECT_GE(gateway.drops(DropReason::kFragmentTableFull), 16U);
  gateway.set_time(gateway.time() + 60 * kSecond);
  gateway.receive(kOutside, piece(99, kIpv4MoreFragments, 400));
  EXPECT_GE(gateway.drops(DropReason::kFragmentTimeout), 4U);
  EXPECT_EQ(gateway.buffers_missing(), 0U);  // what waits is copied
}

TEST(Deliver, transit_fragments_pass_untouched) {
  Gateway gateway;
  Peer peer = gateway.add_peer();
  const auto pieces = fragments_of(sample_packet(kHost4, peer.inner4, 1200), 576);
  for (const ByteVector& piece : pieces) {
    gateway.receive(kInside, from_inside(piece));
    const auto sent = gateway.sent();
    ASSERT_EQ(sent.size(), 1U);
    const auto opened = open_frame(peer, sent[0]);
    ASSERT_TRUE(opened);
    ByteVector wanted = one_hop_less(piece);
    wanted.resize(opened->plain.size());
    EXPECT_EQ(opened->plain, wanted);
  }
}

}  // namespace
}  // namespace penstock::test
