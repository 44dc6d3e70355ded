#include "dataplane/policy/flow.h"

namespace penstock::flow_detail {

Flow read_flow_v6_slow(const uint8_t* ip, size_t length) {
  const auto upper = find_ipv6_upper({ip, length});
  if (!upper) return {};
  if (upper->fragment_offset != 0) {
    const auto& fragment =
        *reinterpret_cast<const Ipv6FragmentHeader*>(ip + upper->fragment_offset);
    if (fragment.offset_bytes() != 0) {
      // The protocol is that of the first header behind the fragment header: another extension
      // header says nothing about what it leads to.
      const uint8_t protocol = upper->protocol;
      if (protocol == kProtocolHopByHop || protocol == kProtocolRouting ||
          protocol == kProtocolDestinationOptions || protocol == kProtocolFragment) {
        return {};
      }
      Flow flow;
      flow.protocol = protocol;
      flow.ports = has_ports(protocol) || protocol == kProtocolIcmpv6 ? Flow::Ports::kHidden
                                                                      : Flow::Ports::kNone;
      return flow;
    }
  }
  return read_upper(upper->protocol, kProtocolIcmpv6, ip + upper->offset, length - upper->offset);
}

}  // namespace penstock::flow_detail
