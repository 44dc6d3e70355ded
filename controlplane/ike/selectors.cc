#include "controlplane/ike/selectors.h"

#include <algorithm>

namespace penstock::ike {
namespace {

constexpr uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpV6 = 58, kSctp = 132;

bool any_ports(const TrafficSelector& selector) {
  return !selector.opaque_ports && selector.first_port == 0 && selector.last_port == 65535;
}

// The length of the prefix that is exactly first..last, if it is one.
std::optional<unsigned> prefix_length(const IpAddress& first, const IpAddress& last) {
  const Bytes a = first.bytes(), b = last.bytes();
  unsigned length = 0;
  while (length < first.bits() &&
         ((a[length / 8] ^ b[length / 8]) & (0x80U >> (length % 8))) == 0) {
    ++length;
  }
  for (unsigned bit = length; bit < first.bits(); ++bit) {
    const unsigned mask = 0x80U >> (bit % 8);
    if ((a[bit / 8] & mask) != 0 || (b[bit / 8] & mask) == 0) return std::nullopt;
  }
  return length;
}

std::string protocol_text(uint8_t protocol) {
  switch (protocol) {
    case kIcmp:
      return "icmp";
    case kTcp:
      return "tcp";
    case kUdp:
      return "udp";
    case kIcmpV6:
      return "ipv6-icmp";
    case kSctp:
      return "sctp";
    default:
      return std::to_string(protocol);
  }
}

std::string port_text(const TrafficSelector& selector) {
  const bool icmp = selector.protocol == kIcmp || selector.protocol == kIcmpV6;
  const auto one = [&](uint16_t port) {
    if (!icmp) return std::to_string(port);
    const unsigned type = port >> 8, code = port & 0xff;
    return std::to_string(type) + (code == 0 ? "" : "(" + std::to_string(code) + ")");
  };
  if (selector.opaque_ports) return "OPAQUE";
  if (selector.first_port == selector.last_port) return one(selector.first_port);
  return one(selector.first_port) + "-" + one(selector.last_port);
}

}  // namespace

Selectors resolve_selectors(const std::vector<ConfiguredSelector>& configured,
                            const std::vector<IpAddress>& dynamic) {
  Selectors result;
  const auto add = [&](const TrafficSelector& selector) {
    if (std::find(result.begin(), result.end(), selector) == result.end()) {
      result.push_back(selector);
    }
  };
  for (const ConfiguredSelector& each : configured) {
    if (!each.dynamic) {
      add(each.selector);
      continue;
    }
    for (const IpAddress& address : dynamic) {
      TrafficSelector selector = each.selector;
      selector.first = selector.last = address;
      add(selector);
    }
  }
  return result;
}

std::optional<TrafficSelector> intersect(const TrafficSelector& a, const TrafficSelector& b) {
  if (a.first.family() != b.first.family()) return std::nullopt;
  TrafficSelector both;
  both.first = std::max(a.first, b.first);
  both.last = std::min(a.last, b.last);
  if (both.last < both.first) return std::nullopt;
  if (a.protocol != 0 && b.protocol != 0 && a.protocol != b.protocol) return std::nullopt;
  both.protocol = a.protocol != 0 ? a.protocol : b.protocol;
  if (a.opaque_ports || b.opaque_ports) {
    if (!(a.opaque_ports && b.opaque_ports) && !any_ports(a) && !any_ports(b)) {
      return std::nullopt;
    }
    both.opaque_ports = true;
    return both;
  }
  both.first_port = std::max(a.first_port, b.first_port);
  both.last_port = std::min(a.last_port, b.last_port);
  if (both.last_port < both.first_port) return std::nullopt;
  return both;
}

bool contains(const TrafficSelector& outer, const TrafficSelector& inner) {
  const auto both = intersect(outer, inner);
  return both.has_value() && *both == inner;
}

bool covers(const Selectors& outer, const Selectors& inner) {
  return std::all_of(inner.begin(), inner.end(), [&](const TrafficSelector& each) {
    return std::any_of(outer.begin(), outer.end(),
                       [&](const TrafficSelector& around) { return contains(around, each); });
  });
}

Selectors narrow(const Selectors& offered, const Selectors& configured) {
  Selectors result;
  for (const TrafficSelector& wanted : offered) {
    for (const TrafficSelector& allowed : configured) {
      const auto both = intersect(wanted, allowed);
      if (!both) continue;
      const auto inside = [&](const TrafficSelector& each) { return contains(each, *both); };
      if (std::any_of(result.begin(), result.end(), inside)) continue;
      const auto outside = [&](const TrafficSelector& each) { return contains(*both, each); };
      result.erase(std::remove_if(result.begin(), result.end(), outside), result.end());
      if (result.size() == kMaxNarrowed) return result;
      result.push_back(*both);
    }
  }
  return result;
}

std::vector<SelectorPair> pairs_of(const Selectors& local, const Selectors& remote) {
  std::vector<SelectorPair> pairs;
  for (const TrafficSelector& ours : local) {
    for (const TrafficSelector& theirs : remote) {
      if (ours.first.family() != theirs.first.family()) continue;
      if (ours.protocol != 0 && theirs.protocol != 0 && ours.protocol != theirs.protocol) continue;
      SelectorPair pair{ours, theirs};
      pair.local.protocol = pair.remote.protocol =
          ours.protocol != 0 ? ours.protocol : theirs.protocol;
      if (pairs.size() == kMaxPairs) return pairs;
      pairs.push_back(pair);
    }
  }
  return pairs;
}

std::optional<SelectorPair> pair_of_packet(Bytes packet) {
  if (packet.empty()) return std::nullopt;
  SelectorPair pair;
  Bytes transport;
  uint8_t protocol = 0;
  bool first_fragment = true;
  if (packet[0] >> 4 == 4) {
    const size_t header = size_t{4} * (packet[0] & 0x0f);
    if (header < 20 || packet.size() < header) return std::nullopt;
    Ipv4Address source, destination;
    std::copy_n(packet.begin() + 12, 4, source.bytes.begin());
    std::copy_n(packet.begin() + 16, 4, destination.bytes.begin());
    pair.local.first = pair.local.last = source;
    pair.remote.first = pair.remote.last = destination;
    protocol = packet[9];
    first_fragment = ((packet[6] & 0x1f) | packet[7]) == 0;
    transport = packet.subspan(header);
  } else if (packet[0] >> 4 == 6) {
    if (packet.size() < 40) return std::nullopt;
    Ipv6Address source, destination;
    std::copy_n(packet.begin() + 8, 16, source.bytes.begin());
    std::copy_n(packet.begin() + 24, 16, destination.bytes.begin());
    pair.local.first = pair.local.last = source;
    pair.remote.first = pair.remote.last = destination;
    protocol = packet[6];  // an extension header counts as a protocol without ports
    transport = packet.subspan(40);
  } else {
    return std::nullopt;
  }
  pair.local.protocol = pair.remote.protocol = protocol;
  const bool ports = protocol == kTcp || protocol == kUdp || protocol == kSctp;
  if (ports && first_fragment && transport.size() >= 4) {
    Reader reader(transport);
    pair.local.first_port = pair.local.last_port = reader.be16();
    pair.remote.first_port = pair.remote.last_port = reader.be16();
  }
  return pair;
}

std::string to_string(const TrafficSelector& selector) {
  std::string text = selector.first.to_string();
  if (const auto length = prefix_length(selector.first, selector.last)) {
    text += "/" + std::to_string(*length);
  } else {
    text += ".." + selector.last.to_string();
  }
  if (selector.protocol == 0 && any_ports(selector)) return text;
  text += "[" + (selector.protocol == 0 ? std::string() : protocol_text(selector.protocol));
  if (!any_ports(selector)) text += "/" + port_text(selector);
  return text + "]";
}

std::string to_string(const Selectors& selectors) {
  std::string text;
  for (const TrafficSelector& each : selectors) {
    if (!text.empty()) text += " ";
    text += to_string(each);
  }
  return text;
}

}  // namespace penstock::ike
