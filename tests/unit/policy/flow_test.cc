// What policies see of a packet: ports, ICMP types, fragments, extension headers, cut-off headers.
#include "dataplane/policy/flow.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "gateway/base/bytes.h"

namespace penstock {
namespace {

ByteVector ipv4(uint8_t protocol, uint16_t fragment, const ByteVector& payload) {
  Ipv4Header header{};
  header.version_length = kIpv4PlainVersionLength;
  header.protocol = protocol;
  header.fragment = Be16(fragment);
  ByteVector packet(sizeof header + payload.size());
  std::memcpy(packet.data(), &header, sizeof header);
  std::copy(payload.begin(), payload.end(), packet.begin() + sizeof header);
  return packet;
}

ByteVector ipv6(uint8_t next, const ByteVector& payload) {
  ByteVector packet(sizeof(Ipv6Header) + payload.size());
  packet[0] = 0x60;
  packet[6] = next;
  std::copy(payload.begin(), payload.end(), packet.begin() + sizeof(Ipv6Header));
  return packet;
}

Flow flow_of(const ByteVector& packet) {
  return packet[0] >> 4 == 4 ? read_flow_v4(packet.data(), packet.size())
                             : read_flow_v6(packet.data(), packet.size());
}

void expect(const Flow& flow, uint8_t protocol, Flow::Ports ports, uint16_t sender = 0,
            uint16_t receiver = 0) {
  EXPECT_EQ(flow.protocol, protocol);
  EXPECT_EQ(flow.ports, ports);
  EXPECT_EQ(flow.sender_port, sender);
  EXPECT_EQ(flow.receiver_port, receiver);
}

const ByteVector kPorts = {0x12, 0x34, 0x01, 0xbb, 0, 0, 0, 0};
using Ports = Flow::Ports;

TEST(Flow, protocols_with_ports_both_known) {
  for (const uint8_t protocol : {6, 17, 132, 33, 136}) {
    expect(flow_of(ipv4(protocol, 0, kPorts)), protocol, Ports::kBoth, 0x1234, 443);
    expect(flow_of(ipv6(protocol, kPorts)), protocol, Ports::kBoth, 0x1234, 443);
  }
}

TEST(Flow, icmp_type_and_code_known) {
  expect(flow_of(ipv4(kProtocolIcmp, 0, {8, 1})), kProtocolIcmp, Ports::kSender, 0x0801);
  expect(flow_of(ipv6(kProtocolIcmpv6, {128, 0})), kProtocolIcmpv6, Ports::kSender, 0x8000);
}

TEST(Flow, icmp_of_the_other_family_no_ports) {
  expect(flow_of(ipv4(kProtocolIcmpv6, 0, {8, 1})), kProtocolIcmpv6, Ports::kNone);
  expect(flow_of(ipv6(kProtocolIcmp, {8, 1})), kProtocolIcmp, Ports::kNone);
}

TEST(Flow, other_protocol_no_ports) {
  expect(flow_of(ipv4(47, 0, kPorts)), 47, Ports::kNone);
  expect(flow_of(ipv6(47, kPorts)), 47, Ports::kNone);
  expect(flow_of(ipv4(47, 5, kPorts)), 47, Ports::kNone);
}

TEST(Flow, first_fragment_ports_known_others_hidden) {
  expect(flow_of(ipv4(6, kIpv4MoreFragments, kPorts)), 6, Ports::kBoth, 0x1234, 443);
  expect(flow_of(ipv4(6, kIpv4MoreFragments | 1, kPorts)), 6, Ports::kHidden);
  expect(flow_of(ipv4(6, 185, kPorts)), 6, Ports::kHidden);
  expect(flow_of(ipv4(kProtocolIcmp, 185, kPorts)), kProtocolIcmp, Ports::kHidden);
}

TEST(Flow, cut_off_header_ports_hidden) {
  for (size_t bytes = 0; bytes < 4; ++bytes) {
    expect(flow_of(ipv4(6, 0, ByteVector(bytes, 1))), 6, Ports::kHidden);
    expect(flow_of(ipv6(6, ByteVector(bytes, 1))), 6, Ports::kHidden);
  }
  expect(flow_of(ipv4(kProtocolIcmp, 0, {8})), kProtocolIcmp, Ports::kHidden);
  expect(flow_of(ipv6(kProtocolIcmpv6, {})), kProtocolIcmpv6, Ports::kHidden);
}

ByteVector fragment_header(uint8_t next, uint16_t offset_more) {
  return {next, 0, static_cast<uint8_t>(offset_more >> 8), static_cast<uint8_t>(offset_more), 0, 0,
          0,    1};
}

ByteVector joined(ByteVector a, const ByteVector& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(Flow, ipv6_behind_extension_headers_ports_known) {
  const ByteVector options = {kProtocolTcp, 0, 0, 0, 0, 0, 0, 0};
  expect(flow_of(ipv6(kProtocolDestinationOptions, joined(options, kPorts))), 6, Ports::kBoth,
         0x1234, 443);
  expect(flow_of(ipv6(kProtocolFragment, joined(fragment_header(17, 1), kPorts))), 17, Ports::kBoth,
         0x1234, 443);
}

TEST(Flow, ipv6_later_fragment_ports_hidden) {
  expect(flow_of(ipv6(kProtocolFragment, joined(fragment_header(17, 8), kPorts))), 17,
         Ports::kHidden);
  expect(flow_of(ipv6(kProtocolFragment, joined(fragment_header(47, 8), kPorts))), 47,
         Ports::kNone);
}

TEST(Flow, ipv6_later_fragment_of_extension_headers_unreadable) {
  const Flow flow = flow_of(
      ipv6(kProtocolFragment, joined(fragment_header(kProtocolDestinationOptions, 8), kPorts)));
  EXPECT_EQ(flow.ports, Ports::kUnreadable);
}

TEST(Flow, ipv6_extension_headers_past_the_end_unreadable) {
  EXPECT_EQ(flow_of(ipv6(kProtocolDestinationOptions, {6, 4, 0, 0})).ports, Ports::kUnreadable);
  EXPECT_EQ(flow_of(ipv6(kProtocolFragment, {6, 0})).ports, Ports::kUnreadable);
}

// With the address sanitizer: nothing is read behind the packet.
TEST(Flow, random_bytes_read_within_the_packet) {
  std::mt19937 random(1);
  constexpr uint8_t kNext[] = {0, 43, 44, 60, 6, 58, 50};
  for (int i = 0; i < 20'000; ++i) {
    ByteVector packet(40 + random() % 60);
    for (uint8_t& byte : packet) byte = static_cast<uint8_t>(random());
    packet[0] = 0x60;
    packet[6] = kNext[random() % std::size(kNext)];
    if (packet.size() > 42) packet[40] = kNext[random() % std::size(kNext)];
    if (packet.size() > 42) packet[41] = static_cast<uint8_t>(random() % 4);
    (void)flow_of(packet);
    packet[0] = 0x45;
    packet[9] = packet[6];
    packet.resize(20 + random() % 8);
    (void)flow_of(packet);
  }
}

}  // namespace
}  // namespace penstock
