// TCP, RFC 9293: what a gateway looks at.
#pragma once

#include <cstdint>

#include "gateway/base/byte_order.h"
#include "gateway/base/bytes.h"

namespace penstock {

enum TcpFlag : uint8_t {
  kTcpFin = 0x01,
  kTcpSyn = 0x02,
  kTcpRst = 0x04,
  kTcpPsh = 0x08,
  kTcpAck = 0x10,
  kTcpUrg = 0x20,
};

struct TcpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be32 sequence;
  Be32 acknowledgement;
  uint8_t data_offset;  // header length in 32-bit words << 4
  uint8_t flags;
  Be16 window;
  Be16 checksum;
  Be16 urgent;

  [[nodiscard]] unsigned header_bytes() const { return (data_offset >> 4) * 4U; }
};
static_assert(sizeof(TcpHeader) == 20 && alignof(TcpHeader) == 1);

enum TcpOption : uint8_t { kTcpOptionEnd = 0, kTcpOptionNop = 1, kTcpOptionMss = 2 };

// Offset of the 16-bit MSS value from the beginning of the TCP header (RFC 9293 3.7.1), or 0 where
// there is none, or the options are malformed before it. At most 40 steps.
inline size_t find_tcp_mss(Bytes tcp) {
  const auto* header = header_at<TcpHeader>(tcp);
  if (header == nullptr) return 0;
  const size_t end = header->header_bytes();
  if (end > tcp.size()) return 0;
  size_t at = sizeof(TcpHeader);
  while (at < end) {
    const uint8_t kind = tcp[at];
    if (kind == kTcpOptionEnd) return 0;
    if (kind == kTcpOptionNop) {
      ++at;
      continue;
    }
    if (end - at < 2) return 0;
    const size_t length = tcp[at + 1];
    if (length < 2 || length > end - at) return 0;
    if (kind == kTcpOptionMss) return length == 4 ? at + 2 : 0;
    at += length;
  }
  return 0;
}

}  // namespace penstock
