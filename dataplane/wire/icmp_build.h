// The ICMP and ICMPv6 messages that a router sends: errors about packets that it could not forward
// (RFC 792, RFC 1812 4.3, RFC 4443) and echo replies. Not handled: redirect, parameter problem.
#pragma once

#include <cstdint>

#include "gateway/base/bytes.h"
#include "gateway/base/net.h"

namespace penstock {

enum class IcmpError : uint8_t {
  kTimeExceeded,         // TTL or hop limit: type 11 code 0, type 3 code 0
  kNoRoute,              // type 3 code 0 (net), type 1 code 0
  kHostUnreachable,      // the next hop does not answer: type 3 code 1, type 1 code 3
  kPortUnreachable,      // type 3 code 3, type 1 code 4
  kProtocolUnreachable,  // type 3 code 2; IPv6: type 1 code 4
  kTooBig,               // with the MTU: type 3 code 4 (RFC 1191), type 2
  kAdminProhibited,      // type 3 code 13, type 1 code 1
};

// How large a message gets: RFC 1812 4.3.2.3 and RFC 4443 2.4 (c).
inline constexpr size_t kMaxIcmpErrorBytes = 576;
inline constexpr size_t kMaxIcmpv6ErrorBytes = 1280;

// Whether an error about the packet may be sent at all (RFC 1122 3.2.2, RFC 1812 4.3.2.7, RFC 4443
// 2.4 (e)): not about ICMP errors or redirects, packets to many, packets whose source names no
// single host, IPv4 fragments other than the first, or IPv6 ones that may be of an ICMPv6 error. An
// IPv6 packet that is too big is reported even if it goes to many. `to_link_layer_group`: the frame
// that carried it went to a multicast or broadcast MAC address. Directed broadcasts are the
// caller's to know.
bool icmp_error_allowed(Bytes packet, IcmpError error, bool to_link_layer_group);

// Writes the IP packet that reports `error` about `packet`, from `from`, an address of ours of the
// same family, to the packet's source. `packet` is quoted as it is, so it must be as received (TTL
// before the decrement). `mtu` is of the next hop, for kTooBig only. False, with nothing written,
// where icmp_error_allowed() does not hold, the families differ or `out` is too small.
bool write_icmp_error(Bytes packet, const IpAddress& from, IcmpError error, uint16_t mtu,
                      Writer& out);

// Turns an echo request for an address of ours into its reply, in place: checks the ICMP checksum,
// swaps the addresses, sets a fresh TTL. False, with the packet unchanged, where it is no valid
// echo request: also with IPv4 options, IPv6 extension headers, or as a fragment. The packet has
// exactly the length that its header says. That the source is a host's address is the caller's to
// check.
bool make_echo_reply(MutableBytes packet);

}  // namespace penstock
