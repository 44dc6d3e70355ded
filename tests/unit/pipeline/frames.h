// Frames for the tests of the packet path, and an independent WireGuard end on libsodium.
#pragma once

#include <gtest/gtest.h>
#include <sodium.h>

#include <optional>

#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/tcp.h"
#include "dataplane/wire/udp.h"
#include "dataplane/wire/wireguard.h"
#include "tests/unit/pipeline/gateway.h"
#include "tests/unit/wire/packets.h"

namespace penstock::test {

struct IpFields {
  uint8_t protocol = kProtocolUdp;
  uint8_t traffic_class = 0;
  uint8_t ttl = 64;
  uint16_t fragment = 0;  // IPv4 flags and offset
  uint16_t identification = 0x1234;
};

inline ByteVector ip_packet(const IpAddress& from, const IpAddress& to, Bytes payload,
                            const IpFields& fields = {}) {
  const std::string source = from.to_string(), destination = to.to_string();
  if (from.is_v4()) {
    return ipv4_packet({source.c_str(), destination.c_str(), fields.protocol, fields.fragment,
                        fields.identification, fields.traffic_class, fields.ttl},
                       payload);
  }
  return ipv6_packet(
      {source.c_str(), destination.c_str(), fields.protocol, fields.traffic_class, fields.ttl},
      payload);
}

// A UDP datagram with its checksum, in an IP packet. `bytes` counts the whole packet.
inline ByteVector udp_packet(const Endpoint& from, const Endpoint& to, Bytes payload,
                             const IpFields& fields = {}) {
  UdpHeader udp{};
  udp.source_port = Be16(from.port);
  udp.destination_port = Be16(to.port);
  udp.length = Be16(static_cast<uint16_t>(sizeof udp + payload.size()));
  ByteVector datagram(sizeof udp + payload.size());
  std::memcpy(datagram.data(), &udp, sizeof udp);
  if (!payload.empty()) std::memcpy(datagram.data() + sizeof udp, payload.data(), payload.size());
  ByteVector packet = ip_packet(from.address, to.address, datagram, fields);
  const size_t at = packet.size() - datagram.size();
  const Be16 checksum(slow_transport_checksum(packet));
  std::memcpy(packet.data() + at + offsetof(UdpHeader, checksum), &checksum, 2);
  return packet;
}

// Some UDP packet of exactly `bytes` (at least 28 or 48), its payload counting up.
inline ByteVector sample_packet(const IpAddress& from, const IpAddress& to, size_t bytes = 100,
                                const IpFields& fields = {}) {
  ByteVector payload(bytes - (from.is_v4() ? 28 : 48));
  for (size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<uint8_t>(i);
  return udp_packet({from, 5000}, {to, 6000}, payload, fields);
}

inline ByteVector echo_request(const IpAddress& from, const IpAddress& to, size_t data_bytes = 56) {
  ByteVector message(sizeof(IcmpHeader) + data_bytes, 0xab);
  IcmpHeader icmp{};
  icmp.type = from.is_v4() ? uint8_t{kIcmpEchoRequest} : uint8_t{kIcmpv6EchoRequest};
  icmp.rest = Be32(0x00070001);
  std::memcpy(message.data(), &icmp, sizeof icmp);
  IpFields fields;
  fields.protocol = from.is_v4() ? kProtocolIcmp : kProtocolIcmpv6;
  ByteVector packet = ip_packet(from, to, message, fields);
  const size_t at = packet.size() - message.size();
  const Be16 checksum(from.is_v4() ? slow_checksum(Bytes(packet).subspan(at))
                                   : slow_transport_checksum(packet));
  std::memcpy(packet.data() + at + offsetof(IcmpHeader, checksum), &checksum, 2);
  return packet;
}

inline ByteVector ethernet(const MacAddress& to, uint16_t type, Bytes payload,
                           const MacAddress& from = kRouterMac) {
  const EthernetHeader header{to, from, Be16(type)};
  return joined({{reinterpret_cast<const uint8_t*>(&header), sizeof header}, payload});
}
// The packet as it arrives on a port of the gateway.
inline ByteVector frame_to(const MacAddress& to, Bytes packet) {
  return ethernet(to, packet[0] >> 4 == 4 ? kEtherTypeIpv4 : kEtherTypeIpv6, packet);
}
inline ByteVector from_outside(Bytes packet) { return frame_to(kOutsideMac, packet); }
inline ByteVector from_inside(Bytes packet) { return frame_to(kInsideMac, packet); }

inline Endpoint our_endpoint(const Peer& peer) {
  return {ip(peer.endpoint.address.is_v4() ? "198.51.100.1" : "2001:db8:51::1"), kListenPort};
}

inline void nonce_of(uint64_t counter, uint8_t (&nonce)[12]) {
  std::memset(nonce, 0, 4);
  std::memcpy(nonce + 4, &counter, 8);
}

// A data message with any plaintext, sealed by libsodium.
inline ByteVector data_message(const Peer& peer, uint64_t counter, Bytes plain) {
  WireguardDataHeader header{};
  header.type = kWireguardData;
  header.receiver = Le32(peer.index);
  header.counter = Le64(counter);
  ByteVector message(sizeof header + plain.size() + 16);
  std::memcpy(message.data(), &header, sizeof header);
  uint8_t nonce[12];
  nonce_of(counter, nonce);
  unsigned long long length = 0;
  crypto_aead_chacha20poly1305_ietf_encrypt(message.data() + sizeof header, &length, plain.data(),
                                            plain.size(), nullptr, 0, nullptr, nonce,
                                            peer.to_us.data());
  return message;
}

inline ByteVector padded(Bytes inner) {
  ByteVector out = to_vector(inner);
  out.resize((inner.size() + 15) & ~size_t{15});
  return out;
}

// The peer sends an inner packet under its next counter: the frame that arrives outside.
inline ByteVector tunnel_frame(Peer& peer, Bytes inner, const IpFields& outer = {}) {
  return from_outside(udp_packet(peer.endpoint, our_endpoint(peer),
                                 data_message(peer, peer.counter++, padded(inner)), outer));
}
inline ByteVector tunnel_frame_from(Peer& peer, const Endpoint& source, Bytes inner) {
  return from_outside(
      udp_packet(source, our_endpoint(peer), data_message(peer, peer.counter++, padded(inner))));
}

struct Opened {
  uint64_t counter = 0;
  ByteVector plain;  // padding included
  uint8_t outer_traffic_class = 0;
};

// Checks every outer header that the gateway wrote and opens the message with libsodium.
inline std::optional<Opened> open_frame(const Peer& peer, const Frame& frame) {
  const Bytes packet = frame.packet();
  const bool v4 = peer.endpoint.address.is_v4();
  const size_t ip_bytes = v4 ? 20 : 40;
  Opened opened;
  if (frame.port != kOutside || packet.size() < ip_bytes + 8 + 32) return std::nullopt;
  EXPECT_TRUE(equal_bytes(Bytes(frame.bytes).first(6), kRouterMac.bytes));
  EXPECT_TRUE(equal_bytes(Bytes(frame.bytes).subspan(6, 6), kOutsideMac.bytes));
  if (v4) {
    const auto& ip4 = *header_at<Ipv4Header>(packet);
    EXPECT_EQ(ip4.version_length, 0x45);
    EXPECT_EQ(slow_checksum(packet.first(20)), 0);
    EXPECT_EQ(ip4.total_length.get(), packet.size());
    EXPECT_EQ(ip4.protocol, kProtocolUdp);
    EXPECT_EQ(IpAddress(ip4.destination), peer.endpoint.address);
    opened.outer_traffic_class = ip4.tos;
  } else {
    const auto& ip6 = *header_at<Ipv6Header>(packet);
    EXPECT_EQ(ip6.version(), 6U);
    EXPECT_EQ(ip6.payload_length.get(), packet.size() - 40);
    EXPECT_EQ(IpAddress(ip6.destination), peer.endpoint.address);
    EXPECT_EQ(slow_transport_checksum(packet), 0);
    opened.outer_traffic_class = ip6.traffic_class();
  }
  const auto& udp = *header_at<UdpHeader>(packet, ip_bytes);
  EXPECT_EQ(udp.destination_port.get(), peer.endpoint.port);
  EXPECT_EQ(udp.source_port.get(), kListenPort);
  EXPECT_EQ(udp.length.get(), packet.size() - ip_bytes);
  const Bytes message = packet.subspan(ip_bytes + 8);
  const auto& data = *header_at<WireguardDataHeader>(message);
  if (data.type != kWireguardData || data.receiver.get() != peer.peer_index) return std::nullopt;
  opened.counter = data.counter.get();
  uint8_t nonce[12];
  nonce_of(opened.counter, nonce);
  opened.plain.resize(message.size() - 32);
  unsigned long long length = 0;
  if (crypto_aead_chacha20poly1305_ietf_decrypt(opened.plain.data(), &length, nullptr,
                                                message.data() + 16, message.size() - 16, nullptr,
                                                0, nonce, peer.from_us.data()) != 0) {
    return std::nullopt;
  }
  return opened;
}

// What forwarding does to a packet: one hop less.
inline ByteVector one_hop_less(ByteVector packet) {
  if (packet[0] >> 4 == 4) {
    --packet[8];
    packet[10] = packet[11] = 0;
    const Be16 checksum(slow_checksum(Bytes(packet).first(20)));
    std::memcpy(packet.data() + 10, &checksum, 2);
  } else {
    --packet[7];
  }
  return packet;
}

struct Icmp {
  uint8_t type = 0, code = 0;
  uint32_t rest = 0;
  IpAddress from, to;
  Bytes quoted;
};
// A complete ICMP message with good checksums.
inline Icmp icmp_of(Bytes packet) {
  Icmp out;
  const bool v4 = packet[0] >> 4 == 4;
  const size_t at = v4 ? 20 : 40;
  if (v4) {
    out.from = header_at<Ipv4Header>(packet)->source;
    out.to = header_at<Ipv4Header>(packet)->destination;
    EXPECT_EQ(slow_checksum(packet.first(20)), 0);
    EXPECT_EQ(slow_checksum(packet.subspan(20)), 0);
    EXPECT_EQ(packet[9], kProtocolIcmp);
  } else {
    out.from = header_at<Ipv6Header>(packet)->source;
    out.to = header_at<Ipv6Header>(packet)->destination;
    EXPECT_EQ(slow_transport_checksum(packet), 0);
    EXPECT_EQ(packet[6], kProtocolIcmpv6);
  }
  const auto& icmp = *header_at<IcmpHeader>(packet, at);
  out.type = icmp.type;
  out.code = icmp.code;
  out.rest = icmp.rest.get();
  out.quoted = packet.subspan(at + 8);
  return out;
}

inline const IpAddress kHost4 = ip("192.0.2.10");
inline const IpAddress kHost6 = ip("2001:db8:2::10");

}  // namespace penstock::test
