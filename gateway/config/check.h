// The checks of a configuration as a whole. Each appends to the draft's diagnostics and goes on.
#pragma once

#include "gateway/config/draft.h"

namespace penstock::config {

// What depends on other keys: role-dependent defaults, sizes that contradict each other.
void complete_and_check_scalars(Draft& draft);
// Reads the files that [wireguard.NAME] names; derives MTUs.
void load_wireguards(Draft& draft, const Environment& environment);
// if_ids, names and MTUs of IPsec interfaces, whose addresses it notes; after load_wireguards.
void check_ipsec(Draft& draft);
// Ports, addresses, routes, gateways, neighbours; after the two above.
void check_network(Draft& draft);
// Listen ports, keys, allowed IPs across interfaces.
void check_wireguards(Draft& draft);

// Of all ports that tunnels leave by; 0: there is none, which is reported elsewhere.
uint16_t smallest_outside_mtu(const Config& config);

}  // namespace penstock::config
