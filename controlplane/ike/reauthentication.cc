// Reauthentication (RFC 7296 2.8.3, RFC 4478): a whole new IKE SA with new children, made before
// the old one breaks or after.
#include <algorithm>

#include "controlplane/ike/core.h"

namespace penstock::ike {

// What should be up if this IKE SA were made again.
std::vector<ChildConfigPtr> Engine::Core::children_of(const IkeSa& sa) const {
  std::vector<ChildConfigPtr> configs;
  std::vector<ChildTunnel> tunnels;
  for (const auto& child : sa.children) {
    if (child->unused || child->lingers ||
        std::find(tunnels.begin(), tunnels.end(), child->tunnel) != tunnels.end()) {
      continue;
    }
    tunnels.push_back(child->tunnel);
    configs.push_back(child->config);
  }
  const auto add = [&](const Task& task) {
    if (task.kind == TaskKind::kNewChild && task.child != nullptr) configs.push_back(task.child);
  };
  for (const Task& task : sa.queue) add(task);
  if (sa.exchange != nullptr) add(sa.exchange->task);
  if (sa.handshake != nullptr) {
    if (sa.handshake->first_child) add(*sa.handshake->first_child);
    for (const Task& task : sa.handshake->more_children) add(task);
  }
  return configs;
}

void Engine::Core::reauthenticate(IkeSa& sa) {
  if (!sa.original_initiator && !remote_of(*sa.config, nullptr)) {
    log(&sa, LogLevel::kInfo, Reason::kNone, "the peer has to reauthenticate, as it initiated");
    return;
  }
  log(&sa, LogLevel::kNotice, Reason::kNone,
      "reauthenticating IKE_SA " + sa.config->name + "[" + std::to_string(sa.unique_id) + "]");
  stop_timer(sa, Timer::kReauth);
  if (sa.config->make_before_break) {
    initiate_again(sa.config, children_of(sa), sa.unique_id, sa.remote);
    return;
  }
  Task task;
  task.kind = TaskKind::kDeleteIke;
  task.reason = Reason::kLifetime;
  task.reauthenticate = true;
  enqueue(sa, std::move(task));
}

// Under the configuration as it is now; `replaces` is the IKE SA to delete then.
void Engine::Core::initiate_again(const ConnectionPtr& connection,
                                  const std::vector<ChildConfigPtr>& children, uint32_t replaces,
                                  const Endpoint& remote) {
  const auto loaded = connections_.find(connection->name);
  const ConnectionPtr config = loaded == connections_.end() ? connection : loaded->second.config;
  IkeSa* const sa = start_initiation(config);
  if (sa == nullptr) return;
  sa->remote.address = remote.address;
  Handshake& handshake = *sa->handshake;
  handshake.reauthenticates = replaces;
  for (const ChildConfigPtr& each : children) {
    const ChildConfigPtr now = config->child_named(each->name);
    Task task;
    task.kind = TaskKind::kNewChild;
    task.child = now != nullptr ? now : each;
    if (!handshake.first_child) {
      handshake.first_child = std::move(task);
    } else {
      handshake.more_children.push_back(std::move(task));
    }
  }
  begin_init(*sa);
}

// The new one is up: the old one goes, as soon as the other children have had their time.
void Engine::Core::reauthenticated(const IkeSa& fresh, uint32_t replaces) {
  IkeSa* old = find_sa(replaces);
  while (old != nullptr && old->successor != 0) old = find_sa(old->successor);
  if (old == nullptr || old->phase != Phase::kEstablished) return;
  constexpr Nanoseconds kForOtherChildren = 2 * kSecond;
  Task task;
  task.kind = TaskKind::kDeleteIke;
  task.reason = Reason::kReplaced;
  if (!fresh.queue.empty()) task.not_before_ns = now_.boot_ns + kForOtherChildren;
  enqueue(*old, std::move(task));
}

// <-- N(AUTH_LIFETIME) (RFC 4478): we are to reauthenticate before it is over.
void Engine::Core::take_auth_lifetime(IkeSa& sa, uint32_t seconds) {
  if (!sa.original_initiator || seconds == 0) return;
  const Nanoseconds lifetime = seconds * kSecond;
  // Early enough for the retransmissions of an exchange, where the lifetime is long enough for
  // that.
  const Nanoseconds margin = std::min<Nanoseconds>(lifetime / 10, 300 * kSecond);
  const Nanoseconds at = jittered(now_.boot_ns + lifetime - margin, margin);
  if (at >= sa.timer(Timer::kReauth)) return;
  set_timer(sa, Timer::kReauth, at);
  log(&sa, LogLevel::kInfo, Reason::kNone,
      "the peer wants reauthentication within " + std::to_string(seconds) + " s");
}

}  // namespace penstock::ike
