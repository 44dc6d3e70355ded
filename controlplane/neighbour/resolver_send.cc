// What the resolver says on the links.
#include "controlplane/neighbour/resolver.h"
#include "dataplane/wire/ethernet.h"

namespace penstock::neighbour {

void Resolver::send_arp(const Port& port, const MacAddress& to, const ArpMessage& message) {
  effects_.emplace_back(SendFrame{port.setup.id, to, kEtherTypeArp, build_arp(message)});
}

void Resolver::send_nd(const Port& port, const MacAddress& to, const NdMessage& message) {
  effects_.emplace_back(SendFrame{port.setup.id, to, kEtherTypeIpv6, build_nd(message)});
}

void Resolver::announce(const Port& port) {
  for (const InterfaceAddress& own : port.setup.addresses) announce_address(port, own.address);
}

void Resolver::announce_address(const Port& port, const IpAddress& address) {
  const MacAddress& mac = port.setup.mac;
  if (address.is_v4()) {
    // RFC 5227 2.3: a request with both addresses ours.
    return send_arp(port, kBroadcastMac, {true, mac, address.v4(), {}, address.v4()});
  }
  // RFC 4861 7.2.6: unsolicited, overriding (but 7.2.8: of a proxy not), to all nodes.
  const auto source = source_for(port, address);
  if (!source) return;
  NdMessage message;
  message.overrides = has_address(port, address);
  message.target = address.v6();
  message.source = message.overrides ? message.target : source->v6();
  message.destination = kAllNodes;
  message.link_layer = mac;
  send_nd(port, multicast_mac(kAllNodes), message);
}

// Asks for an address of ours, so that whoever else has it answers.
void Resolver::probe_own_address(const Port& port, const IpAddress& address) {
  if (address.is_v4()) {
    // RFC 5227 2.1.1: with an unspecified sender, which spoils nobody's cache.
    return send_arp(port, kBroadcastMac, {true, port.setup.mac, {}, {}, address.v4()});
  }
  // RFC 4862 5.4.2: from the unspecified address, to the solicited-node group, without an option.
  NdMessage message;
  message.is_solicitation = true;
  message.target = address.v6();
  message.destination = solicited_node(message.target);
  send_nd(port, multicast_mac(message.destination), message);
}

// INCOMPLETE asks everybody, PROBE asks the one it knows (RFC 1122 2.3.2.1, RFC 4861 7.3.3).
void Resolver::solicit(const Port& port, const Entry& entry) {
  const auto source = source_for(port, entry.key.address);
  if (!source) return;
  const bool knows = entry.resolved();
  if (source->is_v4()) {
    return send_arp(port, knows ? entry.mac : kBroadcastMac,
                    {true, port.setup.mac, source->v4(), {}, entry.key.address.v4()});
  }
  NdMessage message;
  message.is_solicitation = true;
  message.source = source->v6();
  message.target = entry.key.address.v6();
  message.destination = knows ? message.target : solicited_node(message.target);
  message.link_layer = port.setup.mac;
  send_nd(port, knows ? entry.mac : multicast_mac(message.destination), message);
}

// RFC 4861 7.2.4: to who asked; to all nodes where the asker has no address yet.
void Resolver::advertise(const Port& port, const NdMessage& solicitation, const MacAddress& to) {
  const bool has_source = solicitation.source != Ipv6Address{};
  NdMessage message;
  message.solicited = has_source;
  // RFC 4861 7.2.8: whoever has the address itself wins over a proxy.
  const auto source = source_for(port, solicitation.target);
  if (!source) return;
  message.overrides = has_address(port, solicitation.target);
  message.target = solicitation.target;
  message.source = message.overrides ? message.target : source->v6();
  message.destination = has_source ? solicitation.source : kAllNodes;
  message.link_layer = port.setup.mac;
  send_nd(port, has_source ? to : multicast_mac(kAllNodes), message);
}

}  // namespace penstock::neighbour
