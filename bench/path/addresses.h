// Who is who in the benchmarks' world: addresses of the gateway, of the peers and of a host inside.
#pragma once

#include "gateway/base/net.h"

namespace penstock::bench {

inline const MacAddress kOutsideMac{{2, 0, 0, 0, 0, 1}};
inline const MacAddress kInsideMac{{2, 0, 0, 0, 0, 2}};
inline const MacAddress kRouterMac{{2, 0, 0, 0, 0, 3}};
inline const MacAddress kHostMac{{2, 0, 0, 0, 0, 4}};
inline constexpr const char* kOurOutside = "198.51.100.1";
inline constexpr uint32_t kHosts = 64;  // inside

inline Ipv4Address host(uint32_t number) { return Ipv4Address::from_host(0xc000020aU + number); }
inline Ipv4Address peer_inner(uint32_t peer) {
  return Ipv4Address::from_host(0x0a000000U + 256 + peer);
}
inline Endpoint peer_endpoint(uint32_t peer) {
  return {Ipv4Address::from_host(0x64400000U + peer), 51820};
}

}  // namespace penstock::bench
