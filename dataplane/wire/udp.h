// UDP, RFC 768.
#pragma once

#include "gateway/base/byte_order.h"

namespace penstock {

struct UdpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be16 length;    // of header and payload
  Be16 checksum;  // 0: none, allowed with IPv4 only (RFC 8200 8.1)
};
static_assert(sizeof(UdpHeader) == 8 && alignof(UdpHeader) == 1);

}  // namespace penstock
