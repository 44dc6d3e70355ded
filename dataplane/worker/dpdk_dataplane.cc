// The control thread's side: tables, routes, tunnels and events.
#include "dataplane/worker/dpdk_dataplane.h"

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>

#include "dataplane/wire/ecn.h"
#include "gateway/base/log.h"

namespace penstock {
namespace {

// Of address space per family and table; pages are taken as nodes are made.
constexpr size_t kTrieCapacityBytes = size_t{1} << 30;

}  // namespace

Defer DpdkDataplane::deferrer() {
  return [this](std::function<void()> fn) { reclaimer_->defer(std::move(fn)); };
}

// --- routes ------------------------------------------------------------------------------------

Status DpdkDataplane::set_route(const IpPrefix& prefix, const NextHop& next_hop) {
  Fib& fib = *tables_->fib;
  if (!fib.has_route(prefix) && fib.route_count(prefix.address.family()) >= config_.max_routes) {
    return errorf("route %s: there are %u already (limits.max_routes)", prefix.to_string().c_str(),
                  config_.max_routes);
  }
  PENSTOCK_CHECK(fib.set_route(prefix, next_hop));
  // Only what leads out of a port, or is an address there, can give a tunnel its outer header.
  if (next_hop.port.valid()) retry_headers();
  return {};
}

void DpdkDataplane::remove_route(const IpPrefix& prefix) { tables_->fib->remove_route(prefix); }

std::vector<RouteInfo> DpdkDataplane::routes() const { return tables_->fib->routes(); }

Status DpdkDataplane::set_neighbour(PortId port, const IpAddress& address, const MacAddress& mac) {
  return tables_->fib->set_neighbour(port, address, mac);
}

void DpdkDataplane::remove_neighbour(PortId port, const IpAddress& address) {
  tables_->fib->remove_neighbour(port, address);
}

// --- interfaces --------------------------------------------------------------------------------

Result<InterfaceId> DpdkDataplane::add_interface(const InterfaceSpec& spec) {
  uint32_t id = 0;
  while (id < kMaxInterfaces && interfaces_[id].used) ++id;
  if (id == kMaxInterfaces) return errorf("more than %zu tunnel interfaces", kMaxInterfaces);
  const InterfaceId interface { id };
  Interface& own = interfaces_[id];
  own.spec = InterfaceSpec{};
  if (spec.protocol == TunnelProtocol::kWireguard) {
    PENSTOCK_TRY(own.allowed_ips, IpPrefixTrie::create(kTrieCapacityBytes, deferrer()));
  }
  if (const Status updated = update_interface(interface, spec); !updated.ok()) {
    retire(own);
    return updated.error();
  }
  own.used = true;
  tables_->interfaces[id].protocol.store(spec.protocol, std::memory_order_relaxed);
  tables_->interfaces[id].allowed_ips.store(own.allowed_ips.get(), std::memory_order_release);
  return interface;
}

Status DpdkDataplane::update_interface(InterfaceId interface, const InterfaceSpec& spec) {
  Interface& own = interfaces_[interface.value];
  const auto tag = static_cast<uint8_t>(interface.value + 1);
  auto& listener = tables_->listeners[Be16(spec.listen_port).raw()];
  if (spec.listen_port != 0 && listener >= kListenerIke) {
    return errorf("UDP port %u belongs to IKE", spec.listen_port);
  }
  if (spec.listen_port != 0 && listener != 0 && listener != tag) {
    return errorf("UDP port %u is the listen port of %s already", spec.listen_port,
                  interfaces_[listener - 1U].spec.name.c_str());
  }
  const uint16_t old_port = own.spec.listen_port;
  if (old_port != 0 && old_port != spec.listen_port) {
    tables_->listeners[Be16(old_port).raw()].store(0, std::memory_order_relaxed);
  }
  if (spec.listen_port != 0) listener.store(tag, std::memory_order_relaxed);
  InterfaceRuntime& runtime = tables_->interfaces[interface.value];
  runtime.mtu.store(spec.mtu, std::memory_order_relaxed);
  runtime.traffic_class_mask.store(
      spec.dscp == DscpMode::kCopy ? kTrafficClassAll : kTrafficClassEcnOnly,
      std::memory_order_relaxed);
  tables_->fib->set_interface_mtu(interface, spec.mtu);
  own.spec = spec;
  if (old_port != spec.listen_port) {
    for (uint32_t id = 0; id < endpoints_.size(); ++id) {
      const TunnelId tunnel{id};
      if (endpoints_[id].known && tables_->tunnels->exists(tunnel) &&
          tables_->tunnels->interface_of(tunnel) == interface) {
        write_header(tunnel);
      }
    }
  }
  return {};
}

void DpdkDataplane::remove_interface(InterfaceId interface) {
  Interface& own = interfaces_[interface.value];
  if (!own.used) return;
  if (own.spec.listen_port != 0) {
    tables_->listeners[Be16(own.spec.listen_port).raw()].store(0, std::memory_order_relaxed);
  }
  tables_->interfaces[interface.value].allowed_ips.store(nullptr, std::memory_order_release);
  tables_->interfaces[interface.value].policies.store(nullptr, std::memory_order_release);
  std::erase_if(policies_, [&](const auto& one) { return one.second == interface.value; });
  retire(own);
}

// Workers may hold the tables for the rest of their turn.
void DpdkDataplane::retire(Interface& interface) {
  const std::shared_ptr<IpPrefixTrie> allowed_ips = std::move(interface.allowed_ips);
  const std::shared_ptr<PolicyTable> policies = std::move(interface.policies);
  interface = Interface{};
  if (allowed_ips != nullptr || policies != nullptr) reclaimer_->defer([allowed_ips, policies] {});
}

Status DpdkDataplane::set_allowed_ip(InterfaceId interface, const IpPrefix& prefix,
                                     TunnelId tunnel) {
  IpPrefixTrie* allowed = interfaces_[interface.value].allowed_ips.get();
  if (allowed == nullptr)
    return errorf("allowed IP %s: no such interface", prefix.to_string().c_str());
  return allowed->set(prefix, tunnel.value + 1);
}

void DpdkDataplane::remove_allowed_ip(InterfaceId interface, const IpPrefix& prefix) {
  IpPrefixTrie* allowed = interfaces_[interface.value].allowed_ips.get();
  if (allowed != nullptr) allowed->remove(prefix);
}

// --- policies and IKE --------------------------------------------------------------------------

Result<PolicyId> DpdkDataplane::add_policy(const PolicySpec& spec) {
  const uint32_t id = spec.interface.valid() ? spec.interface.value : kPolicyInterface.value;
  const bool known =
      id == kPolicyInterface.value || (id < kMaxInterfaces && interfaces_[id].used &&
                                       interfaces_[id].spec.protocol == TunnelProtocol::kEsp);
  if (!known) return errorf("a policy of an interface that is none of ESP");
  if (spec.action == PolicyAction::kProtect) {
    const TunnelTables& tunnels = *tables_->tunnels;
    if (!tunnels.exists(spec.tunnel) || tunnels.protocol_of(spec.tunnel) != TunnelProtocol::kEsp ||
        tunnels.interface_of(spec.tunnel).value != id) {
      return errorf("a policy that protects by a tunnel that is none of its interface");
    }
  }
  Interface& own = interfaces_[id];
  const bool first = own.policies == nullptr;
  if (first) own.policies = std::make_unique<PolicyTable>(deferrer());
  const PolicyId policy{next_policy_};
  PENSTOCK_CHECK(own.policies->add(policy, spec));
  next_policy_ = next_policy_ + 1 == PolicyId::kNone ? 0 : next_policy_ + 1;
  policies_[policy.value] = id;
  if (first) {
    tables_->interfaces[id].policies.store(own.policies.get(), std::memory_order_release);
  }
  return policy;
}

void DpdkDataplane::remove_policy(PolicyId policy) {
  const auto found = policies_.find(policy.value);
  if (found == policies_.end()) return;
  interfaces_[found->second].policies->remove(policy);
  policies_.erase(found);
}

void DpdkDataplane::listen_ike(bool listen) {
  for (const auto& [port, tag] : {std::pair{kIkePort, kListenerIke},
                                  std::pair{kIkeNatTraversalPort, kListenerNatTraversal}}) {
    auto& listener = tables_->listeners[Be16(port).raw()];
    if (listener != 0 && listener != tag) {
      log_error("UDP port %u stays with %s: no IKE there", port,
                interfaces_[listener - 1U].spec.name.c_str());
      continue;
    }
    listener.store(listen ? tag : uint8_t{0}, std::memory_order_relaxed);
  }
  tables_->accept_esp.store(listen, std::memory_order_relaxed);
}

// --- tunnels and SAs ---------------------------------------------------------------------------

Result<TunnelId> DpdkDataplane::add_tunnel(const TunnelSpec& spec) {
  if (spec.interface.valid() &&
      (spec.interface.value >= kMaxInterfaces || !interfaces_[spec.interface.value].used ||
       interfaces_[spec.interface.value].spec.protocol != spec.protocol)) {
    return errorf("a tunnel of an interface that is none of its protocol");
  }
  PENSTOCK_TRY(const TunnelId tunnel, tables_->tunnels->add_tunnel(spec));
  endpoints_[tunnel.value] = TunnelEndpoint{};
  return tunnel;
}

void DpdkDataplane::remove_tunnel(TunnelId tunnel) {
  tables_->tunnels->remove_tunnel(tunnel, deferrer());
  headerless_.erase(tunnel.value);
}

Status DpdkDataplane::set_tunnel_selectors(TunnelId tunnel,
                                           std::span<const SelectorPair> selectors) {
  return tables_->tunnels->set_selectors(tunnel, selectors, deferrer());
}

void DpdkDataplane::set_tunnel_endpoint(TunnelId tunnel, const Endpoint& remote,
                                        const IpAddress& local, Encapsulation encapsulation) {
  if (!tables_->tunnels->exists(tunnel)) return;
  const bool esp = tables_->tunnels->protocol_of(tunnel) == TunnelProtocol::kEsp;
  endpoints_[tunnel.value] = {true, remote, local, esp ? encapsulation : Encapsulation::kUdp};
  write_header(tunnel);
}

// The address of ours that packets to `remote` carry; unspecified where no route leads there.
IpAddress DpdkDataplane::source_for(const IpAddress& remote) const {
  const NextHopEntry& next_hop = tables_->fib->find(remote);
  if (!next_hop.is_port()) return {};
  const OwnAddress& own = tables_->fib->port_address(next_hop.port);
  if (remote.is_v4()) {
    Ipv4Address address;
    store_unaligned(address.bytes.data(), own.v4.load(std::memory_order_relaxed));
    return address;
  }
  Ipv6Address address;
  store_unaligned(address.bytes.data(), own.v6[0].load(std::memory_order_relaxed));
  store_unaligned(address.bytes.data() + 8, own.v6[1].load(std::memory_order_relaxed));
  return address;
}

std::optional<IpAddress> DpdkDataplane::source_address_for(const IpAddress& remote) const {
  const IpAddress address = source_for(remote);
  if (address.is_unspecified()) return std::nullopt;
  return address;
}

void DpdkDataplane::write_header(TunnelId tunnel) {
  const TunnelEndpoint& endpoint = endpoints_[tunnel.value];
  const IpAddress local =
      endpoint.local.is_unspecified() ? source_for(endpoint.remote.address) : endpoint.local;
  uint8_t header[kMaxOuterHeader] = {};
  const TunnelTables& tunnels = *tables_->tunnels;
  const uint16_t port = tunnels.protocol_of(tunnel) == TunnelProtocol::kEsp
                            ? kIkeNatTraversalPort
                            : interfaces_[tunnels.interface_of(tunnel).value].spec.listen_port;
  const bool complete =
      !local.is_unspecified() &&
      build_outer_header(Endpoint{local, port}, endpoint.remote, header, endpoint.encapsulation);
  tables_->tunnels->set_header(tunnel, header);
  if (complete) {
    headerless_.erase(tunnel.value);
  } else {
    headerless_.insert(tunnel.value);
  }
}

// A new route may lead to endpoints that none led to.
void DpdkDataplane::retry_headers() {
  const std::set<uint32_t> waiting = headerless_;
  for (const uint32_t id : waiting) write_header(TunnelId{id});
}

Result<uint32_t> DpdkDataplane::reserve_inbound_index() {
  return tables_->tunnels->reserve_inbound_index();
}
void DpdkDataplane::release_inbound_index(uint32_t index) {
  tables_->tunnels->release_inbound_index(index);
}
Status DpdkDataplane::install_inbound_sa(const InboundSaSpec& spec) {
  if (spec.owner.valid() && spec.owner.value >= workers_.size()) {
    return errorf("inbound SA for a worker that does not exist");
  }
  return tables_->tunnels->install_inbound(spec);
}
void DpdkDataplane::remove_inbound_sa(uint32_t index) {
  tables_->tunnels->remove_inbound(index, deferrer());
}
Result<SaHandle> DpdkDataplane::install_outbound_sa(const OutboundSaSpec& spec) {
  OutboundSaSpec complete = spec;
  // One worker for all SAs of a tunnel: its packets stay in order over a rekey.
  if (!complete.owner.valid()) {
    complete.owner = WorkerId{static_cast<uint32_t>(spec.tunnel.value % workers_.size())};
  }
  if (complete.owner.value >= workers_.size()) {
    return errorf("outbound SA for a worker that does not exist");
  }
  return tables_->tunnels->install_outbound(complete);
}
void DpdkDataplane::set_current_outbound(TunnelId tunnel, SaHandle sa) {
  tables_->tunnels->set_current_outbound(tunnel, sa);
}
SaHandle DpdkDataplane::current_outbound(TunnelId tunnel) const {
  return tables_->tunnels->current_outbound(tunnel);
}
void DpdkDataplane::remove_outbound_sa(SaHandle sa) {
  tables_->tunnels->remove_outbound(sa, deferrer());
}

// --- events and counters -----------------------------------------------------------------------

size_t DpdkDataplane::poll_events(bool activity,
                                  const std::function<void(const TunnelEvents&)>& deliver) {
  return tables_->tunnels->poll_events(activity, deliver);
}

void DpdkDataplane::poll_reclaim() { reclaimer_->poll(); }

std::vector<WorkerCounters> DpdkDataplane::worker_counters() const {
  std::vector<WorkerCounters> list;
  for (const auto& worker : workers_) {
    const PipelineCounters& from = worker->pipeline().counters();
    WorkerCounters counters;
    counters.id = WorkerId{worker->options().id};
    counters.lcore = worker->options().lcore;
    counters.turns = worker->turns();
    counters.idle_turns = worker->idle_turns();
    counters.sleeps = worker->sleeps();
    counters.rx_packets = from.rx_packets.get();
    counters.tx_packets = from.tx_packets.get();
    counters.punts = from.punts.get();
    counters.injects = from.injects.get();
    counters.hand_overs = from.hand_overs.get();
    counters.lent_batches = from.lent_batches.get();
    counters.taken_back_batches = from.taken_back_batches.get();
    counters.late_batches = from.late_batches.get();
    counters.helped_batches = from.helped_batches.get();
    for (size_t i = 0; i < kDropReasonCount; ++i) counters.drops[i] = from.drops[i].get();
    list.push_back(counters);
  }
  return list;
}

DropCounters DpdkDataplane::control_drops() const { return control_drops_; }

TunnelCounters DpdkDataplane::tunnel_counters(TunnelId tunnel) const {
  return tables_->tunnels->counters(tunnel);
}

SaCounters DpdkDataplane::inbound_sa_counters(uint32_t index) const {
  return tables_->tunnels->inbound_counters(index);
}
SaCounters DpdkDataplane::outbound_sa_counters(SaHandle sa) const {
  return tables_->tunnels->outbound_counters(sa);
}

void DpdkDataplane::count_drop(DropReason reason, uint64_t packets) {
  control_drops_[static_cast<size_t>(reason)] += packets;
}

}  // namespace penstock
