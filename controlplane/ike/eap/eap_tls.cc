#include "controlplane/ike/eap/eap_tls.h"

#include <openssl/ssl.h>

#include <array>

#include "controlplane/ike/auth/openssl_ptr.h"

namespace penstock::ike {
namespace {

constexpr size_t kAuthorityNamesMax = 100;  // in our request for a certificate
constexpr const char* kTls12Ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr const char* kGroups = "X25519:P-256:P-384:P-521";
constexpr const char* kSignatures =
    "ed25519:ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:"
    "rsa_pss_rsae_sha512:RSA+SHA256:RSA+SHA384:RSA+SHA512";

bool add_authority_names(SSL_CTX* context, const CredentialSnapshot& credentials,
                         const ChainPolicy& policy) {
  const auto authorities =
      policy.authorities.empty() ? credentials.authorities_trusted() : policy.authorities;
  size_t count = 0;
  for (const CertificatePtr& authority : authorities) {
    if (++count > kAuthorityNamesMax) break;
    if (SSL_CTX_add_client_CA(context, authority->native()) != 1) return false;
  }
  return true;
}

int alert_error_of(ChainVerdict verdict) {
  switch (verdict) {
    case ChainVerdict::kGood:
      return X509_V_OK;
    case ChainVerdict::kExpired:
    case ChainVerdict::kNotYetValid:
      return X509_V_ERR_CERT_HAS_EXPIRED;
    case ChainVerdict::kRevoked:
      return X509_V_ERR_CERT_REVOKED;
    case ChainVerdict::kUntrustedIssuer:
      return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
    case ChainVerdict::kBadSignature:
      return X509_V_ERR_CERT_SIGNATURE_FAILURE;
    default:
      return X509_V_ERR_APPLICATION_VERIFICATION;
  }
}

std::string last_error() {
  std::array<char, 160> text{};
  const unsigned long code = ERR_peek_last_error();
  if (code == 0) return "TLS handshake failed";
  ERR_error_string_n(code, text.data(), text.size());
  return std::string("TLS handshake failed: ") + text.data();
}

}  // namespace

EapTls::EapTls(const EapServerOptions& options, ClaimedIdentity claimed)
    : credentials_(options.credentials),
      certificate_(options.tls_certificate),
      certificate_chain_(options.tls_chain),
      policy_(options.tls_client_policy),
      claimed_(std::move(claimed)),
      tls13_(options.tls13),
      outgoing_(options.tls_fragment_max) {
  policy_.role = PeerRole::kClient;
  policy_.identity = Identity();  // compared when the handshake is over
}

EapTls::~EapTls() {
  SSL_free(ssl_);
  SSL_CTX_free(context_);
}

bool EapTls::prepare() {
  const auto key = credentials_->key_for(*certificate_);
  context_ = SSL_CTX_new(TLS_server_method());
  if (!key || context_ == nullptr) return false;
  SSL_CTX_set_options(context_, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_security_level(context_, 2);
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(context_, verify_client, this);
  bool ok =
      SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION) == 1 &&
      SSL_CTX_set_max_proto_version(context_, tls13_ ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
      SSL_CTX_set_num_tickets(context_, 0) == 1 &&
      SSL_CTX_set_cipher_list(context_, kTls12Ciphers) == 1 &&
      SSL_CTX_set1_groups_list(context_, kGroups) == 1 &&
      SSL_CTX_set1_sigalgs_list(context_, kSignatures) == 1 &&
      SSL_CTX_set1_client_sigalgs_list(context_, kSignatures) == 1 &&
      SSL_CTX_use_certificate(context_, certificate_->native()) == 1 &&
      SSL_CTX_use_PrivateKey(context_, key->native()) == 1 &&
      add_authority_names(context_, *credentials_, policy_);
  // Without this OpenSSL would look for the rest of our chain in the system's store.
  SSL_CTX_set_mode(context_, SSL_MODE_NO_AUTO_CHAIN);
  for (const CertificatePtr& certificate : certificate_chain_) {
    ok = ok && SSL_CTX_add1_chain_cert(context_, certificate->native()) == 1;
  }
  if (!ok) return false;
  ssl_ = SSL_new(context_);
  from_client_ = BIO_new(BIO_s_mem());
  to_client_ = BIO_new(BIO_s_mem());
  if (ssl_ == nullptr || from_client_ == nullptr || to_client_ == nullptr) {
    BIO_free(from_client_);
    BIO_free(to_client_);
    return false;
  }
  SSL_set_bio(ssl_, from_client_, to_client_);
  SSL_set_accept_state(ssl_);
  return true;
}

// Called by OpenSSL instead of its own verification. The signature of the client over the handshake
// is checked by OpenSSL after it.
int EapTls::verify_client(x509_store_ctx_st* context, void* self) {
  auto* tls = static_cast<EapTls*>(self);
  std::vector<ByteVector> certificates;
  if (X509* leaf = X509_STORE_CTX_get0_cert(context)) {
    certificates.push_back(der_of(i2d_X509, leaf));
  }
  STACK_OF(X509)* others = X509_STORE_CTX_get0_untrusted(context);
  for (int i = 0; i < sk_X509_num(others); ++i) {
    if (certificates.size() > kPeerCertificatesMax) break;
    certificates.push_back(der_of(i2d_X509, sk_X509_value(others, i)));
  }
  if (certificates.empty()) return 0;  // stored certificates prove nothing here
  tls->chain_ = verify_chain(*tls->credentials_, certificates, tls->policy_, tls->wall_time_ns_);
  X509_STORE_CTX_set_error(context, alert_error_of(tls->chain_.verdict));
  return tls->chain_.verdict == ChainVerdict::kGood ? 1 : 0;
}

MethodStep EapTls::start() {
  const ErrorQueueGuard guard;
  if (!prepare()) {
    state_ = State::kOver;
    return {MethodStep::Kind::kFailure, {}, "EAP-TLS cannot start: " + last_error()};
  }
  return {MethodStep::Kind::kRequest, {kTlsStart}, {}};
}

// What OpenSSL wants to say, in fragments.
MethodStep EapTls::send_pending() {
  const size_t size = BIO_ctrl_pending(to_client_);
  ByteVector message(size);
  if (size > kTlsMessageMaxSize ||
      (size > 0 &&
       BIO_read(to_client_, message.data(), static_cast<int>(size)) != static_cast<int>(size))) {
    state_ = State::kOver;
    return {MethodStep::Kind::kFailure, {}, "a TLS message that is too long"};
  }
  if (size == 0) return {MethodStep::Kind::kRequest, {0}, {}};
  outgoing_.set(std::move(message));
  return {MethodStep::Kind::kRequest, outgoing_.next(), {}};
}

// An alert, if there is one, goes out first: the client learns why (RFC 5216 section 2.1.3).
MethodStep EapTls::fail(std::string reason) {
  failed_because_ = std::move(reason);
  if (ssl_ != nullptr && BIO_ctrl_pending(to_client_) > 0) {
    MethodStep alert = send_pending();
    if (alert.kind == MethodStep::Kind::kRequest) {
      state_ = State::kAlertSent;
      alert.reason = failed_because_;
      return alert;
    }
  }
  state_ = State::kOver;
  return {MethodStep::Kind::kFailure, {}, failed_because_};
}

bool EapTls::export_msk() {
  static constexpr std::string_view kLabel12 = "client EAP encryption";          // RFC 5216 2.3
  static constexpr std::string_view kLabel13 = "EXPORTER_EAP_TLS_Key_Material";  // RFC 9190 2.3
  const bool is13 = SSL_version(ssl_) == TLS1_3_VERSION;
  const std::string_view label = is13 ? kLabel13 : kLabel12;
  const auto type = static_cast<uint8_t>(EapType::kTls);
  SecretBytes key(128);  // MSK | EMSK
  if (SSL_export_keying_material(ssl_, key.data(), key.size(), label.data(), label.size(), &type,
                                 is13 ? 1 : 0, is13 ? 1 : 0) != 1) {
    return false;
  }
  key.resize(64);
  msk_ = std::move(key);
  return true;
}

// RFC 5216 section 5.2: the certificate says who it is; what was said before counts only if the
// certificate agrees.
void EapTls::take_identity() {
  const Certificate& leaf = *chain_.leaf;
  if (leaf.confirms(claimed_.identity)) {
    identity_ = claimed_.identity;
  } else if (leaf.subject().data().size() > 2 || leaf.alternative_names().empty()) {
    identity_ = leaf.subject();
  } else {
    identity_ = leaf.alternative_names().front();  // an empty subject
  }
}

// The handshake is done on our side.
MethodStep EapTls::finish() {
  if (chain_.verdict != ChainVerdict::kGood || !chain_.leaf || !export_msk()) {
    return fail("TLS without a verified client certificate");
  }
  take_identity();
  if (SSL_version(ssl_) == TLS1_3_VERSION) {
    const uint8_t commitment = 0;
    if (SSL_write(ssl_, &commitment, 1) != 1) return fail(last_error());
  }
  state_ = State::kFinished;
  return send_pending();
}

MethodStep EapTls::on_message(Bytes message) {
  if (BIO_write(from_client_, message.data(), static_cast<int>(message.size())) !=
      static_cast<int>(message.size())) {
    return fail("out of memory");
  }
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) {
    // Nothing may follow the client's Finished.
    return BIO_ctrl_pending(from_client_) == 0 ? finish() : fail("TLS data after the handshake");
  }
  if (SSL_get_error(ssl_, result) == SSL_ERROR_WANT_READ) return send_pending();
  if (chain_.leaf && chain_.verdict != ChainVerdict::kGood) {
    return fail(std::string("client certificate ") + to_string(chain_.verdict) + ": " +
                chain_.detail);
  }
  return fail(last_error());
}

MethodStep EapTls::on_response(Bytes data, Nanoseconds wall_time_ns) {
  const ErrorQueueGuard guard;
  wall_time_ns_ = wall_time_ns;
  if (state_ == State::kOver) return {MethodStep::Kind::kFailure, {}, "EAP-TLS is over"};
  if (state_ == State::kAlertSent && outgoing_.done()) {
    state_ = State::kOver;
    return {MethodStep::Kind::kFailure, {}, failed_because_};
  }
  const TlsReassembly::Outcome outcome = incoming_.add(data);
  if (outcome == TlsReassembly::Outcome::kEmpty && !outgoing_.done()) {
    return {MethodStep::Kind::kRequest, outgoing_.next(), {}};
  }
  if (!outgoing_.done()) return fail("EAP-TLS data instead of an acknowledgement");
  switch (outcome) {
    case TlsReassembly::Outcome::kBroken:
      return fail("broken EAP-TLS fragment");
    case TlsReassembly::Outcome::kMore:
      return {MethodStep::Kind::kRequest, {0}, {}};
    case TlsReassembly::Outcome::kEmpty:
      if (state_ != State::kFinished) return fail("empty EAP-TLS response in the handshake");
      state_ = State::kOver;
      return {MethodStep::Kind::kSuccess, {}, {}};
    case TlsReassembly::Outcome::kMessage:
      break;
  }
  // An alert: the client does not agree to what we sent last.
  if (state_ == State::kFinished) return fail("the client refuses the end of the TLS handshake");
  const ByteVector message = to_vector(incoming_.message());
  incoming_.clear();
  return on_message(message);
}

}  // namespace penstock::ike
