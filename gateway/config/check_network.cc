#include <algorithm>
#include <map>
#include <set>

#include "dataplane/device/port_config.h"
#include "gateway/config/check.h"
#include "gateway/config/values.h"

namespace penstock::config {

namespace {

bool overlap(const IpPrefix& a, const IpPrefix& b) { return a.contains(b) || b.contains(a); }

void check_roles(Draft& draft) {
  bool unsaid = false, outside = false, inside = false;
  for (const PortConfig& port : draft.config.ports) {
    const std::string prefix = "port." + port.name + ".";
    if (!draft.taken(prefix +
                     "role")) {  // absent or bad: reported, and its address cannot be judged
      unsaid = true;
      continue;
    }
    outside = outside || port.role != PortRole::kInside;
    inside = inside || port.role != PortRole::kOutside;
    if (draft.given(prefix + "address")) continue;
    const Location role = draft.where(prefix + "role");
    if (port.role == PortRole::kInside) {
      draft.warn(role, "the port has no address: its hosts cannot reach the gateway");
    } else {
      draft.error(role, "a port on the outside needs an address, tunnels end at it");
    }
  }
  if (unsaid) return;
  if (!outside) draft.error(draft.whole(), "no port has the role outside or both");
  if (outside && !inside) draft.warn(draft.whole(), "no port has the role inside or both");
}

// Arguments of the device, and what two ports cannot share: the device itself, or the network
// interface behind it. The short forms make a new device for each port.
void check_device(Draft& draft, const PortConfig& port,
                  std::map<std::string, std::string>& owners) {
  if (port.device.empty()) return;
  const std::string key = "port." + port.name + ".device";
  penstock::PortConfig described;
  described.name = port.name;
  described.device = port.device;
  described.mtu = port.mtu;
  const auto device = parse_device(described, 0, 1);
  if (!device.ok()) return draft.error(draft.where(key), device.error().text);
  std::vector<std::string> taken;
  if (device->pci || port.device.starts_with("net_")) taken.push_back(device->name);
  if (!device->kernel_interface.empty()) taken.push_back("interface " + device->kernel_interface);
  for (const std::string& one : taken) {
    const auto [entry, first] = owners.emplace(one, port.name);
    if (!first) return draft.error(draft.where(key), one + " is already port " + entry->second);
  }
}

void check_queues(Draft& draft, const std::string& name, uint16_t queues) {
  if (queues <= draft.config.workers) return;
  draft.error(draft.where(name),
              "more queues than workers (" + std::to_string(draft.config.workers) + ")");
}

void check_devices(Draft& draft) {
  std::map<std::string, std::string> owners;
  std::map<MacAddress, std::string> macs;
  for (const PortConfig& port : draft.config.ports) {
    const std::string prefix = "port." + port.name + ".";
    check_device(draft, port, owners);
    if (port.mac) {
      const auto [entry, first] = macs.emplace(*port.mac, port.name);
      if (!first) draft.error(draft.where(prefix + "mac"), "port " + entry->second + " has it too");
    }
    check_queues(draft, prefix + "rx_queues", port.rx_queues);
    check_queues(draft, prefix + "tx_queues", port.tx_queues);
  }
}

void collect_port_addresses(Draft& draft) {
  std::vector<OwnAddress> ports;
  for (const PortConfig& port : draft.config.ports) {
    for (size_t i = 0; i < port.addresses.size(); ++i) {
      ports.push_back({port.addresses[i], "port " + port.name, true,
                       draft.where("port." + port.name + ".address", i)});
    }
  }
  draft.own_addresses.insert(draft.own_addresses.begin(), ports.begin(), ports.end());
}

// Pairs across owners. Link-local addresses are per link: only the same address at the same owner
// is a mistake.
void check_addresses(Draft& draft) {
  const auto& all = draft.own_addresses;
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const bool same_owner = all[i].owner == all[j].owner;
      const bool link_local =
          all[i].address.address.is_link_local() && all[j].address.address.is_link_local();
      if (all[i].address.address == all[j].address.address && (same_owner || !link_local)) {
        draft.error(all[i].location, all[i].address.address.to_string() +
                                         " is already an address of " + all[j].owner);
        break;
      }
      const IpPrefix network = all[i].address.network(), other = all[j].address.network();
      if (same_owner || link_local || !overlap(network, other)) continue;
      const std::string text =
          network.to_string() + " overlaps " + other.to_string() + " of " + all[j].owner;
      if (all[i].of_port || all[j].of_port) {
        draft.error(all[i].location, text);
      } else {
        draft.warn(all[i].location, text);
      }
      break;
    }
  }
}

// The network that holds `address`, or nullptr.
const OwnAddress* network_of(const Draft& draft, const IpAddress& address, bool of_port) {
  for (const OwnAddress& own : draft.own_addresses) {
    if (own.of_port == of_port && own.address.network().contains(address)) return &own;
  }
  return nullptr;
}

bool is_own(const Draft& draft, const IpAddress& address) {
  return std::any_of(draft.own_addresses.begin(), draft.own_addresses.end(),
                     [&](const OwnAddress& own) { return own.address.address == address; });
}

bool on_link(const PortConfig& port, const IpAddress& address) {
  return std::any_of(port.addresses.begin(), port.addresses.end(),
                     [&](const InterfaceAddress& own) { return own.network().contains(address); });
}

// Finds the gateway's port where the route does not say it.
void check_gateway(Draft& draft, RouteConfig& route, const Location& where) {
  const std::string gateway = route.gateway.to_string();
  if (is_own(draft, route.gateway)) {
    return draft.error(where, "the gateway " + gateway + " is this gateway's own address");
  }
  if (const OwnAddress* tunnel = network_of(draft, route.gateway, false)) {
    return draft.error(where, "the gateway " + gateway + " is inside a tunnel of " + tunnel->owner +
                                  ": say PREFIX interface NAME instead");
  }
  if (!route.port.empty()) {
    const PortConfig* port = draft.port(route.port);
    if (port == nullptr) {
      return draft.error(
          where, "there is no port \"" + route.port + "\"" + hint(route.port, draft.port_names()));
    }
    if (!route.gateway.is_link_local() && !on_link(*port, route.gateway)) {
      draft.error(where, "the gateway " + gateway + " is in no network of port " + route.port);
    }
    return;
  }
  if (route.gateway.is_link_local() && route.gateway.is_v6()) {
    return draft.error(where, "a link-local gateway needs its port: via " + gateway + " port NAME");
  }
  for (const PortConfig& port : draft.config.ports) {
    if (on_link(port, route.gateway)) {
      route.port = port.name;
      return;
    }
  }
  draft.error(where, "the gateway " + gateway + " is in no port's network");
}

void check_routes(Draft& draft) {
  std::map<IpPrefix, size_t> seen;
  for (size_t i = 0; i < draft.config.routes.size(); ++i) {
    RouteConfig& route = draft.config.routes[i];
    const Location where = draft.where("route", i);
    const auto [entry, first] = seen.emplace(route.prefix, where.line);
    if (!first) {
      draft.error(where,
                  route.prefix.to_string() + " has a route already" +
                      (entry->second == 0 ? "" : " in line " + std::to_string(entry->second)));
    }
    switch (route.kind) {
      case RouteConfig::Kind::kBlackhole:
        break;
      case RouteConfig::Kind::kGateway:
        check_gateway(draft, route, where);
        break;
      case RouteConfig::Kind::kPort:
        if (draft.port(route.port) != nullptr) break;
        draft.error(where, "there is no port \"" + route.port + "\"" +
                               hint(route.port, draft.port_names()));
        break;
      case RouteConfig::Kind::kInterface: {
        const auto names = draft.interface_names();
        if (std::find(names.begin(), names.end(), route.interface) != names.end()) break;
        draft.error(where, "there is no interface \"" + route.interface + "\"" +
                               hint(route.interface, names));
      }
    }
  }
}

void check_neighbours(Draft& draft) {
  for (const PortConfig& port : draft.config.ports) {
    std::set<IpAddress> seen;
    for (size_t i = 0; i < port.neighbours.size(); ++i) {
      const IpAddress& address = port.neighbours[i].address;
      const Location where = draft.where("port." + port.name + ".neighbour", i);
      if (!seen.insert(address).second) {
        draft.error(where, address.to_string() + " stands here twice");
      } else if (is_own(draft, address) && !address.is_link_local()) {
        draft.error(where, address.to_string() + " is the gateway's own address");
      } else if (!on_link(port, address) && !address.is_link_local()) {
        draft.error(where, address.to_string() + " is in no network of the port");
      }
    }
  }
}

}  // namespace

void check_network(Draft& draft) {
  check_roles(draft);
  check_devices(draft);
  collect_port_addresses(draft);
  check_addresses(draft);
  check_routes(draft);
  check_neighbours(draft);
}

}  // namespace penstock::config
