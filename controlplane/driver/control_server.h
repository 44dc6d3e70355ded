// The control socket: what the `penstock` command asks. A request is a line of JSON,
// {"command":"status"}; the answer is a line of JSON, {"error":"..."} where it was refused. It only
// reads, and never tells a private or preshared key.
//
// Commands: status, ports, tunnels, drops, neighbours, routes.
//
// Control thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/driver/stream_server.h"
#include "controlplane/driver/wireguard_gateway.h"
#include "dataplane/api/dataplane.h"

namespace penstock {

class IkeGateway;

struct NeighbourStatus {
  NeighbourInfo neighbour;
  std::string state;   // "reachable", "static", "resolving", ...
  uint64_t age_s = 0;  // since it was last confirmed, or the question began
  size_t queued_packets = 0;
};

// What the answers are made of; outlives the server.
struct ControlSources {
  std::string version;
  const Dataplane& dataplane;
  const WireguardGateway& wireguard;
  const IkeGateway* ike = nullptr;  // nullptr: [ipsec] is off
  std::function<std::vector<NeighbourStatus>()> neighbours;
  Nanoseconds started_boot_ns = 0;
};

// Mode 0660: a group may be given the right to look.
Result<std::unique_ptr<StreamServer>> make_control_server(EventLoop& loop, const std::string& path,
                                                          const ControlSources& sources);

}  // namespace penstock
