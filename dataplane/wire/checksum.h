// The Internet checksum (RFC 1071), its incremental update (RFC 1624) and pseudo headers.
//
// A running sum is a uint64_t of 16-bit words as they lie in memory, carries folded in at 64 bits.
// The one's complement sum does not care about byte order as long as all words share it, so nothing
// is swapped.
#pragma once

#include <bit>
#include <cstdint>

#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"
#include "gateway/base/byte_order.h"
#include "gateway/base/bytes.h"

namespace penstock {

constexpr uint64_t add_with_carry(uint64_t a, uint64_t b) {
  const uint64_t sum = a + b;
  return sum + (sum < a ? 1 : 0);
}

// The 16-bit one's complement sum: 0 only where every word was 0.
constexpr uint16_t fold_sum(uint64_t sum) {
  // Both halves added in the upper one, to which the lower one adds its carry.
  const auto word = static_cast<uint32_t>((sum + std::rotl(sum, 32)) >> 32);
  return static_cast<uint16_t>((word + std::rotl(word, 16)) >> 16);
}

constexpr Be16 complement_sum(uint64_t sum) {
  return Be16::from_raw(static_cast<uint16_t>(~fold_sum(sum)));
}

// Adds bytes to a running sum. An odd last byte counts as the first half of a word, so only the
// last piece of a message may be odd.
uint64_t sum_bytes(Bytes bytes, uint64_t sum = 0);

// The checksum of bytes whose checksum field is 0.
inline Be16 internet_checksum(Bytes bytes) { return complement_sum(sum_bytes(bytes)); }
// Of bytes with the checksum in place.
inline bool internet_checksum_ok(Bytes bytes) { return fold_sum(sum_bytes(bytes)) == 0xffff; }

// --- IPv4 header without options ---------------------------------------------------------------

inline uint64_t sum_plain_header(const Ipv4Header& header) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  const uint64_t sum =
      add_with_carry(load_unaligned<uint64_t>(bytes), load_unaligned<uint64_t>(bytes + 8));
  return add_with_carry(sum, load_unaligned<uint32_t>(bytes + 16));
}
inline bool plain_header_checksum_ok(const Ipv4Header& header) {
  return fold_sum(sum_plain_header(header)) == 0xffff;
}
inline void set_plain_header_checksum(Ipv4Header& header) {
  header.checksum = Be16(0);
  header.checksum = complement_sum(sum_plain_header(header));
}

// --- incremental update ------------------------------------------------------------------------

// RFC 1624 equation 3: HC' = ~(~HC + ~m + m').
constexpr Be16 update_checksum(Be16 checksum, Be16 old_word, Be16 new_word) {
  const uint32_t sum = (checksum.raw() ^ 0xffffU) + (old_word.raw() ^ 0xffffU) + new_word.raw();
  return complement_sum(sum);
}
constexpr Be16 update_checksum(Be16 checksum, Be32 old_word, Be32 new_word) {
  const uint64_t sum =
      uint64_t{checksum.raw() ^ 0xffffU} + uint32_t{~old_word.raw()} + new_word.raw();
  return complement_sum(sum);
}

// Requires ttl > 0. The sum falls by one in the TTL's byte, which is the low byte of its word in
// memory order here; 0xffff is never the result, as RFC 1624 wants.
inline void decrement_ttl(Ipv4Header& header) {
  --header.ttl;
  uint32_t raw = uint32_t{header.checksum.raw()} + 1;
  raw += raw >= 0xffff ? 1 : 0;
  header.checksum = Be16::from_raw(static_cast<uint16_t>(raw));
}

// --- pseudo headers ----------------------------------------------------------------------------

// Lengths are of the transport header and its payload.
inline uint64_t pseudo_header_sum(const Ipv4Address& source, const Ipv4Address& destination,
                                  uint8_t protocol, uint16_t length) {
  return uint64_t{load_unaligned<uint32_t>(source.bytes.data())} +
         load_unaligned<uint32_t>(destination.bytes.data()) + (uint64_t{protocol} << 8) +
         Be16(length).raw();
}
inline uint64_t pseudo_header_sum(const Ipv6Address& source, const Ipv6Address& destination,
                                  uint8_t protocol, uint32_t length) {
  uint64_t sum = (uint64_t{protocol} << 56) + Be32(length).raw();
  for (const Ipv6Address* address : {&source, &destination}) {
    sum = add_with_carry(sum, load_unaligned<uint64_t>(address->bytes.data()));
    sum = add_with_carry(sum, load_unaligned<uint64_t>(address->bytes.data() + 8));
  }
  return sum;
}

// Of a TCP segment or ICMPv6 message whose checksum field is 0.
inline Be16 transport_checksum(uint64_t pseudo_header, Bytes segment) {
  return complement_sum(sum_bytes(segment, pseudo_header));
}
// Of a UDP datagram: 0 is sent as 0xffff, since 0 means none (RFC 768).
inline Be16 udp_checksum(uint64_t pseudo_header, Bytes datagram) {
  const Be16 checksum = transport_checksum(pseudo_header, datagram);
  return checksum.raw() == 0 ? Be16(0xffff) : checksum;
}
// With the checksum in place. Whether UDP's 0 is let pass is the caller's to say.
inline bool transport_checksum_ok(uint64_t pseudo_header, Bytes segment) {
  return fold_sum(sum_bytes(segment, pseudo_header)) == 0xffff;
}

}  // namespace penstock
