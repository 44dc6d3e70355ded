// IKE_AUTH with EAP (RFC 7296 2.16), responder:
//
//   HDR, SK {IDi, [CERTREQ,] [IDr,] SAi2, TSi, TSr} -->
//                                     <-- HDR, SK {IDr, [CERT,] AUTH, EAP}
//   HDR, SK {EAP}                     -->
//                                     <-- HDR, SK {EAP (success)}
//   HDR, SK {AUTH}                    -->
//                                     <-- HDR, SK {AUTH, [CP,] SAr2, TSi, TSr}
//
// EAP-Success alone grants nothing: both last AUTHs prove the MSK.
#include "controlplane/ike/core.h"
#include "controlplane/ike/seeded_random.h"

namespace penstock::ike {
namespace {

// An exchange runs on a compute thread: it brings its own source of randomness.
struct EapSession {
  EapSession(EapServerOptions options, const Secret<32>& seed)
      : random(seed), server(std::move(options), random) {}
  SeededRandom random;
  EapServer server;
};

}  // namespace

void Engine::Core::begin_eap(IkeSa& sa) {
  const RemoteAuth& remote = sa.config->remote;
  EapServerOptions options;
  options.credentials = credentials_;
  options.methods = remote.eap_methods;
  options.ask_identity = remote.ask_eap_identity;
  options.identity =
      remote.eap_id.is_any() || remote.eap_id.has_wildcards() ? sa.remote_id : remote.eap_id;
  const auto own =
      credentials_->own_certificate(sa.config->local.id, sa.config->local.certs, {}, now_.wall_ns);
  if (own) {
    options.tls_certificate = own->certificate;
    options.tls_chain = own->chain;
  }
  options.tls_client_policy.role = PeerRole::kClient;
  options.tls_client_policy.revocation = remote.revocation;
  options.tls_client_policy.constraints = remote.schemes.chain;
  options.tls_client_policy.leaves = remote.certs;
  options.tls_client_policy.authorities = remote.ca_certs;
  options.tls_client_policy.policies = remote.cert_policies;
  if (const Status usable = EapServer::check(options); !usable.ok()) {
    next_candidate(sa, {NotifyType::kAuthenticationFailed, Reason::kEapFailed,
                        "EAP cannot be offered: " + usable.error().text});
    return;
  }
  Secret<32> seed;
  random_.fill(seed.mutable_bytes());
  const auto session = std::make_shared<EapSession>(std::move(options), seed);
  sa.handshake->eap = std::shared_ptr<EapServer>(session, &session->server);
  sign_response(sa);
}

// <-- HDR, SK {IDr, [CERT,] AUTH, EAP}
void Engine::Core::start_eap(IkeSa& sa, ChainBuilder chain) {
  Handshake& handshake = *sa.handshake;
  const EapStep first = handshake.eap->start();
  chain.eap(first.packet);
  sa.phase = Phase::kEapAwaited;
  respond(sa, handshake.arrival, handshake.request_id, ExchangeType::kIkeAuth, chain);
}

// --> HDR, SK {EAP}
void Engine::Core::on_eap_request(IkeSa& sa, const Arrival& arrival, const Header& header,
                                  Opened opened) {
  Handshake& handshake = *sa.handshake;
  handshake.arrival = arrival;
  handshake.request_id = header.message_id;
  if (!opened.payloads.eap) {
    refuse_auth(sa, {NotifyType::kAuthenticationFailed, Reason::kEapFailed,
                     "an EAP response is awaited, and did not come"});
    return;
  }
  sa.phase = Phase::kEapJob;
  EapJob job;
  job.server = handshake.eap;
  job.response = to_vector(opened.payloads.eap->packet);
  job.wall_ns = now_.wall_ns;
  submit(sa, JobKind::kEap, std::move(job));
}

void Engine::Core::on_eap_step(IkeSa& sa, EapResult result) {
  Handshake& handshake = *sa.handshake;
  const EapStep& step = result.step;
  ChainBuilder chain;
  switch (step.kind) {
    case EapStep::Kind::kIgnored:
      sa.phase = Phase::kEapAwaited;
      return;
    case EapStep::Kind::kRequest:
      chain.eap(step.packet);
      sa.phase = Phase::kEapAwaited;
      if (!step.reason.empty()) handshake.eap_reason = "EAP failed: " + step.reason;
      // Somebody may be typing: each round has its own time.
      set_timer(sa, Timer::kHalfOpen, now_.boot_ns + options_.half_open_timeout_ns);
      respond(sa, handshake.arrival, handshake.request_id, ExchangeType::kIkeAuth, chain);
      return;
    case EapStep::Kind::kFailure:
      // RFC 7296 2.16: EAP-Failure, and the IKE SA is gone.
      chain.eap(step.packet);
      respond(sa, handshake.arrival, handshake.request_id, ExchangeType::kIkeAuth, chain);
      fail(sa, Reason::kEapFailed,
           "EAP of " + sa.remote_id.to_string() + " failed: " + step.reason);
      destroy(sa, Reason::kEapFailed, "");
      return;
    case EapStep::Kind::kSuccess:
      break;
  }
  sa.remote_eap_id = handshake.eap->identity();
  const Identity& wanted = sa.config->remote.eap_id;
  if (sa.remote_eap_id.match(wanted) == kMatchNone) {
    refuse_auth(sa,
                {NotifyType::kAuthenticationFailed, Reason::kIdentityMismatch,
                 "EAP identity " + sa.remote_eap_id.to_string() + " is not " + wanted.to_string()});
    return;
  }
  handshake.msk = handshake.eap->msk();
  handshake.eap.reset();
  chain.eap(step.packet);
  sa.phase = Phase::kEapAuthAwaited;
  respond(sa, handshake.arrival, handshake.request_id, ExchangeType::kIkeAuth, chain);
}

// --> INFORMATIONAL, HDR, SK {N(AUTHENTICATION_FAILED)}: the client has heard that it failed, or
// does not like us, and goes without waiting for the end of EAP.
void Engine::Core::on_eap_abandoned(IkeSa& sa, const Arrival& arrival, const Header& header,
                                    const Payloads& payloads) {
  const NotifyPayload* const error = payloads.first_error();
  if (error == nullptr && payloads.deletes.empty()) return;
  respond(sa, arrival, header.message_id, header.exchange, ChainBuilder());
  const std::string& known = sa.handshake->eap_reason;
  const std::string text = !known.empty()     ? known
                           : error != nullptr ? "the client ends EAP: " + to_string(error->type)
                                              : std::string("the client ends EAP");
  fail(sa, Reason::kEapFailed, text);
  destroy(sa, Reason::kEapFailed, "");
}

// --> HDR, SK {AUTH}
void Engine::Core::on_eap_auth(IkeSa& sa, const Arrival& arrival, const Header& header,
                               Opened opened) {
  Handshake& handshake = *sa.handshake;
  handshake.arrival = arrival;
  handshake.request_id = header.message_id;
  const auto& auth = opened.payloads.auth;
  if (!auth || auth->method != AuthMethod::kSharedKey || handshake.msk.empty() ||
      !shared_auth_is_good(sa, handshake.msk.bytes(), auth->data)) {
    refuse_auth(sa, {NotifyType::kAuthenticationFailed, Reason::kEapFailed,
                     sa.remote_eap_id.to_string() + " does not prove the key of its EAP"});
    return;
  }
  // RFC 7296 2.4, and the field: INITIAL_CONTACT acts after the last AUTH only.
  const SecretBytes own = shared_key_auth(sa.suite.prf, handshake.msk.bytes(), own_octets(sa));
  ChainBuilder chain;
  chain.auth(AuthMethod::kSharedKey, own.bytes());
  complete_responder(sa, std::move(chain));
}

}  // namespace penstock::ike
