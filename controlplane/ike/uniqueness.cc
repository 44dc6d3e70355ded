// One IKE SA per pair of identities (`unique`, INITIAL_CONTACT of RFC 7296 2.4), and both ends
// starting at once.
#include <algorithm>
#include <tuple>

#include "controlplane/ike/core.h"

namespace penstock::ike {
namespace {

std::string key_of(const IkeSa& sa) {
  std::string key = sa.local_id.key();
  key += '\0';
  key += std::to_string(key.size());
  return key + sa.policy_id().key();
}

}  // namespace

void Engine::Core::enter_identity(IkeSa& sa) {
  sa.peer_key = key_of(sa);
  by_identity_[sa.peer_key].insert(sa.unique_id);
}

void Engine::Core::leave_identity(IkeSa& sa) {
  const auto found = by_identity_.find(sa.peer_key);
  if (found != by_identity_.end()) {
    found->second.erase(sa.unique_id);
    if (found->second.empty()) by_identity_.erase(found);
  }
  sa.peer_key.clear();
}

// Established IKE SAs of the same identities.
std::vector<uint32_t> Engine::Core::others_of(const IkeSa& sa) const {
  std::vector<uint32_t> others;
  const auto found = by_identity_.find(key_of(sa));
  if (found == by_identity_.end()) return others;
  for (const uint32_t id : found->second) {
    const IkeSa* const other = find_sa(id);
    if (id != sa.unique_id && other != nullptr && !other->superseded && !other->redundant) {
      others.push_back(id);
    }
  }
  return others;
}

// Before the first answer as initiator: are we new to the peer?
bool Engine::Core::has_other_sa(const IkeSa& sa) const {
  const auto found = by_connection_.find(sa.config->name);
  if (found == by_connection_.end()) return false;
  return std::any_of(found->second.begin(), found->second.end(), [&](uint32_t id) {
    const IkeSa* const other = find_sa(id);
    return id != sa.unique_id && other != nullptr && !is_half_open(other->phase);
  });
}

// `unique = keep` refuses a second one, but not a reauthentication, which comes from the same
// place, nor a peer that has lost the first one.
bool Engine::Core::check_uniqueness(const IkeSa& sa) const {
  if (sa.config->unique != Uniqueness::kKeep || sa.handshake->initial_contact) return true;
  const auto others = others_of(sa);
  return std::all_of(others.begin(), others.end(),
                     [&](uint32_t id) { return find_sa(id)->remote == sa.remote; });
}

// Called once the peer has authenticated for good: after the last AUTH of EAP.
void Engine::Core::act_on_uniqueness(IkeSa& sa) {
  if (sa.config->unique == Uniqueness::kNever) return;
  for (const uint32_t id : others_of(sa)) {
    IkeSa& other = *find_sa(id);
    // What was made while this one was under way is not what the peer has lost: both started.
    if (sa.handshake->initial_contact && other.established_ns <= sa.created_ns) {
      log(&other, LogLevel::kNotice, Reason::kReplaced,
          "INITIAL_CONTACT: IKE_SA " + other.config->name + "[" + std::to_string(id) +
              "] of the same peer is gone");
      destroy(other, Reason::kReplaced, "the peer has started anew");
    } else if (sa.config->unique == Uniqueness::kReplace && other.phase == Phase::kEstablished) {
      // From the same place it is a reauthentication: the peer deletes the old one itself, later.
      Task task;
      task.kind = TaskKind::kDeleteIke;
      task.reason = Reason::kReplaced;
      if (other.remote == sa.remote) {
        task.not_before_ns = now_.boot_ns + options_.replace_delay_ns;
      }
      enqueue(other, std::move(task));
    }
  }
}

// Both ends started at once: two IKE SAs where one is meant. Both sides know the same two SPIs, and
// keep the lower one; whoever initiated the other one deletes it.
void Engine::Core::settle_simultaneous_start(IkeSa& sa) {
  constexpr Nanoseconds kTogether = 30 * kSecond;
  if (sa.config->unique == Uniqueness::kNever || sa.phase != Phase::kEstablished) return;
  for (const uint32_t id : others_of(sa)) {
    IkeSa& other = *find_sa(id);
    if (other.phase != Phase::kEstablished || other.config->name != sa.config->name ||
        other.original_initiator == sa.original_initiator ||
        other.remote.address != sa.remote.address ||
        sa.established_ns - other.established_ns > kTogether || other.predecessor != 0) {
      continue;
    }
    IkeSa& loser = std::tie(sa.spi_initiator, sa.spi_responder) <
                           std::tie(other.spi_initiator, other.spi_responder)
                       ? other
                       : sa;
    if (!loser.original_initiator) return;  // the peer's to delete
    log(&loser, LogLevel::kNotice, Reason::kDuplicate,
        "both sides started: IKE_SA " + loser.config->name + "[" + std::to_string(loser.unique_id) +
            "] is one too many");
    Task task;
    task.kind = TaskKind::kDeleteIke;
    task.reason = Reason::kDuplicate;
    enqueue(loser, std::move(task));
    return;
  }
}

}  // namespace penstock::ike
