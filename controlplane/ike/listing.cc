// What listings and events show.
#include "controlplane/ike/core.h"

namespace penstock::ike {

std::string_view text_of(IkeState state) {
  switch (state) {
    case IkeState::kCreated:
      return "CREATED";
    case IkeState::kConnecting:
      return "CONNECTING";
    case IkeState::kEstablished:
      return "ESTABLISHED";
    case IkeState::kRekeying:
      return "REKEYING";
    case IkeState::kRekeyed:
      return "REKEYED";
    case IkeState::kDeleting:
      return "DELETING";
  }
  return "";
}

std::string_view text_of(ChildState state) {
  switch (state) {
    case ChildState::kCreated:
      return "CREATED";
    case ChildState::kRouted:
      return "ROUTED";
    case ChildState::kInstalling:
      return "INSTALLING";
    case ChildState::kInstalled:
      return "INSTALLED";
    case ChildState::kUpdating:
      return "UPDATING";
    case ChildState::kRekeying:
      return "REKEYING";
    case ChildState::kRekeyed:
      return "REKEYED";
    case ChildState::kRetrying:
      return "RETRYING";
    case ChildState::kDeleting:
      return "DELETING";
  }
  return "";
}

IkeState Engine::Core::state_of(const IkeSa& sa) {
  if (sa.phase == Phase::kDeleting) return IkeState::kDeleting;
  if (sa.superseded || sa.redundant) return IkeState::kRekeyed;
  if (sa.phase == Phase::kResolving) return IkeState::kCreated;
  if (is_half_open(sa.phase)) return IkeState::kConnecting;
  const bool rekeying = sa.exchange != nullptr && sa.exchange->task.kind == TaskKind::kRekeyIke;
  return rekeying ? IkeState::kRekeying : IkeState::kEstablished;
}

ChildSaInfo Engine::Core::info_of(const Child& child) const {
  ChildSaInfo info;
  info.unique_id = child.unique_id;
  info.name = child.config->name;
  info.config = child.config;
  info.state = child.state;
  info.tunnel = child.tunnel;
  info.inbound_spi = child.inbound_spi;
  info.outbound_spi = child.outbound_spi;
  info.suite = child.suite;
  info.local_ts = child.local_ts;
  info.remote_ts = child.remote_ts;
  info.installed_ns = child.installed_ns;
  info.rekey_at_ns = child.rekey_at_ns;
  info.life_at_ns = child.life_at_ns;
  if (const auto line = lines_.find(child.tunnel); line != lines_.end()) {
    info.reqid = line->second.reqid;
    info.if_id = line->second.if_id;
    info.encapsulated = line->second.encapsulated;
  }
  return info;
}

IkeSaInfo Engine::Core::info_of(const IkeSa& sa) const {
  IkeSaInfo info;
  info.unique_id = sa.unique_id;
  if (sa.config != nullptr) info.connection = sa.config->name;
  info.config = sa.config;
  info.state = state_of(sa);
  info.initiator = sa.initiator;
  info.initiator_spi = sa.spi_initiator;
  info.responder_spi = sa.spi_responder;
  info.local = sa.local;
  info.remote = sa.remote;
  info.local_id = sa.local_id;
  info.remote_id = sa.remote_id;
  info.remote_eap_id = sa.remote_eap_id;
  info.nat_local = sa.nat_local;
  info.nat_remote = sa.nat_remote;
  info.nat_any = sa.nat_local || sa.nat_remote || sa.nat_faked;
  info.suite = sa.suite;
  info.local_vips = sa.local_vips;
  for (const HeldLease& lease : sa.leases) info.remote_vips.push_back(lease.address);
  info.established_ns = sa.established_ns;
  info.rekey_at_ns = sa.timer(Timer::kRekey);
  info.reauth_at_ns = sa.timer(Timer::kReauth);
  info.life_at_ns = sa.timer(Timer::kLife);
  info.last_inbound_ns = sa.last_inbound_ns;
  for (const Task& task : sa.queue) info.tasks_queued.emplace_back(text_of(task.kind));
  if (sa.exchange != nullptr) info.tasks_active.emplace_back(text_of(sa.exchange->task.kind));
  if (sa.passive != nullptr) {
    info.tasks_passive.emplace_back(sa.passive->plan == nullptr ? "IKE_REKEY"
                                    : sa.passive->rekeyed != 0  ? "CHILD_REKEY"
                                                                : "CHILD_CREATE");
  }
  for (const auto& child : sa.children) {
    if (!child->unused) info.children.push_back(info_of(*child));
  }
  info.last_error = sa.last_error;
  return info;
}

std::shared_ptr<const IkeSaInfo> Engine::Core::snapshot_of(const IkeSa& sa) const {
  return std::make_shared<const IkeSaInfo>(info_of(sa));
}

void Engine::Core::for_each_ike_sa(const std::string& connection, uint32_t ike_id,
                                   const std::function<void(const IkeSaInfo&)>& visit) const {
  if (ike_id != 0) {
    const IkeSa* const sa = find_sa(ike_id);
    const bool wanted =
        sa != nullptr &&
        (connection.empty() || (sa->config != nullptr && sa->config->name == connection));
    if (wanted) visit(info_of(*sa));
    return;
  }
  if (!connection.empty()) {
    const auto found = by_connection_.find(connection);
    if (found == by_connection_.end()) return;
    for (const uint32_t id : found->second) visit(info_of(*find_sa(id)));
    return;
  }
  for (const auto& [id, slot] : by_unique_id_) visit(info_of(*sas_[slot]));
}

std::vector<PolicyInfo> Engine::Core::policies() const {
  std::vector<PolicyInfo> list;
  for (const auto& [tunnel, trap] : traps_) {
    list.push_back({trap.connection, trap.config->name, trap.config->mode, trap.line.local_ts,
                    trap.line.remote_ts});
  }
  return list;
}

std::vector<PoolInfo> Engine::Core::pools() const {
  std::vector<PoolInfo> list;
  for (const auto& [name, pool] : pools_) {
    const Pool::Counters counters = pool->counters();
    const PoolConfig& config = pool->config();
    list.push_back({name, config.first, config.last, counters.size, counters.online,
                    counters.offline, counters.exhausted});
  }
  return list;
}

std::vector<LeaseInfo> Engine::Core::leases(const std::string& pool) const {
  std::vector<LeaseInfo> list;
  const auto found = pools_.find(pool);
  if (found == pools_.end()) return list;
  for (const Pool::Lease& lease : found->second->leases()) {
    list.push_back({lease.address, lease.identity, lease.online()});
  }
  return list;
}

std::optional<Counters> Engine::Core::counters(const std::string& connection) const {
  const auto found = stats_.find(connection);
  if (found == stats_.end()) return std::nullopt;
  return found->second->counters;
}

void Engine::Core::reset_counters(const std::string& connection) {
  if (connection.empty()) {
    counters_ = {};
    for (const auto& [name, stats] : stats_) stats->counters = {};
    return;
  }
  const auto found = stats_.find(connection);
  if (found != stats_.end()) found->second->counters = {};
}

std::vector<std::string> Engine::Core::counted_connections() const {
  std::vector<std::string> names;
  for (const auto& [name, stats] : stats_) names.push_back(name);
  return names;
}

EngineTotals Engine::Core::totals() const {
  EngineTotals totals = totals_;
  totals.ike_sas = by_unique_id_.size();
  totals.half_open = guard_.count();
  totals.compute_jobs = jobs_.size();
  return totals;
}

std::vector<ConnectionError> Engine::Core::last_errors() const {
  std::vector<ConnectionError> list;
  for (const auto& [name, error] : errors_) list.push_back(error);
  return list;
}

}  // namespace penstock::ike
