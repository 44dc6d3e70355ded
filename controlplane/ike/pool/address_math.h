// Addresses as offsets from another one. Internal to this folder.
#pragma once

#include <cstdint>

#include "gateway/base/net.h"

namespace penstock::ike {

__extension__ typedef unsigned __int128 WideOffset;

inline WideOffset number_of(const IpAddress& address) {
  WideOffset number = 0;
  for (const uint8_t byte : address.bytes()) number = number << 8 | byte;
  return number;
}

// `base` plus `offset`, in the family of `base`. Requires that it does not overflow.
inline IpAddress plus(const IpAddress& base, WideOffset offset) {
  WideOffset number = number_of(base) + offset;
  if (base.is_v4()) return Ipv4Address::from_host(static_cast<uint32_t>(number));
  Ipv6Address address;
  for (size_t i = 16; i-- > 0; number >>= 8) address.bytes[i] = static_cast<uint8_t>(number);
  return address;
}

}  // namespace penstock::ike
