// Rekeying the IKE SA (RFC 7296 1.3.2, 2.8, 2.18) and both sides doing so at once (2.8.2, 2.25.2).
// Children, leases and everything that waits move to the new one.
#include <algorithm>

#include "controlplane/ike/core.h"
#include "controlplane/ike/crypto/dh.h"

namespace penstock::ike {

// --- initiator -----------------------------------------------------------------------------------

bool Engine::Core::start_rekey_ike(IkeSa& sa) {
  if (sa.superseded || sa.redundant) return false;
  if (sa.passive != nullptr) {  // the peer is making a child: our turn comes
    retry_later(sa, std::move(sa.exchange->task));
    return false;
  }
  Negotiation& negotiation = sa.exchange->negotiation;
  negotiation.ike_spi = fresh_spi();
  negotiation.offered = to_offer(sa.config->proposals, 8, negotiation.ike_spi, {});
  negotiation.nonce = nonce();
  negotiation.group = first_group(sa.config->proposals);
  generate_exchange_key(sa);
  return true;
}

// --> HDR, SK {SA, Ni, KEi}
void Engine::Core::send_rekey_ike(IkeSa& sa) {
  const Negotiation& negotiation = sa.exchange->negotiation;
  ChainBuilder chain;
  chain.sa(negotiation.offered)
      .nonce(negotiation.nonce)
      .key_exchange(negotiation.group, negotiation.dh_public);
  send_request(sa, ExchangeType::kCreateChildSa, chain);
}

// <-- HDR, SK {SA, Nr, KEr}
void Engine::Core::finish_rekey_ike_response(IkeSa& sa, const Payloads& payloads,
                                             const Selection& selection, const DhResult& result) {
  const std::unique_ptr<Exchange> exchange = std::move(sa.exchange);
  stop_timer(sa, Timer::kRetransmit);
  const Negotiation& negotiation = exchange->negotiation;
  const Bytes peer_nonce = *payloads.nonce;
  IkeSa* const fresh =
      selection.spi_size != 8 || selection.spi == 0
          ? nullptr
          : make_successor(sa, true, negotiation.ike_spi, selection.spi, selection.suite,
                           result.shared.bytes(), negotiation.nonce, peer_nonce);
  if (fresh == nullptr) {
    fail(sa, Reason::kInternal, "the rekeyed IKE SA cannot be made");
    retry_later(sa, std::move(exchange->task));
    start_next(sa);
    return;
  }
  count(&sa, Counter::kIkeRekeyInit);
  command_done(exchange->task.command);
  const auto& collision = negotiation.collision;
  IkeSa* const theirs = collision ? find_sa(collision->new_id) : nullptr;
  const ByteVector low = lower_nonce(negotiation.nonce, peer_nonce);
  Task remove;
  remove.kind = TaskKind::kDeleteIke;
  if (sa.superseded) {  // the peer has shown that its own stays
    fresh->redundant = true;
    enqueue(*fresh, std::move(remove));
    return;
  }
  if (theirs != nullptr &&
      std::lexicographical_compare(low.begin(), low.end(), collision->low_nonce.begin(),
                                   collision->low_nonce.end())) {
    // 2.8.2: ours has the lowest nonce: it goes, and the peer deletes the old one.
    log(&sa, LogLevel::kInfo, Reason::kCollision, "both sides rekeyed: the peer's IKE SA stays");
    fresh->redundant = true;
    inherit(sa, *theirs);
    set_timer(sa, Timer::kDeleteWait, now_.boot_ns + options_.delete_wait_ns);
    enqueue(*fresh, std::move(remove));
    return;
  }
  if (theirs != nullptr) {
    theirs->redundant = true;  // the peer deletes it
    theirs->unsettled = 0;
    set_timer(*theirs, Timer::kDeleteWait, now_.boot_ns + options_.delete_wait_ns);
  }
  inherit(sa, *fresh);
  enqueue(sa, std::move(remove));
}

void Engine::Core::ike_rekey_refused(IkeSa& sa, Task task,
                                     const std::optional<Collision>& collision,
                                     const std::string& text) {
  sa.exchange.reset();
  stop_timer(sa, Timer::kRetransmit);
  if (sa.superseded) {
    command_done(task.command);
    return;
  }
  IkeSa* const theirs = collision ? find_sa(collision->new_id) : nullptr;
  if (theirs != nullptr) {
    command_done(task.command);
    inherit(sa, *theirs);
    set_timer(sa, Timer::kDeleteWait, now_.boot_ns + options_.delete_wait_ns);
    return;
  }
  log(&sa, LogLevel::kInfo, Reason::kTemporaryFailure, text);
  command_failed(task.command, Reason::kPeerNotify, text, sa.remote);
  task.command = 0;
  retry_later(sa, std::move(task));
  start_next(sa);
}

// --- responder -----------------------------------------------------------------------------------

std::optional<Refusal> Engine::Core::refuse_ike_rekey(const IkeSa& sa) const {
  const Exchange* const own = sa.exchange.get();
  const bool busy =
      own != nullptr &&
      (own->task.kind == TaskKind::kNewChild || own->task.kind == TaskKind::kRekeyChild ||
       own->task.kind == TaskKind::kDeleteChild || own->task.kind == TaskKind::kDeleteIke);
  // One answer to a collision is enough: a second rekey of the same IKE SA is none.
  const bool answered = own != nullptr && own->negotiation.collision.has_value();
  if (!sa.superseded && !sa.redundant && sa.phase == Phase::kEstablished && !busy && !answered) {
    return std::nullopt;
  }
  return Refusal{NotifyType::kTemporaryFailure, Reason::kTemporaryFailure,
                 "the peer wants to rekey the IKE SA, which is busy"};
}

// --> HDR, SK {SA, Ni, KEi}
void Engine::Core::on_rekey_ike_request(IkeSa& sa, const Arrival& arrival, const Header& header,
                                        Opened opened) {
  const Payloads& payloads = opened.payloads;
  if (!payloads.nonce || !payloads.key_exchange) {
    refuse_syntax(sa, arrival, header,
                  {WireFault::kPayloadValue, PayloadType::kNone, NotifyType::kInvalidSyntax,
                   "rekeying of the IKE SA lacks a payload"});
    return;
  }
  auto refusal = refuse_ike_rekey(sa);
  Selection selection;
  if (!refusal) {
    SelectOptions options;
    options.ke_group = payloads.key_exchange->group;
    const auto chosen =
        select_proposal(ProtocolId::kIke, payloads.sa->proposals, sa.config->proposals, options);
    if (!chosen.ok() || chosen->spi_size != 8 || chosen->spi == 0) {
      refusal = Refusal{NotifyType::kNoProposalChosen, Reason::kNoProposalChosen,
                        chosen.ok() ? "rekeying of the IKE SA without SPI" : chosen.error().text};
    } else if (const auto group = invalid_ke_answer(chosen->suite, options.ke_group)) {
      refusal = Refusal{NotifyType::kInvalidKePayload, Reason::kInvalidKeGroup,
                        "rekeying: asking for " + group_name(static_cast<uint16_t>(*group)),
                        static_cast<uint16_t>(*group)};
    } else {
      selection = *chosen;
    }
  }
  if (refusal) {
    log(&sa, LogLevel::kInfo, refusal->reason, refusal->text);
    respond_error(sa, arrival, header.message_id, header.exchange, *refusal);
    return;
  }
  sa.passive = std::make_unique<Passive>();
  Passive& passive = *sa.passive;
  passive.message_id = header.message_id;
  passive.arrival = arrival;
  passive.selection = selection;
  passive.nonce = nonce();
  passive.request = std::move(opened);
  DhJob job;
  job.group = selection.suite.group;
  job.private_key = dh_private_key(selection.suite.group, random_);
  job.peer_public = to_vector(passive.request.payloads.key_exchange->data);
  submit(sa, JobKind::kPassive, std::move(job), passive.message_id);
}

// <-- HDR, SK {SA, Nr, KEr}
void Engine::Core::finish_rekey_ike_request(IkeSa& sa, const DhResult& result) {
  const std::unique_ptr<Passive> passive = std::move(sa.passive);
  const Bytes peer_nonce = *passive->request.payloads.nonce;
  const Selection& selection = passive->selection;
  auto refusal = refuse_ike_rekey(sa);
  const uint64_t spi = fresh_spi();
  IkeSa* const fresh = refusal ? nullptr
                               : make_successor(sa, false, spi, selection.spi, selection.suite,
                                                result.shared.bytes(), peer_nonce, passive->nonce);
  if (fresh == nullptr) {
    respond_error(sa, passive->arrival, passive->message_id, ExchangeType::kCreateChildSa,
                  refusal ? *refusal : Refusal{NotifyType::kTemporaryFailure, Reason::kLimit, ""});
    return;
  }
  count(&sa, Counter::kIkeRekeyResp);
  ChainBuilder chain;
  chain.sa(to_proposal(selection.suite, selection.number, 8, spi))
      .nonce(passive->nonce)
      .key_exchange(selection.suite.group, result.public_value);
  respond(sa, passive->arrival, passive->message_id, ExchangeType::kCreateChildSa, chain);
  Exchange* const own = sa.exchange.get();
  if (own != nullptr && own->sent && own->task.kind == TaskKind::kRekeyIke) {
    // 2.8.2: ours is on its way; which one stays turns out with its response.
    own->negotiation.collision =
        Collision{fresh->unique_id, lower_nonce(peer_nonce, passive->nonce)};
    fresh->unsettled = sa.unique_id;
    return;
  }
  inherit(sa, *fresh);
  set_timer(sa, Timer::kDeleteWait, now_.boot_ns + options_.delete_wait_ns);
}

// The peer uses the IKE SA of its own rekeying for something else than its deletion: it knows both
// nonces and has decided, although its response to ours has not come.
void Engine::Core::settle_by_use(IkeSa& sa) {
  IkeSa* const old = find_sa(sa.unsettled);
  sa.unsettled = 0;
  if (old == nullptr || old->superseded) return;
  inherit(*old, sa);
  set_timer(*old, Timer::kDeleteWait, now_.boot_ns + options_.delete_wait_ns);
}

// --- the new one ---------------------------------------------------------------------------------

IkeSa* Engine::Core::make_successor(const IkeSa& old, bool initiator, uint64_t own_spi,
                                    uint64_t peer_spi, const Suite& suite, Bytes shared,
                                    Bytes nonce_initiator, Bytes nonce_responder) {
  IkeSa* const fresh = make_sa(initiator);
  if (fresh == nullptr) return nullptr;
  (initiator ? fresh->spi_responder : fresh->spi_initiator) = peer_spi;
  register_spi(*fresh, own_spi);
  set_connection(*fresh, old.config);
  fresh->phase = Phase::kEstablished;
  fresh->original_initiator = old.original_initiator;
  fresh->local = old.local;
  fresh->remote = old.remote;
  fresh->worker = old.worker;
  fresh->nat_local = old.nat_local;
  fresh->nat_remote = old.nat_remote;
  fresh->nat_faked = old.nat_faked;
  fresh->fragmentation = old.fragmentation;
  fresh->mobike = old.mobike;
  fresh->childless = old.childless;
  fresh->local_id = old.local_id;
  fresh->remote_id = old.remote_id;
  fresh->remote_eap_id = old.remote_eap_id;
  fresh->suite = suite;
  fresh->established_ns = now_.boot_ns;
  fresh->timer(Timer::kReauth) = old.timer(Timer::kReauth);
  const SecretBytes seed =
      rekey_skeyseed(old.suite.prf, old.keys.d.bytes(), shared, nonce_initiator, nonce_responder);
  use_keys(*fresh, derive_ike_keys(suite, seed.bytes(), nonce_initiator, nonce_responder,
                                   fresh->spi_initiator, fresh->spi_responder));
  return fresh;
}

void Engine::Core::inherit(IkeSa& old, IkeSa& fresh) {
  old.superseded = true;
  fresh.unsettled = 0;
  old.successor = fresh.unique_id;
  fresh.redundant = false;
  for (auto& child : old.children) {
    const auto line = lines_.find(child->tunnel);
    if (line != lines_.end()) line->second.ike_id = fresh.unique_id;
    fresh.children.push_back(std::move(child));
  }
  old.children.clear();
  fresh.local_vips = std::move(old.local_vips);
  fresh.leases = std::move(old.leases);
  fresh.peer_addresses = std::move(old.peer_addresses);
  old.leases.clear();
  for (Task& task : old.queue) {
    if (task.kind != TaskKind::kRekeyIke) fresh.queue.push_back(std::move(task));
  }
  old.queue.clear();
  leave_identity(old);
  enter_identity(fresh);
  set_timer(fresh, Timer::kReauth, fresh.timer(Timer::kReauth));
  schedule_lifetimes(fresh);
  for (const Timer timer : {Timer::kRekey, Timer::kReauth, Timer::kLife, Timer::kDpd,
                            Timer::kKeepalive, Timer::kChildren, Timer::kRetry}) {
    stop_timer(old, timer);
  }
  arm_children(fresh);
  arm_liveness(fresh);
  log(&fresh, LogLevel::kNotice, Reason::kNone,
      "IKE_SA " + fresh.config->name + "[" + std::to_string(old.unique_id) + "] rekeyed to [" +
          std::to_string(fresh.unique_id) + "]");
  Notify notify;
  notify.kind = Notify::Kind::kIkeRekeyed;
  notify.level = LogLevel::kDebug;
  notify.ike_id = old.unique_id;
  notify.connection = fresh.config->name;
  notify.peer = fresh.remote;
  notify.ike = snapshot_of(old);
  notify.other_ike = snapshot_of(fresh);
  emit(std::move(notify));
  start_next(fresh);
}

}  // namespace penstock::ike
