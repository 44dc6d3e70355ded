#include "dataplane/route/fib.h"

#include <cstring>
#include <tuple>
#include <utility>

namespace penstock {
namespace {

constexpr uint32_t kMaxNextHops = 1U << 16;

// The broadcast address of a connected IPv4 network, where it has one (RFC 3021: /31 has none).
std::optional<IpAddress> broadcast_of(const IpPrefix& network) {
  if (!network.address.is_v4() || network.length > 30) return std::nullopt;
  const uint32_t host_bits = network.length == 0 ? UINT32_MAX : (1U << (32 - network.length)) - 1;
  return IpAddress(Ipv4Address::from_host(network.address.v4().host() | host_bits));
}

NextHopEntry::Kind kind_of(NextHop::Kind kind) {
  switch (kind) {
    case NextHop::Kind::kBlackhole:
      return NextHopEntry::Kind::kBlackhole;
    case NextHop::Kind::kLocal:
      return NextHopEntry::Kind::kLocal;
    case NextHop::Kind::kConnected:
      return NextHopEntry::Kind::kConnected;
    case NextHop::Kind::kGateway:
      return NextHopEntry::Kind::kGateway;
    case NextHop::Kind::kTunnel:
      return NextHopEntry::Kind::kTunnel;
  }
  return NextHopEntry::Kind::kNone;
}

}  // namespace

bool Fib::NextHopOrder::operator()(const NextHop& a, const NextHop& b) const {
  return std::tie(a.kind, a.port, a.interface, a.gateway) <
         std::tie(b.kind, b.port, b.interface, b.gateway);
}

Result<std::unique_ptr<Fib>> Fib::create(std::vector<FibPort> ports, size_t capacity_bytes,
                                         TrieDefer defer) {
  if (ports.size() > kMaxPorts) return errorf("more than %zu ports", kMaxPorts);
  std::unique_ptr<Fib> fib(new Fib);
  PENSTOCK_TRY(fib->trie_, IpPrefixTrie::create(capacity_bytes, defer));
  fib->read_v4_ = fib->trie_->v4().reader();
  fib->read_v6_ = fib->trie_->v6().reader();
  fib->defer_ = std::move(defer);
  fib->ports_ = std::move(ports);
  fib->next_hops_ = std::make_unique<NextHopEntry[]>(kMaxNextHops);
  for (uint32_t i = kMaxNextHops; i-- > 1;) fib->free_next_hops_.push_back(i);
  PENSTOCK_TRY(fib->broadcast_index_, fib->allocate());
  fib->next_hops_[fib->broadcast_index_].kind = NextHopEntry::Kind::kBroadcast;
  return fib;
}

// --- next hops ---------------------------------------------------------------------------------

Result<uint32_t> Fib::allocate() {
  if (free_next_hops_.empty()) return errorf("all %u next hops are in use", kMaxNextHops - 1);
  const uint32_t index = free_next_hops_.back();
  free_next_hops_.pop_back();
  return index;
}

void Fib::release(uint32_t index) {
  defer_([this, index] {
    NextHopEntry& entry = next_hops_[index];
    entry.ethernet_start.store(0, std::memory_order_relaxed);
    entry.kind = NextHopEntry::Kind::kNone;
    free_next_hops_.push_back(index);
  });
}

Result<uint32_t> Fib::acquire_next_hop(const NextHop& next_hop) {
  SharedNextHop& shared = shared_[next_hop];
  if (shared.users > 0) {
    ++shared.users;
    return shared.index;
  }
  auto index = allocate();
  if (!index.ok()) {
    shared_.erase(next_hop);
    return index;
  }
  shared = {*index, 1};
  NextHopEntry& entry = next_hops_[*index];
  entry.port = static_cast<uint16_t>(next_hop.port.value);
  entry.interface = static_cast<uint16_t>(next_hop.interface.value);
  entry.gateway = next_hop.gateway;
  entry.mtu = next_hop.kind == NextHop::Kind::kTunnel ? interface_mtu_[next_hop.interface.value]
              : next_hop.port.valid()                 ? ports_[next_hop.port.value].mtu
                                                      : uint16_t{0};
  entry.kind = kind_of(next_hop.kind);
  if (next_hop.kind == NextHop::Kind::kGateway) {
    const auto neighbour = neighbours_.find({next_hop.port, next_hop.gateway});
    if (neighbour != neighbours_.end()) resolve(*index, next_hop.port, neighbour->second.mac);
  }
  return *index;
}

void Fib::drop_next_hop(const NextHop& next_hop) {
  const auto found = shared_.find(next_hop);
  if (found == shared_.end() || --found->second.users > 0) return;
  release(found->second.index);
  shared_.erase(found);
}

void Fib::resolve(uint32_t index, PortId port, const MacAddress& mac) {
  uint8_t header[12];
  std::memcpy(header, mac.bytes.data(), 6);
  std::memcpy(header + 6, ports_[port.value].mac.bytes.data(), 6);
  NextHopEntry& entry = next_hops_[index];
  entry.ethernet_source_rest = load_unaligned<uint32_t>(header + 8);
  entry.ethernet_start.store(load_unaligned<uint64_t>(header), std::memory_order_release);
}

// --- routes ------------------------------------------------------------------------------------

Status Fib::set_route(const IpPrefix& prefix, const NextHop& next_hop) {
  const bool needs_port =
      next_hop.kind == NextHop::Kind::kConnected || next_hop.kind == NextHop::Kind::kGateway;
  if (needs_port && next_hop.port.value >= ports_.size()) {
    return errorf("route %s: no such port", prefix.to_string().c_str());
  }
  if (next_hop.kind == NextHop::Kind::kTunnel && next_hop.interface.value >= kMaxInterfaces) {
    return errorf("route %s: no such interface", prefix.to_string().c_str());
  }
  const auto existing = routes_.find(prefix);
  if (existing != routes_.end() && existing->second == next_hop) return {};
  PENSTOCK_TRY(const uint32_t index, acquire_next_hop(next_hop));
  if (auto status = trie_->set(prefix, index); !status.ok()) {
    drop_next_hop(next_hop);
    return status;
  }
  changed();
  if (existing != routes_.end()) {
    const NextHop replaced = std::exchange(existing->second, next_hop);
    drop_next_hop(replaced);
    forget_kind(prefix, replaced);
  } else {
    routes_.emplace(prefix, next_hop);
    ipv4_routes_ += prefix.address.is_v4() ? 1 : 0;
  }
  if (next_hop.kind == NextHop::Kind::kConnected) {
    connected_[prefix] = next_hop.port;
  } else if (next_hop.kind == NextHop::Kind::kLocal) {
    locals_[prefix] = next_hop;
    refresh_own_addresses();
  }
  sync_network(prefix);
  return {};
}

// Ends what a route of this kind implied beside its own entry.
void Fib::forget_kind(const IpPrefix& prefix, const NextHop& next_hop) {
  if (next_hop.kind == NextHop::Kind::kConnected) {
    connected_.erase(prefix);
    if (const auto broadcast = broadcast_of(prefix)) (void)sync_host(*broadcast);
  } else if (next_hop.kind == NextHop::Kind::kLocal) {
    locals_.erase(prefix);
    refresh_own_addresses();
  }
}

void Fib::remove_route(const IpPrefix& prefix) {
  const auto found = routes_.find(prefix);
  if (found == routes_.end()) return;
  const NextHop next_hop = found->second;
  routes_.erase(found);
  ipv4_routes_ -= prefix.address.is_v4() ? 1 : 0;
  trie_->remove(prefix);
  changed();
  drop_next_hop(next_hop);
  forget_kind(prefix, next_hop);
  if (prefix.is_host()) (void)sync_host(prefix.address);  // an implied entry may come back
  sync_network(prefix);
}

std::vector<RouteInfo> Fib::routes() const {
  std::vector<RouteInfo> list;
  list.reserve(routes_.size());
  for (const auto& [prefix, next_hop] : routes_) list.push_back({prefix, next_hop});
  return list;
}

void Fib::set_interface_mtu(InterfaceId interface, uint16_t mtu) {
  interface_mtu_[interface.value] = mtu;
  for (const auto& [next_hop, shared] : shared_) {
    if (next_hop.kind == NextHop::Kind::kTunnel && next_hop.interface == interface) {
      next_hops_[shared.index].mtu = mtu;
    }
  }
}

// --- neighbours and other host entries that routes imply ---------------------------------------

Status Fib::set_neighbour(PortId port, const IpAddress& address, const MacAddress& mac) {
  if (port.value >= ports_.size())
    return errorf("neighbour %s: no such port", address.to_string().c_str());
  auto [found, inserted] = neighbours_.try_emplace({port, address});
  Neighbour& neighbour = found->second;
  if (inserted) {
    auto index = allocate();
    if (!index.ok()) {
      neighbours_.erase(found);
      return std::move(index).error();
    }
    neighbour.index = *index;
    NextHopEntry& entry = next_hops_[*index];
    entry.kind = NextHopEntry::Kind::kNeighbour;
    entry.port = static_cast<uint16_t>(port.value);
    entry.mtu = ports_[port.value].mtu;
    entry.gateway = address;
  }
  neighbour.mac = mac;
  resolve(neighbour.index, port, mac);
  const NextHop via{NextHop::Kind::kGateway, port, {}, address};
  if (const auto gateway = shared_.find(via); gateway != shared_.end()) {
    resolve(gateway->second.index, port, mac);
  }
  return inserted ? sync_host(address) : Status();
}

void Fib::remove_neighbour(PortId port, const IpAddress& address) {
  const auto found = neighbours_.find({port, address});
  if (found == neighbours_.end()) return;
  const uint32_t index = found->second.index;
  neighbours_.erase(found);
  const NextHop via{NextHop::Kind::kGateway, port, {}, address};
  if (const auto gateway = shared_.find(via); gateway != shared_.end()) {
    next_hops_[gateway->second.index].ethernet_start.store(0, std::memory_order_release);
  }
  (void)sync_host(address);
  release(index);
}

// The longest configured route over an address, or nullptr.
const Fib::Route* Fib::covering_route(const IpAddress& address) const {
  for (unsigned length = address.bits() + 1; length-- > 0;) {
    const auto found = routes_.find(IpPrefix::make(address, length));
    if (found != routes_.end()) return &*found;
  }
  return nullptr;
}

// What a host address leads to beside its configured route: a neighbour on the network that it is
// connected by, or that network's broadcast. Only where that network's route is the one that rules
// the address: no neighbour may draw packets out of a longer route, into clear text least of all.
uint32_t Fib::implied_host_value(const IpAddress& address) const {
  const Route* route = covering_route(address);
  if (route == nullptr || route->second.kind != NextHop::Kind::kConnected) return kNoNextHop;
  if (broadcast_of(route->first) == address) return broadcast_index_;
  const auto neighbour = neighbours_.find({route->second.port, address});
  return neighbour != neighbours_.end() ? neighbour->second.index : kNoNextHop;
}

Status Fib::sync_host(const IpAddress& address) {
  const IpPrefix host = IpPrefix::host(address);
  const auto configured = routes_.find(host);
  uint32_t value = implied_host_value(address);
  if (value == kNoNextHop && configured != routes_.end()) {
    value = shared_.at(configured->second).index;
  }
  if (value == kNoNextHop) {
    trie_->remove(host);
  } else if (auto status = trie_->set(host, value); !status.ok()) {
    return status;
  }
  changed();
  return {};
}

// After a route was set or removed: the addresses under it that imply entries of their own.
void Fib::sync_network(const IpPrefix& network) {
  for (const auto& [connected, port] : connected_) {
    const auto broadcast = broadcast_of(connected);
    if (broadcast && network.contains(*broadcast)) (void)sync_host(*broadcast);
  }
  for (uint32_t port = 0; port < ports_.size(); ++port) {
    auto at = neighbours_.lower_bound({PortId{port}, network.address});
    for (; at != neighbours_.end() && at->first.first == PortId{port}; ++at) {
      const IpAddress& address = at->first.second;
      if (network.contains(address)) {
        (void)sync_host(address);
      } else if (address.family() == network.address.family()) {
        break;  // addresses ascend
      }
    }
  }
}

void Fib::refresh_own_addresses() {
  bool v4_found[2][kMaxInterfaces] = {};
  bool v6_found[2][kMaxInterfaces] = {};
  for (const auto& [prefix, next_hop] : locals_) {
    const bool of_port = next_hop.port.valid();
    const uint32_t id = of_port ? next_hop.port.value : next_hop.interface.value;
    if (id >= (of_port ? kMaxPorts : kMaxInterfaces)) continue;
    OwnAddress& own = of_port ? port_addresses_[id] : interface_addresses_[id];
    const uint8_t* bytes = prefix.address.bytes().data();
    if (prefix.address.is_v4()) {
      if (std::exchange(v4_found[of_port][id], true)) continue;
      own.v4.store(load_unaligned<uint32_t>(bytes), std::memory_order_relaxed);
    } else if (!prefix.address.is_link_local()) {
      if (std::exchange(v6_found[of_port][id], true)) continue;
      own.v6[0].store(load_unaligned<uint64_t>(bytes), std::memory_order_relaxed);
      own.v6[1].store(load_unaligned<uint64_t>(bytes + 8), std::memory_order_relaxed);
    }
  }
  for (uint32_t id = 0; id < kMaxInterfaces; ++id) {
    for (const bool of_port : {false, true}) {
      if (of_port && id >= kMaxPorts) continue;
      OwnAddress& own = of_port ? port_addresses_[id] : interface_addresses_[id];
      if (!v4_found[of_port][id]) own.v4.store(0, std::memory_order_relaxed);
      if (!v6_found[of_port][id]) {
        own.v6[0].store(0, std::memory_order_relaxed);
        own.v6[1].store(0, std::memory_order_relaxed);
      }
    }
  }
}

}  // namespace penstock
