// INFORMATIONAL (RFC 7296 1.4, 2.4): liveness, deletes from both sides (1.4.1, 2.25), errors, and
// the notifies of MOBIKE (mobike.cc).
#include <algorithm>

#include "controlplane/ike/core.h"

namespace penstock::ike {

// --> HDR, SK {[N,] [D,] ...}
void Engine::Core::on_informational_request(IkeSa& sa, const Arrival& arrival, const Header& header,
                                            Opened opened) {
  const Payloads& payloads = opened.payloads;
  const bool whole =
      std::any_of(payloads.deletes.begin(), payloads.deletes.end(),
                  [](const DeletePayload& each) { return each.protocol == ProtocolId::kIke; });
  if (whole) {
    // The IKE SA and all its children; the answer is empty.
    respond(sa, arrival, header.message_id, header.exchange, ChainBuilder());
    on_ike_deleted(sa);
    return;
  }
  if (payloads.has(NotifyType::kAuthenticationFailed) || payloads.has(NotifyType::kInvalidSyntax)) {
    // 2.21.2: the initiator does not like our AUTH.
    const bool auth = payloads.has(NotifyType::kAuthenticationFailed);
    respond(sa, arrival, header.message_id, header.exchange, ChainBuilder());
    const std::string text = std::string("the peer ends the IKE SA: ") +
                             (auth ? "it refuses our authentication" : "it does not understand us");
    fail(sa, Reason::kPeerRefusedAuth, text);
    destroy(sa, Reason::kPeerRefusedAuth, text);
    return;
  }
  ChainBuilder answer;
  const Endpoint before = sa.remote;
  if (payloads.has(NotifyType::kUpdateSaAddresses)) {
    on_update_addresses(sa, arrival, payloads, answer);
  }
  if (sa.mobike) take_additional_addresses(sa, payloads);
  if (const NotifyPayload* const cookie = payloads.find(NotifyType::kCookie2)) {
    answer.notify(NotifyType::kCookie2, cookie->data);  // RFC 4555 3.7
  }
  if (const NotifyPayload* const lifetime = payloads.find(NotifyType::kAuthLifetime)) {
    take_auth_lifetime(sa, lifetime->data_u32());
  }
  take_deletes(sa, payloads, answer);
  respond(sa, arrival, header.message_id, header.exchange, answer);
  if (sa.remote.address != before.address) {
    // RFC 4555 3.7: is the peer really there?
    Task check;
    check.kind = TaskKind::kCheckPath;
    enqueue(sa, std::move(check));
  }
  start_next(sa);
}

// --> D (ESP): we answer with the other half of each pair.
void Engine::Core::take_deletes(IkeSa& sa, const Payloads& payloads, ChainBuilder& answer) {
  std::vector<uint32_t> ours;
  for (const DeletePayload& each : payloads.deletes) {
    if (each.protocol != ProtocolId::kEsp) continue;
    for (const uint32_t spi : each.spis) {
      Child* const child = sa.find_outbound(spi);
      Exchange* const own = sa.exchange.get();
      if (child == nullptr) {  // not there (any more): no Delete in the answer
        // Or not there yet: the response that makes it has been overtaken.
        constexpr size_t kRememberedMax = 16;
        if (own != nullptr && own->sent && own->type == ExchangeType::kCreateChildSa &&
            own->negotiation.deleted.size() < kRememberedMax) {
          own->negotiation.deleted.push_back(spi);
        }
        continue;
      }
      if (own != nullptr && own->sent && own->task.kind == TaskKind::kDeleteChild &&
          own->task.child_id == child->unique_id) {
        continue;  // 2.25.1: both sides delete it: ours is on its way
      }
      ours.push_back(child->inbound_spi);
      on_child_deleted(sa, *child);
    }
  }
  constexpr size_t kSpisMax = 255;
  if (ours.size() > kSpisMax) ours.resize(kSpisMax);
  if (!ours.empty()) answer.delete_children(ProtocolId::kEsp, ours);
}

void Engine::Core::on_child_deleted(IkeSa& sa, Child& child) {
  const uint32_t id = child.unique_id;
  if (child.unused) {
    remove_child(sa, id, false, Reason::kDeletedByPeer);
    return;
  }
  Child* const fresh = child.replaced_by == 0 ? nullptr : sa.find_child(child.replaced_by);
  if (fresh != nullptr && !fresh->lingers) {
    // Its rekeying is over: what we send goes under the new one from now on (2.8).
    emit(MakeCurrent{child.tunnel, fresh->inbound_spi});
    remove_child(sa, id, true, Reason::kNone);
    return;
  }
  if (child.replaces != 0) {
    // The peer takes its side of a collision back: the old one is in use as before.
    if (Child* const old = sa.find_child(child.replaces)) {
      old->replaced_by = 0;
      remove_child(sa, id, true, Reason::kNone);
      return;
    }
  }
  const ChildConfigPtr config = child.config;
  const ConnectionPtr connection = sa.config;
  log(&sa, LogLevel::kNotice, Reason::kDeletedByPeer,
      "the peer deletes CHILD_SA " + config->name + "{" + std::to_string(id) + "}");
  remove_child(sa, id, false, Reason::kDeletedByPeer);
  act_on_loss(connection, config, config->close_action == CloseAction::kStart,
              config->close_action == CloseAction::kTrap);
}

void Engine::Core::on_ike_deleted(IkeSa& sa) {
  const ConnectionPtr connection = sa.config;
  Exchange* const own = sa.exchange.get();
  if (own != nullptr && own->task.kind == TaskKind::kRekeyIke && own->negotiation.collision) {
    // 2.25.2: our rekeying is forgotten, the peer's stays.
    if (IkeSa* const theirs = find_sa(own->negotiation.collision->new_id)) inherit(sa, *theirs);
  }
  if (sa.phase == Phase::kDeleting) {  // both sides: ours has its end too
    delete_ike_done(sa);
    return;
  }
  const bool silent = sa.superseded || sa.redundant;
  const std::vector<ChildConfigPtr> children = children_of(sa);
  if (!silent) {
    log(&sa, LogLevel::kNotice, Reason::kDeletedByPeer,
        "the peer deletes IKE_SA " + connection->name + "[" + std::to_string(sa.unique_id) + "]");
  }
  destroy(sa, Reason::kDeletedByPeer, silent ? "" : "the peer has deleted it");
  if (silent) return;
  for (const ChildConfigPtr& child : children) {
    act_on_loss(connection, child, child->close_action == CloseAction::kStart,
                child->close_action == CloseAction::kTrap);
  }
}

// <-- HDR, SK {...}
void Engine::Core::on_informational_response(IkeSa& sa, const Arrival& arrival, Opened opened) {
  const Payloads& payloads = opened.payloads;
  Exchange& exchange = *sa.exchange;
  if (const NotifyPayload* const error = payloads.first_error()) {
    if (error->type == NotifyType::kInvalidSyntax ||
        error->type == NotifyType::kAuthenticationFailed) {
      peer_is_dead(sa, Reason::kPeerNotify, "the peer ends the IKE SA: " + to_string(error->type));
      return;
    }
    log(&sa, LogLevel::kWarning, Reason::kPeerNotify, "the peer answers " + to_string(error->type));
  }
  switch (exchange.task.kind) {
    case TaskKind::kDeleteIke:
      delete_ike_done(sa);
      return;
    case TaskKind::kDeleteChild: {
      const Task task = std::move(exchange.task);
      child_delete_done(sa, task);
      break;
    }
    case TaskKind::kMoveAddress:
      on_address_moved(sa, arrival, payloads);
      break;
    case TaskKind::kCheckPath: {
      const NotifyPayload* const cookie = payloads.find(NotifyType::kCookie2);
      if (cookie == nullptr || !equal_bytes(cookie->data, exchange.cookie2)) {
        peer_is_dead(sa, Reason::kNatMapping, "the peer's new address is not its own: COOKIE2");
        return;
      }
      break;
    }
    default:
      break;  // kProbe: it lives
  }
  end_exchange(sa);
}

// --- own deletes ---------------------------------------------------------------------------------

bool Engine::Core::start_delete_child(IkeSa& sa) {
  const Task& task = sa.exchange->task;
  uint32_t spi = task.raw_spi;
  if (spi == 0) {
    Child* const child = sa.find_child(task.child_id);
    if (child == nullptr || child->lingers) {
      command_done(task.command);
      return false;
    }
    if (!child->unused && child->replaced_by == 0) child->state = ChildState::kDeleting;
    spi = child->inbound_spi;
  }
  ChainBuilder chain;
  chain.delete_children(ProtocolId::kEsp, {&spi, 1});
  send_request(sa, ExchangeType::kInformational, chain);
  return true;
}

void Engine::Core::child_delete_done(IkeSa& sa, const Task& task) {
  if (Child* const child = sa.find_child(task.child_id)) {
    const bool rekeyed = child->replaced_by != 0;
    const ChildConfigPtr config = child->config;
    const ConnectionPtr connection = sa.config;
    remove_child(sa, child->unique_id, rekeyed, task.reason);
    const bool act = !rekeyed && task.reason == Reason::kLifetime;
    if (act) {
      act_on_loss(connection, config, config->close_action == CloseAction::kStart,
                  config->close_action == CloseAction::kTrap);
    }
  }
  command_done(task.command);
}

// --> HDR, SK {D}
void Engine::Core::start_delete_ike(IkeSa& sa) {
  sa.phase = Phase::kDeleting;
  for (const Timer timer : {Timer::kRekey, Timer::kReauth, Timer::kLife, Timer::kDpd}) {
    stop_timer(sa, timer);
  }
  ChainBuilder chain;
  chain.delete_ike();
  send_request(sa, ExchangeType::kInformational, chain);
}

void Engine::Core::delete_ike_done(IkeSa& sa) {
  Task task;
  if (sa.exchange != nullptr) task = std::move(sa.exchange->task);
  sa.exchange.reset();
  const ConnectionPtr connection = sa.config;
  std::vector<ChildConfigPtr> children = children_of(sa);
  const Endpoint remote = sa.remote;
  const uint32_t id = sa.unique_id;
  const Reason reason = task.reason == Reason::kNone ? Reason::kDeletedByOperator : task.reason;
  destroy(sa, reason, "");
  command_done(task.command);
  if (task.reauthenticate) initiate_again(connection, children, id, remote);
}

}  // namespace penstock::ike
