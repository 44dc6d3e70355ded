// IKE_AUTH as initiator (RFC 7296 1.2, 2.15, 2.19).
#include <algorithm>

#include "controlplane/ike/core.h"

namespace penstock::ike {

void Engine::Core::begin_auth(IkeSa& sa) {
  Handshake& handshake = *sa.handshake;
  std::shared_ptr<const PrivateKey> key;
  Refusal refusal;
  if (!choose_own_auth(sa, refusal, key)) {
    initiation_failed(sa, refusal.reason, refusal.text);
    return;
  }
  if (sa.config->local.method == AuthClass::kPsk) {
    const SharedSecret* const psk = credentials_->psk(sa.local_id, sa.config->remote.id);
    const SecretBytes auth = shared_key_auth(sa.suite.prf, psk->value.bytes(), own_octets(sa));
    send_auth(sa, AuthMethod::kSharedKey, auth.bytes());
    return;
  }
  sa.phase = Phase::kAuthSigning;
  SignJob job;
  job.key = std::move(key);
  job.constraints = sa.config->local.schemes.ike;
  job.peer_hashes = handshake.peer_hashes;
  job.octets = own_octets(sa);
  submit(sa, JobKind::kAuthSign, std::move(job));
}

void Engine::Core::on_auth_signed(IkeSa& sa, SignResult result) {
  if (!result.ok) {
    initiation_failed(sa, Reason::kPrivateKeyMissing, "signing failed: " + result.error);
    return;
  }
  send_auth(sa, result.method, result.data);
}

// --> HDR, SK {IDi, [CERT,] [CERTREQ,] [IDr,] AUTH, [CP,] [SAi2, TSi, TSr,] N(...)}
void Engine::Core::send_auth(IkeSa& sa, AuthMethod method, Bytes auth) {
  const ConnectionConfig& config = *sa.config;
  ChainBuilder chain;
  chain.id_initiator(static_cast<IdType>(sa.local_id.type()), sa.local_id.data());
  add_certs(sa, chain);
  // RFC 7296 2.4: we have no other IKE SA with this peer.
  if (config.unique != Uniqueness::kNever && sa.handshake->reauthenticates == 0 &&
      !has_other_sa(sa)) {
    chain.notify(NotifyType::kInitialContact);
  }
  add_cert_request({sa.config}, chain);
  const Identity& wanted = config.remote.id;
  if (!wanted.is_any() && !wanted.has_wildcards()) {
    chain.id_responder(static_cast<IdType>(wanted.type()), wanted.data());
  }
  chain.auth(method, auth);
  add_configuration_request(config, chain);
  add_first_child(sa, chain);
  if (config.mobike) {
    chain.notify(NotifyType::kMobikeSupported);
    add_additional_addresses(sa, chain);
  }
  sa.exchange = std::make_unique<Exchange>();
  sa.exchange->task.kind = TaskKind::kIkeAuth;
  sa.phase = Phase::kAuthSent;
  send_request(sa, ExchangeType::kIkeAuth, chain);
}

// RFC 7296 2.19, 3.15.1: an empty attribute asks for any address of its family.
void Engine::Core::add_configuration_request(const ConnectionConfig& config,
                                             ChainBuilder& chain) const {
  if (config.virtual_ips.empty()) return;
  std::vector<CpAttribute> attributes;
  std::vector<ByteVector> values;
  values.reserve(config.virtual_ips.size());
  bool v4 = false, v6 = false;
  for (const IpAddress& address : config.virtual_ips) {
    ByteVector value;
    if (!address.is_unspecified()) {
      value = to_vector(address.bytes());
      if (address.is_v6()) value.push_back(128);
    }
    values.push_back(std::move(value));
    attributes.push_back({address.is_v4() ? CpAttributeType::kInternalIp4Address
                                          : CpAttributeType::kInternalIp6Address,
                          values.back()});
    (address.is_v4() ? v4 : v6) = true;
  }
  if (v4) attributes.push_back({CpAttributeType::kInternalIp4Dns, {}});
  if (v6) attributes.push_back({CpAttributeType::kInternalIp6Dns, {}});
  chain.configuration(CpType::kRequest, attributes);
}

void Engine::Core::add_first_child(IkeSa& sa, ChainBuilder& chain) {
  Handshake& handshake = *sa.handshake;
  const ConnectionConfig& config = *sa.config;
  const bool childless =
      config.childless == Wish::kForce || (config.childless_prefer && sa.childless);
  // RFC 6023: the IKE SA alone, its children in exchanges of their own.
  if (handshake.first_child && childless) {
    handshake.more_children.insert(handshake.more_children.begin(),
                                   std::move(*handshake.first_child));
    handshake.first_child.reset();
  }
  if (!handshake.first_child) return;
  const auto spi = host_.reserve_spi();
  if (!spi.ok()) {
    child_failed(sa, *handshake.first_child, Reason::kNoSpi, spi.error().text);
    handshake.first_child.reset();
    return;
  }
  Negotiation& child = handshake.child;
  child.spi = *spi;
  const ChildConfig& child_config = *handshake.first_child->child;
  SelectOptions options;
  options.ignore_groups = true;  // there is no KE payload for it (RFC 7296 1.2)
  child.offered = to_offer(child_config.proposals, 4, child.spi, options);
  offer_selectors(sa, *handshake.first_child, child);
  chain.sa(child.offered).ts_initiator(child.local_ts).ts_responder(child.remote_ts);
}

// <-- HDR, SK {IDr, [CERT,] AUTH, [CP,] SAr2, TSi, TSr, N(...)}
void Engine::Core::on_auth_response(IkeSa& sa, const Arrival& arrival, Opened opened) {
  (void)arrival;
  Handshake& handshake = *sa.handshake;
  const Payloads& payloads = opened.payloads;
  if (!payloads.auth) {
    const NotifyPayload* const error = payloads.first_error();
    if (error != nullptr) {
      const bool auth = error->type == NotifyType::kAuthenticationFailed;
      initiation_failed(sa, auth ? Reason::kPeerRefusedAuth : Reason::kPeerNotify,
                        "the peer refuses IKE_AUTH: " + to_string(error->type));
    } else if (payloads.eap) {
      refuse_responder(sa, Reason::kAuthMethodMismatch, "the peer asks for EAP");
    } else {
      refuse_responder(sa, Reason::kInvalidSyntax, "IKE_AUTH response without AUTH");
    }
    return;
  }
  if (!payloads.id_responder) {
    refuse_responder(sa, Reason::kInvalidSyntax, "IKE_AUTH response without IDr");
    return;
  }
  const auto id = Identity::from_wire(static_cast<uint8_t>(payloads.id_responder->type),
                                      payloads.id_responder->data);
  if (!id.ok()) {
    refuse_responder(sa, Reason::kInvalidSyntax, "IDr: " + id.error().text);
    return;
  }
  if (id->match(sa.config->remote.id) == kMatchNone) {
    refuse_responder(
        sa, Reason::kIdentityMismatch,
        "the peer is " + id->to_string() + ", not " + sa.config->remote.id.to_string());
    return;
  }
  sa.remote_id = *id;
  handshake.peer_id_body = to_vector(payloads.id_responder->body);
  take_peer_certs(sa, payloads);
  handshake.request = std::move(opened);
  verify_responder(sa);
}

void Engine::Core::verify_responder(IkeSa& sa) {
  const Payloads& payloads = sa.handshake->request->payloads;
  const bool shared = payloads.auth->method == AuthMethod::kSharedKey;
  const bool psk = sa.config->remote.method == AuthClass::kPsk;
  if (shared != psk) {
    refuse_responder(sa, Reason::kAuthMethodMismatch,
                     "the peer authenticates by " + to_string(payloads.auth->method) +
                         (psk ? ", wanted is a pre-shared key" : ", wanted is a certificate"));
    return;
  }
  if (psk) {
    const SharedSecret* const secret = credentials_->psk(sa.local_id, sa.remote_id);
    if (secret == nullptr) {
      refuse_responder(sa, Reason::kPskMissing,
                       "no pre-shared key for " + sa.remote_id.to_string());
    } else if (!shared_auth_is_good(sa, secret->value.bytes(), payloads.auth->data)) {
      refuse_responder(sa, Reason::kPskMismatch,
                       "the peer's pre-shared key is another one than ours");
    } else {
      responder_is_good(sa);
    }
    return;
  }
  sa.phase = Phase::kAuthVerifying;
  submit(sa, JobKind::kAuthVerify, verify_job(sa, *payloads.auth, PeerRole::kServer));
}

void Engine::Core::on_responder_verified(IkeSa& sa, VerifyResult result) {
  Handshake& handshake = *sa.handshake;
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
    refuse_responder(sa, refusal.reason, refusal.text);
    return;
  }
  responder_is_good(sa);
}

// RFC 7296 2.21.2: what is wrong with the responder is said in an exchange of its own; nobody waits
// for its answer.
void Engine::Core::refuse_responder(IkeSa& sa, Reason reason, const std::string& text) {
  sa.exchange = std::make_unique<Exchange>();
  ChainBuilder chain;
  chain.notify(reason == Reason::kInvalidSyntax ? NotifyType::kInvalidSyntax
                                                : NotifyType::kAuthenticationFailed);
  send_request(sa, ExchangeType::kInformational, chain);
  initiation_failed(sa, reason, text);
}

void Engine::Core::responder_is_good(IkeSa& sa) {
  const Opened response = std::move(*sa.handshake->request);
  const Payloads& payloads = response.payloads;
  sa.mobike = sa.config->mobike && payloads.has(NotifyType::kMobikeSupported);
  take_additional_addresses(sa, payloads);
  take_configuration(sa, payloads);
  // What the first child needs outlives the handshake.
  std::optional<Task> first = std::move(sa.handshake->first_child);
  sa.handshake->first_child.reset();
  Negotiation child = std::move(sa.handshake->child);
  sa.handshake->child.spi = 0;
  const ByteVector nonce_initiator = sa.handshake->nonce_initiator;
  const ByteVector nonce_responder = sa.handshake->nonce_responder;
  sa.exchange.reset();
  const NotifyPayload* const lifetime = payloads.find(NotifyType::kAuthLifetime);
  established(sa);
  if (lifetime != nullptr) take_auth_lifetime(sa, lifetime->data_u32());
  if (first) take_first_child(sa, payloads, *first, child, nonce_initiator, nonce_responder);
  const uint32_t id = sa.unique_id;
  settle_simultaneous_start(sa);
  if (find_sa(id) == &sa) start_next(sa);
}

// <-- CP(CFG_REPLY): the addresses that we were given.
void Engine::Core::take_configuration(IkeSa& sa, const Payloads& payloads) {
  if (sa.config->virtual_ips.empty() || !payloads.configuration ||
      payloads.configuration->type != CpType::kReply) {
    return;
  }
  constexpr size_t kAddressesMax = 8;
  for (const CpAttribute& each : payloads.configuration->attributes) {
    if (sa.local_vips.size() == kAddressesMax) break;
    Reader reader(each.value);
    if (each.type == CpAttributeType::kInternalIp4Address && each.value.size() == 4) {
      sa.local_vips.emplace_back(Ipv4Address{reader.array<4>()});
    } else if (each.type == CpAttributeType::kInternalIp6Address && each.value.size() >= 16) {
      sa.local_vips.emplace_back(Ipv6Address{reader.array<16>()});
    }
  }
}

void Engine::Core::take_first_child(IkeSa& sa, const Payloads& payloads, const Task& task,
                                    const Negotiation& child, const ByteVector& nonce_initiator,
                                    const ByteVector& nonce_responder) {
  SelectOptions options;
  options.ignore_groups = true;
  auto plan = plan_from_answer(payloads, task.child, child, options);
  if (!plan.ok()) {
    host_.release_spi(child.spi);
    if (payloads.sa && payloads.first_error() == nullptr) {
      // The peer has made an SA that we do not want.
      Task remove;
      remove.kind = TaskKind::kDeleteChild;
      remove.raw_spi = child.spi;
      sa.queue.push_back(std::move(remove));
    }
    child_refused(sa, task, plan.error());
    return;
  }
  const ChildKeys keys = derive_child_keys(sa.suite.prf, sa.keys.d.bytes(), plan->suite, {},
                                           nonce_initiator, nonce_responder);
  Child& made = install_child(sa, *plan, child.spi, keys, true, kNoChildTunnel, SaRole::kInitiator,
                              task.trap);
  first_child_up(sa, made, task);
}

}  // namespace penstock::ike
