// The table of neighbours: its entries' lives, its bounds and its timers.
#include "controlplane/neighbour/resolver.h"

#include <algorithm>

#include "dataplane/wire/address_check.h"

namespace penstock::neighbour {

Resolver::Resolver(RandomSource& random, const Limits& limits, const Timers& timers)
    : random_(random),
      limits_(limits),
      timers_(timers),
      resolutions_(static_cast<uint64_t>(kSecond) / limits.resolutions_per_second,
                   limits.resolutions_per_second) {}

// --- ports and addresses ------------------------------------------------------------------------

Resolver::Port* Resolver::find_port(PortId id) {
  const auto found = ports_.find(id);
  return found == ports_.end() ? nullptr : &found->second;
}

bool Resolver::has_address(const Port& port, const IpAddress& address) {
  return std::any_of(port.setup.addresses.begin(), port.setup.addresses.end(),
                     [&](const InterfaceAddress& own) { return own.address == address; });
}

bool Resolver::is_ours(const IpAddress& address) const {
  return std::any_of(ports_.begin(), ports_.end(),
                     [&](const auto& port) { return has_address(port.second, address); });
}

bool Resolver::is_our_mac(const MacAddress& mac) const {
  return std::any_of(ports_.begin(), ports_.end(),
                     [&](const auto& port) { return port.second.setup.mac == mac; });
}

// An address that a single host on the link may have.
bool Resolver::is_neighbour_address(const PortSetup& port, const IpAddress& address) {
  if (address.is_v6()) return !is_multicast(address.v6()) && !is_reserved(address.v6());
  const uint32_t host = address.v4().host();
  if (is_martian_source(host)) return false;
  return std::none_of(port.addresses.begin(), port.addresses.end(), [&](const auto& own) {
    return own.address.is_v4() && is_network_broadcast(host, own.address.v4().host(), own.length);
  });
}

bool Resolver::is_on_link(const Port& port, const IpAddress& address) {
  if (address.is_v6() && address.is_link_local()) return true;
  const auto& own = port.setup.addresses;
  const auto& prefixes = port.setup.on_link;
  return std::any_of(own.begin(), own.end(),
                     [&](const auto& one) { return one.network().contains(address); }) ||
         std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const IpPrefix& one) { return one.contains(address); });
}

// The address of ours to ask with: of the target's network, else of its scope, else any.
std::optional<IpAddress> Resolver::source_for(const Port& port, const IpAddress& target) {
  const IpAddress* best = nullptr;
  int best_rank = -1;
  for (const InterfaceAddress& own : port.setup.addresses) {
    if (own.address.family() != target.family()) continue;
    const int rank = own.network().contains(target)                          ? 2
                     : own.address.is_link_local() == target.is_link_local() ? 1
                                                                             : 0;
    if (rank > best_rank) {
      best = &own.address;
      best_rank = rank;
    }
  }
  return best == nullptr ? std::nullopt : std::optional(*best);
}

Status Resolver::set_port(Nanoseconds now, const PortSetup& setup) {
  size_t fixed = setup.neighbours.size();
  for (const auto& [key, entry] : entries_) {
    if (key.port != setup.id && entry.state == State::kStatic) ++fixed;
  }
  if (fixed > limits_.neighbours) {
    return errorf("%zu static neighbours, but the limit of the table is %zu", fixed,
                  limits_.neighbours);
  }
  for (const StaticNeighbour& one : setup.neighbours) {
    if (one.mac.is_multicast() || one.mac.is_zero() || !is_neighbour_address(setup, one.address)) {
      return errorf("neighbour %s at %s: not the addresses of one host",
                    one.address.to_string().c_str(), one.mac.to_string().c_str());
    }
  }
  forget(setup.id, DropReason::kNeighbourUnresolved, true);
  Port& port = ports_[setup.id];
  port.setup = setup;
  port.announce_at = kNever;
  for (const StaticNeighbour& one : setup.neighbours) {
    const Key key{setup.id, one.address};
    Entry* entry = find(key.port, key.address);
    if (entry == nullptr) entry = create(now, key, State::kStatic);
    if (entry == nullptr) continue;  // cannot be: static ones fit, and others make room
    entry->mac = one.mac;
    effects_.emplace_back(SetNeighbour{key.port, key.address, one.mac});
  }
  if (setup.link_up) start_announcing(now, port);
  return {};
}

void Resolver::on_link(Nanoseconds now, PortId id, bool up) {
  Port* port = find_port(id);
  if (port == nullptr || port->setup.link_up == up) return;
  port->setup.link_up = up;
  if (up) {
    start_announcing(now, *port);
  } else {
    port->announce_at = kNever;
    forget(id, DropReason::kTxLinkDown, false);
  }
}

void Resolver::add_proxy(PortId id, const IpAddress& address) {
  Port* port = find_port(id);
  if (port == nullptr || !port->proxies.insert(address).second) return;
  // Whoever was a neighbour under this address is not any more.
  if (Entry* entry = find(id, address); entry != nullptr && entry->state != State::kStatic) {
    drop_queue(*entry, DropReason::kNeighbourUnresolved);
    erase(*entry);
  }
  if (port->setup.link_up) announce_address(*port, address);
}

void Resolver::remove_proxy(PortId id, const IpAddress& address) {
  Port* port = find_port(id);
  if (port != nullptr) port->proxies.erase(address);
}

void Resolver::start_announcing(Nanoseconds now, Port& port) {
  for (const InterfaceAddress& own : port.setup.addresses) probe_own_address(port, own.address);
  announce(port);
  port.announce_at = now + timers_.announce_ns;
}

void Resolver::forget(PortId port, DropReason reason, bool also_static) {
  for (auto at = entries_.lower_bound(Key{port, IpAddress()});
       at != entries_.end() && at->first.port == port;) {
    Entry& entry = (at++)->second;
    if (entry.state == State::kStatic && !also_static) continue;
    drop_queue(entry, reason);
    erase(entry);
  }
}

// --- packets that wait --------------------------------------------------------------------------

void Resolver::on_need(Nanoseconds now, PortId id, const IpAddress& next_hop, Bytes packet) {
  const Port* port = find_port(id);
  if (port == nullptr || !is_neighbour_address(port->setup, next_hop) || is_ours(next_hop) ||
      !source_for(*port, next_hop)) {
    return drop(DropReason::kNeighbourUnresolved);
  }
  if (!port->setup.link_up) return drop(DropReason::kTxLinkDown);
  Entry* entry = find(id, next_hop);
  if (entry == nullptr) {
    if (!resolutions_.take(static_cast<uint64_t>(now))) {
      return drop(DropReason::kNeighbourUnresolved);
    }
    entry = create(now, {id, next_hop}, State::kIncomplete);
    if (entry == nullptr) return drop(DropReason::kNeighbourUnresolved);
  }
  if (entry->state == State::kFailed) return drop(DropReason::kNeighbourUnresolved);
  // Punted before the worker saw the answer: on its way again.
  if (entry->resolved()) {
    effects_.emplace_back(SendIp{to_vector(packet)});
    return;
  }
  // RFC 1122 2.3.2.2: the latest packets are those to keep.
  if (!entry->queue.empty() && entry->queue.size() >= limits_.queue_packets) {
    entry->queue.pop_front();
    --queued_;
    drop(DropReason::kNeighbourQueueFull);
  }
  if (entry->queue.size() >= limits_.queue_packets || queued_ >= limits_.total_queued_packets) {
    return drop(DropReason::kNeighbourQueueFull);
  }
  entry->queue.push_back(to_vector(packet));
  ++queued_;
}

void Resolver::drop_queue(Entry& entry, DropReason reason) {
  if (entry.queue.empty()) return;
  drop(reason, entry.queue.size());
  queued_ -= entry.queue.size();
  entry.queue.clear();
}

// --- entries ------------------------------------------------------------------------------------

Resolver::Entry* Resolver::find(PortId port, const IpAddress& address) {
  const auto found = entries_.find(Key{port, address});
  return found == entries_.end() ? nullptr : &found->second;
}

Resolver::Entry* Resolver::create(Nanoseconds now, const Key& key, State state) {
  if (entries_.size() >= limits_.neighbours) evict(now);
  if (entries_.size() >= limits_.neighbours) return nullptr;
  Entry& entry = entries_[key];
  entry.key = key;
  enter(now, entry, state);
  return &entry;
}

void Resolver::evict(Nanoseconds now) {
  if (!unresolved_.empty()) {
    Entry& victim = *unresolved_.front();
    drop_queue(victim, DropReason::kNeighbourUnresolved);
    erase(victim);
  } else if (!resolved_.empty()) {
    Entry& victim = *resolved_.front();
    if (now - full_notified_at_ >= kSecond) {
      full_notified_at_ = now;
      effects_.emplace_back(
          Notify{Notify::Kind::kTableFull, victim.key.port, victim.key.address, victim.mac});
    }
    erase(victim);
  }
}

void Resolver::erase(Entry& entry) {
  if (entry.resolved()) effects_.emplace_back(RemoveNeighbour{entry.key.port, entry.key.address});
  set_deadline(entry, kNever);
  if (entry.order != nullptr) entry.order->erase(entry.place);
  const Key key = entry.key;  // the map destroys the entry it is asked by
  entries_.erase(key);
}

void Resolver::set_deadline(Entry& entry, Nanoseconds deadline) {
  if (entry.deadline != kNever) deadlines_.erase({entry.deadline, entry.key});
  entry.deadline = deadline;
  if (deadline != kNever) deadlines_.insert({deadline, entry.key});
}

Nanoseconds Resolver::random_reachable_ns() {
  // RFC 4861 6.3.2: between MIN_RANDOM_FACTOR and MAX_RANDOM_FACTOR, 0.5 and 1.5.
  const auto span = static_cast<uint64_t>(timers_.reachable_ns);
  return timers_.reachable_ns / 2 + static_cast<Nanoseconds>(random_.u64() % span);
}

void Resolver::enter(Nanoseconds now, Entry& entry, State state) {
  entry.state = state;
  entry.requests = 0;
  if (state != State::kProbe) entry.since = now;
  if (entry.order != nullptr) entry.order->erase(entry.place);
  entry.order = state == State::kStatic ? nullptr : entry.resolved() ? &resolved_ : &unresolved_;
  if (entry.order != nullptr) entry.place = entry.order->insert(entry.order->end(), &entry);
  switch (state) {
    case State::kStatic:
      return set_deadline(entry, kNever);
    case State::kReachable:
      return set_deadline(entry, now + random_reachable_ns());
    case State::kStale:
      return set_deadline(entry, now + timers_.stale_ns);
    case State::kFailed:
      return set_deadline(entry, now + timers_.failed_ns);
    case State::kIncomplete:
    case State::kProbe:
      return ask(now, entry);
  }
}

void Resolver::ask(Nanoseconds now, Entry& entry) {
  ++entry.requests;
  set_deadline(entry, now + timers_.retransmit_ns);
  if (const Port* port = find_port(entry.key.port)) solicit(*port, entry);
}

void Resolver::learn(Nanoseconds now, Entry& entry, const MacAddress& mac, bool confirmed) {
  if (entry.state == State::kStatic) return;
  const bool was_resolved = entry.resolved();
  const bool changed = was_resolved && mac != entry.mac;
  if (was_resolved && !changed && !confirmed) return;
  entry.mac = mac;
  enter(now, entry, confirmed ? State::kReachable : State::kStale);
  if (changed) {
    effects_.emplace_back(
        Notify{Notify::Kind::kMacChanged, entry.key.port, entry.key.address, mac});
  }
  if (changed || !was_resolved) {
    effects_.emplace_back(SetNeighbour{entry.key.port, entry.key.address, mac});
  }
  for (ByteVector& packet : entry.queue) effects_.emplace_back(SendIp{std::move(packet)});
  queued_ -= entry.queue.size();
  entry.queue.clear();
}

void Resolver::learn_or_create(Nanoseconds now, const Port& port, const IpAddress& address,
                               const MacAddress& mac) {
  Entry* entry = find(port.setup.id, address);
  if (entry != nullptr) return learn(now, *entry, mac, false);
  entry = create(now, {port.setup.id, address}, State::kStale);
  if (entry == nullptr) return;  // only static ones left
  entry->mac = mac;
  effects_.emplace_back(SetNeighbour{port.setup.id, address, mac});
}

void Resolver::on_refused(Nanoseconds now, PortId port, const IpAddress& address) {
  Entry* entry = find(port, address);
  // Failed, so that its packets are not sent to be punted again without end.
  if (entry != nullptr && entry->resolved()) enter(now, *entry, State::kFailed);
}

// --- time ---------------------------------------------------------------------------------------

void Resolver::fail(Nanoseconds now, Entry& entry) {
  // One report is enough for all: the oldest has waited through every question.
  if (!entry.queue.empty()) {
    effects_.emplace_back(UnreachableIcmp{entry.key.port, entry.queue.front()});
  }
  drop_queue(entry, DropReason::kNeighbourUnresolved);
  enter(now, entry, State::kFailed);
}

void Resolver::on_deadline(Nanoseconds now, Entry& entry) {
  switch (entry.state) {
    case State::kIncomplete:
      return entry.requests < timers_.requests ? ask(now, entry) : fail(now, entry);
    case State::kProbe:
      return entry.requests < timers_.requests ? ask(now, entry) : erase(entry);
    case State::kReachable:
    case State::kStale:
      return enter(now, entry, State::kProbe);
    case State::kFailed:
      return erase(entry);
    case State::kStatic:
      return set_deadline(entry, kNever);
  }
}

void Resolver::on_timeout(Nanoseconds now) {
  for (auto& [id, port] : ports_) {
    if (port.announce_at > now) continue;
    port.announce_at = kNever;
    announce(port);
  }
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const Key key = deadlines_.begin()->second;
    on_deadline(now, entries_.at(key));
  }
}

Nanoseconds Resolver::next_timeout() const {
  Nanoseconds next = deadlines_.empty() ? kNever : deadlines_.begin()->first;
  for (const auto& [id, port] : ports_) next = std::min(next, port.announce_at);
  return next;
}

// --- outputs ------------------------------------------------------------------------------------

std::optional<Effect> Resolver::poll() {
  if (effects_.empty()) return std::nullopt;
  Effect effect = std::move(effects_.front());
  effects_.pop_front();
  return effect;
}

std::vector<NeighbourState> Resolver::list(Nanoseconds now) const {
  std::vector<NeighbourState> all;
  all.reserve(entries_.size());
  for (const auto& [key, entry] : entries_) {
    all.push_back({{key.port, key.address, entry.resolved() ? entry.mac : MacAddress{}},
                   entry.state,
                   now - entry.since,
                   entry.queue.size()});
  }
  return all;
}

}  // namespace penstock::neighbour
