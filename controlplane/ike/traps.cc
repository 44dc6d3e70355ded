// Trap policies, whose first packet makes a child, and shunts (mode = pass|drop): --list-pols shows
// exactly these.
#include <algorithm>

#include "controlplane/ike/core.h"

namespace penstock::ike {
namespace {

// Lower wins: shunts before children before traps.
constexpr uint32_t kShuntPriority = 100'000, kTrapPriority = 300'000;
// By then a packet may try again, whatever has become of the initiation.
constexpr Nanoseconds kAcquireNs = 165 * kSecond;

}  // namespace

Trap* Engine::Core::find_trap(const std::string& connection, const std::string& child) {
  if (!connection.empty()) {
    const auto found = trap_names_.find({connection, child});
    return found == trap_names_.end() ? nullptr : &traps_.at(found->second);
  }
  for (auto& [tunnel, trap] : traps_) {
    if (trap.config->name == child) return &trap;
  }
  return nullptr;
}

void Engine::Core::release_trap(const Task& task) {
  const auto found = traps_.find(task.trap);
  if (found != traps_.end()) found->second.pending_until_ns = 0;
}

Status Engine::Core::add_trap(const ConnectionPtr& connection, const ChildConfigPtr& child) {
  if (find_trap(connection->name, child->name) != nullptr) {
    return errorf("child %s is installed already", child->name.c_str());
  }
  const auto remote = remote_of(*connection, nullptr);
  std::vector<IpAddress> ours, theirs;
  if (remote) {
    theirs.push_back(*remote);
    if (const auto local = host_.source_address_for(*remote)) ours.push_back(*local);
  }
  Trap trap;
  trap.connection = connection->name;
  trap.connection_config = connection;
  trap.config = child;
  Line& line = trap.line;
  line.local_ts = resolve_selectors(child->local_ts, ours);
  line.remote_ts = resolve_selectors(child->remote_ts, theirs);
  line.pairs = pairs_of(line.local_ts, line.remote_ts);
  if (line.pairs.empty()) {
    return errorf("child %s has no selectors that are known", child->name.c_str());
  }
  const bool tunnel_mode = child->mode == ChildMode::kTunnel;
  const auto& addresses = connection->remote_addresses;
  const bool named = std::any_of(addresses.begin(), addresses.end(),
                                 [](const AddressMatch& each) { return each.is_name(); });
  if (tunnel_mode && !remote && !named) {
    return errorf("connection %s has no address to initiate to", connection->name.c_str());
  }
  line.tunnel = next_tunnel_++;
  line.connection = connection->name;
  line.config = child;
  line.if_id = child->if_id != 0 ? child->if_id : connection->if_id;
  line.reqid = child->reqid != 0 ? child->reqid : next_reqid_++;
  if (tunnel_mode) {
    AddTunnel tunnel;
    tunnel.tunnel = line.tunnel;
    tunnel.if_id = line.if_id;
    tunnel.copy_df = child->copy_df;
    tunnel.dscp = child->dscp;
    tunnel.connection = connection->name;
    tunnel.child = child->name;
    emit(std::move(tunnel));
  }
  const PolicyAction action = tunnel_mode                       ? PolicyAction::kProtect
                              : child->mode == ChildMode::kPass ? PolicyAction::kBypass
                                                                : PolicyAction::kDiscard;
  uint32_t priority = priority_of(*child, tunnel_mode ? kTrapPriority : kShuntPriority);
  if (tunnel_mode && child->priority != 0 && priority < UINT32_MAX) ++priority;
  const ChildTunnel id = line.tunnel;
  trap_names_[{connection->name, child->name}] = id;
  Trap& stored = traps_[id] = std::move(trap);
  add_policies(stored.line, priority, action);
  return {};
}

void Engine::Core::remove_trap(const std::string& connection, const std::string& child) {
  Trap* const trap = find_trap(connection, child);
  if (trap == nullptr) return;
  remove_policies(trap->line);
  const ChildTunnel tunnel = trap->line.tunnel;
  if (trap->config->mode == ChildMode::kTunnel) emit(RemoveTunnel{tunnel});
  trap_names_.erase({trap->connection, trap->config->name});
  traps_.erase(tunnel);
}

Status Engine::Core::install(const Now& now, const std::string& connection,
                             const std::string& child) {
  now_ = now;
  for (const auto& [name, entry] : connections_) {
    if (!connection.empty() && name != connection) continue;
    const ChildConfigPtr config = entry.config->child_named(child);
    if (config != nullptr) return add_trap(entry.config, config);
  }
  return errorf("there is no child %s", child.c_str());
}

Status Engine::Core::uninstall(const Now& now, const std::string& connection,
                               const std::string& child) {
  now_ = now;
  const Trap* const trap = find_trap(connection, child);
  if (trap == nullptr) return errorf("child %s is not installed", child.c_str());
  remove_trap(trap->connection, child);
  return {};
}

void Engine::Core::on_acquire(const Now& now, ChildTunnel tunnel, Bytes packet) {
  now_ = now;
  const auto found = traps_.find(tunnel);
  if (found == traps_.end()) return;  // a child whose SA has just gone: its trap, if any, is next
  Trap& trap = found->second;
  if (trap.pending_until_ns > now.boot_ns) return;
  trap.pending_until_ns = now.boot_ns + kAcquireNs;
  Task task;
  task.kind = TaskKind::kNewChild;
  task.child = trap.config;
  task.trap = tunnel;
  task.trigger = pair_of_packet(packet);
  task.packets.push_back(to_vector(packet));
  log_peer(
      {}, LogLevel::kNotice, Reason::kNone,
      "a packet " +
          (task.trigger ? to_string(task.trigger->local) + " === " + to_string(task.trigger->remote)
                        : std::string("of an unknown kind")) +
          " wants child " + trap.config->name,
      trap.connection);
  initiate_child(trap.connection_config, std::move(task));
}

}  // namespace penstock::ike
