// Packets for tests, and slow references to hold the fast code against.
#pragma once

#include <random>

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"
#include "gateway/base/bytes.h"

namespace penstock::test {

using Random = std::mt19937_64;

inline ByteVector random_bytes(Random& random, size_t length) {
  ByteVector bytes(length);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

// RFC 1071 as it is told: 16-bit big-endian words, carries added back, complement.
inline uint16_t slow_checksum(Bytes bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(bytes[i] << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0));
    while (sum > 0xffff) sum = (sum & 0xffff) + 1;
  }
  return static_cast<uint16_t>(~sum);
}

inline Ipv4Address v4(const char* text) { return *Ipv4Address::parse(text); }
inline Ipv6Address v6(const char* text) { return *Ipv6Address::parse(text); }

struct V4Options {
  const char* source = "192.0.2.1";
  const char* destination = "198.51.100.2";
  uint8_t protocol = kProtocolUdp;
  uint16_t fragment = 0;
  uint16_t identification = 0x1234;
  uint8_t tos = 0;
  uint8_t ttl = 64;
};

inline ByteVector ipv4_packet(const V4Options& options, Bytes payload) {
  Ipv4Header ip{};
  ip.version_length = kIpv4PlainVersionLength;
  ip.tos = options.tos;
  ip.total_length.set(static_cast<uint16_t>(sizeof ip + payload.size()));
  ip.identification.set(options.identification);
  ip.fragment.set(options.fragment);
  ip.ttl = options.ttl;
  ip.protocol = options.protocol;
  ip.source = v4(options.source);
  ip.destination = v4(options.destination);
  ByteVector packet(sizeof ip + payload.size());
  Writer writer{MutableBytes(packet)};
  writer.object(ip);
  writer.bytes(payload);
  const Be16 checksum(slow_checksum(Bytes(packet).first(sizeof ip)));
  std::memcpy(packet.data() + offsetof(Ipv4Header, checksum), &checksum, sizeof checksum);
  return packet;
}

struct V6Options {
  const char* source = "2001:db8::1";
  const char* destination = "2001:db8:1::2";
  uint8_t next_header = kProtocolUdp;
  uint8_t traffic_class = 0;
  uint8_t hop_limit = 64;
};

inline ByteVector ipv6_packet(const V6Options& options, Bytes payload) {
  Ipv6Header ip{};
  ip.version_class_flow = ipv6_version_class_flow(options.traffic_class, 0x12345);
  ip.payload_length.set(static_cast<uint16_t>(payload.size()));
  ip.next_header = options.next_header;
  ip.hop_limit = options.hop_limit;
  ip.source = v6(options.source);
  ip.destination = v6(options.destination);
  ByteVector packet(sizeof ip + payload.size());
  Writer writer{MutableBytes(packet)};
  writer.object(ip);
  writer.bytes(payload);
  return packet;
}

inline ByteVector joined(std::initializer_list<Bytes> parts) {
  ByteVector all;
  for (const Bytes part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

template <class T>
T* view(ByteVector& packet, size_t offset = 0) {
  return offset + sizeof(T) <= packet.size() ? reinterpret_cast<T*>(packet.data() + offset)
                                             : nullptr;
}

// The transport checksum computed the slow way, over a pseudo header that is written out.
inline uint16_t slow_transport_checksum(Bytes packet) {
  ByteVector all;
  const auto add = [&](Bytes part) { all.insert(all.end(), part.begin(), part.end()); };
  if (packet[0] >> 4 == 4) {
    const auto* ip = header_at<Ipv4Header>(packet);
    const Bytes segment = packet.subspan(ip->header_bytes());
    add(ip->source.bytes);
    add(ip->destination.bytes);
    const uint8_t rest[] = {0, ip->protocol, static_cast<uint8_t>(segment.size() >> 8),
                            static_cast<uint8_t>(segment.size())};
    add(rest);
    add(segment);
  } else {
    const auto* ip = header_at<Ipv6Header>(packet);
    const Bytes segment = packet.subspan(sizeof *ip);
    add(ip->source.bytes);
    add(ip->destination.bytes);
    const uint8_t rest[] = {0,
                            0,
                            static_cast<uint8_t>(segment.size() >> 8),
                            static_cast<uint8_t>(segment.size()),
                            0,
                            0,
                            0,
                            ip->next_header};
    add(rest);
    add(segment);
  }
  return slow_checksum(all);
}

}  // namespace penstock::test
