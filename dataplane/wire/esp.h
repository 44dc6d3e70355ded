// ESP (RFC 4303) and its encapsulation in UDP (RFC 3948), as far as the dataplane reads and writes
// them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/api/tunnel.h"
#include "gateway/base/byte_order.h"

namespace penstock {

struct EspHeader {  // RFC 4303 2.1, 2.2
  Be32 spi;
  Be32 sequence;  // the low half with extended sequence numbers
};
static_assert(sizeof(EspHeader) == 8 && alignof(EspHeader) == 1);

struct EspTrailer {  // RFC 4303 2.5, 2.6; behind the padding, ciphered
  uint8_t padding_bytes;
  uint8_t next_header;  // kProtocolIpv4, kProtocolIpv6, or kProtocolNoNext for a dummy packet
};
static_assert(sizeof(EspTrailer) == 2);

// What an algorithm makes of the packet. All tags have 16 bytes (RFC 4106 6, RFC 7634 2, RFC 4868).
struct EspShape {
  uint8_t iv_bytes;
  uint8_t alignment;  // of payload, padding and trailer together, RFC 4303 2.4
};
inline constexpr size_t kEspTagBytes = 16;
inline constexpr size_t kEspMaximumIvBytes = 16;
inline constexpr size_t kEspMaximumAlignment = 16;

constexpr EspShape esp_shape_of(SaAlgorithm algorithm) {
  const bool cbc =
      algorithm == SaAlgorithm::kAes128CbcSha256 || algorithm == SaAlgorithm::kAes256CbcSha256;
  return cbc ? EspShape{16, 16} : EspShape{8, 4};
}

// The UDP datagrams on port 4500, told apart by their beginning (RFC 3948 2): four zero bytes are
// in front of IKE, since an SPI is never 0.
inline constexpr size_t kNonEspMarkerBytes = 4;
inline constexpr uint8_t kNatKeepaliveByte = 0xff;  // the whole datagram

// IKE's header, RFC 7296 3.1.
inline constexpr size_t kIkeHeaderBytes = 28;
inline constexpr size_t kIkeResponderSpiOffset = 8;  // eight bytes; zero in a first message

}  // namespace penstock
