// IPsec as the control socket shows it.
#include <algorithm>
#include <set>

#include "controlplane/driver/control_json.h"

namespace penstock {
namespace {

using Json = ControlJson;

// Seconds from `since` until now; null: it has not happened.
Json age_s(Nanoseconds since_ns) {
  if (since_ns == 0) return nullptr;
  return std::max<Nanoseconds>(boot_time_ns() - since_ns, 0) / kSecond;
}
// Seconds from now until `at`; null: never.
Json in_s(Nanoseconds at_ns) {
  if (at_ns == kNever || at_ns == 0) return nullptr;
  return std::max<Nanoseconds>(at_ns - boot_time_ns(), 0) / kSecond;
}

Json identity(const ike::Identity& id) {
  return id.is_any() ? Json(nullptr) : Json(id.to_string());
}

Json addresses(const std::vector<IpAddress>& list) {
  Json json = Json::array();
  for (const IpAddress& one : list) json.push_back(one.to_string());
  return json;
}

std::string hex(uint64_t value, int digits) {
  char text[17];
  std::snprintf(text, sizeof text, "%0*llx", digits, static_cast<unsigned long long>(value));
  return text;
}

// "10.1.0.0/16", "10.1.0.5-10.1.0.9", "10.1.0.0/16[6/22]".
std::string text_of(const TrafficSelector& selector) {
  std::string text = selector.first.to_string() + "-" + selector.last.to_string();
  for (unsigned length = 0; length <= selector.first.bits(); ++length) {
    // A prefix if the first address is its network and the last one has all host bits set.
    const IpPrefix prefix = IpPrefix::make(selector.first, length);
    if (prefix.address != selector.first || !prefix.contains(selector.last)) continue;
    bool all_ones = true;
    const Bytes last = selector.last.bytes();
    for (unsigned bit = length; bit < selector.first.bits(); ++bit) {
      all_ones = all_ones && (last[bit / 8] >> (7 - bit % 8) & 1) != 0;
    }
    if (!all_ones) continue;
    text = prefix.is_host() ? prefix.address.to_string() : prefix.to_string();
  }
  const bool any_port = selector.first_port == 0 && selector.last_port == UINT16_MAX;
  if (selector.protocol == 0 && any_port && !selector.opaque_ports) return text;
  text += "[" + (selector.protocol == 0 ? "any" : std::to_string(selector.protocol));
  if (selector.opaque_ports) {
    text += "/opaque";
  } else if (!any_port) {
    text += "/" + std::to_string(selector.first_port);
    if (selector.last_port != selector.first_port) text += "-" + std::to_string(selector.last_port);
  }
  return text + "]";
}

Json selectors(const std::vector<TrafficSelector>& list) {
  Json json = Json::array();
  for (const TrafficSelector& one : list) json.push_back(text_of(one));
  return json;
}

std::string_view words_of(ike::IkeState state) {
  switch (state) {
    case ike::IkeState::kCreated:
    case ike::IkeState::kConnecting:
      return "connecting";
    case ike::IkeState::kEstablished:
      return "up";
    case ike::IkeState::kRekeying:
    case ike::IkeState::kRekeyed:
      return "rekeying";
    case ike::IkeState::kDeleting:
      break;
  }
  return "deleting";
}

std::string_view words_of(ike::ChildState state) {
  switch (state) {
    case ike::ChildState::kInstalled:
      return "up";
    case ike::ChildState::kRouted:
      return "trap";
    case ike::ChildState::kUpdating:
    case ike::ChildState::kRekeying:
    case ike::ChildState::kRekeyed:
      return "rekeying";
    case ike::ChildState::kDeleting:
      return "deleting";
    case ike::ChildState::kCreated:
    case ike::ChildState::kInstalling:
    case ike::ChildState::kRetrying:
      break;
  }
  return "connecting";
}

Json describe_child(const ike::ChildSaInfo& child, const IkeGateway& ike) {
  const auto traffic =
      ike.child_traffic(child.tunnel, child.inbound_spi).value_or(vici::ChildTraffic{});
  Json json;
  json["child"] = child.name;
  json["child_id"] = child.unique_id;
  json["state"] = words_of(child.state);
  json["algorithms"] = child.suite == ike::Suite{} ? Json(nullptr) : Json(child.suite.to_string());
  json["spi_in"] = hex(child.inbound_spi, 8);
  json["spi_out"] = hex(child.outbound_spi, 8);
  json["encapsulated"] = child.encapsulated;
  json["if_id"] = child.if_id;
  json["age_s"] = age_s(child.installed_ns);
  json["rekey_in_s"] = in_s(child.rekey_at_ns);
  json["expires_in_s"] = in_s(child.life_at_ns);
  json["rx_packets"] = traffic.inbound.packets;
  json["rx_bytes"] = traffic.inbound.bytes;
  json["rx_idle_s"] = age_s(traffic.inbound.last_used_boot_ns);
  json["tx_packets"] = traffic.outbound.packets;
  json["tx_bytes"] = traffic.outbound.bytes;
  json["tx_idle_s"] = age_s(traffic.outbound.last_used_boot_ns);
  json["local_ts"] = selectors(child.local_ts);
  json["remote_ts"] = selectors(child.remote_ts);
  return json;
}

Json describe_sa(const ike::IkeSaInfo& sa, const IkeGateway& ike) {
  Json json;
  json["connection"] = sa.connection;
  json["ike_id"] = sa.unique_id;
  json["state"] = words_of(sa.state);
  json["initiator"] = sa.initiator;
  json["local"] = sa.local.to_string();
  json["remote"] = sa.remote.to_string();
  json["local_id"] = identity(sa.local_id);
  json["remote_id"] = identity(sa.remote_id);
  json["eap_id"] = identity(sa.remote_eap_id);
  json["algorithms"] = sa.suite == ike::Suite{} ? Json(nullptr) : Json(sa.suite.to_string());
  json["spi_initiator"] = hex(sa.initiator_spi, 16);
  json["spi_responder"] = hex(sa.responder_spi, 16);
  json["behind_nat"] = sa.nat_remote;
  json["age_s"] = age_s(sa.established_ns);
  json["rekey_in_s"] = in_s(sa.rekey_at_ns);
  json["reauth_in_s"] = in_s(sa.reauth_at_ns);
  json["idle_s"] = age_s(sa.last_inbound_ns);
  json["addresses"] = addresses(sa.remote_vips);
  json["own_addresses"] = addresses(sa.local_vips);
  json["last_error"] = sa.last_error;
  json["children"] = Json::array();
  for (const auto& child : sa.children) json["children"].push_back(describe_child(child, ike));
  return json;
}

// A connection without an IKE SA, or a peer that fits none (`connection` empty).
struct Down {
  std::string connection, remote, error, state;
  Nanoseconds error_at_wall_ns = 0;
  std::vector<std::string> traps;  // children that packets would bring up
};

Json describe_down(const Down& down) {
  Json json;
  json["connection"] = down.connection.empty() ? Json(nullptr) : Json(down.connection);
  json["state"] = down.state;
  json["remote"] = down.remote.empty() ? Json(nullptr) : Json(down.remote);
  json["last_error"] = down.error;
  const Nanoseconds age = wall_time_ns() - down.error_at_wall_ns;
  json["error_age_s"] =
      down.error.empty() ? Json(nullptr) : Json(std::max<Nanoseconds>(age, 0) / kSecond);
  json["children"] = Json::array();
  for (const std::string& child : down.traps) {
    json["children"].push_back({{"child", child}, {"state", "trap"}});
  }
  return json;
}

std::string remote_of(const ike::ConnectionConfig& connection) {
  std::string text;
  for (const ike::AddressMatch& one : connection.remote_addresses) {
    if (!text.empty()) text += ", ";
    text += one.is_name()           ? one.name
            : one.first == one.last ? one.first.to_string()
                                    : one.first.to_string() + "-" + one.last.to_string();
  }
  return text;
}

std::vector<Down> connections_down(const ike::Engine& engine, const std::set<std::string>& up) {
  const std::vector<ike::ConnectionError> errors = engine.last_errors();
  const std::vector<ike::PolicyInfo> policies = engine.policies();
  std::vector<Down> all;
  for (const auto& connection : engine.connections()) {
    if (up.contains(connection->name)) continue;
    Down down{connection->name, remote_of(*connection), "", "down", 0, {}};
    for (const ike::ConnectionError& error : errors) {
      if (error.connection != connection->name || error.at_wall_ns < down.error_at_wall_ns)
        continue;
      down.error = error.text;
      down.error_at_wall_ns = error.at_wall_ns;
      if (error.peer.port != 0) down.remote = error.peer.to_string();
    }
    for (const ike::PolicyInfo& policy : policies) {
      if (policy.connection == connection->name && policy.mode == ike::ChildMode::kTunnel) {
        down.traps.push_back(policy.child);
      }
    }
    all.push_back(std::move(down));
  }
  for (const ike::ConnectionError& error : errors) {
    if (!error.connection.empty()) continue;
    all.push_back({"", error.peer.to_string(), error.text, "refused", error.at_wall_ns, {}});
  }
  return all;
}

}  // namespace

ControlList list_ipsec_tunnels(const IkeGateway& ike) {
  auto sas = std::make_shared<std::vector<ike::IkeSaInfo>>();
  std::set<std::string> up;
  ike.engine().for_each_ike_sa("", 0, [&](const ike::IkeSaInfo& sa) {
    up.insert(sa.connection);
    sas->push_back(sa);
  });
  auto down = std::make_shared<const std::vector<Down>>(connections_down(ike.engine(), up));
  return {"ipsec", sas->size() + down->size(), [sas, down, &ike](size_t index) {
            return index < sas->size() ? describe_sa((*sas)[index], ike)
                                       : describe_down((*down)[index - sas->size()]);
          }};
}

Json describe_ipsec(const IkeGateway& ike) {
  const ike::EngineTotals totals = ike.engine().totals();
  Json json;
  json["connections"] = ike.engine().connections().size();
  json["ike_sas"] = totals.ike_sas;
  json["half_open"] = totals.half_open;
  json["children"] = totals.children;
  json["compute_jobs"] = totals.compute_jobs;
  json["established_total"] = totals.established;
  json["failed_total"] = totals.failed;
  json["retransmits_total"] = totals.retransmits;
  json["cookies_total"] = totals.cookies_sent;
  json["half_open_refused_total"] = totals.half_open_refused;
  json["peers_dead_total"] = totals.dpd_dead;
  json["pool_exhausted_total"] = totals.pool_exhausted;
  json["children_without_pfs_total"] = totals.children_without_pfs;
  json["pools"] = Json::array();
  for (const ike::PoolInfo& pool : ike.engine().pools()) {
    json["pools"].push_back({{"pool", pool.name},
                             {"size", pool.size},
                             {"online", pool.online},
                             {"offline", pool.offline},
                             {"refused", pool.refused}});
  }
  return json;
}

}  // namespace penstock
