// IKE_AUTH as responder (RFC 7296 1.2, 2.15, 2.19): which connection the peer means, its proof,
// ours, then addresses and the first child.
#include <algorithm>

#include "controlplane/ike/core.h"

namespace penstock::ike {

// --> HDR, SK {IDi, [CERT,] [CERTREQ,] [IDr,] [AUTH,] [CP,] [SAi2, TSi, TSr]}; no AUTH asks for EAP
void Engine::Core::on_auth_request(IkeSa& sa, const Arrival& arrival, const Header& header,
                                   Opened opened) {
  Handshake& handshake = *sa.handshake;
  handshake.request_id = header.message_id;
  handshake.arrival = arrival;
  sa.local = arrival.destination;  // port 4500 from here on, where the initiator floats
  sa.remote = arrival.source;
  handshake.request = std::move(opened);
  const Payloads& payloads = handshake.request->payloads;
  if (!payloads.id_initiator) {
    refuse_auth(sa, {NotifyType::kInvalidSyntax, Reason::kInvalidSyntax, "IKE_AUTH without IDi"});
    return;
  }
  const auto id = Identity::from_wire(static_cast<uint8_t>(payloads.id_initiator->type),
                                      payloads.id_initiator->data);
  if (!id.ok()) {
    refuse_auth(sa,
                {NotifyType::kInvalidSyntax, Reason::kInvalidSyntax, "IDi: " + id.error().text});
    return;
  }
  std::optional<Identity> wanted;
  if (payloads.id_responder) {
    auto parsed = Identity::from_wire(static_cast<uint8_t>(payloads.id_responder->type),
                                      payloads.id_responder->data);
    if (!parsed.ok()) {
      refuse_auth(
          sa, {NotifyType::kInvalidSyntax, Reason::kInvalidSyntax, "IDr: " + parsed.error().text});
      return;
    }
    wanted = std::move(*parsed);
  }
  sa.remote_id = *id;
  handshake.peer_id_body = to_vector(payloads.id_initiator->body);
  handshake.initial_contact = payloads.has(NotifyType::kInitialContact);
  take_peer_certs(sa, payloads);
  take_cert_requests(sa, payloads);
  std::optional<AuthMethod> method;
  if (payloads.auth) method = payloads.auth->method;
  Refusal refusal;
  handshake.candidates = choose_by_identity(sa, handshake.candidates, *id, wanted, method, refusal);
  handshake.candidate = 0;
  sa.phase = Phase::kAuthJob;
  if (handshake.candidates.empty()) {
    refuse_auth(sa, refusal);
    return;
  }
  try_candidate(sa);
}

void Engine::Core::try_candidate(IkeSa& sa) {
  Handshake& handshake = *sa.handshake;
  set_connection(sa, handshake.candidates[handshake.candidate]);
  const Payloads& payloads = handshake.request->payloads;
  if (!payloads.auth) {
    begin_eap(sa);
    return;
  }
  if (sa.config->remote.method == AuthClass::kPubkey) {
    verify_initiator(sa);
    return;
  }
  // The secret depends on who we are in this connection.
  const Identity mine =
      sa.config->local.id.is_any() ? Identity::from_address(sa.local.address) : sa.config->local.id;
  const SharedSecret* const psk = credentials_->psk(mine, sa.remote_id);
  if (psk == nullptr) {
    next_candidate(
        sa, {NotifyType::kAuthenticationFailed, Reason::kPskMissing,
             "no pre-shared key for " + mine.to_string() + " - " + sa.remote_id.to_string()});
    return;
  }
  if (!shared_auth_is_good(sa, psk->value.bytes(), payloads.auth->data)) {
    next_candidate(
        sa, {NotifyType::kAuthenticationFailed, Reason::kPskMismatch,
             "the pre-shared key of " + sa.remote_id.to_string() + " is another one than ours"});
    return;
  }
  initiator_is_good(sa);
}

// The next connection that may be meant; the peer hears of a failure only after the last one.
void Engine::Core::next_candidate(IkeSa& sa, const Refusal& refusal) {
  Handshake& handshake = *sa.handshake;
  if (handshake.refusal_text.empty()) {  // of the best fit
    handshake.refusal_text = refusal.text;
    handshake.refusal_reason = refusal.reason;
    handshake.refused = sa.config;
  }
  if (handshake.candidate + 1 < handshake.candidates.size()) {
    ++handshake.candidate;
    try_candidate(sa);
    return;
  }
  set_connection(sa, handshake.refused);
  refuse_auth(
      sa, {NotifyType::kAuthenticationFailed, handshake.refusal_reason, handshake.refusal_text});
}

void Engine::Core::verify_initiator(IkeSa& sa) {
  submit(sa, JobKind::kAuthRespondVerify,
         verify_job(sa, *sa.handshake->request->payloads.auth, PeerRole::kClient));
}

void Engine::Core::on_initiator_verified(IkeSa& sa, VerifyResult result) {
  Handshake& handshake = *sa.handshake;
  // Also where the verdict is good so far: a responder may know of a revocation that the CRL does
  // not. Asked once, and only for a peer whose AUTH has verified.
  const bool worth_it = result.chain.verdict == ChainVerdict::kGood ||
                        result.chain.verdict == ChainVerdict::kRevocationUnknown;
  if (worth_it && result.signature == SignatureVerdict::kGood && !handshake.fetched &&
      !result.chain.to_fetch.empty()) {
    handshake.fetched = true;
    const bool all = result.chain.verdict != ChainVerdict::kGood;
    if (start_fetches(sa, result.chain.to_fetch, all)) return;
  }
  const Refusal refusal = judge(sa, result);
  if (refusal.notify != NotifyType::kNone) {
    next_candidate(sa, refusal);
    return;
  }
  initiator_is_good(sa);
}

void Engine::Core::initiator_is_good(IkeSa& sa) { sign_response(sa); }

// Our AUTH: by the shared key at once, by signature as a job.
void Engine::Core::sign_response(IkeSa& sa) {
  std::shared_ptr<const PrivateKey> key;
  Refusal refusal;
  if (!choose_own_auth(sa, refusal, key)) {
    refuse_auth(sa, refusal);
    return;
  }
  if (sa.config->local.method == AuthClass::kPsk) {
    const SharedSecret* const psk = credentials_->psk(sa.local_id, sa.remote_id);
    if (psk == nullptr) {
      refuse_auth(sa, {NotifyType::kAuthenticationFailed, Reason::kPskMissing,
                       "no pre-shared key for " + sa.remote_id.to_string()});
      return;
    }
    const SecretBytes auth = shared_key_auth(sa.suite.prf, psk->value.bytes(), own_octets(sa));
    send_auth_response(sa, AuthMethod::kSharedKey, auth.bytes());
    return;
  }
  SignJob job;
  job.key = std::move(key);
  job.constraints = sa.config->local.schemes.ike;
  job.peer_hashes = sa.handshake->peer_hashes;
  job.octets = own_octets(sa);
  submit(sa, JobKind::kAuthRespondSign, std::move(job));
}

void Engine::Core::on_response_signed(IkeSa& sa, SignResult result) {
  if (!result.ok) {
    refuse_auth(sa, {NotifyType::kAuthenticationFailed, Reason::kPrivateKeyMissing,
                     "signing failed: " + result.error});
    return;
  }
  send_auth_response(sa, result.method, result.data);
}

// <-- HDR, SK {IDr, [CERT,] AUTH, ...}
void Engine::Core::send_auth_response(IkeSa& sa, AuthMethod method, Bytes auth) {
  ChainBuilder chain;
  chain.id_responder(static_cast<IdType>(sa.local_id.type()), sa.local_id.data());
  add_certs(sa, chain);
  chain.auth(method, auth);
  if (sa.handshake->eap != nullptr) {
    start_eap(sa, std::move(chain));
  } else {
    complete_responder(sa, std::move(chain));
  }
}

// ... [CP(CFG_REPLY),] SAr2, TSi, TSr, N(...)}: only now, that both sides have authenticated.
void Engine::Core::complete_responder(IkeSa& sa, ChainBuilder chain) {
  if (!check_uniqueness(sa)) {
    refuse_auth(sa, {NotifyType::kAuthenticationFailed, Reason::kDuplicate,
                     sa.policy_id().to_string() + " is here already, and unique = keep"});
    return;
  }
  const Opened request = std::move(*sa.handshake->request);
  const Payloads& payloads = request.payloads;
  const uint32_t message_id = sa.handshake->request_id;
  const Arrival arrival = sa.handshake->arrival;
  const ByteVector nonce_initiator = std::move(sa.handshake->nonce_initiator);
  const ByteVector nonce_responder = std::move(sa.handshake->nonce_responder);
  act_on_uniqueness(sa);
  std::optional<Refusal> refusal;
  answer_configuration(sa, payloads, chain, refusal);
  uint32_t spi = 0;
  const auto plan = answer_first_child(sa, payloads, chain, spi, refusal);
  if (sa.config->mobike && payloads.has(NotifyType::kMobikeSupported)) {
    sa.mobike = true;
    chain.notify(NotifyType::kMobikeSupported);
    take_additional_addresses(sa, payloads);
    add_additional_addresses(sa, chain);
  }
  established(sa);
  if (sa.timer(Timer::kReauth) != kNever) {
    // RFC 4478: the initiator reauthenticates; our own time is up when it has not.
    const Nanoseconds left = sa.timer(Timer::kReauth) - now_.boot_ns;
    chain.notify_u32(NotifyType::kAuthLifetime, static_cast<uint32_t>(left / kSecond));
  }
  if (refusal) {
    chain.notify(refusal->notify);
    log(&sa, LogLevel::kWarning, refusal->reason, refusal->text);
    sa.last_error = refusal->text;
    remember_error(sa.config->name, sa.remote, refusal->text);
  }
  // Before the answer leaves, so that the peer's first packet finds its SA.
  if (plan) {
    const ChildKeys keys = derive_child_keys(sa.suite.prf, sa.keys.d.bytes(), plan->suite, {},
                                             nonce_initiator, nonce_responder);
    const Child& child =
        install_child(sa, *plan, spi, keys, false, kNoChildTunnel, SaRole::kFirst, kNoChildTunnel);
    child_updown(sa, child, true, Reason::kNone);
  }
  respond(sa, arrival, message_id, ExchangeType::kIkeAuth, chain);
  settle_simultaneous_start(sa);
}

// CP(CFG_REQUEST): one address of each family that is asked for and that a pool has.
void Engine::Core::answer_configuration(IkeSa& sa, const Payloads& payloads, ChainBuilder& chain,
                                        std::optional<Refusal>& refusal) {
  if (sa.config->pools.empty()) return;
  if (!payloads.configuration || payloads.configuration->type != CpType::kRequest) {
    if (payloads.sa) {
      refusal = Refusal{NotifyType::kFailedCpRequired, Reason::kPoolExhausted,
                        sa.policy_id().to_string() + " does not ask for an address"};
    }
    return;
  }
  std::vector<CpAttribute> attributes;
  std::vector<ByteVector> values;
  bool asked = false, exhausted = false;
  constexpr size_t kValuesMax = 2 + 64;
  values.reserve(kValuesMax);
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const auto type = family == Family::kIpv4 ? CpAttributeType::kInternalIp4Address
                                              : CpAttributeType::kInternalIp6Address;
    const auto& list = payloads.configuration->attributes;
    const auto wanted = std::find_if(list.begin(), list.end(),
                                     [&](const CpAttribute& each) { return each.type == type; });
    if (wanted == list.end()) continue;
    const auto address = lease_address(sa, family, wanted->value, exhausted);
    asked = true;
    if (!address) continue;
    ByteVector value = to_vector(address->bytes());
    if (family == Family::kIpv6) value.push_back(128);
    values.push_back(std::move(value));
    attributes.push_back({type, values.back()});
  }
  if (attributes.empty()) {
    if (asked) {
      if (exhausted) ++totals_.pool_exhausted;
      refusal = Refusal{
          NotifyType::kInternalAddressFailure, Reason::kPoolExhausted,
          exhausted ? "no address left for " + sa.policy_id().to_string()
                    : "no pool of the family that " + sa.policy_id().to_string() + " asks for"};
    }
    return;
  }
  for (const std::string& name : sa.config->pools) {
    const auto pool = pools_.find(name);
    if (pool == pools_.end()) continue;
    for (const PoolAttribute& each : pool->second->config().attributes) {
      if (values.size() == kValuesMax) break;
      const bool there = std::any_of(attributes.begin(), attributes.end(), [&](const auto& has) {
        return static_cast<uint16_t>(has.type) == each.type && equal_bytes(has.value, each.value);
      });
      if (there) continue;
      values.push_back(each.value);
      attributes.push_back({static_cast<CpAttributeType>(each.type), values.back()});
    }
  }
  chain.configuration(CpType::kReply, attributes);
}

// Of the first pool of this family that has one.
std::optional<IpAddress> Engine::Core::lease_address(IkeSa& sa, Family family, Bytes wanted,
                                                     bool& exhausted) {
  LeaseRequest request;
  request.identity = sa.policy_id().to_string();
  request.peer = sa.remote;
  std::optional<IpAddress> asked;
  Reader reader(wanted);
  if (family == Family::kIpv4 && wanted.size() == 4) asked = Ipv4Address{reader.array<4>()};
  if (family == Family::kIpv6 && wanted.size() >= 16) asked = Ipv6Address{reader.array<16>()};
  for (const std::string& name : sa.config->pools) {
    const auto pool = pools_.find(name);
    if (pool == pools_.end() || pool->second->config().first.family() != family) continue;
    if (asked && asked->is_unspecified()) asked.reset();
    const auto address = pool->second->acquire(request, asked);
    if (!address) {
      exhausted = true;
      continue;
    }
    sa.leases.push_back({name, *address, request.identity});
    Notify notify;
    notify.kind = Notify::Kind::kLeased;
    notify.ike_id = sa.unique_id;
    notify.connection = sa.config->name;
    notify.peer = sa.remote;
    notify.address = *address;
    notify.pool = name;
    notify.identity = request.identity;
    notify.text =
        "address " + address->to_string() + " of pool " + name + " to " + request.identity;
    emit(std::move(notify));
    return address;
  }
  return std::nullopt;
}

// SAr2, TSi, TSr; a child that cannot be leaves the IKE SA as it is (1.2).
std::optional<ChildPlan> Engine::Core::answer_first_child(IkeSa& sa, const Payloads& payloads,
                                                          ChainBuilder& chain, uint32_t& spi,
                                                          std::optional<Refusal>& refusal) {
  if (refusal || !payloads.sa) return std::nullopt;  // childless (RFC 6023)
  SelectOptions options;
  options.ignore_groups = true;
  auto plan = plan_child(sa, payloads, options, nullptr);
  if (!plan.ok()) {
    refusal = plan.error();
    return std::nullopt;
  }
  const auto reserved = host_.reserve_spi();
  if (!reserved.ok()) {
    refusal = Refusal{NotifyType::kNoAdditionalSas, Reason::kNoSpi, reserved.error().text};
    return std::nullopt;
  }
  spi = *reserved;
  chain.sa(plan->selection.answer(spi)).ts_initiator(plan->remote_ts).ts_responder(plan->local_ts);
  return std::move(*plan);
}

// The end of an IKE SA that never was (2.21.2).
void Engine::Core::refuse_auth(IkeSa& sa, const Refusal& refusal) {
  const Handshake& handshake = *sa.handshake;
  const Arrival arrival = handshake.arrival;
  respond_error(sa, arrival, handshake.request_id, ExchangeType::kIkeAuth, refusal);
  fail(sa, refusal.reason, refusal.text);
  destroy(sa, refusal.reason, "");
}

}  // namespace penstock::ike
