// CREATE_CHILD_SA for children (RFC 7296 1.3.1, 1.3.3): new ones and rekeys, both sides, and what
// happens when both sides rekey at once (2.8.1, 2.25.1). IKE rekeys are in rekey_ike.cc.
#include <algorithm>

#include "controlplane/ike/core.h"
#include "controlplane/ike/crypto/dh.h"

namespace penstock::ike {
namespace {

constexpr unsigned kGroupTriesMax = 3;  // INVALID_KE_PAYLOADs in one exchange

const Bytes& lower(const Bytes& a, const Bytes& b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end()) ? a : b;
}

std::optional<uint16_t> group_of(const Payloads& payloads) {
  if (!payloads.key_exchange) return std::nullopt;
  return payloads.key_exchange->group;
}

bool is_ike_rekey(const Payloads& payloads) {
  return payloads.sa && !payloads.sa->proposals.empty() &&
         payloads.sa->proposals.front().protocol == ProtocolId::kIke;
}

}  // namespace

// --- initiator -----------------------------------------------------------------------------------

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
           group_of(payloads) != static_cast<uint16_t>(group) ||
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
  const ByteVector low = to_vector(lower(negotiation.nonce, peer_nonce));
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

// --- responder -----------------------------------------------------------------------------------

// What stands in the way of this request (2.25).
std::optional<Refusal> Engine::Core::refuse_child_request(const IkeSa& sa,
                                                          const NotifyPayload* rekey,
                                                          const Child* old) const {
  const Refusal later{NotifyType::kTemporaryFailure, Reason::kTemporaryFailure,
                      "busy with the same thing"};
  if (sa.superseded || sa.phase == Phase::kDeleting) return later;
  const Exchange* const own = sa.exchange.get();
  if (own != nullptr && own->task.kind == TaskKind::kRekeyIke && own->sent) return later;
  if (rekey == nullptr) {
    if (sa.children.size() >= options_.children_per_ike_sa) {
      return Refusal{NotifyType::kNoAdditionalSas, Reason::kLimit,
                     "too many children in one IKE SA"};
    }
    return std::nullopt;
  }
  if (old == nullptr) {
    // It may be the one that a response on its way to us makes.
    const bool making =
        own != nullptr && own->sent &&
        (own->task.kind == TaskKind::kNewChild || own->task.kind == TaskKind::kRekeyChild);
    if (making) return later;
    return Refusal{NotifyType::kChildSaNotFound, Reason::kPeerNotify,
                   "the peer rekeys a child that is not there"};
  }
  const bool closing = old->delete_queued || old->replaced_by != 0;
  if (closing) return later;
  return std::nullopt;
}

// --> HDR, SK {[N(REKEY_SA),] SA, Ni, [KEi,] TSi, TSr}
void Engine::Core::on_create_child_request(IkeSa& sa, const Arrival& arrival, const Header& header,
                                           Opened opened) {
  if (is_ike_rekey(opened.payloads)) {
    on_rekey_ike_request(sa, arrival, header, std::move(opened));
    return;
  }
  const Payloads& payloads = opened.payloads;
  if (!payloads.sa || !payloads.nonce || !payloads.ts_initiator || !payloads.ts_responder) {
    refuse_syntax(sa, arrival, header,
                  {WireFault::kPayloadValue, PayloadType::kNone, NotifyType::kInvalidSyntax,
                   "CREATE_CHILD_SA lacks a payload"});
    return;
  }
  const NotifyPayload* const rekey = payloads.find(NotifyType::kRekeySa);
  Child* old = nullptr;
  if (rekey != nullptr && rekey->protocol == ProtocolId::kEsp) {
    old = sa.find_outbound(static_cast<uint32_t>(rekey->spi));
  }
  if (const auto refusal = refuse_child_request(sa, rekey, old)) {
    log(&sa, LogLevel::kInfo, refusal->reason, refusal->text);
    ChainBuilder chain;
    if (refusal->notify == NotifyType::kChildSaNotFound) {
      chain.notify_spi(refusal->notify, ProtocolId::kEsp, static_cast<uint32_t>(rekey->spi));
    } else {
      chain.notify(refusal->notify);
    }
    respond(sa, arrival, header.message_id, header.exchange, chain);
    return;
  }
  SelectOptions options;
  options.ke_group = group_of(payloads);
  auto plan = plan_child(sa, payloads, options, old);
  if (!plan.ok()) {
    if (plan.error().notify == NotifyType::kInvalidKePayload) {
      log(&sa, LogLevel::kInfo, plan.error().reason, plan.error().text);
    } else {
      fail(sa, plan.error().reason, plan.error().text);
    }
    respond_error(sa, arrival, header.message_id, header.exchange, plan.error());
    return;
  }
  sa.passive = std::make_unique<Passive>();
  Passive& passive = *sa.passive;
  passive.message_id = header.message_id;
  passive.arrival = arrival;
  passive.rekeyed = old == nullptr ? 0 : old->unique_id;
  passive.plan = std::make_unique<ChildPlan>(std::move(*plan));
  passive.nonce = nonce();
  passive.request = std::move(opened);
  const DhGroup group = passive.plan->suite.group;
  if (group == DhGroup::kNone) {
    finish_child_request(sa, {}, {});
    return;
  }
  DhJob job;
  job.group = group;
  job.private_key = dh_private_key(group, random_);
  job.peer_public = to_vector(passive.request.payloads.key_exchange->data);
  submit(sa, JobKind::kPassive, std::move(job), passive.message_id);
}

void Engine::Core::on_passive_computed(IkeSa& sa, DhResult result) {
  Passive& passive = *sa.passive;
  if (!result.ok) {
    const std::string text = "the peer's KE payload is refused: " + result.error;
    fail(sa, Reason::kDhFailed, text);
    respond_error(sa, passive.arrival, passive.message_id, ExchangeType::kCreateChildSa,
                  {NotifyType::kInvalidSyntax, Reason::kDhFailed, text});
    peer_is_dead(sa, Reason::kDhFailed, text);
    return;
  }
  if (passive.plan == nullptr) {
    finish_rekey_ike_request(sa, result);
  } else {
    finish_child_request(sa, result.public_value, result.shared.bytes());
  }
}

// <-- HDR, SK {SA, Nr, [KEr,] TSi, TSr}
void Engine::Core::finish_child_request(IkeSa& sa, Bytes ke_public, Bytes shared) {
  const std::unique_ptr<Passive> passive = std::move(sa.passive);
  const ChildPlan& plan = *passive->plan;
  const Payloads& request = passive->request.payloads;
  const NotifyPayload* const rekey = request.find(NotifyType::kRekeySa);
  Child* old = passive->rekeyed == 0 ? nullptr : sa.find_child(passive->rekeyed);
  // Things may have gone on while the job ran.
  std::optional<Refusal> refusal = refuse_child_request(sa, rekey, old);
  Result<uint32_t> spi = refusal ? Result<uint32_t>(Error{}) : host_.reserve_spi();
  if (!refusal && !spi.ok()) {
    refusal = Refusal{NotifyType::kNoAdditionalSas, Reason::kNoSpi, spi.error().text};
  }
  if (refusal) {
    log(&sa, LogLevel::kInfo, refusal->reason, refusal->text);
    respond_error(sa, passive->arrival, passive->message_id, ExchangeType::kCreateChildSa,
                  *refusal);
    return;
  }
  ChainBuilder chain;
  chain.sa(plan.selection.answer(*spi)).nonce(passive->nonce);
  if (plan.suite.group != DhGroup::kNone) {
    chain.key_exchange(plan.suite.group, ke_public);
  } else {
    ++totals_.children_without_pfs;
  }
  chain.ts_initiator(plan.remote_ts).ts_responder(plan.local_ts);
  const ChildKeys keys = derive_child_keys(sa.suite.prf, sa.keys.d.bytes(), plan.suite, shared,
                                           *request.nonce, passive->nonce);
  // Rekeyed: the line sends under the new SA once the peer has shown that it has it.
  Child& fresh =
      install_child(sa, plan, *spi, keys, false, old == nullptr ? kNoChildTunnel : old->tunnel,
                    old == nullptr ? SaRole::kFirst : SaRole::kResponder, kNoChildTunnel);
  respond(sa, passive->arrival, passive->message_id, ExchangeType::kCreateChildSa, chain);
  if (passive->rekeyed == 0) {
    child_updown(sa, fresh, true, Reason::kNone);
    return;
  }
  old = sa.find_child(passive->rekeyed);
  old->replaced_by = fresh.unique_id;
  old->state = ChildState::kRekeyed;
  old->rekey_at_ns = kNever;
  fresh.replaces = old->unique_id;
  Exchange* const own = sa.exchange.get();
  if (own != nullptr && own->sent && own->task.kind == TaskKind::kRekeyChild &&
      own->task.child_id == old->unique_id) {
    // 2.8.1: our own request for the same child is on its way.
    own->negotiation.collision =
        Collision{fresh.unique_id, to_vector(lower(*request.nonce, passive->nonce))};
    return;
  }
  tell_rekeyed(sa, *old, fresh);
}

}  // namespace penstock::ike
