// CREATE_CHILD_SA for children (RFC 7296 1.3.1, 1.3.3), the peer's requests, and what stands in
// their way (2.25). IKE rekeys are in rekey_ike.cc.
#include <algorithm>

#include "controlplane/ike/core.h"
#include "controlplane/ike/crypto/dh.h"

namespace penstock::ike {
namespace {

bool is_ike_rekey(const Payloads& payloads) {
  return payloads.sa && !payloads.sa->proposals.empty() &&
         payloads.sa->proposals.front().protocol == ProtocolId::kIke;
}

}  // namespace

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
  options.ke_group = payloads.group();
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
        Collision{fresh.unique_id, lower_nonce(*request.nonce, passive->nonce)};
    return;
  }
  tell_rekeyed(sa, *old, fresh);
}

}  // namespace penstock::ike
