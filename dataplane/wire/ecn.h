// The traffic class of tunnelled packets: ECN by RFC 6040 in normal mode; DSCP is zero or copied on
// the way in, and the inner one is kept on the way out (RFC 2983, pipe model).
#pragma once

#include <cstdint>

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"

namespace penstock {

enum Ecn : uint8_t { kEcnNotEct = 0, kEcnEct1 = 1, kEcnEct0 = 2, kEcnCe = 3 };
inline constexpr uint8_t kEcnMask = 3;

// What of the inner traffic class goes into the outer one.
inline constexpr uint8_t kTrafficClassEcnOnly = kEcnMask;  // DSCP zero
inline constexpr uint8_t kTrafficClassAll = 0xff;          // DSCP copied

// RFC 6040 4.1, normal mode: the outer ECN field is the inner one.
constexpr uint8_t outer_traffic_class(uint8_t inner_traffic_class, uint8_t mask) {
  return inner_traffic_class & mask;
}

inline constexpr uint8_t kEcnDrop = 0xff;

// RFC 6040 4.2, figure 4: the ECN field to forward, or kEcnDrop for Not-ECT inside CE.
constexpr uint8_t decapsulated_ecn(uint8_t inner_traffic_class, uint8_t outer_traffic_class) {
  constexpr uint8_t kTable[4][4] = {
      // outer: Not-ECT, ECT(1), ECT(0), CE
      {kEcnNotEct, kEcnNotEct, kEcnNotEct, kEcnDrop},  // inner Not-ECT
      {kEcnEct1, kEcnEct1, kEcnEct1, kEcnCe},          // inner ECT(1)
      {kEcnEct0, kEcnEct1, kEcnEct0, kEcnCe},          // inner ECT(0)
      {kEcnCe, kEcnCe, kEcnCe, kEcnCe},                // inner CE
  };
  return kTable[inner_traffic_class & kEcnMask][outer_traffic_class & kEcnMask];
}

// Puts what the outer header says into the inner one. False: drop the packet. An outer Not-ECT,
// which is nearly every packet, changes nothing.
inline bool apply_outer_ecn(Ipv4Header& inner, uint8_t outer_traffic_class) {
  if ((outer_traffic_class & kEcnMask) == kEcnNotEct) return true;
  const uint8_t ecn = decapsulated_ecn(inner.tos, outer_traffic_class);
  if (ecn == kEcnDrop) return false;
  const auto tos = static_cast<uint8_t>((inner.tos & ~kEcnMask) | ecn);
  inner.checksum = update_checksum(inner.checksum, Be16(uint16_t{inner.tos}), Be16(uint16_t{tos}));
  inner.tos = tos;
  return true;
}
inline bool apply_outer_ecn(Ipv6Header& inner, uint8_t outer_traffic_class) {
  if ((outer_traffic_class & kEcnMask) == kEcnNotEct) return true;
  const uint8_t ecn = decapsulated_ecn(inner.traffic_class(), outer_traffic_class);
  if (ecn == kEcnDrop) return false;
  inner.set_traffic_class(static_cast<uint8_t>((inner.traffic_class() & ~kEcnMask) | ecn));
  return true;
}

}  // namespace penstock
