// CHILD_SAs, once agreed on, and their way into the dataplane. A line is a child's tunnel
// there: it lives over all rekeys of the child, so that nothing is lost when SAs come and go.
#include <algorithm>

#include "controlplane/ike/child_agreement.h"
#include "controlplane/ike/core.h"

namespace penstock::ike {
namespace {

// Lower wins. What an operator sets with `priority` goes before all of these.
constexpr uint32_t kChildPriority = 200'000;

SaKeys keys_of(const DirectionKeys& from) {
  SaKeys keys;
  const auto copy = [](MutableBytes to, Bytes bytes) {
    std::copy_n(bytes.begin(), std::min(to.size(), bytes.size()), to.begin());
  };
  copy(keys.cipher_key.mutable_bytes(), from.cipher_key.bytes());
  copy(keys.salt.mutable_bytes(), from.salt.bytes());
  copy(keys.auth_key.mutable_bytes(), from.auth_key.bytes());
  return keys;
}

}  // namespace

// --- lines ---------------------------------------------------------------------------------------

uint32_t Engine::Core::priority_of(const ChildConfig& config, uint32_t base) {
  return config.priority != 0 ? config.priority : base;
}

void Engine::Core::add_policies(Line& line, uint32_t priority, PolicyAction action) {
  for (const SelectorPair& pair : line.pairs) {
    AddPolicy policy;
    policy.policy = next_policy_++;
    policy.tunnel = line.tunnel;
    policy.if_id = line.if_id;
    policy.selectors = pair;
    policy.action = action;
    policy.priority = priority;
    line.policies.push_back(policy.policy);
    emit(std::move(policy));
  }
}

void Engine::Core::remove_policies(Line& line) {
  for (const uint32_t policy : line.policies) emit(RemovePolicy{policy});
  line.policies.clear();
}

Line& Engine::Core::make_line(const IkeSa& sa, const ChildPlan& plan, ChildTunnel trap) {
  Line& line = lines_[next_tunnel_];
  line.tunnel = next_tunnel_++;
  line.ike_id = sa.unique_id;
  line.connection = sa.config->name;
  line.config = plan.config;
  line.if_id = plan.config->if_id != 0 ? plan.config->if_id : sa.config->if_id;
  line.reqid = plan.config->reqid;
  if (const auto found = traps_.find(trap); line.reqid == 0 && found != traps_.end()) {
    line.reqid = found->second.line.reqid;
  }
  if (line.reqid == 0) line.reqid = next_reqid_++;
  line.last_used_ns = now_.boot_ns;
  AddTunnel tunnel;
  tunnel.tunnel = line.tunnel;
  tunnel.if_id = line.if_id;
  tunnel.copy_df = plan.config->copy_df;
  tunnel.dscp = plan.config->dscp;
  tunnel.connection = sa.config->name;
  tunnel.child = plan.config->name;
  emit(std::move(tunnel));
  return line;
}

void Engine::Core::set_endpoint(const IkeSa& sa, Line& line) {
  line.local = sa.local;
  line.remote = sa.remote;
  line.encapsulated = encapsulates(sa);
  if (line.encapsulated && line.local.port == kIkePort) line.local.port = kIkeNatTraversalPort;
  if (line.encapsulated && line.remote.port == kIkePort) line.remote.port = kIkeNatTraversalPort;
  emit(SetTunnelEndpoint{line.tunnel, line.local, line.remote, line.encapsulated});
}

void Engine::Core::set_selectors(Line& line, const ChildPlan& plan) {
  auto pairs = pairs_of(plan.local_ts, plan.remote_ts);
  if (pairs == line.pairs) return;
  line.pairs = std::move(pairs);
  emit(SetSelectors{line.tunnel, line.pairs});
}

void Engine::Core::remove_line(ChildTunnel tunnel) {
  const auto found = lines_.find(tunnel);
  if (found == lines_.end()) return;
  remove_policies(found->second);
  emit(RemoveTunnel{tunnel});
  lines_.erase(found);
}

// --- SAs -----------------------------------------------------------------------------------------

Child& Engine::Core::install_child(IkeSa& sa, const ChildPlan& plan, uint32_t inbound_spi,
                                   const ChildKeys& keys, bool by_us, ChildTunnel tunnel,
                                   SaRole role, ChildTunnel trap) {
  const auto existing = lines_.find(tunnel);
  const bool fresh_line = existing == lines_.end();
  Line& line = fresh_line ? make_line(sa, plan, trap) : existing->second;
  const Lifetimes& lifetimes = plan.config->lifetimes;
  sa.children.push_back(std::make_unique<Child>());
  ++totals_.children;
  Child& child = *sa.children.back();
  child.unique_id = next_child_id_++;
  child.config = plan.config;
  child.tunnel = line.tunnel;
  child.inbound_spi = inbound_spi;
  child.outbound_spi = plan.peer_spi;
  child.suite = plan.suite;
  child.local_ts = plan.local_ts;
  child.remote_ts = plan.remote_ts;
  child.by_us = by_us;
  child.installed_ns = now_.boot_ns;
  if (lifetimes.rekey_ns != 0) {
    child.rekey_at_ns = jittered(now_.boot_ns + lifetimes.rekey_ns, lifetimes.random_ns);
  }
  if (lifetimes.life_ns != 0) child.life_at_ns = now_.boot_ns + lifetimes.life_ns;
  if (fresh_line) set_endpoint(sa, line);
  const bool moved = !fresh_line && pairs_of(plan.local_ts, plan.remote_ts) != line.pairs;
  set_selectors(line, plan);

  InstallChildSa install;
  install.tunnel = line.tunnel;
  install.role = role;
  install.inbound_spi = inbound_spi;
  install.outbound_spi = plan.peer_spi;
  install.algorithm = *algorithm_of(plan.suite);
  const DirectionKeys& ours = by_us ? keys.from_initiator : keys.from_responder;
  const DirectionKeys& theirs = by_us ? keys.from_responder : keys.from_initiator;
  install.outbound_keys = keys_of(ours);
  install.inbound_keys = keys_of(theirs);
  install.parameters.esn = plan.suite.esn;
  install.parameters.replay_window_packets = plan.config->replay_window_packets;
  install.parameters.hard_bytes = lifetimes.life_bytes;
  install.parameters.soft_bytes = jittered_limit(lifetimes.rekey_bytes, lifetimes.random_bytes);
  install.parameters.hard_packets = lifetimes.life_packets;
  install.parameters.soft_packets =
      jittered_limit(lifetimes.rekey_packets, lifetimes.random_packets);
  install.parameters.pad_to_bytes = plan.config->tfc_padding;
  install.expires_at_ns = child.life_at_ns;
  install.expected_source = sa.remote;
  install.owner = sa.worker;
  emit(std::move(install));
  if ((fresh_line || moved) && plan.config->policies) {
    std::vector<uint32_t> old = std::move(line.policies);
    line.policies.clear();
    add_policies(line, priority_of(*plan.config, kChildPriority), PolicyAction::kProtect);
    for (const uint32_t policy : old) emit(RemovePolicy{policy});
  }
  log(&sa, LogLevel::kNotice, Reason::kNone,
      "CHILD_SA " + plan.config->name + "{" + std::to_string(child.unique_id) +
          "} established with " + plan.suite.to_string() + " and TS " + to_string(plan.local_ts) +
          " === " + to_string(plan.remote_ts));
  arm_children(sa);
  return child;
}

// The SAs of a child go; its line too, if nothing else is on it.
void Engine::Core::remove_child(IkeSa& sa, uint32_t child_id, bool linger, Reason reason) {
  const auto found = std::find_if(sa.children.begin(), sa.children.end(),
                                  [&](const auto& each) { return each->unique_id == child_id; });
  if (found == sa.children.end()) return;
  Child& child = **found;
  for (const auto& each : sa.children) {
    if (each->replaces == child_id) each->replaces = 0;
    if (each->replaced_by == child_id) each->replaced_by = 0;
  }
  if (linger && !child.unused && options_.child_linger_ns > 0) {
    if (!child.lingers) --totals_.children;
    child.lingers = true;
    child.state = ChildState::kDeleting;
    child.rekey_at_ns = child.life_at_ns = kNever;
    child.gone_at_ns = now_.boot_ns + options_.child_linger_ns;
    arm_children(sa);
    return;
  }
  if (child.unused) {
    host_.release_spi(child.inbound_spi);
    sa.children.erase(found);
    return;
  }
  const ChildTunnel tunnel = child.tunnel;
  const bool last = std::none_of(sa.children.begin(), sa.children.end(), [&](const auto& each) {
    return each.get() != &child && each->tunnel == tunnel && !each->unused && !each->lingers;
  });
  if (last && !child.lingers) child_updown(sa, child, false, reason);
  emit(RemoveChildSa{tunnel, child.inbound_spi});
  if (!child.lingers) --totals_.children;
  sa.children.erase(found);
  if (!last) {
    make_last_current(sa, tunnel);
    return;
  }
  // What lingers on the line goes with it.
  for (auto each = sa.children.begin(); each != sa.children.end();) {
    if ((*each)->tunnel == tunnel && !(*each)->unused) {
      emit(RemoveChildSa{tunnel, (*each)->inbound_spi});
      each = sa.children.erase(each);
    } else {
      ++each;
    }
  }
  remove_line(tunnel);
}

void Engine::Core::child_updown(const IkeSa& sa, const Child& child, bool up, Reason reason) {
  Notify notify;
  notify.kind = up ? Notify::Kind::kChildUp : Notify::Kind::kChildDown;
  notify.level = LogLevel::kDebug;
  notify.reason = reason;
  notify.ike_id = sa.unique_id;
  notify.child_id = child.unique_id;
  notify.connection = sa.config->name;
  notify.child = child.config->name;
  notify.peer = sa.remote;
  notify.ike = snapshot_of(sa);
  emit(std::move(notify));
}

void Engine::Core::tell_rekeyed(const IkeSa& sa, const Child& old, const Child& fresh) {
  count(const_cast<IkeSa*>(&sa), Counter::kChildRekey);
  Notify notify;
  notify.kind = Notify::Kind::kChildRekeyed;
  notify.level = LogLevel::kDebug;
  notify.ike_id = sa.unique_id;
  notify.child_id = old.unique_id;
  notify.other_child_id = fresh.unique_id;
  notify.connection = sa.config->name;
  notify.child = fresh.config->name;
  notify.peer = sa.remote;
  notify.ike = snapshot_of(sa);
  emit(std::move(notify));
}

void Engine::Core::on_install_failed(const Now& now, ChildTunnel tunnel, uint32_t inbound_spi,
                                     const std::string& why) {
  now_ = now;
  const auto line = lines_.find(tunnel);
  if (line == lines_.end()) return;
  IkeSa* const sa = find_sa(line->second.ike_id);
  if (sa == nullptr) return;
  for (const auto& child : sa->children) {
    if (child->tunnel != tunnel || child->inbound_spi != inbound_spi) continue;
    fail(*sa, Reason::kInstallFailed,
         "child " + child->config->name + " cannot be installed: " + why);
    Task task;
    task.kind = TaskKind::kDeleteChild;
    task.child_id = child->unique_id;
    task.reason = Reason::kInstallFailed;
    enqueue(*sa, std::move(task));
    return;
  }
}

bool Engine::Core::child_is_up(const std::string& connection, const std::string& child,
                               uint32_t except_ike_id) const {
  const auto found = by_connection_.find(connection);
  if (found == by_connection_.end()) return false;
  for (const uint32_t id : found->second) {
    const IkeSa* const sa = find_sa(id);
    if (sa == nullptr || id == except_ike_id || sa->superseded || sa->redundant ||
        sa->phase == Phase::kDeleting) {
      continue;
    }
    for (const ChildConfigPtr& each : children_of(*sa)) {
      if (each->name == child) return true;
    }
  }
  return false;
}

// dpd_action and close_action. What is up in another IKE SA already is not started again, so that
// nothing multiplies over the hours.
void Engine::Core::act_on_loss(const ConnectionPtr& connection, const ChildConfigPtr& child,
                               bool restart, bool trap) {
  if (trap && find_trap(connection->name, child->name) == nullptr) {
    (void)add_trap(connection, child);
  }
  if (!restart || child_is_up(connection->name, child->name, 0)) return;
  Task task;
  task.kind = TaskKind::kNewChild;
  task.child = child;
  restarts_.emplace(now_.boot_ns, Initiation{connection, std::move(task)});
}

void Engine::Core::send_waiting(ChildTunnel tunnel, std::vector<ByteVector> packets) {
  for (ByteVector& packet : packets) emit(SendIntoTunnel{tunnel, std::move(packet)});
}

// Where one SA of a line is left it is sent under, whatever came before.
void Engine::Core::make_last_current(const IkeSa& sa, ChildTunnel tunnel) {
  const Child* left = nullptr;
  for (const auto& each : sa.children) {
    if (each->tunnel != tunnel || each->unused || each->lingers) continue;
    if (left != nullptr) return;
    left = each.get();
  }
  if (left != nullptr) emit(MakeCurrent{tunnel, left->inbound_spi});
}

// Packets on the way have had their time.
void Engine::Core::drop_lingering(IkeSa& sa, uint32_t child_id) {
  const auto found = std::find_if(sa.children.begin(), sa.children.end(),
                                  [&](const auto& each) { return each->unique_id == child_id; });
  if (found == sa.children.end()) return;
  const ChildTunnel tunnel = (*found)->tunnel;
  emit(RemoveChildSa{tunnel, (*found)->inbound_spi});
  sa.children.erase(found);
  const bool used = std::any_of(sa.children.begin(), sa.children.end(), [&](const auto& each) {
    return each->tunnel == tunnel && !each->unused;
  });
  if (used) {
    make_last_current(sa, tunnel);
  } else {
    remove_line(tunnel);
  }
}

}  // namespace penstock::ike
