// CREATE_CHILD_SA for children (RFC 7296 1.3.1, 1.3.3), our requests: new ones and rekeys, and what
// happens when both sides rekey at once (2.8.1, 2.25.1). IKE rekeys are in rekey_ike.cc.
#include <algorithm>

#include "controlplane/ike/core.h"
#include "controlplane/ike/crypto/dh.h"

namespace penstock::ike {
namespace {

constexpr unsigned kGroupTriesMax = 3;  // INVALID_KE_PAYLOADs in one exchange

}  // namespace

bool Engine::Core::start_new_child(IkeSa& sa) {
  Task& task = sa.exchange->task;
  if (sa.children.size() >= options_.children_per_ike_sa) {
    child_failed(sa, task, Reason::kLimit, "too many children in one IKE SA");
    return false;
  }
  return prepare_child(sa, task.child);
}

bool Engine::Core::start_rekey_child(IkeSa& sa) {
  Child* const child = sa.find_child(sa.exchange->task.child_id);
  // The peer was faster, or it is gone.
  if (child == nullptr || child->replaced_by != 0 || child->lingers || child->delete_queued) {
    command_done(sa.exchange->task.command);
    return false;
  }
  child->state = ChildState::kRekeying;
  sa.exchange->task.child = child->config;
  if (!prepare_child(sa, child->config)) {
    child->state = ChildState::kInstalled;
    child->rekey_queued = false;
    return false;
  }
  return true;
}

bool Engine::Core::prepare_child(IkeSa& sa, const ChildConfigPtr& config) {
  const auto spi = host_.reserve_spi();
  if (!spi.ok()) {
    child_failed(sa, sa.exchange->task, Reason::kNoSpi, spi.error().text);
    return false;
  }
  Negotiation& negotiation = sa.exchange->negotiation;
  negotiation.spi = *spi;
  SelectOptions options;
  options.require_group = config->require_pfs;
  negotiation.offered = to_offer(config->proposals, 4, *spi, options);
  negotiation.nonce = nonce();
  negotiation.group = first_group(config->proposals);
  generate_exchange_key(sa);
  return true;
}

// The key pair of the exchange, then the request; without a group the request at once.
void Engine::Core::generate_exchange_key(IkeSa& sa) {
  Exchange& exchange = *sa.exchange;
  Negotiation& negotiation = exchange.negotiation;
  exchange.sent = false;
  exchange.answered = false;
  exchange.serial = ++next_serial_;
  if (negotiation.group == DhGroup::kNone) {
    send_create_child(sa);
    return;
  }
  negotiation.dh_private = dh_private_key(negotiation.group, random_);
  DhJob job;
  job.group = negotiation.group;
  job.private_key = negotiation.dh_private;
  submit(sa, JobKind::kExchangePublic, std::move(job), exchange.serial);
}

void Engine::Core::on_exchange_public(IkeSa& sa, Job& job, DhResult result) {
  if (sa.exchange == nullptr || sa.exchange->serial != job.message_id || sa.exchange->sent) return;
  Exchange& exchange = *sa.exchange;
  const Task& task = exchange.task;
  const Child* const rekeyed = sa.find_child(task.child_id);
  const bool overtaken =
      (task.kind == TaskKind::kRekeyChild && (rekeyed == nullptr || rekeyed->replaced_by != 0)) ||
      (task.kind == TaskKind::kRekeyIke && sa.superseded);
  if (!result.ok || overtaken || sa.phase != Phase::kEstablished) {
    release_negotiation(exchange.negotiation);
    if (task.kind == TaskKind::kNewChild) {
      child_failed(sa, task, Reason::kDhFailed, "Diffie-Hellman failed: " + result.error);
    } else {
      command_done(task.command);
    }
    end_exchange(sa);
    return;
  }
  exchange.negotiation.dh_public = std::move(result.public_value);
  if (task.kind == TaskKind::kRekeyIke && sa.passive != nullptr) {
    retry_later(sa, std::move(exchange.task));  // the peer is making a child
    end_exchange(sa);
  } else if (task.kind == TaskKind::kRekeyIke) {
    send_rekey_ike(sa);
  } else {
    send_create_child(sa);
  }
}

// --> HDR, SK {[N(REKEY_SA),] SA, Ni, [KEi,] TSi, TSr}
void Engine::Core::send_create_child(IkeSa& sa) {
  Exchange& exchange = *sa.exchange;
  Negotiation& negotiation = exchange.negotiation;
  ChainBuilder chain;
  if (exchange.task.kind == TaskKind::kRekeyChild) {
    const Child& old = *sa.find_child(exchange.task.child_id);
    chain.notify_spi(NotifyType::kRekeySa, ProtocolId::kEsp, old.inbound_spi);
  }
  offer_selectors(sa, exchange.task, negotiation);
  chain.sa(negotiation.offered).nonce(negotiation.nonce);
  if (negotiation.group != DhGroup::kNone) {
    chain.key_exchange(negotiation.group, negotiation.dh_public);
  }
  chain.ts_initiator(negotiation.local_ts).ts_responder(negotiation.remote_ts);
  send_request(sa, ExchangeType::kCreateChildSa, chain);
}

// <-- HDR, SK {SA, Nr, [KEr,] TSi, TSr}
void Engine::Core::on_create_child_response(IkeSa& sa, const Arrival& arrival, Opened opened) {
  Exchange& exchange = *sa.exchange;
  const bool ike = exchange.task.kind == TaskKind::kRekeyIke;
  const Payloads& payloads = opened.payloads;
  if (const NotifyPayload* const error = payloads.first_error(); error && !payloads.sa) {
    on_create_child_error(sa, *error);
    return;
  }
  Selection selection;
  std::string wrong;
  if (!payloads.sa || !payloads.nonce) {
    wrong = "a payload is missing";
  } else {
    SelectOptions options;
    options.require_group = ike || exchange.task.child->require_pfs;
    const auto answer = check_answer(ike ? ProtocolId::kIke : ProtocolId::kEsp,
                                     exchange.negotiation.offered, payloads.sa->proposals, options);
    if (!answer.ok()) {
      wrong = answer.error().text;
    } else {
      selection = *answer;
      const DhGroup group = selection.suite.group;
      if (group != DhGroup::kNone &&
          (group != exchange.negotiation.group ||
           payloads.group() != static_cast<uint16_t>(group) ||
           payloads.key_exchange->data.size() != dh_public_bytes(group))) {
        wrong = "its KE payload does not fit";
      }
    }
  }
  if (!wrong.empty()) {
    bad_answer(sa, payloads, "the peer's answer makes no sense: " + wrong);
    return;
  }
  if (selection.suite.group == DhGroup::kNone) {
    finish_child_response(sa, payloads, selection, {});
    return;
  }
  DhJob job;
  job.group = selection.suite.group;
  job.private_key = std::move(exchange.negotiation.dh_private);
  job.peer_public = to_vector(payloads.key_exchange->data);
  job.make_public = false;
  submit(sa, JobKind::kExchangeFinish, std::move(job), exchange.serial,
         std::make_unique<Opened>(std::move(opened)), selection, arrival);
}

void Engine::Core::on_exchange_shared(IkeSa& sa, Job& job, DhResult result) {
  if (sa.exchange == nullptr || sa.exchange->serial != job.message_id) return;
  if (!result.ok) {
    bad_answer(sa, job.response->payloads, "the peer's KE payload is refused: " + result.error);
  } else if (sa.exchange->task.kind == TaskKind::kRekeyIke) {
    finish_rekey_ike_response(sa, job.response->payloads, job.selection, result);
  } else {
    finish_child_response(sa, job.response->payloads, job.selection, result.shared.bytes());
  }
}

// The peer has made an SA that we cannot use: it is deleted again.
void Engine::Core::bad_answer(IkeSa& sa, const Payloads& payloads, const std::string& text) {
  Task task = std::move(sa.exchange->task);
  const uint32_t spi = sa.exchange->negotiation.spi;
  const bool made = payloads.sa.has_value() && spi != 0;
  release_negotiation(sa.exchange->negotiation);
  if (Child* const old = sa.find_child(task.child_id)) {
    old->rekey_queued = false;
    if (old->replaced_by == 0) old->state = ChildState::kInstalled;
  }
  child_failed(sa, task, Reason::kInvalidSyntax, text);
  if (made) {
    Task remove;
    remove.kind = TaskKind::kDeleteChild;
    remove.raw_spi = spi;
    sa.queue.push_front(std::move(remove));
  }
  end_exchange(sa);
}

void Engine::Core::finish_child_response(IkeSa& sa, const Payloads& payloads,
                                         const Selection& selection, Bytes shared) {
  Exchange& exchange = *sa.exchange;
  Negotiation& negotiation = exchange.negotiation;
  SelectOptions options;
  options.require_group = exchange.task.child->require_pfs;
  const auto plan = plan_from_answer(payloads, exchange.task.child, negotiation, options);
  if (!plan.ok()) {
    bad_answer(sa, payloads, plan.error().text);
    return;
  }
  const auto& deleted = negotiation.deleted;
  if (std::find(deleted.begin(), deleted.end(), plan->peer_spi) != deleted.end()) {
    deleted_before_made(sa);
    return;
  }
  const Bytes peer_nonce = *payloads.nonce;
  const ChildKeys keys = derive_child_keys(sa.suite.prf, sa.keys.d.bytes(), selection.suite, shared,
                                           negotiation.nonce, peer_nonce);
  if (selection.suite.group == DhGroup::kNone) ++totals_.children_without_pfs;
  const uint32_t spi = negotiation.spi;
  const std::optional<Collision> collision = std::move(negotiation.collision);
  const ByteVector low = lower_nonce(negotiation.nonce, peer_nonce);
  const Task task = std::move(exchange.task);
  if (task.kind == TaskKind::kRekeyChild) {
    finish_rekey(sa, task, *plan, spi, keys, low, collision);
  } else {
    Child& made =
        install_child(sa, *plan, spi, keys, true, kNoChildTunnel, SaRole::kInitiator, task.trap);
    first_child_up(sa, made, task);
  }
  end_exchange(sa);
}

// The peer's DELETE of the child overtook the response that made it: the child is gone, and where
// it was rekeyed so is what it came from.
void Engine::Core::deleted_before_made(IkeSa& sa) {
  const Task task = std::move(sa.exchange->task);
  release_negotiation(sa.exchange->negotiation);
  Child* const old = sa.find_child(task.child_id);
  child_failed(sa, task, Reason::kDeletedByPeer, "the peer has deleted the child again");
  if (old != nullptr) request_delete(sa, *old, Reason::kDeletedByPeer, 0);
  end_exchange(sa);
}

// Our rekeying is through. RFC 7296 2.8.1: if the peer's was too, the SA made with the lowest of
// the four nonces is closed by whoever made it.
void Engine::Core::finish_rekey(IkeSa& sa, const Task& task, const ChildPlan& plan, uint32_t spi,
                                const ChildKeys& keys, const ByteVector& low,
                                const std::optional<Collision>& collision) {
  Child* const old = sa.find_child(task.child_id);
  Child* const theirs = collision ? sa.find_child(collision->new_id) : nullptr;
  command_done(task.command);
  // It counts also where the peer's has been rekeyed further meanwhile and is gone.
  const bool lost = collision && std::lexicographical_compare(low.begin(), low.end(),
                                                              collision->low_nonce.begin(),
                                                              collision->low_nonce.end());
  if (lost) {
    // We have lost: ours is deleted before it was ever used, the peer deletes the old one.
    sa.children.push_back(std::make_unique<Child>());
    Child& loser = *sa.children.back();
    loser.unique_id = next_child_id_++;
    loser.config = plan.config;
    loser.state = ChildState::kRekeyed;
    loser.inbound_spi = spi;
    loser.outbound_spi = plan.peer_spi;
    loser.by_us = true;
    loser.unused = true;
    log(&sa, LogLevel::kInfo, Reason::kCollision,
        "both sides rekeyed CHILD_SA " + plan.config->name + ": the peer's stays");
    if (old != nullptr && theirs != nullptr) tell_rekeyed(sa, *old, *theirs);
    request_delete(sa, loser, Reason::kCollision, 0);
    return;
  }
  const ChildTunnel tunnel = old != nullptr      ? old->tunnel
                             : theirs != nullptr ? theirs->tunnel
                                                 : kNoChildTunnel;
  Child& fresh =
      install_child(sa, plan, spi, keys, true, tunnel, SaRole::kInitiator, kNoChildTunnel);
  if (theirs != nullptr) {
    theirs->state = ChildState::kRekeyed;  // the peer deletes it
    theirs->replaced_by = fresh.unique_id;
    theirs->rekey_at_ns = theirs->life_at_ns = kNever;
  }
  if (tunnel == kNoChildTunnel) child_updown(sa, fresh, true, Reason::kNone);
  Child* const replaced = sa.find_child(task.child_id);
  if (replaced == nullptr) return;
  replaced->state = ChildState::kRekeyed;
  replaced->replaced_by = fresh.unique_id;
  replaced->rekey_queued = false;
  fresh.replaces = replaced->unique_id;
  tell_rekeyed(sa, *replaced, fresh);
  request_delete(sa, *replaced, Reason::kNone, 0);
}

void Engine::Core::first_child_up(IkeSa& sa, const Child& child, const Task& task) {
  child_updown(sa, child, true, Reason::kNone);
  command_done(task.command);
  release_trap(task);
  send_waiting(child.tunnel, task.packets);
}

void Engine::Core::child_failed(IkeSa& sa, const Task& task, Reason reason,
                                const std::string& text) {
  fail(sa, reason, text);
  command_failed(task.command, reason, text, sa.remote);
  release_trap(task);
}

// IKE_AUTH and CREATE_CHILD_SA: the child that was not to be.
void Engine::Core::child_refused(IkeSa& sa, const Task& task, const Refusal& refusal) {
  if (refusal.notify == NotifyType::kSinglePairRequired && !task.single_pair) {
    // RFC 7296 2.9: one pair of selectors a child, that of the packet first.
    Negotiation offered;
    offer_selectors(sa, task, offered);
    const auto pairs = pairs_of(offered.local_ts, offered.remote_ts);
    log(&sa, LogLevel::kInfo, Reason::kNone,
        "the peer wants a child for each of " + std::to_string(pairs.size()) + " pairs");
    Task each = task;
    for (const SelectorPair& pair : pairs) {
      each.single_pair = pair;
      sa.queue.push_back(each);
      each.command = 0;
      each.packets.clear();
      each.trap = kNoChildTunnel;
    }
    return;
  }
  child_failed(sa, task, refusal.reason, refusal.text);
}

// RFC 7296 2.25: what an error means for the exchange that we wanted.
void Engine::Core::on_create_child_error(IkeSa& sa, const NotifyPayload& error) {
  Exchange& exchange = *sa.exchange;
  Negotiation& negotiation = exchange.negotiation;
  const bool ike = exchange.task.kind == TaskKind::kRekeyIke;
  if (error.type == NotifyType::kInvalidKePayload) {
    const auto group = dh_group_of(error.data_u16());
    const auto& configured = ike ? sa.config->proposals : exchange.task.child->proposals;
    if (++negotiation.group_tries <= kGroupTriesMax && group && *group != negotiation.group &&
        has_group(configured, error.data_u16())) {
      negotiation.group = *group;
      generate_exchange_key(sa);
      return;
    }
  }
  if (error.type == NotifyType::kInvalidSyntax || error.type == NotifyType::kAuthenticationFailed) {
    peer_is_dead(sa, Reason::kPeerNotify, "the peer ends the IKE SA: " + to_string(error.type));
    return;
  }
  // Whoever collided with us goes on alone.
  std::optional<Collision> collision = std::move(negotiation.collision);
  release_negotiation(negotiation);
  Task task = std::move(exchange.task);
  const std::string text = "the peer refuses " +
                           std::string(ike ? "to rekey the IKE SA" : "child " + task.child->name) +
                           ": " + to_string(error.type);
  if (task.kind == TaskKind::kNewChild) {
    if (error.type == NotifyType::kTemporaryFailure) {
      log(&sa, LogLevel::kInfo, Reason::kTemporaryFailure, text);
      retry_later(sa, std::move(task));
    } else {
      child_refused(sa, task,
                    {error.type,
                     error.type == NotifyType::kNoProposalChosen ? Reason::kNoProposalChosen
                     : error.type == NotifyType::kTsUnacceptable ? Reason::kTsUnacceptable
                                                                 : Reason::kPeerNotify,
                     text});
    }
  } else if (ike) {
    ike_rekey_refused(sa, std::move(task), collision, text);
    return;
  } else {
    child_rekey_refused(sa, std::move(task), error.type, text);
  }
  end_exchange(sa);
}

void Engine::Core::child_rekey_refused(IkeSa& sa, Task task, NotifyType error,
                                       const std::string& text) {
  Child* const old = sa.find_child(task.child_id);
  // Rekeyed or deleted by the peer in the meantime: nothing is left to do.
  if (old == nullptr || old->replaced_by != 0 || old->lingers) {
    const Child* const theirs = old == nullptr ? nullptr : sa.find_child(old->replaced_by);
    if (theirs != nullptr) tell_rekeyed(sa, *old, *theirs);
    command_done(task.command);
    return;
  }
  old->state = ChildState::kInstalled;
  if (error == NotifyType::kChildSaNotFound) {
    // 2.25: the peer does not have it: it goes silently, and is made anew.
    log(&sa, LogLevel::kWarning, Reason::kPeerNotify, text);
    const ChildConfigPtr config = old->config;
    remove_child(sa, old->unique_id, false, Reason::kPeerNotify);
    Task again;
    again.kind = TaskKind::kNewChild;
    again.child = config;
    again.command = task.command;
    sa.queue.push_back(std::move(again));
    return;
  }
  // Windows behind a NAT refuses: it rekeys itself later. The old SA is used until its end.
  log(&sa, LogLevel::kInfo, Reason::kTemporaryFailure, text);
  command_failed(task.command, Reason::kPeerNotify, text, sa.remote);
  task.command = 0;
  retry_later(sa, std::move(task));
}

}  // namespace penstock::ike
