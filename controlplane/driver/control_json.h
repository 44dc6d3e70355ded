// What the parts of the control server share.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "controlplane/driver/ike_gateway.h"

namespace penstock {

using ControlJson = nlohmann::ordered_json;

// A list of an answer: its items are described as the client reads them.
struct ControlList {
  std::string name;
  size_t count = 0;
  std::function<ControlJson(size_t index)> describe;
};

// Of `penstock tunnels`: every IKE SA with its children, then connections that are down, with their
// last error, and peers that were refused.
ControlList list_ipsec_tunnels(const IkeGateway& ike);
// Of `penstock status`.
ControlJson describe_ipsec(const IkeGateway& ike);

}  // namespace penstock
