#include "controlplane/driver/control_server.h"

#include <unistd.h>

#include "controlplane/driver/control_json.h"
#include "gateway/base/text.h"

namespace penstock {
namespace {

using Json = ControlJson;

constexpr size_t kRequestLimit = 4096;
constexpr size_t kItemsPerPiece = 256;

// Text that is not UTF-8 is replaced, not thrown about.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

StreamReply reply_with(const Json& json) { return {dump(json) + "\n", nullptr, false}; }

// {"NAME":[item, item, ...], "NAME":[...]}, made as the client reads it.
StreamReply reply_with_lists(std::vector<ControlList> lists) {
  StreamReply reply;
  reply.text = "{";
  reply.more = [lists = std::make_shared<const std::vector<ControlList>>(std::move(lists)),
                list = size_t{0}, next = size_t{0}, ended = false]() mutable -> std::string {
    std::string piece;
    for (size_t i = 0; i < kItemsPerPiece && list < lists->size(); ++i) {
      const ControlList& one = (*lists)[list];
      if (next == 0) piece += (list == 0 ? "\"" : ",\"") + one.name + "\":[";
      if (next < one.count) piece += (next == 0 ? "" : ",") + dump(one.describe(next));
      if (++next >= one.count) {
        piece += "]";
        ++list;
        next = 0;
      }
    }
    if (list == lists->size() && !std::exchange(ended, true)) piece += "}\n";
    return piece;
  };
  return reply;
}

template <class Item>
ControlList list_of(const char* name, std::vector<Item> items,
                    std::function<Json(const Item&)> describe) {
  auto shared = std::make_shared<const std::vector<Item>>(std::move(items));
  return {name, shared->size(), [shared, describe = std::move(describe)](size_t index) {
            return describe((*shared)[index]);
          }};
}

template <class Item>
StreamReply reply_with_list(const char* name, std::vector<Item> items,
                            std::function<Json(const Item&)> describe) {
  return reply_with_lists({list_of<Item>(name, std::move(items), std::move(describe))});
}

uint64_t total(const DropCounters& drops) {
  uint64_t sum = 0;
  for (const uint64_t count : drops) sum += count;
  return sum;
}

Json describe_worker(const WorkerCounters& worker) {
  Json json;
  json["worker"] = worker.id.value;
  json["lcore"] = worker.lcore;
  json["turns"] = worker.turns;
  json["idle_turns"] = worker.idle_turns;
  json["sleeps"] = worker.sleeps;
  json["rx_packets"] = worker.rx_packets;
  json["tx_packets"] = worker.tx_packets;
  json["punts"] = worker.punts;
  json["injects"] = worker.injects;
  json["hand_overs"] = worker.hand_overs;
  json["lent_batches"] = worker.lent_batches;
  json["taken_back_batches"] = worker.taken_back_batches;
  json["late_batches"] = worker.late_batches;
  json["helped_batches"] = worker.helped_batches;
  json["drops"] = total(worker.drops);
  return json;
}

Json describe_interface(const WireguardInterface& interface) {
  const wireguard::DeviceStatus status = interface.status();
  size_t up = 0;
  for (const auto& peer : status.peers) up += peer.state == "up" ? 1 : 0;
  Json json;
  json["interface"] = interface.name();
  json["public_key"] = to_base64(status.public_key);
  json["listen_port"] = status.listen_port;
  json["mtu"] = interface.mtu();
  json["addresses"] = Json::array();
  for (const auto& address : interface.addresses()) {
    json["addresses"].push_back(address.to_string());
  }
  json["peers"] = status.peers.size();
  json["sessions"] = up;
  return json;
}

Json describe_interface(const IkeGateway::Interface& interface) {
  Json json;
  json["interface"] = interface.options.spec.name;
  json["if_id"] = interface.options.if_id;
  json["mtu"] = interface.options.spec.mtu;
  json["addresses"] = Json::array();
  for (const auto& address : interface.options.addresses) {
    json["addresses"].push_back(address.to_string());
  }
  return json;
}

StreamReply answer_status(const ControlSources& sources) {
  Json json;
  json["version"] = sources.version;
  json["pid"] = getpid();
  json["uptime_s"] = (boot_time_ns() - sources.started_boot_ns) / kSecond;
  json["workers"] = Json::array();
  for (const WorkerCounters& worker : sources.dataplane.worker_counters()) {
    json["workers"].push_back(describe_worker(worker));
  }
  json["ports"] = Json::array();
  for (const PortInfo& port : sources.dataplane.ports()) {
    json["ports"].push_back(
        {{"port", port.name}, {"role", text_of(port.role)}, {"link_up", port.link_up}});
  }
  json["interfaces"] = Json::array();
  for (const auto& interface : sources.wireguard.interfaces()) {
    json["interfaces"].push_back(describe_interface(*interface));
  }
  if (sources.ike != nullptr) {
    for (const auto& interface : sources.ike->interfaces()) {
      json["interfaces"].push_back(describe_interface(interface));
    }
    json["ipsec"] = describe_ipsec(*sources.ike);
  }
  return reply_with(json);
}

Json describe_port(const PortInfo& port) {
  Json json;
  json["port"] = port.name;
  json["role"] = text_of(port.role);
  json["device"] = port.device;
  json["driver"] = port.driver;
  json["mac"] = port.mac.to_string();
  json["mtu"] = port.mtu;
  json["link_up"] = port.link_up;
  json["link_mbps"] = port.link_mbps;
  json["numa_node"] = port.numa_node;
  json["rx_queues"] = port.rx_queues;
  json["tx_queues"] = port.tx_queues;
  json["rx_packets"] = port.rx_packets;
  json["rx_bytes"] = port.rx_bytes;
  json["rx_missed"] = port.rx_missed;
  json["rx_errors"] = port.rx_errors;
  json["rx_no_buffer"] = port.rx_no_buffer;
  json["tx_packets"] = port.tx_packets;
  json["tx_bytes"] = port.tx_bytes;
  json["tx_errors"] = port.tx_errors;
  return json;
}

// A peer without what is secret about it.
struct Tunnel {
  std::string interface;
  wireguard::PublicKey public_key{};
  std::optional<Endpoint> endpoint;
  std::string state, last_error;
  Nanoseconds last_handshake_wall_ns = 0;
  uint64_t rx_bytes = 0, tx_bytes = 0;
  uint16_t persistent_keepalive_s = 0;
  std::vector<IpPrefix> allowed_ips;
};

Json describe_tunnel(const Tunnel& tunnel) {
  Json json;
  json["interface"] = tunnel.interface;
  json["public_key"] = to_base64(tunnel.public_key);
  json["endpoint"] = tunnel.endpoint ? Json(tunnel.endpoint->to_string()) : Json(nullptr);
  json["state"] = tunnel.state;
  const Nanoseconds age = wall_time_ns() - tunnel.last_handshake_wall_ns;
  json["handshake_age_s"] = tunnel.last_handshake_wall_ns == 0
                                ? Json(nullptr)
                                : Json(std::max<Nanoseconds>(age, 0) / kSecond);
  json["rx_bytes"] = tunnel.rx_bytes;
  json["tx_bytes"] = tunnel.tx_bytes;
  json["persistent_keepalive_s"] = tunnel.persistent_keepalive_s;
  json["allowed_ips"] = Json::array();
  for (const IpPrefix& prefix : tunnel.allowed_ips) {
    json["allowed_ips"].push_back(prefix.to_string());
  }
  json["last_error"] = tunnel.last_error;
  return json;
}

// Whose handshakes are refused, as no peer has their key.
struct Stranger {
  std::string interface;
  wireguard::StrangerStatus status;
};

Json describe_stranger(const Stranger& stranger) {
  const bool has_key = stranger.status.public_key != wireguard::PublicKey{};
  Json json;
  json["interface"] = stranger.interface;
  json["public_key"] = has_key ? Json(to_base64(stranger.status.public_key)) : Json(nullptr);
  json["endpoint"] = stranger.status.endpoint.to_string();
  json["attempts"] = stranger.status.attempts;
  const Nanoseconds age = wall_time_ns() - stranger.status.last_wall_ns;
  json["age_s"] = std::max<Nanoseconds>(age, 0) / kSecond;
  json["error"] = has_key ? "no peer has this public key"
                          : "handshake made with another public key than this interface's";
  return json;
}

StreamReply answer_tunnels(const ControlSources& sources) {
  std::vector<Tunnel> tunnels;
  std::vector<Stranger> strangers;
  for (const auto& interface : sources.wireguard.interfaces()) {
    wireguard::DeviceStatus status = interface->status();
    for (auto& peer : status.peers) {
      tunnels.push_back(Tunnel{interface->name(), peer.public_key, peer.endpoint,
                               std::move(peer.state), std::move(peer.last_error),
                               peer.last_handshake_wall_ns, peer.rx_bytes, peer.tx_bytes,
                               peer.persistent_keepalive_s, std::move(peer.allowed_ips)});
    }
    for (const auto& one : status.strangers) strangers.push_back({interface->name(), one});
  }
  std::vector<ControlList> lists;
  lists.push_back(list_of<Tunnel>("tunnels", std::move(tunnels), describe_tunnel));
  lists.push_back(list_of<Stranger>("refused", std::move(strangers), describe_stranger));
  if (sources.ike != nullptr) lists.push_back(list_ipsec_tunnels(*sources.ike));
  return reply_with_lists(std::move(lists));
}

StreamReply answer_drops(const ControlSources& sources) {
  const std::vector<WorkerCounters> workers = sources.dataplane.worker_counters();
  const DropCounters control = sources.dataplane.control_drops();
  Json json;
  json["drops"] = Json::array();
  for (size_t reason = 0; reason < kDropReasonCount; ++reason) {
    Json entry;
    entry["reason"] = kDropReasonTexts[reason].label;
    entry["text"] = kDropReasonTexts[reason].text;
    uint64_t packets = control[reason];
    Json per_worker = Json::array();
    for (const WorkerCounters& worker : workers) {
      packets += worker.drops[reason];
      per_worker.push_back(worker.drops[reason]);
    }
    entry["packets"] = packets;
    entry["workers"] = std::move(per_worker);
    entry["control"] = control[reason];
    json["drops"].push_back(std::move(entry));
  }
  return reply_with(json);
}

std::string name_of_port(const std::vector<PortInfo>& ports, PortId id) {
  for (const PortInfo& port : ports) {
    if (port.id == id) return port.name;
  }
  return {};
}

StreamReply answer_neighbours(const ControlSources& sources) {
  const std::vector<PortInfo> ports = sources.dataplane.ports();
  return reply_with_list<NeighbourStatus>(
      "neighbours", sources.neighbours(), [ports](const NeighbourStatus& status) {
        Json json;
        json["port"] = name_of_port(ports, status.neighbour.port);
        json["address"] = status.neighbour.address.to_string();
        json["mac"] =
            status.neighbour.mac.is_zero() ? Json(nullptr) : Json(status.neighbour.mac.to_string());
        json["state"] = status.state;
        json["age_s"] = status.age_s;
        json["queued_packets"] = status.queued_packets;
        return json;
      });
}

std::string_view text_of(NextHop::Kind kind) {
  switch (kind) {
    case NextHop::Kind::kBlackhole:
      return "blackhole";
    case NextHop::Kind::kLocal:
      return "local";
    case NextHop::Kind::kConnected:
      return "connected";
    case NextHop::Kind::kGateway:
      return "gateway";
    case NextHop::Kind::kTunnel:
      return "tunnel";
  }
  return "";
}

StreamReply answer_routes(const ControlSources& sources) {
  const std::vector<PortInfo> ports = sources.dataplane.ports();
  const WireguardGateway& wireguard = sources.wireguard;
  const IkeGateway* const ike = sources.ike;
  return reply_with_list<RouteInfo>(
      "routes", sources.dataplane.routes(), [ports, &wireguard, ike](const RouteInfo& route) {
        Json json;
        json["prefix"] = route.prefix.to_string();
        json["kind"] = text_of(route.next_hop.kind);
        json["via"] = route.next_hop.kind == NextHop::Kind::kGateway
                          ? Json(route.next_hop.gateway.to_string())
                          : Json(nullptr);
        std::string device = name_of_port(ports, route.next_hop.port);
        for (const auto& interface : wireguard.interfaces()) {
          if (route.next_hop.interface == interface->id()) device = interface->name();
        }
        if (ike != nullptr) {
          for (const auto& interface : ike->interfaces()) {
            if (route.next_hop.interface == interface.id) device = interface.options.spec.name;
          }
        }
        json["device"] = device.empty() ? Json(nullptr) : Json(device);
        return json;
      });
}

StreamReply answer(const ControlSources& sources, std::string_view request) {
  const Json json = Json::parse(request, nullptr, false);
  const auto command = json.is_object() ? json.find("command") : json.end();
  if (json.is_discarded() || !json.is_object() || command == json.end() || !command->is_string()) {
    return reply_with({{"error", "a request is a line such as {\"command\":\"status\"}"}});
  }
  const auto& name = command->get_ref<const std::string&>();
  if (name == "status") return answer_status(sources);
  if (name == "ports") {
    return reply_with_list<PortInfo>("ports", sources.dataplane.ports(), describe_port);
  }
  if (name == "tunnels") return answer_tunnels(sources);
  if (name == "drops") return answer_drops(sources);
  if (name == "neighbours") return answer_neighbours(sources);
  if (name == "routes") return answer_routes(sources);
  return reply_with({{"error",
                      "unknown command: there are status, ports, tunnels, drops, neighbours and "
                      "routes"}});
}

}  // namespace

Result<std::unique_ptr<StreamServer>> make_control_server(EventLoop& loop, const std::string& path,
                                                          const ControlSources& sources) {
  StreamServerOptions options;
  options.path = path;
  options.mode = 0660;
  options.make_splitter = [] {
    return std::make_unique<LineSplitter>(kRequestLimit,
                                          "{\"error\":\"the request is too long\"}\n");
  };
  return StreamServer::create(loop, std::move(options), [&sources](std::string_view request) {
    return answer(sources, request);
  });
}

}  // namespace penstock
