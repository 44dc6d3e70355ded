// What the resolver hears on the links, and how much of it it believes.
#include "controlplane/neighbour/resolver.h"

namespace penstock::neighbour {

// May be learnt as a neighbour's, and be sent to.
bool Resolver::is_usable_mac(const MacAddress& mac) const {
  return !mac.is_multicast() && !mac.is_zero() && !is_our_mac(mac);
}

bool Resolver::is_plausible_sender(const Port& port, const IpAddress& address) {
  return is_neighbour_address(port.setup, address) &&
         (is_on_link(port, address) || find(port.setup.id, address) != nullptr);
}

void Resolver::on_arp(Nanoseconds now, PortId id, const MacAddress& source_mac, Bytes bytes) {
  Port* port = find_port(id);
  const auto message = parse_arp(bytes);
  if (port == nullptr || !message || is_our_mac(source_mac) ||
      !is_usable_mac(message->sender_mac)) {
    return drop(DropReason::kHostDropped);
  }
  const IpAddress sender = message->sender;
  if (sender.is_unspecified()) {
    // RFC 5227 2.1.1: somebody wants to know whether the address is free.
    if (!message->is_request || !answers_for(*port, message->target)) {
      return drop(DropReason::kHostDropped);
    }
    return answer(*port, *message);
  }
  if (is_ours(sender)) return on_duplicate(now, *port, sender, message->sender_mac);
  if (!is_plausible_sender(*port, sender)) return drop(DropReason::kHostDropped);

  const bool for_us = answers_for(*port, message->target);
  if (message->is_request && for_us) {
    // RFC 826: who asks for us will be talked to soon.
    learn_or_create(now, *port, sender, message->sender_mac);
    return answer(*port, *message);
  }
  // A reply, or an announcement (RFC 5227 2.3): good for what we know already.
  Entry* entry = find(id, sender);
  const bool announces = message->sender == message->target;
  if (entry == nullptr || (message->is_request && !announces)) {
    return drop(DropReason::kHostDropped);
  }
  learn(now, *entry, message->sender_mac, !message->is_request && for_us);
}

void Resolver::answer(const Port& port, const ArpMessage& request) {
  send_arp(port, request.sender_mac,
           {false, port.setup.mac, request.target, request.sender_mac, request.sender});
}

void Resolver::on_nd(Nanoseconds now, PortId id, const MacAddress& source_mac, Bytes packet) {
  Port* port = find_port(id);
  const auto message = parse_nd(packet);
  if (port == nullptr || !message || !is_usable_mac(source_mac) ||
      (message->link_layer && !is_usable_mac(*message->link_layer))) {
    return drop(DropReason::kHostDropped);
  }
  if (message->is_solicitation) {
    on_solicitation(now, *port, source_mac, *message);
  } else {
    on_advertisement(now, *port, source_mac, *message);
  }
}

void Resolver::on_solicitation(Nanoseconds now, Port& port, const MacAddress& source_mac,
                               const NdMessage& message) {
  const IpAddress source = message.source;
  const bool detects_duplicates = message.source == Ipv6Address{};
  if (!detects_duplicates && is_ours(source)) return on_duplicate(now, port, source, source_mac);
  if (!answers_for(port, message.target)) return drop(DropReason::kHostDropped);
  if (detects_duplicates) return advertise(port, message, {});
  if (!is_plausible_sender(port, source)) return drop(DropReason::kHostDropped);
  // RFC 4861 7.2.3: only the option creates or changes an entry.
  if (message.link_layer) learn_or_create(now, port, source, *message.link_layer);
  const Entry* entry = find(port.setup.id, source);
  advertise(port, message, entry != nullptr && entry->resolved() ? entry->mac : source_mac);
}

void Resolver::on_advertisement(Nanoseconds now, Port& port, const MacAddress& source_mac,
                                const NdMessage& message) {
  const IpAddress target = message.target;
  if (is_ours(target)) {
    return on_duplicate(now, port, target, message.link_layer.value_or(source_mac));
  }
  Entry* entry = find(port.setup.id, target);
  // RFC 4861 7.2.5: without an entry it is of no use, and without the option it resolves nothing.
  if (entry == nullptr || entry->state == State::kStatic ||
      (!entry->resolved() && !message.link_layer)) {
    return drop(DropReason::kHostDropped);
  }
  const MacAddress mac = message.link_layer.value_or(entry->mac);
  if (entry->resolved() && mac != entry->mac && !message.overrides) {
    if (entry->state == State::kReachable) enter(now, *entry, State::kStale);
    return;
  }
  learn(now, *entry, mac, message.solicited);
}

// RFC 5227 2.4 (b): defend once per interval, and let the operator know.
void Resolver::on_duplicate(Nanoseconds now, const Port& port, const IpAddress& address,
                            const MacAddress& mac) {
  drop(DropReason::kHostDropped);
  const auto [at, first] = defended_at_.try_emplace(address, now);
  if (!first && now - at->second < timers_.defend_ns) return;
  at->second = now;
  effects_.emplace_back(Notify{Notify::Kind::kDuplicateAddress, port.setup.id, address, mac});
  if (has_address(port, address)) announce_address(port, address);
}

}  // namespace penstock::neighbour
