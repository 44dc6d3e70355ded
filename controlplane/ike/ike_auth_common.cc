// What both sides of IKE_AUTH do: who we are, what is signed (RFC 7296 2.15), certificates, and the
// moment at which an IKE SA is up.
#include <algorithm>

#include "controlplane/ike/core.h"

namespace penstock::ike {
namespace {

Reason reason_of(ChainVerdict verdict) {
  switch (verdict) {
    case ChainVerdict::kGood:
      return Reason::kNone;
    case ChainVerdict::kNoCertificate:
      return Reason::kCertificateMissing;
    case ChainVerdict::kExpired:
      return Reason::kCertificateExpired;
    case ChainVerdict::kNotYetValid:
      return Reason::kCertificateNotYetValid;
    case ChainVerdict::kUntrustedIssuer:
      return Reason::kCertificateUntrusted;
    case ChainVerdict::kRevoked:
      return Reason::kCertificateRevoked;
    case ChainVerdict::kRevocationUnknown:
      return Reason::kCertificateRevocationUnknown;
    case ChainVerdict::kIdentityMismatch:
      return Reason::kCertificateIdentityMismatch;
    case ChainVerdict::kWrongUsage:
      return Reason::kCertificateWrongUsage;
    case ChainVerdict::kKeyTooWeak:
      return Reason::kCertificateWeakKey;
    case ChainVerdict::kNameConstraint:
      return Reason::kCertificateNameConstraint;
    case ChainVerdict::kMalformed:
    case ChainVerdict::kBadSignature:
    case ChainVerdict::kPolicyMismatch:
      break;
  }
  return Reason::kCertificateInvalid;
}

}  // namespace

// Who we are in this IKE SA, and by which key. False: `refusal` says what is missing.
bool Engine::Core::choose_own_auth(IkeSa& sa, Refusal& refusal,
                                   std::shared_ptr<const PrivateKey>& key) {
  Handshake& handshake = *sa.handshake;
  const LocalAuth& local = sa.config->local;
  handshake.own_certs.clear();
  sa.local_id = local.id;
  refusal.notify = NotifyType::kAuthenticationFailed;
  if (local.method == AuthClass::kPubkey) {
    const auto own =
        credentials_->own_certificate(local.id, local.certs, handshake.requested_cas, now_.wall_ns);
    if (!own) {
      refusal.reason = Reason::kPrivateKeyMissing;
      refusal.text = "no certificate with a private key for " + local.id.to_string();
      return false;
    }
    key = own->key;
    if (sa.local_id.is_any()) sa.local_id = own->certificate->subject();
    if (sa.config->send_cert != Wish::kNo) {
      handshake.own_certs.push_back(to_vector(own->certificate->der()));
      for (const CertificatePtr& each : own->chain) {
        handshake.own_certs.push_back(to_vector(each->der()));
      }
    }
  } else {
    if (sa.local_id.is_any()) sa.local_id = Identity::from_address(sa.local.address);
    const Identity& peer = sa.remote_id.is_any() ? sa.config->remote.id : sa.remote_id;
    if (credentials_->psk(sa.local_id, peer) == nullptr) {
      refusal.reason = Reason::kPskMissing;
      refusal.text = "no pre-shared key for " + sa.local_id.to_string() + " - " + peer.to_string();
      return false;
    }
  }
  handshake.own_id_body = id_body(static_cast<IdType>(sa.local_id.type()), sa.local_id.data());
  return true;
}

ByteVector Engine::Core::own_octets(const IkeSa& sa) const {
  const Handshake& handshake = *sa.handshake;
  return sa.initiator
             ? auth_octets(sa.suite.prf, handshake.init_request, handshake.nonce_responder,
                           sa.keys.pi.bytes(), handshake.own_id_body)
             : auth_octets(sa.suite.prf, handshake.init_response, handshake.nonce_initiator,
                           sa.keys.pr.bytes(), handshake.own_id_body);
}

ByteVector Engine::Core::peer_octets(const IkeSa& sa) const {
  const Handshake& handshake = *sa.handshake;
  return sa.initiator
             ? auth_octets(sa.suite.prf, handshake.init_response, handshake.nonce_initiator,
                           sa.keys.pr.bytes(), handshake.peer_id_body)
             : auth_octets(sa.suite.prf, handshake.init_request, handshake.nonce_responder,
                           sa.keys.pi.bytes(), handshake.peer_id_body);
}

// AUTH by a shared key: exact length, constant time.
bool Engine::Core::shared_auth_is_good(const IkeSa& sa, Bytes secret, Bytes data) const {
  const SecretBytes expected = shared_key_auth(sa.suite.prf, secret, peer_octets(sa));
  return equal_constant_time(expected.bytes(), data);
}

void Engine::Core::add_certs(const IkeSa& sa, ChainBuilder& chain) const {
  for (const ByteVector& each : sa.handshake->own_certs) {
    chain.cert(CertEncoding::kX509Signature, each);
  }
}

void Engine::Core::add_cert_request(const std::vector<ConnectionPtr>& candidates,
                                    ChainBuilder& chain) const {
  bool wanted = false, all = false;
  std::vector<CertificatePtr> only;
  for (const ConnectionPtr& each : candidates) {
    const bool certificates = each->remote.method == AuthClass::kPubkey ||
                              (each->remote.method == AuthClass::kEap &&
                               std::count(each->remote.eap_methods.begin(),
                                          each->remote.eap_methods.end(), EapType::kTls) != 0);
    if (!each->send_certreq || !certificates) continue;
    wanted = true;
    all = all || each->remote.ca_certs.empty();
    only.insert(only.end(), each->remote.ca_certs.begin(), each->remote.ca_certs.end());
  }
  if (!wanted) return;
  ByteVector hashes;
  constexpr size_t kHashesMax = 64;  // a message that still fits; peers go by the first that helps
  for (const KeyId& id :
       credentials_->certificate_request(all ? std::vector<CertificatePtr>{} : only)) {
    if (hashes.size() >= kHashesMax * id.size()) break;
    hashes.insert(hashes.end(), id.begin(), id.end());
  }
  if (!hashes.empty()) chain.cert_request(CertEncoding::kX509Signature, hashes);
}

void Engine::Core::take_cert_requests(IkeSa& sa, const Payloads& payloads) const {
  constexpr size_t kHashesMax = 512;
  for (const CertReqPayload& each : payloads.cert_requests) {
    if (each.encoding != CertEncoding::kX509Signature) continue;
    Reader reader(each.authorities);
    while (reader.remaining() >= 20 && sa.handshake->requested_cas.size() < kHashesMax) {
      sa.handshake->requested_cas.push_back(reader.array<20>());
    }
  }
}

void Engine::Core::take_peer_certs(IkeSa& sa, const Payloads& payloads) const {
  sa.handshake->peer_certs.clear();
  for (const CertPayload& each : payloads.certs) {
    if (each.encoding == CertEncoding::kX509Signature) {
      sa.handshake->peer_certs.push_back(to_vector(each.data));
    }
  }
}

VerifyJob Engine::Core::verify_job(const IkeSa& sa, const AuthPayload& auth, PeerRole role) const {
  const RemoteAuth& remote = sa.config->remote;
  VerifyJob job;
  job.credentials = credentials_;
  job.certificates = sa.handshake->peer_certs;
  job.policy.role = role;
  job.policy.identity = sa.remote_id;
  job.policy.revocation = remote.revocation;
  job.policy.constraints = remote.schemes.chain;
  job.policy.leaves = remote.certs;
  job.policy.authorities = remote.ca_certs;
  job.policy.policies = remote.cert_policies;
  job.constraints = remote.schemes.ike;
  job.method = auth.method;
  job.data = to_vector(auth.data);
  job.octets = peer_octets(sa);
  job.wall_ns = now_.wall_ns;
  return job;
}

Refusal Engine::Core::judge(const IkeSa& sa, const VerifyResult& result) const {
  Refusal refusal;
  refusal.notify = NotifyType::kAuthenticationFailed;
  if (result.chain.verdict != ChainVerdict::kGood) {
    refusal.reason = reason_of(result.chain.verdict);
    refusal.text = "certificate of " + sa.remote_id.to_string() +
                   " is refused: " + to_string(result.chain.verdict);
    if (!result.chain.detail.empty()) refusal.text += " (" + result.chain.detail + ")";
  } else if (result.signature != SignatureVerdict::kGood) {
    refusal.reason = Reason::kSignatureInvalid;
    refusal.text =
        "signature of " + sa.remote_id.to_string() + " is refused: " + to_string(result.signature);
  } else {
    refusal.notify = NotifyType::kNone;
  }
  return refusal;
}

// Lessons of the field: nothing is fetched for a chain that is not trusted, nor for a peer whose
// AUTH has not verified. Without `all` what was asked for a moment ago is left out. True: there is
// something to wait for.
bool Engine::Core::start_fetches(IkeSa& sa, const std::vector<StatusFetch>& fetches, bool all) {
  constexpr Nanoseconds kAgainAfter = 60 * kSecond;
  constexpr size_t kRemembered = 1024;
  for (const StatusFetch& fetch : fetches) {
    const auto known = fetched_.find(fetch.key);
    const bool recent = known != fetched_.end() && now_.boot_ns - known->second < kAgainAfter;
    if (recent && !all) continue;
    if (fetched_.size() >= kRemembered) fetched_.clear();
    fetched_[fetch.key] = now_.boot_ns;
    const uint64_t id = next_fetch_++;
    fetches_[id] = sa.unique_id;
    sa.handshake->fetches.push_back(id);
    emit(FetchUrl{id, fetch});
  }
  return !sa.handshake->fetches.empty();
}

void Engine::Core::schedule_lifetimes(IkeSa& sa) {
  const ConnectionConfig& config = *sa.config;
  Nanoseconds first = kNever;
  if (config.rekey_ns != 0) {
    set_timer(sa, Timer::kRekey, jittered(now_.boot_ns + config.rekey_ns, config.random_ns));
    first = sa.timer(Timer::kRekey);
  }
  // A rekeyed IKE SA is as old as the authentication that it goes back to.
  if (config.reauth_ns != 0 && sa.timer(Timer::kReauth) == kNever) {
    set_timer(sa, Timer::kReauth, jittered(now_.boot_ns + config.reauth_ns, config.random_ns));
  }
  first = std::min(first, sa.timer(Timer::kReauth));
  if (first != kNever && config.over_ns != 0) set_timer(sa, Timer::kLife, first + config.over_ns);
}

// The peer has authenticated, and so have we.
void Engine::Core::established(IkeSa& sa) {
  const uint32_t replaces = sa.handshake->reauthenticates;
  std::vector<Task> children = std::move(sa.handshake->more_children);
  const std::vector<CommandId> commands = std::move(sa.handshake->commands);
  end_handshake(sa);
  sa.phase = Phase::kEstablished;
  sa.established_ns = now_.boot_ns;
  sa.last_error.clear();
  stop_timer(sa, Timer::kHalfOpen);
  schedule_lifetimes(sa);
  enter_identity(sa);
  arm_liveness(sa);
  ++totals_.established;
  log(&sa, LogLevel::kNotice, Reason::kNone,
      "IKE_SA " + sa.config->name + "[" + std::to_string(sa.unique_id) + "] established between " +
          sa.local.address.to_string() + "[" + sa.local_id.to_string() + "]..." +
          sa.remote.address.to_string() + "[" + sa.policy_id().to_string() + "]");
  Notify notify;
  notify.kind = Notify::Kind::kIkeUp;
  notify.level = LogLevel::kDebug;
  notify.ike_id = sa.unique_id;
  notify.connection = sa.config->name;
  notify.peer = sa.remote;
  notify.ike = snapshot_of(sa);
  emit(std::move(notify));
  for (const CommandId command : commands) command_done(command);
  for (Task& task : children) sa.queue.push_back(std::move(task));
  if (replaces != 0) reauthenticated(sa, replaces);
}

}  // namespace penstock::ike
