// Connections and pools as loaded, and which connection a peer gets: IKE_SA_INIT by addresses,
// IKE_AUTH by identities and by how the peer authenticates.
#include <algorithm>

#include "controlplane/ike/core.h"

namespace penstock::ike {
namespace {

constexpr Nanoseconds kNameValidNs = 60 * kSecond;

bool same(const Proposal& a, const Proposal& b) {
  return a.protocol == b.protocol && a.transforms == b.transforms;
}
bool same(const ConfiguredSelector& a, const ConfiguredSelector& b) {
  return a.dynamic == b.dynamic && a.selector == b.selector;
}
template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const T& x, const T& y) { return same(x, y); });
}
bool same(const Lifetimes& a, const Lifetimes& b) {
  return a.rekey_ns == b.rekey_ns && a.life_ns == b.life_ns && a.random_ns == b.random_ns &&
         a.rekey_bytes == b.rekey_bytes && a.life_bytes == b.life_bytes &&
         a.random_bytes == b.random_bytes && a.rekey_packets == b.rekey_packets &&
         a.life_packets == b.life_packets && a.random_packets == b.random_packets;
}
bool same(const ChildConfig& a, const ChildConfig& b) {
  return a.name == b.name && a.mode == b.mode && same(a.proposals, b.proposals) &&
         a.require_pfs == b.require_pfs && a.literal_proposals == b.literal_proposals &&
         same(a.local_ts, b.local_ts) && same(a.remote_ts, b.remote_ts) &&
         same(a.lifetimes, b.lifetimes) && a.inactivity_ns == b.inactivity_ns &&
         a.start == b.start && a.trap == b.trap && a.dpd_action == b.dpd_action &&
         a.close_action == b.close_action && a.policies == b.policies && a.copy_df == b.copy_df &&
         a.dscp == b.dscp && a.reqid == b.reqid && a.priority == b.priority && a.if_id == b.if_id &&
         a.replay_window_packets == b.replay_window_packets && a.tfc_padding == b.tfc_padding;
}

bool is_single(const AddressMatch& match) {
  return !match.is_name() && match.first == match.last && !match.first.is_unspecified();
}

}  // namespace

Status Engine::Core::load_connection(const Now& now, ConnectionPtr connection) {
  now_ = now;
  const ConnectionConfig& config = *connection;
  if (config.name.empty()) return errorf("a connection needs a name");
  if (config.proposals.empty())
    return errorf("connection %s has no proposals", config.name.c_str());
  if (config.local.method == AuthClass::kEap) {
    return errorf("connection %s: EAP as initiator is not supported", config.name.c_str());
  }
  if (config.remote.method == AuthClass::kEap) {
    const auto& methods = config.remote.eap_methods;
    if (methods.empty()) return errorf("connection %s has no EAP method", config.name.c_str());
    if (std::count(methods.begin(), methods.end(), EapType::kMschapv2) != 0 &&
        !mschapv2_available()) {
      return errorf("connection %s: EAP-MSCHAPv2 needs OpenSSL's legacy provider",
                    config.name.c_str());
    }
  }
  for (const ChildConfigPtr& child : config.children) {
    if (child->mode == ChildMode::kTunnel && child->proposals.empty()) {
      return errorf("child %s has no proposals", child->name.c_str());
    }
    if (child->local_ts.empty() || child->remote_ts.empty()) {
      return errorf("child %s has no traffic selectors", child->name.c_str());
    }
  }
  ConnectionEntry& entry = connections_[config.name];
  if (entry.config != nullptr) unindex_connection(entry);
  const ConnectionPtr previous = std::move(entry.config);
  entry.config = connection;
  if (previous == nullptr) entry.order = next_order_++;
  for (const AddressMatches* const list : {&config.local_addresses, &config.remote_addresses}) {
    for (const AddressMatch& match : *list) {
      if (match.is_name() && resolving_.insert(match.name).second) emit(ResolveName{match.name});
    }
  }
  index_connection(entry);
  start_children(connection, previous.get());
  return {};
}

// Traps and start actions of children that are new or changed; those of children that are gone or
// changed are undone first.
void Engine::Core::start_children(const ConnectionPtr& connection,
                                  const ConnectionConfig* previous) {
  if (previous != nullptr) {
    for (const ChildConfigPtr& old : previous->children) {
      const ChildConfigPtr kept = connection->child_named(old->name);
      if (kept != nullptr && same(*kept, *old)) continue;
      remove_trap(connection->name, old->name);
      if (old->start) stop_children(connection->name, *old);
    }
  }
  for (const ChildConfigPtr& child : connection->children) {
    if (previous != nullptr) {
      const ChildConfigPtr old = previous->child_named(child->name);
      if (old != nullptr && same(*old, *child)) {
        if (Trap* const trap = find_trap(connection->name, child->name)) {
          trap->connection_config = connection;
          trap->config = child;
        }
        continue;
      }
    }
    const bool shunt = child->mode != ChildMode::kTunnel;
    if (child->trap || (shunt && child->start)) {
      const Status added = add_trap(connection, child);
      if (!added.ok()) {
        log_peer({}, LogLevel::kWarning, Reason::kNoAddress,
                 "trap of child " + child->name + ": " + added.error().text, connection->name);
      }
    }
    if (child->start && !shunt && !child_is_up(connection->name, child->name, 0)) {
      Task task;
      task.kind = TaskKind::kNewChild;
      task.child = child;
      restarts_.emplace(now_.boot_ns, Initiation{connection, std::move(task)});
    }
  }
}

// swanctl.conf(5): the inverse of the start action; an IKE SA without children goes too.
void Engine::Core::stop_children(const std::string& connection, const ChildConfig& child) {
  const auto found = by_connection_.find(connection);
  if (found == by_connection_.end()) return;
  const std::set<uint32_t> ids = found->second;
  for (const uint32_t id : ids) {
    IkeSa* const sa = find_sa(id);
    if (sa == nullptr || sa->phase != Phase::kEstablished || sa->superseded) continue;
    bool others = false;
    std::vector<uint32_t> own;
    for (const auto& each : sa->children) {
      if (each->unused || each->lingers || each->delete_queued) continue;
      if (each->config->name == child.name) {
        own.push_back(each->unique_id);
      } else {
        others = true;
      }
    }
    if (own.empty()) continue;
    if (!others) {
      Task task;
      task.kind = TaskKind::kDeleteIke;
      task.reason = Reason::kDeletedByOperator;
      enqueue(*sa, std::move(task));
      continue;
    }
    for (const uint32_t each : own) {
      Child* const gone = sa->find_child(each);
      if (gone != nullptr) request_delete(*sa, *gone, Reason::kDeletedByOperator, 0);
    }
  }
}

bool Engine::Core::unload_connection(const Now& now, const std::string& name) {
  now_ = now;
  const auto found = connections_.find(name);
  if (found == connections_.end()) return false;
  for (const ChildConfigPtr& child : found->second.config->children) {
    remove_trap(name, child->name);
    if (child->start && child->mode == ChildMode::kTunnel) stop_children(name, *child);
  }
  for (auto each = restarts_.begin(); each != restarts_.end();) {
    if (each->second.connection->name == name) {
      each = restarts_.erase(each);
    } else {
      ++each;
    }
  }
  unindex_connection(found->second);
  connections_.erase(found);
  return true;
}

std::vector<ConnectionPtr> Engine::Core::connections() const {
  std::vector<const ConnectionEntry*> entries;
  for (const auto& [name, entry] : connections_) entries.push_back(&entry);
  std::sort(entries.begin(), entries.end(),
            [](const auto* a, const auto* b) { return a->order < b->order; });
  std::vector<ConnectionPtr> list;
  for (const ConnectionEntry* const entry : entries) list.push_back(entry->config);
  return list;
}

// A connection of single remote addresses is found by them; all others are looked at one by one.
void Engine::Core::index_connection(const ConnectionEntry& entry) {
  const AddressMatches& list = entry.config->remote_addresses;
  if (list.empty() || !std::all_of(list.begin(), list.end(), is_single)) {
    wide_.insert(&entry);
    return;
  }
  for (const AddressMatch& match : list) by_remote_[match.first].insert(&entry);
}

void Engine::Core::unindex_connection(const ConnectionEntry& entry) {
  wide_.erase(&entry);
  for (const AddressMatch& match : entry.config->remote_addresses) {
    const auto found = by_remote_.find(match.first);
    if (found == by_remote_.end()) continue;
    found->second.erase(&entry);
    if (found->second.empty()) by_remote_.erase(found);
  }
}

// 0: not this address; more: the better fit.
unsigned Engine::Core::match_addresses(const AddressMatches& list, const IpAddress& address) const {
  if (list.empty()) return 1;
  unsigned best = 0;
  for (const AddressMatch& match : list) {
    if (match.is_name()) {
      const auto found = resolved_.find(match.name);
      if (found == resolved_.end()) continue;
      const auto& known = found->second.addresses;
      if (std::find(known.begin(), known.end(), address) != known.end()) best = std::max(best, 3U);
      continue;
    }
    const bool any = match.first.is_unspecified() && match.first == match.last;
    if (any) {
      best = std::max(best, 1U);
    } else if (match.first.family() == address.family() && match.first <= address &&
               address <= match.last) {
      best = std::max(best, match.first == match.last ? 3U : 2U);
    }
  }
  return best;
}

std::vector<ConnectionPtr> Engine::Core::candidates_for(const IpAddress& local,
                                                        const IpAddress& remote) const {
  struct Candidate {
    const ConnectionEntry* entry;
    unsigned remote, local;
  };
  std::vector<Candidate> found;
  const auto consider = [&](const ConnectionEntry* entry) {
    const unsigned ours = match_addresses(entry->config->local_addresses, local);
    const unsigned theirs = match_addresses(entry->config->remote_addresses, remote);
    if (ours != 0 && theirs != 0) found.push_back({entry, theirs, ours});
  };
  const auto exact = by_remote_.find(remote);
  if (exact != by_remote_.end()) {
    for (const ConnectionEntry* const entry : exact->second) consider(entry);
  }
  for (const ConnectionEntry* const entry : wide_) consider(entry);
  std::sort(found.begin(), found.end(), [](const Candidate& a, const Candidate& b) {
    if (a.remote != b.remote) return a.remote > b.remote;
    if (a.local != b.local) return a.local > b.local;
    return a.entry->order < b.entry->order;
  });
  std::vector<ConnectionPtr> list;
  list.reserve(found.size());
  for (const Candidate& each : found) list.push_back(each.entry->config);
  return list;
}

std::vector<ConnectionPtr> Engine::Core::choose_by_identity(
    const IkeSa& sa, const std::vector<ConnectionPtr>& candidates, const Identity& initiator,
    const std::optional<Identity>& responder, std::optional<AuthMethod> auth,
    Refusal& refusal) const {
  const AuthClass wanted = !auth                             ? AuthClass::kEap
                           : *auth == AuthMethod::kSharedKey ? AuthClass::kPsk
                                                             : AuthClass::kPubkey;
  struct Choice {
    ConnectionPtr connection;
    unsigned score;
  };
  std::vector<Choice> choices;
  const Proposal chosen = to_proposal(sa.suite, 1, 0, 0);
  bool identity = false;
  for (const ConnectionPtr& each : candidates) {
    const unsigned remote = initiator.match(each->remote.id);
    const unsigned local = !responder || responder->is_any() || each->local.id.is_any()
                               ? 1U
                               : unsigned{responder->match(each->local.id)};
    if (remote == kMatchNone || local == kMatchNone) continue;
    identity = true;
    if (each->remote.method != wanted) continue;
    SelectOptions options;
    options.ke_group = static_cast<uint16_t>(sa.suite.group);
    if (!select_proposal(ProtocolId::kIke, {&chosen, 1}, each->proposals, options).ok()) continue;
    choices.push_back({each, remote * 32 + local});
  }
  std::stable_sort(choices.begin(), choices.end(),
                   [](const Choice& a, const Choice& b) { return a.score > b.score; });
  std::vector<ConnectionPtr> list;
  for (Choice& each : choices) list.push_back(std::move(each.connection));
  if (!list.empty()) return list;
  refusal.notify = NotifyType::kAuthenticationFailed;
  refusal.reason = identity ? Reason::kAuthMethodMismatch : Reason::kIdentityMismatch;
  const std::string who =
      initiator.to_string() + (responder ? " asking for " + responder->to_string() : std::string());
  if (!identity) {
    refusal.text = "no connection for " + who;
  } else {
    refusal.text = who + " authenticates by " + (auth ? to_string(*auth) : std::string("EAP")) +
                   ", which no connection of it wants";
  }
  return {};
}

// Where to initiate to. `unresolved` is set where a name has to be looked up first.
std::optional<IpAddress> Engine::Core::remote_of(const ConnectionConfig& connection,
                                                 const std::string** unresolved) const {
  for (const AddressMatch& match : connection.remote_addresses) {
    if (is_single(match)) return match.first;
    if (!match.is_name()) continue;
    const auto found = resolved_.find(match.name);
    const bool fresh = found != resolved_.end() &&
                       now_.boot_ns - found->second.at_ns < kNameValidNs &&
                       !found->second.addresses.empty();
    if (fresh) {
      // The first that a route leads to.
      for (const IpAddress& address : found->second.addresses) {
        if (host_.source_address_for(address)) return address;
      }
      return found->second.addresses.front();
    }
    if (unresolved != nullptr && *unresolved == nullptr) *unresolved = &match.name;
  }
  return std::nullopt;
}

void Engine::Core::on_resolved(const Now& now, const std::string& name,
                               std::vector<IpAddress> addresses) {
  now_ = now;
  resolving_.erase(name);
  const bool failed = addresses.empty();
  resolved_[name] = ResolvedName{std::move(addresses), now.boot_ns};
  std::vector<uint32_t> waiting;
  for (const auto& [id, slot] : by_unique_id_) {
    const IkeSa& sa = *sas_[slot];
    if (sa.phase != Phase::kResolving || sa.config == nullptr) continue;
    const AddressMatches& list = sa.config->remote_addresses;
    if (std::any_of(list.begin(), list.end(),
                    [&](const AddressMatch& each) { return each.name == name; })) {
      waiting.push_back(id);
    }
  }
  for (const uint32_t id : waiting) {
    IkeSa* const sa = find_sa(id);
    if (sa == nullptr) continue;
    if (failed) {
      initiation_failed(*sa, Reason::kUnresolved, "the name " + name + " cannot be resolved");
    } else {
      begin_init(*sa);
    }
  }
}

// --- pools and credentials -----------------------------------------------------------------------

Status Engine::Core::load_pool(const PoolConfig& pool) {
  if (pool.name.empty()) return errorf("a pool needs a name");
  if (pool.first.family() != pool.last.family() || pool.last < pool.first) {
    return errorf("pool %s has no addresses", pool.name.c_str());
  }
  auto& entry = pools_[pool.name];
  if (entry == nullptr) {
    entry = std::make_unique<Pool>(pool);
  } else {
    entry->reconfigure(pool);
  }
  return {};
}

Status Engine::Core::unload_pool(const std::string& name) {
  const auto found = pools_.find(name);
  if (found == pools_.end()) return errorf("there is no pool %s", name.c_str());
  if (found->second->counters().online != 0) {
    return errorf("pool %s has leases online", name.c_str());
  }
  pools_.erase(found);
  return {};
}

void Engine::Core::release_leases(IkeSa& sa) {
  for (const HeldLease& lease : sa.leases) {
    const auto pool = pools_.find(lease.pool);
    if (pool == pools_.end()) continue;
    pool->second->release(lease.address, lease.identity);
    Notify notify;
    notify.kind = Notify::Kind::kReleased;
    notify.level = LogLevel::kInfo;
    notify.ike_id = sa.unique_id;
    notify.peer = sa.remote;
    notify.address = lease.address;
    notify.pool = lease.pool;
    notify.identity = lease.identity;
    notify.text = "address " + lease.address.to_string() + " of pool " + lease.pool + " is offline";
    emit(std::move(notify));
  }
  sa.leases.clear();
}

void Engine::Core::set_credentials(CredentialSnapshotPtr credentials) {
  credentials_ = std::move(credentials);
}

}  // namespace penstock::ike
