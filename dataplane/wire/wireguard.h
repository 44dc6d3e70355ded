// The messages of WireGuard as far as the dataplane tells them apart; paper section 5.4.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gateway/base/byte_order.h"

namespace penstock {

// The first four bytes, read as a little-endian word: the type byte and three zeros.
enum WireguardType : uint32_t {
  kWireguardInitiation = 1,
  kWireguardResponse = 2,
  kWireguardCookieReply = 3,
  kWireguardData = 4,
};

inline constexpr size_t kWireguardInitiationBytes = 148;
inline constexpr size_t kWireguardResponseBytes = 92;
inline constexpr size_t kWireguardCookieReplyBytes = 64;
inline constexpr size_t kWireguardTagBytes = 16;
inline constexpr size_t kWireguardPaddingBytes = 16;  // content is a multiple of it, paper 5.4.6

struct WireguardDataHeader {  // paper 5.4.6
  uint8_t type;
  uint8_t reserved[3];
  Le32 receiver;
  Le64 counter;
};
static_assert(sizeof(WireguardDataHeader) == 16 && alignof(WireguardDataHeader) == 1);

inline constexpr size_t kWireguardDataOverheadBytes =
    sizeof(WireguardDataHeader) + kWireguardTagBytes;
inline constexpr size_t kWireguardMinimumDataBytes = kWireguardDataOverheadBytes;  // a keepalive

}  // namespace penstock
