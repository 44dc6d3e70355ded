// Time: every timer of an IKE SA, one case each, and what the dataplane tells of traffic.
#include <algorithm>
#include <cmath>

#include "controlplane/ike/core.h"

namespace penstock::ike {

Nanoseconds Engine::Core::next_timeout() const {
  const Nanoseconds restart = restarts_.empty() ? kNever : restarts_.begin()->first;
  return std::min(deadlines_.earliest_ns(), restart);
}

void Engine::Core::on_timeout(const Now& now) {
  now_ = now;
  while (!deadlines_.empty() && deadlines_.earliest_ns() <= now.boot_ns) {
    const uint32_t slot = deadlines_.pop();
    const uint32_t id = sas_[slot]->unique_id;
    for (size_t i = 0; i < static_cast<size_t>(Timer::kCount); ++i) {
      IkeSa* const sa = find_sa(id);
      if (sa == nullptr) break;
      const auto which = static_cast<Timer>(i);
      if (sa->timer(which) > now.boot_ns) continue;
      sa->timer(which) = kNever;
      timer_due(*sa, which);
    }
    if (IkeSa* const sa = find_sa(id)) {
      // Later than now in any case: this loop has an end.
      const Nanoseconds next = *std::min_element(sa->timers.begin(), sa->timers.end());
      deadlines_.set_no_later_than(sa->slot, std::max(next, now.boot_ns + kMicrosecond));
    }
  }
  while (!restarts_.empty() && restarts_.begin()->first <= now.boot_ns) {
    Initiation initiation = std::move(restarts_.begin()->second);
    restarts_.erase(restarts_.begin());
    const auto loaded = connections_.find(initiation.connection->name);
    if (loaded == connections_.end()) continue;  // unloaded in the meantime
    const ChildConfigPtr child = loaded->second.config->child_named(initiation.task.child->name);
    if (child == nullptr || child_is_up(loaded->first, child->name, 0)) continue;
    initiation.task.child = child;
    initiate_child(loaded->second.config, std::move(initiation.task));
  }
}

// May end with the IKE SA destroyed.
void Engine::Core::timer_due(IkeSa& sa, Timer which) {
  switch (which) {
    case Timer::kRetransmit:
      retransmit(sa);
      return;
    case Timer::kHalfOpen:
      if (sa.initiator) {
        const bool resolving = sa.phase == Phase::kResolving;
        initiation_failed(sa, resolving ? Reason::kUnresolved : Reason::kHalfOpenTimeout,
                          resolving ? "the peer's name was not resolved in time"
                                    : "the handshake did not end in time");
      } else if (is_half_open(sa.phase)) {
        const std::string& eap = sa.handshake->eap_reason;
        fail(sa, eap.empty() ? Reason::kHalfOpenTimeout : Reason::kEapFailed,
             eap.empty() ? "the peer did not finish its handshake in time" : eap);
        destroy(sa, Reason::kHalfOpenTimeout, "");
      }
      return;
    case Timer::kRekey: {
      Task task;
      task.kind = TaskKind::kRekeyIke;
      enqueue(sa, std::move(task));
      return;
    }
    case Timer::kReauth:
      // As responder we have asked for it (AUTH_LIFETIME), and over_time is left for it.
      if (sa.original_initiator) {
        reauthenticate(sa);
      } else if (sa.timer(Timer::kLife) == kNever) {
        set_timer(sa, Timer::kLife, now_.boot_ns);
      }
      return;
    case Timer::kLife: {
      if (sa.phase != Phase::kEstablished) return;
      log(&sa, LogLevel::kWarning, Reason::kLifetime,
          "IKE_SA " + sa.config->name + "[" + std::to_string(sa.unique_id) +
              "] has reached its lifetime");
      Task task;
      task.kind = TaskKind::kDeleteIke;
      task.reason = Reason::kLifetime;
      task.reauthenticate = sa.original_initiator;  // what should be up is made again
      enqueue(sa, std::move(task), true);
      return;
    }
    case Timer::kDpd:
      probe_if_silent(sa);
      return;
    case Timer::kKeepalive: {
      // RFC 3948 4: one byte, only while nothing else keeps the mapping alive.
      const Nanoseconds due = sa.last_outbound_ns + options_.nat_keepalive_ns;
      if (due <= now_.boot_ns) {
        SendDatagram keepalive;
        keepalive.local = sa.local;
        keepalive.remote = sa.remote;
        keepalive.payload = {0xff};
        emit(std::move(keepalive));
        sa.last_outbound_ns = now_.boot_ns;
      }
      arm_keepalive(sa);
      return;
    }
    case Timer::kRetry:
      start_next(sa);
      return;
    case Timer::kChildren:
      children_due(sa);
      return;
    case Timer::kDeleteWait:
      // The peer should have deleted this one: it is of no use to anybody.
      destroy(sa, Reason::kCollision, "");
      return;
    case Timer::kForced:
      destroy(sa, Reason::kDeletedByOperator, "");
      return;
    case Timer::kCount:
      return;
  }
}

// The whole of an exchange with all its repeats.
Nanoseconds Engine::Core::handshake_limit() const {
  double sum = 0;
  for (uint32_t i = 0; i <= options_.retransmit_tries; ++i) {
    sum +=
        static_cast<double>(options_.retransmit_timeout_ns) * std::pow(options_.retransmit_base, i);
  }
  return static_cast<Nanoseconds>(sum) + options_.half_open_timeout_ns;
}

// --- liveness ------------------------------------------------------------------------------------

Nanoseconds Engine::Core::dpd_delay_of(const IkeSa& sa) const {
  if (sa.config->dpd_delay_ns != 0) return sa.config->dpd_delay_ns;
  // swanctl's default, 0, would keep the leases of phones that are gone.
  return sa.leases.empty() ? 0 : options_.pool_dpd_delay_ns;
}

void Engine::Core::arm_keepalive(IkeSa& sa) {
  const bool wanted = sa.nat_local && options_.nat_keepalive_ns != 0 && !sa.superseded &&
                      sa.phase == Phase::kEstablished;
  if (wanted) set_timer(sa, Timer::kKeepalive, sa.last_outbound_ns + options_.nat_keepalive_ns);
}

void Engine::Core::arm_liveness(IkeSa& sa) {
  const Nanoseconds delay = dpd_delay_of(sa);
  if (delay != 0) set_timer(sa, Timer::kDpd, sa.last_inbound_ns + delay);
  arm_keepalive(sa);
}

void Engine::Core::probe_if_silent(IkeSa& sa) {
  const Nanoseconds delay = dpd_delay_of(sa);
  if (delay == 0 || sa.phase != Phase::kEstablished || sa.superseded) return;
  const Nanoseconds due = sa.last_inbound_ns + delay;
  if (due > now_.boot_ns) {
    set_timer(sa, Timer::kDpd, due);
    return;
  }
  set_timer(sa, Timer::kDpd, now_.boot_ns + delay);
  // Any request that is under way asks the same question.
  if (sa.exchange != nullptr) return;
  Task probe;
  probe.kind = TaskKind::kProbe;
  enqueue(sa, std::move(probe));
}

void Engine::Core::on_tunnel_events(const Now& now, ChildTunnel tunnel, uint32_t flags,
                                    uint32_t inbound_spi, const Endpoint& source,
                                    const IpAddress& destination) {
  now_ = now;
  const auto found = lines_.find(tunnel);
  if (found == lines_.end()) return;
  Line& line = found->second;
  IkeSa* const sa = find_sa(line.ike_id);
  if (sa == nullptr) return;
  constexpr uint32_t kInbound = kEventReceivedData | kEventReceivedKeepalive | kEventPromoted;
  if ((flags & kInbound) != 0) sa->last_inbound_ns = now.boot_ns;
  if ((flags & (kEventSentData | kEventSentKeepalive)) != 0) sa->last_outbound_ns = now.boot_ns;
  if ((flags & (kEventReceivedData | kEventSentData)) != 0) line.last_used_ns = now.boot_ns;
  if ((flags & kEventRoamed) != 0) on_roamed(*sa, source, destination);
  if ((flags & (kEventSoftLimit | kEventNearLimit | kEventHardLimit)) == 0) return;
  // The pair that the limit is about; the newest one where that is not said.
  Child* child = nullptr;
  for (const auto& each : sa->children) {
    if (each->tunnel != tunnel || each->lingers || each->replaced_by != 0) continue;
    if (inbound_spi == 0 || each->inbound_spi == inbound_spi) child = each.get();
  }
  if (child == nullptr) return;
  if ((flags & kEventHardLimit) != 0) {
    log(sa, LogLevel::kWarning, Reason::kLifetime,
        "CHILD_SA " + child->config->name + "{" + std::to_string(child->unique_id) +
            "} has reached its limit of bytes or packets");
    request_delete(*sa, *child, Reason::kLifetime, 0);
  } else {
    request_rekey(*sa, *child);
  }
}

}  // namespace penstock::ike
