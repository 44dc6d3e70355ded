// Bringing the gateway up, in the order that keeps clear text in: before a port moves its first
// packet, every route and allowed IP that leads into a tunnel is there.
#include <signal.h>

#include <algorithm>

#include "controlplane/driver/placement.h"
#include "controlplane/driver/uapi_server.h"
#include "gateway/app/dataplane_config.h"
#include "gateway/app/gateway.h"
#include "gateway/base/log.h"

namespace penstock::app {

Status Gateway::open() {
  PENSTOCK_TRY(lock_, InstanceLock::take(config_.control_socket + ".lock"));
  PENSTOCK_TRY(timestamps_, TimestampStore::open(config_.state_dir));
  PENSTOCK_TRY(loop_, EventLoop::create());
  // Before other threads start, so that they leave the signals to this one.
  PENSTOCK_CHECK(loop_->on_signal(SIGTERM, [this] { stop(); }));
  PENSTOCK_CHECK(loop_->on_signal(SIGINT, [this] { stop(); }));
  PENSTOCK_CHECK(loop_->on_signal(SIGHUP, [this] { reload(); }));
  PENSTOCK_CHECK(open_dataplane());
  routes_ = std::make_unique<RouteBook>(*dataplane_);
  neighbours_ =
      std::make_unique<NeighbourDriver>(*dataplane_, random_, neighbour_limits_of(config_));
  for (const PortInfo& info : dataplane_->ports()) PENSTOCK_CHECK(add_port(info));
  for (const config::RouteConfig& route : config_.routes) {
    if (route.kind == config::RouteConfig::Kind::kInterface) continue;  // it is not there yet
    PENSTOCK_CHECK(add_configured_route(route));
  }
  PENSTOCK_CHECK(add_interfaces());
  if (config_.ipsec.enabled) PENSTOCK_CHECK(add_ipsec());
  for (const config::RouteConfig& route : config_.routes) {
    if (route.kind != config::RouteConfig::Kind::kInterface) continue;
    PENSTOCK_CHECK(add_configured_route(route));
  }
  PENSTOCK_CHECK(open_servers());
  return dataplane_->start();
}

Status Gateway::open_dataplane() {
  PENSTOCK_CHECK(check_devices(config_));
  const std::vector<unsigned> usable = allowed_cpus();
  const std::vector<unsigned> workers = worker_cpus_of(config_, usable);
  const std::vector<unsigned> others = cpus_beside(usable, workers);
  PENSTOCK_TRY(dataplane_, DpdkDataplane::create(dataplane_config_of(config_, workers), random_));
  // The EAL has pinned this thread; threads that it starts inherit that.
  set_thread_cpus(config_.control_cpu ? std::vector<unsigned>{*config_.control_cpu} : others);
  ComputePoolOptions options;
  options.threads = compute_threads_of(config_);
  options.cpus = others;
  pool_ = std::make_unique<ComputePool>(*loop_, options);
  helper_ = std::make_unique<HostHelper>(*loop_);
  return {};
}

Status Gateway::add_port(const PortInfo& info) {
  const config::PortConfig& port = config_.ports[info.id.value];
  // Virtual addresses of IPsec clients may lie in the network of a port on the inside.
  const bool proxies = config_.ipsec.enabled && port.role != PortRole::kOutside;
  PENSTOCK_TRY(const std::vector<InterfaceAddress> addresses,
               neighbours_->add_port(neighbour_port_of(port, info), proxies));
  NextHop next_hop;
  next_hop.port = info.id;
  for (const InterfaceAddress& address : addresses) {
    next_hop.kind = NextHop::Kind::kLocal;
    const Status local = routes_->add_fixed(IpPrefix::host(address.address), next_hop);
    if (address.address.is_link_local()) {
      // Every port has the link-local network, so there is no route to it; and ports that share a
      // MAC address, such as VLANs of one, share the address.
      continue;
    }
    PENSTOCK_CHECK(local);
    if (address.network().is_host()) continue;
    next_hop.kind = NextHop::Kind::kConnected;
    PENSTOCK_CHECK(routes_->add_fixed(address.network(), next_hop));
  }
  return {};
}

Status Gateway::add_configured_route(const config::RouteConfig& route) {
  using Kind = config::RouteConfig::Kind;
  NextHop next_hop;
  if (route.kind == Kind::kInterface) {
    next_hop.kind = NextHop::Kind::kTunnel;
    if (const WireguardInterface* const interface = wireguard_->find(route.interface)) {
      next_hop.interface = interface->id();
    } else if (const auto* const esp = ike_ ? ike_->find(route.interface) : nullptr) {
      next_hop.interface = esp->id;
    } else {
      return errorf("route: no interface %s", route.interface.c_str());
    }
  } else if (route.kind != Kind::kBlackhole) {
    const auto port =
        std::find_if(config_.ports.begin(), config_.ports.end(),
                     [&](const config::PortConfig& one) { return one.name == route.port; });
    if (port == config_.ports.end()) return errorf("route: no port %s", route.port.c_str());
    next_hop.kind = route.kind == Kind::kPort ? NextHop::Kind::kConnected : NextHop::Kind::kGateway;
    next_hop.port = PortId{static_cast<uint32_t>(port - config_.ports.begin())};
    if (route.kind == Kind::kGateway) next_hop.gateway = route.gateway;
  }
  return routes_->add_fixed(route.prefix, next_hop);
}

Status Gateway::add_interfaces() {
  wireguard_ = std::make_unique<WireguardGateway>(*dataplane_, *pool_, *routes_, *timestamps_,
                                                  random_, tunnels_, config_.limits.max_tunnels);
  for (const config::WireguardConfig& one : config_.wireguards) {
    WireguardOptions options;
    options.spec.name = one.name;
    options.spec.mtu = one.mtu;
    options.spec.dscp = one.dscp;
    options.addresses = one.addresses;
    options.routes = one.routes;
    options.limits = wireguard_limits_of(config_);
    options.timers = wireguard_timers_of(config_.timers);
    PENSTOCK_TRY(const WireguardInterface* const interface, wireguard_->add(options, one.device));
    log_info("%s: %zu peers, UDP port %u", one.name.c_str(), interface->peer_count(),
             interface->listen_port());
  }
  endpoint_names_ = std::make_unique<EndpointNames>(*loop_, *helper_, *wireguard_);
  for (const config::WireguardConfig& one : config_.wireguards) {
    endpoint_names_->set(one.name, one.unresolved);
  }
  return {};
}

Status Gateway::add_ipsec() {
  const IkeContext context{*dataplane_, *pool_, *helper_, *routes_, random_, tunnels_};
  PENSTOCK_TRY(ike_, IkeGateway::create(context, ike_options_of(config_)));
  ike_->set_lease_listener(
      [this](const IpAddress& address, bool leased) { neighbours_->set_proxy(address, leased); });
  vici_backend_.emplace(ike_->engine(), *ike_);
  log_info("ipsec: IKEv2 on UDP ports %u and %u, %zu interfaces", kIkePort, kIkeNatTraversalPort,
           ike_->interfaces().size());
  return {};
}

Status Gateway::open_servers() {
  poller_ = std::make_unique<DataplanePoller>(
      *dataplane_,
      [this](const PuntedPacket& packet) {
        switch (packet.kind) {
          case PuntKind::kArp:
          case PuntKind::kNeighbourDiscovery:
          case PuntKind::kNeedNeighbour:
            neighbours_->on_punt(packet);
            return;
          case PuntKind::kHandshake:
            wireguard_->on_handshake(packet);
            return;
          case PuntKind::kNeedSession:
            if (tunnels_.need_session(packet)) return;
            break;  // its owner has given it up
          case PuntKind::kIke:
          case PuntKind::kUnknownSpi:
            if (ike_ == nullptr) break;
            ike_->on_punt(packet);
            return;
        }
        dataplane_->count_drop(DropReason::kHostDropped, 1);
      },
      [this](const TunnelEvents& events) { tunnels_.events(events); });
  loop_->add_service(poller_.get());
  loop_->add_service(wireguard_.get());
  if (ike_) loop_->add_service(ike_.get());
  loop_->add_service(neighbours_.get());
  // Static neighbours, before the first packet.
  while (neighbours_->turn(boot_time_ns())) {
  }
  for (const auto& interface : wireguard_->interfaces()) {
    PENSTOCK_TRY(auto server, make_uapi_server(*loop_, *interface, config_.wireguard_dir));
    servers_.push_back(std::move(server));
  }
  if (ike_) {
    vici::ServerOptions options;
    options.path = config_.ipsec.vici_socket;
    options.version = PENSTOCK_VERSION;
    options.compute_threads = compute_threads_of(config_);
    options.defaults.require_pfs = config_.ipsec.require_pfs;
    options.reload_settings = [this] { reload(); };
    PENSTOCK_TRY(vici_, vici::Server::create(*loop_, options, *vici_backend_, ike_->credentials()));
    ike_->set_listener([this](const ike::Notify& notify) { vici_->on_notify(notify); });
  }
  control_sources_.emplace(ControlSources{PENSTOCK_VERSION, *dataplane_, *wireguard_, ike_.get(),
                                          [this] { return neighbours_->status(); },
                                          boot_time_ns()});
  PENSTOCK_TRY(auto control,
               make_control_server(*loop_, config_.control_socket, *control_sources_));
  servers_.push_back(std::move(control));
  return {};
}

}  // namespace penstock::app
