// Traffic selectors: what is configured, what is offered and what both sides agree on
// (RFC 7296 section 2.9). Pure functions.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "controlplane/ike/configuration.h"
#include "controlplane/ike/wire/payloads.h"
#include "dataplane/api/policy.h"

namespace penstock::ike {

using Selectors = std::vector<TrafficSelector>;

// Beyond these, agreement is narrowed further: what is left out is not protected, nor let pass.
inline constexpr size_t kMaxNarrowed = 64;
inline constexpr size_t kMaxPairs = 1024;

// What is configured, with `dynamic` replaced by each of these addresses.
Selectors resolve_selectors(const std::vector<ConfiguredSelector>& configured,
                            const std::vector<IpAddress>& dynamic);
// What lies in both. ANY ports include OPAQUE ones (RFC 4301 4.4.1.1).
std::optional<TrafficSelector> intersect(const TrafficSelector& a, const TrafficSelector& b);
// All that lies in both lists, in the order of `offered`, without what another one contains.
Selectors narrow(const Selectors& offered, const Selectors& configured);
[[nodiscard]] bool contains(const TrafficSelector& outer, const TrafficSelector& inner);
// Whether each of `inner` lies in one of `outer`.
[[nodiscard]] bool covers(const Selectors& outer, const Selectors& inner);
// The pairs that an SA with these selectors protects: same family, compatible protocols.
std::vector<SelectorPair> pairs_of(const Selectors& local, const Selectors& remote);
// What an outbound IP packet is: its addresses, protocol and ports as far as they can be seen.
std::optional<SelectorPair> pair_of_packet(Bytes packet);

// As swanctl shows them: "10.1.0.0/16", "10.1.0.1/32[tcp/80]", "10.0.0.1..10.0.0.9[udp]".
std::string to_string(const TrafficSelector& selector);
std::string to_string(const Selectors& selectors);

}  // namespace penstock::ike
