#include <gtest/gtest.h>

#include "dataplane/wire/icmp.h"
#include "dataplane/wire/icmp_build.h"
#include "dataplane/wire/rate_limit.h"
#include "tests/unit/wire/packets.h"

namespace penstock::test {
namespace {

ByteVector build(Bytes packet, const IpAddress& from, IcmpError error, uint16_t mtu = 0) {
  ByteVector buffer(2000, 0xee);
  Writer writer{MutableBytes(buffer)};
  if (!write_icmp_error(packet, from, error, mtu, writer)) return {};
  return to_vector(writer.written());
}

const IpAddress kUs4 = v4("203.0.113.1");
const IpAddress kUs6 = v6("2001:db8:ffff::1");

TEST(IcmpError, every_kind_has_its_type_and_code) {
  struct Row {
    IcmpError error;
    uint8_t type4, code4, type6, code6;
  };
  constexpr Row kRows[] = {
      {IcmpError::kTimeExceeded, 11, 0, 3, 0},    {IcmpError::kNoRoute, 3, 0, 1, 0},
      {IcmpError::kHostUnreachable, 3, 1, 1, 3},  {IcmpError::kProtocolUnreachable, 3, 2, 1, 4},
      {IcmpError::kPortUnreachable, 3, 3, 1, 4},  {IcmpError::kTooBig, 3, 4, 2, 0},
      {IcmpError::kAdminProhibited, 3, 13, 1, 1},
  };
  const ByteVector payload(100, 0x55);
  for (const Row& row : kRows) {
    const bool too_big = row.error == IcmpError::kTooBig;
    const ByteVector four = ipv4_packet({.ttl = 1}, payload);
    ByteVector answer = build(four, kUs4, row.error, 1400);
    ASSERT_EQ(answer.size(), 28 + four.size());
    const auto* ip = view<Ipv4Header>(answer);
    EXPECT_EQ(slow_checksum(Bytes(answer).first(20)), 0);
    EXPECT_EQ(slow_checksum(Bytes(answer).subspan(20)), 0);
    EXPECT_EQ(IpAddress(ip->source), kUs4);
    EXPECT_EQ(ip->destination, v4("192.0.2.1"));
    EXPECT_EQ(ip->total_length.get(), answer.size());
    EXPECT_EQ(ip->protocol, kProtocolIcmp);
    const auto* icmp = view<IcmpHeader>(answer, 20);
    EXPECT_EQ(icmp->type, row.type4);
    EXPECT_EQ(icmp->code, row.code4);
    EXPECT_EQ(icmp->rest.get(), too_big ? 1400U : 0U);
    EXPECT_TRUE(equal_bytes(Bytes(answer).subspan(28), four));

    const ByteVector six = ipv6_packet({}, payload);
    answer = build(six, kUs6, row.error, 1400);
    ASSERT_EQ(answer.size(), 48 + six.size());
    const auto* ip6 = view<Ipv6Header>(answer);
    EXPECT_EQ(slow_transport_checksum(answer), 0);
    EXPECT_EQ(IpAddress(ip6->source), kUs6);
    EXPECT_EQ(ip6->destination, v6("2001:db8::1"));
    EXPECT_EQ(ip6->payload_length.get(), answer.size() - 40);
    EXPECT_EQ(ip6->next_header, kProtocolIcmpv6);
    const auto* icmp6 = view<IcmpHeader>(answer, 40);
    EXPECT_EQ(icmp6->type, row.type6);
    EXPECT_EQ(icmp6->code, row.code6);
    EXPECT_EQ(icmp6->rest.get(), too_big ? 1400U : 0U);
    EXPECT_TRUE(equal_bytes(Bytes(answer).subspan(48), six));
  }
}

TEST(IcmpError, quote_is_cut_to_what_the_rfcs_allow) {
  const ByteVector payload(1400, 0x33);
  EXPECT_EQ(build(ipv4_packet({}, payload), kUs4, IcmpError::kTimeExceeded).size(), 576U);
  EXPECT_EQ(build(ipv6_packet({}, payload), kUs6, IcmpError::kTimeExceeded).size(), 1280U);
  const ByteVector odd(101, 0x33);
  ByteVector answer = build(ipv6_packet({}, odd), kUs6, IcmpError::kNoRoute);
  EXPECT_EQ(slow_transport_checksum(answer), 0);
}

TEST(IcmpError, link_layer_padding_is_not_quoted) {
  ByteVector four = ipv4_packet({}, ByteVector(8));
  four.resize(60);
  EXPECT_EQ(build(four, kUs4, IcmpError::kNoRoute).size(), 28U + 28U);
}

TEST(IcmpError, wrong_family_or_small_buffer_writes_nothing) {
  const ByteVector four = ipv4_packet({}, ByteVector(8));
  EXPECT_TRUE(build(four, kUs6, IcmpError::kNoRoute).empty());
  EXPECT_TRUE(build(ipv6_packet({}, ByteVector(8)), kUs4, IcmpError::kNoRoute).empty());
  ByteVector buffer(55);
  Writer writer{MutableBytes(buffer)};
  EXPECT_FALSE(write_icmp_error(four, kUs4, IcmpError::kNoRoute, 0, writer));
  EXPECT_EQ(buffer, ByteVector(55));
}

ByteVector icmp4(uint8_t type) {
  return ipv4_packet({.protocol = kProtocolIcmp}, ByteVector{type, 0, 0, 0, 0, 0, 0, 0});
}
ByteVector icmp6(uint8_t type) {
  return ipv6_packet({.next_header = kProtocolIcmpv6}, ByteVector{type, 0, 0, 0, 0, 0, 0, 0});
}

TEST(IcmpError, is_not_allowed_where_the_rfcs_forbid_it) {
  const ByteVector data(8);
  const uint8_t first_icmp6[] = {kProtocolIcmpv6, 0, 0, 1, 0, 0, 0, 1, 128, 0, 0, 0, 0, 0, 0, 0};
  const uint8_t later_icmp6[] = {kProtocolIcmpv6, 0, 0, 8, 0, 0, 0, 1, 128, 0, 0, 0, 0, 0, 0, 0};
  const uint8_t later_udp6[] = {kProtocolUdp, 0, 0, 8, 0, 0, 0, 1, 128, 0, 0, 0, 0, 0, 0, 0};
  ByteVector short_total = ipv4_packet({}, data);
  view<Ipv4Header>(short_total)->total_length.set(19);
  ByteVector long_total = ipv4_packet({}, data);
  view<Ipv4Header>(long_total)->total_length.set(29);
  ByteVector long_payload = ipv6_packet({}, data);
  view<Ipv6Header>(long_payload)->payload_length.set(9);
  struct Row {
    const char* what;
    ByteVector packet;
    bool allowed;
    bool too_big_allowed;
  };
  const Row rows[] = {
      {"UDP", ipv4_packet({}, data), true, true},
      {"echo request", icmp4(kIcmpEchoRequest), true, true},
      {"unreachable", icmp4(kIcmpDestinationUnreachable), false, false},
      {"source quench", icmp4(kIcmpSourceQuench), false, false},
      {"redirect", icmp4(kIcmpRedirect), false, false},
      {"time exceeded", icmp4(kIcmpTimeExceeded), false, false},
      {"parameter problem", icmp4(kIcmpParameterProblem), false, false},
      {"ICMP without type", ipv4_packet({.protocol = kProtocolIcmp}, {}), false, false},
      {"first fragment", ipv4_packet({.fragment = kIpv4MoreFragments}, data), true, true},
      {"later fragment", ipv4_packet({.fragment = 1}, data), false, false},
      {"to multicast", ipv4_packet({.destination = "224.0.0.5"}, data), false, false},
      {"to broadcast", ipv4_packet({.destination = "255.255.255.255"}, data), false, false},
      {"from zero", ipv4_packet({.source = "0.0.0.0"}, data), false, false},
      {"from loopback", ipv4_packet({.source = "127.0.0.1"}, data), false, false},
      {"from multicast", ipv4_packet({.source = "224.0.0.1"}, data), false, false},
      {"from broadcast", ipv4_packet({.source = "255.255.255.255"}, data), false, false},
      {"length below header", short_total, false, false},
      {"length past packet", long_total, false, false},
      {"UDP over IPv6", ipv6_packet({}, data), true, true},
      {"echo request v6", icmp6(kIcmpv6EchoRequest), true, true},
      {"unreachable v6", icmp6(kIcmpv6DestinationUnreachable), false, false},
      {"too big v6", icmp6(kIcmpv6PacketTooBig), false, false},
      {"unknown error v6", icmp6(127), false, false},
      {"redirect v6", icmp6(kIcmpv6Redirect), false, false},
      {"to multicast v6", ipv6_packet({.destination = "ff0e::1"}, data), false, true},
      {"from unspecified v6", ipv6_packet({.source = "::"}, data), false, false},
      {"from multicast v6", ipv6_packet({.source = "ff02::1"}, data), false, false},
      {"first fragment of echo v6", ipv6_packet({.next_header = kProtocolFragment}, first_icmp6),
       true, true},
      {"later fragment of ICMPv6", ipv6_packet({.next_header = kProtocolFragment}, later_icmp6),
       false, false},
      {"later fragment of UDP v6", ipv6_packet({.next_header = kProtocolFragment}, later_udp6),
       true, true},
      {"extension header past packet",
       ipv6_packet({.next_header = kProtocolDestinationOptions},
                   ByteVector{17, 1, 0, 0, 0, 0, 0, 0}),
       false, false},
      {"length past packet v6", long_payload, false, false},
      {"nothing", {}, false, false},
      {"version 5", ByteVector(40, 0x55), false, false},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(icmp_error_allowed(row.packet, IcmpError::kTimeExceeded, false), row.allowed)
        << row.what;
    EXPECT_EQ(icmp_error_allowed(row.packet, IcmpError::kTooBig, false), row.too_big_allowed)
        << row.what;
    const bool v6_too_big = row.too_big_allowed && row.packet[0] >> 4 == 6;
    EXPECT_FALSE(icmp_error_allowed(row.packet, IcmpError::kTimeExceeded, true)) << row.what;
    EXPECT_EQ(icmp_error_allowed(row.packet, IcmpError::kTooBig, true), v6_too_big) << row.what;
    const bool is_v6 = !row.packet.empty() && row.packet[0] >> 4 == 6;
    EXPECT_EQ(!build(row.packet, is_v6 ? kUs6 : kUs4, IcmpError::kTimeExceeded).empty(),
              row.allowed)
        << row.what;
  }
}

ByteVector echo_v4(size_t length, uint8_t tos = 0) {
  ByteVector message = {kIcmpEchoRequest, 0, 0, 0, 0x12, 0x34, 0, 7};
  for (size_t i = 0; i < length; ++i) message.push_back(static_cast<uint8_t>(i));
  view<IcmpHeader>(message)->checksum.set(slow_checksum(message));
  return ipv4_packet({.protocol = kProtocolIcmp, .tos = tos, .ttl = 3}, message);
}
ByteVector echo_v6(size_t length, uint8_t traffic_class = 0) {
  ByteVector message = {kIcmpv6EchoRequest, 0, 0, 0, 0x12, 0x34, 0, 7};
  for (size_t i = 0; i < length; ++i) message.push_back(static_cast<uint8_t>(i));
  ByteVector packet = ipv6_packet(
      {.next_header = kProtocolIcmpv6, .traffic_class = traffic_class, .hop_limit = 3}, message);
  view<IcmpHeader>(packet, 40)->checksum.set(slow_transport_checksum(packet));
  return packet;
}

TEST(EchoReply, is_made_in_place_with_valid_checksums) {
  for (const size_t length : {0U, 1U, 56U, 1400U}) {
    const ByteVector before4 = echo_v4(length, 0xb8 | 3);
    ByteVector four = before4;
    ASSERT_TRUE(make_echo_reply(four));
    const auto* ip = view<Ipv4Header>(four);
    EXPECT_EQ(ip->source, v4("198.51.100.2"));
    EXPECT_EQ(ip->destination, v4("192.0.2.1"));
    EXPECT_EQ(ip->ttl, 64);
    EXPECT_EQ(ip->tos, 0xb8);
    EXPECT_EQ(slow_checksum(Bytes(four).first(20)), 0);
    EXPECT_EQ(slow_checksum(Bytes(four).subspan(20)), 0);
    EXPECT_EQ(four[20], kIcmpEchoReply);
    EXPECT_TRUE(equal_bytes(Bytes(four).subspan(24), Bytes(before4).subspan(24)));

    const ByteVector before6 = echo_v6(length, 0xb8 | 3);
    ByteVector six = before6;
    ASSERT_TRUE(make_echo_reply(six));
    const auto* ip6 = view<Ipv6Header>(six);
    EXPECT_EQ(ip6->source, v6("2001:db8:1::2"));
    EXPECT_EQ(ip6->destination, v6("2001:db8::1"));
    EXPECT_EQ(ip6->hop_limit, 64);
    EXPECT_EQ(ip6->traffic_class(), 0xb8);
    EXPECT_EQ(slow_transport_checksum(six), 0);
    EXPECT_EQ(six[40], kIcmpv6EchoReply);
    EXPECT_TRUE(equal_bytes(Bytes(six).subspan(44), Bytes(before6).subspan(44)));
  }
}

TEST(EchoReply, anything_else_is_left_unchanged) {
  const auto changed = [](ByteVector packet, size_t at, uint8_t value) {
    packet[at] = value;
    return packet;
  };
  const ByteVector four = echo_v4(8);
  const ByteVector six = echo_v6(8);
  struct Row {
    const char* what;
    ByteVector packet;
  };
  ByteVector padded = four;
  padded.push_back(0);
  const Row rows[] = {
      {"a reply", changed(four, 20, kIcmpEchoReply)},
      {"code 1", changed(four, 21, 1)},
      {"bad checksum", changed(four, 30, 0xff)},
      {"fragment", changed(four, 6, 0x20)},
      {"options", changed(four, 0, 0x46)},
      {"UDP", changed(four, 9, kProtocolUdp)},
      {"longer than its length", padded},
      {"cut off", to_vector(Bytes(four).first(27))},
      {"ICMP header cut off",
       ipv4_packet({.protocol = kProtocolIcmp}, ByteVector{8, 0, 0xf7, 0xff})},
      {"v6 reply", changed(six, 40, kIcmpv6EchoReply)},
      {"v6 bad checksum", changed(six, 50, 0xff)},
      {"v6 extension header", changed(six, 6, kProtocolDestinationOptions)},
      {"v6 cut off", to_vector(Bytes(six).first(47))},
      {"v6 ICMP header cut off", ipv6_packet({.next_header = kProtocolIcmpv6}, ByteVector{128, 0})},
      {"nothing", {}},
  };
  for (const Row& row : rows) {
    ByteVector packet = row.packet;
    EXPECT_FALSE(make_echo_reply(packet)) << row.what;
    EXPECT_EQ(packet, row.packet) << row.what;
  }
}

TEST(TokenBucket, burst_then_one_per_interval) {
  TokenBucket bucket(100, 5);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(bucket.take(1000));
  EXPECT_FALSE(bucket.take(1000));
  EXPECT_FALSE(bucket.take(1099));
  EXPECT_TRUE(bucket.take(1100));
  EXPECT_FALSE(bucket.take(1199));
  EXPECT_TRUE(bucket.take(1200));
  EXPECT_FALSE(bucket.take(1200));
}

TEST(TokenBucket, rest_refills_no_more_than_the_burst) {
  TokenBucket bucket(100, 3);
  int taken = 0;
  for (int i = 0; i < 10; ++i) taken += bucket.take(1'000'000) ? 1 : 0;
  EXPECT_EQ(taken, 3);
  // Over any long time the rate is one per interval, refused tries cost nothing.
  for (uint64_t now = 1'000'001; now <= 2'000'000; ++now) taken += bucket.take(now) ? 1 : 0;
  EXPECT_EQ(taken, 3 + 10'000);
}

}  // namespace
}  // namespace penstock::test
