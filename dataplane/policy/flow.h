// What policies look at in a packet beside its addresses: protocol and ports (RFC 4301 4.4.1.1).
#pragma once

#include <cstdint>

#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"
#include "gateway/base/byte_order.h"

namespace penstock {

struct Flow {
  enum class Ports : uint8_t {
    kBoth,    // TCP, UDP and alike
    kSender,  // ICMP: type << 8 | code, which only the sender's side is compared with
    kNone,    // of other protocols: ANY and OPAQUE match
    // In another fragment, or cut off: ANY and OPAQUE match, and a policy with ports might.
    kHidden,
    // Not even the protocol: behind IPv6 extension headers that this piece does not have.
    kUnreadable,
  };
  uint8_t protocol = kProtocolNoNext;
  Ports ports = Ports::kUnreadable;
  uint16_t sender_port = 0;  // host order
  uint16_t receiver_port = 0;
};

namespace flow_detail {

inline constexpr uint8_t kProtocolDccp = 33;
inline constexpr uint8_t kProtocolSctp = 132;
inline constexpr uint8_t kProtocolUdpLite = 136;

inline bool has_ports(uint8_t protocol) {
  return protocol == kProtocolTcp || protocol == kProtocolUdp || protocol == kProtocolSctp ||
         protocol == kProtocolUdpLite || protocol == kProtocolDccp;
}

// `upper` is where the protocol's header begins, of which `available` bytes are in the packet.
inline Flow read_upper(uint8_t protocol, uint8_t icmp, const uint8_t* upper, size_t available) {
  Flow flow;
  flow.protocol = protocol;
  if (has_ports(protocol)) [[likely]] {
    if (available < 4) {
      flow.ports = Flow::Ports::kHidden;
      return flow;
    }
    flow.ports = Flow::Ports::kBoth;
    flow.sender_port = load_unaligned<Be16>(upper).get();
    flow.receiver_port = load_unaligned<Be16>(upper + 2).get();
  } else if (protocol == icmp) {
    flow.ports = available < 2 ? Flow::Ports::kHidden : Flow::Ports::kSender;
    if (available >= 2) flow.sender_port = load_unaligned<Be16>(upper).get();
  } else {
    flow.ports = Flow::Ports::kNone;
  }
  return flow;
}

// Behind extension headers.
Flow read_flow_v6_slow(const uint8_t* ip, size_t length);

}  // namespace flow_detail

// Of a validated packet (validate.h) of `length` bytes.
inline Flow read_flow_v4(const uint8_t* ip, size_t length) {
  const auto& header = *reinterpret_cast<const Ipv4Header*>(ip);
  if (header.offset_bytes() != 0) [[unlikely]] {
    Flow flow;
    flow.protocol = header.protocol;
    const bool any = flow_detail::has_ports(header.protocol) || header.protocol == kProtocolIcmp;
    flow.ports = any ? Flow::Ports::kHidden : Flow::Ports::kNone;
    return flow;
  }
  return flow_detail::read_upper(header.protocol, kProtocolIcmp, ip + sizeof(Ipv4Header),
                                 length - sizeof(Ipv4Header));
}

inline Flow read_flow_v6(const uint8_t* ip, size_t length) {
  const uint8_t next = ip[6];
  if (flow_detail::has_ports(next) || next == kProtocolIcmpv6) [[likely]] {
    return flow_detail::read_upper(next, kProtocolIcmpv6, ip + sizeof(Ipv6Header),
                                   length - sizeof(Ipv6Header));
  }
  return flow_detail::read_flow_v6_slow(ip, length);
}

}  // namespace penstock
