#include "controlplane/ike/eap/eap_server.h"

#include "controlplane/ike/eap/eap_packet.h"
#include "controlplane/ike/eap/eap_tls.h"
#include "controlplane/ike/eap/mschapv2.h"
#include "controlplane/ike/eap/mschapv2_crypto.h"
#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

constexpr std::string_view kServerName = "penstock";

std::string missing_for(EapType method, const EapServerOptions& options) {
  switch (method) {
    case EapType::kMschapv2:
      return mschapv2_available() ? "" : "EAP-MSCHAPv2 needs OpenSSL's legacy provider";
    case EapType::kTls:
      if (!options.tls_certificate) return "EAP-TLS needs a certificate of the gateway";
      if (!options.credentials->key_for(*options.tls_certificate)) {
        return "EAP-TLS needs the private key of the gateway's certificate";
      }
      if (options.tls_fragment_max < 64 || options.tls_fragment_max > kEapPacketMaxSize / 2) {
        return "EAP-TLS fragments of no usual size";
      }
      return "";
    default:
      return "an EAP method that is not supported";
  }
}

}  // namespace

bool mschapv2_available() { return mschapv2::available(); }

Result<std::vector<EapType>> parse_eap_auth(std::string_view auth) {
  const std::string_view name = auth.substr(0, auth.find(':'));
  if (name == "eap-mschapv2") return std::vector{EapType::kMschapv2};
  if (name == "eap-tls") return std::vector{EapType::kTls};
  if (name == "eap" || name == "eap-dynamic") {
    return std::vector{EapType::kMschapv2, EapType::kTls};
  }
  return errorf("auth: \"%.*s\" is not supported, only eap-mschapv2, eap-tls and eap-dynamic are",
                static_cast<int>(std::min<size_t>(name.size(), 64)), name.data());
}

// The states of the exchange:
//
//   kNew --start--> kIdentityAsked --identity--> kMethodProposed --first response--> kMethodRuns
//     '----------- without identity ------------->'  ^  '-- NAK --'                      |
//                                                                     kSucceeded / kFailed
class EapServer::State {
 public:
  State(EapServerOptions options, RandomSource& random)
      : options_(std::move(options)), random_(&random) {
    std::erase_if(options_.methods,
                  [&](EapType method) { return !missing_for(method, options_).empty(); });
    claimed_.identity = options_.identity;
  }

  EapStep start();
  EapStep on_response(Bytes packet, Nanoseconds wall_time_ns);
  [[nodiscard]] bool succeeded() const { return phase_ == Phase::kSucceeded; }
  [[nodiscard]] const SecretBytes& msk() const { return msk_; }
  [[nodiscard]] const Identity& identity() const { return identity_; }
  [[nodiscard]] EapType type() const { return type_; }
  [[nodiscard]] const ChainResult& chain() const { return chain_; }

 private:
  enum class Phase : uint8_t {
    kNew,
    kIdentityAsked,
    kMethodProposed,
    kMethodRuns,
    kSucceeded,
    kFailed,
  };
  EapStep on_identity(Bytes data);
  EapStep on_nak(Bytes wanted);
  EapStep propose(EapType type);
  EapStep step_of(MethodStep step);
  EapStep request(EapType type, Bytes data, std::string reason = {});
  EapStep fail(std::string reason);

  EapServerOptions options_;
  RandomSource* random_;
  Phase phase_ = Phase::kNew;
  uint8_t identifier_ = 0;
  unsigned rounds_ = 0;
  ClaimedIdentity claimed_;
  EapType type_ = EapType::kIdentity;
  std::unique_ptr<EapMethod> method_;
  Identity identity_;
  SecretBytes msk_;
  ChainResult chain_;
};

EapStep EapServer::State::request(EapType type, Bytes data, std::string reason) {
  if (++rounds_ > kEapRoundsMax) return fail("EAP goes on without end");
  ++identifier_;
  return {EapStep::Kind::kRequest, eap_request(identifier_, type, data), std::move(reason)};
}

EapStep EapServer::State::fail(std::string reason) {
  phase_ = Phase::kFailed;
  method_.reset();
  return {EapStep::Kind::kFailure, eap_end(EapCode::kFailure, identifier_), std::move(reason)};
}

EapStep EapServer::State::start() {
  if (phase_ != Phase::kNew) return {EapStep::Kind::kIgnored, {}, "EAP has begun already"};
  random_->fill({&identifier_, 1});
  if (options_.methods.empty()) return fail("no EAP method can be offered");
  if (!options_.ask_identity) return propose(options_.methods.front());
  phase_ = Phase::kIdentityAsked;
  return request(EapType::kIdentity, {});
}

EapStep EapServer::State::propose(EapType type) {
  std::erase(options_.methods, type);  // each is proposed once
  type_ = type;
  phase_ = Phase::kMethodProposed;
  if (type == EapType::kTls) {
    method_ = std::make_unique<EapTls>(options_, claimed_);
  } else {
    const std::string name(options_.server_name.empty() ? kServerName : options_.server_name);
    method_ = std::make_unique<Mschapv2>(options_.credentials, name, claimed_, *random_);
  }
  return step_of(method_->start());
}

EapStep EapServer::State::step_of(MethodStep step) {
  if (const auto* tls = dynamic_cast<const EapTls*>(method_.get())) chain_ = tls->chain_result();
  switch (step.kind) {
    case MethodStep::Kind::kRequest:
      return request(type_, step.data, std::move(step.reason));
    case MethodStep::Kind::kFailure:
      return fail(std::move(step.reason));
    case MethodStep::Kind::kSuccess:
      break;
  }
  msk_ = method_->msk();
  identity_ = method_->identity();
  method_.reset();
  phase_ = Phase::kSucceeded;
  return {EapStep::Kind::kSuccess, eap_end(EapCode::kSuccess, identifier_), {}};
}

// RFC 3748 section 5.1.
EapStep EapServer::State::on_identity(Bytes data) {
  const std::string_view text = text_of(data);
  if (text.empty() || text.size() > kEapIdentityMaxSize ||
      text.find('\0') != std::string_view::npos) {
    return fail("EAP identity that is none");
  }
  auto identity = Identity::parse(text);
  claimed_.asked = true;
  claimed_.text = text;
  // "*" and the like are a name here, not a pattern.
  claimed_.identity = identity.ok() && !identity->is_any() ? *identity : Identity::fqdn(text);
  return propose(options_.methods.front());
}

// RFC 3748 section 5.3.1: what the client would rather do.
EapStep EapServer::State::on_nak(Bytes wanted) {
  for (const EapType method : options_.methods) {
    if (std::find(wanted.begin(), wanted.end(), static_cast<uint8_t>(method)) != wanted.end()) {
      return propose(method);
    }
  }
  return fail("the client wants other EAP methods: " +
              to_hex(wanted.first(std::min<size_t>(wanted.size(), 16))));
}

EapStep EapServer::State::on_response(Bytes packet, Nanoseconds wall_time_ns) {
  const bool open = phase_ == Phase::kIdentityAsked || phase_ == Phase::kMethodProposed ||
                    phase_ == Phase::kMethodRuns;
  if (!open) return {EapStep::Kind::kIgnored, {}, "no EAP response is awaited"};
  const auto response = parse_eap_response(packet);
  if (!response) return {EapStep::Kind::kIgnored, {}, "not an EAP response"};
  if (response->identifier != identifier_) {
    return {EapStep::Kind::kIgnored, {}, "EAP response to another request"};
  }
  if (phase_ == Phase::kIdentityAsked) {
    if (response->type != EapType::kIdentity) return fail("EAP response without an identity");
    return on_identity(response->data);
  }
  if (response->type == EapType::kNak) {
    // Only the first request of a method may be declined.
    if (phase_ != Phase::kMethodProposed) return fail("the client gives up its EAP method");
    return on_nak(response->data);
  }
  if (response->type != type_) return fail("EAP response of another method");
  phase_ = Phase::kMethodRuns;
  return step_of(method_->on_response(response->data, wall_time_ns));
}

EapServer::EapServer(EapServerOptions options, RandomSource& random)
    : state_(std::make_unique<State>(std::move(options), random)) {}
EapServer::~EapServer() = default;
EapServer::EapServer(EapServer&&) noexcept = default;
EapServer& EapServer::operator=(EapServer&&) noexcept = default;

Status EapServer::check(const EapServerOptions& options) {
  std::string missing = "no EAP method is configured";
  if (!options.credentials) return Error{"EAP needs credentials"};
  for (const EapType method : options.methods) {
    missing = missing_for(method, options);
    if (missing.empty()) return {};
  }
  return Error{std::move(missing)};
}

EapStep EapServer::start() { return state_->start(); }
EapStep EapServer::on_response(Bytes packet, Nanoseconds wall_time_ns) {
  return state_->on_response(packet, wall_time_ns);
}
bool EapServer::succeeded() const { return state_->succeeded(); }
const SecretBytes& EapServer::msk() const { return state_->msk(); }
const Identity& EapServer::identity() const { return state_->identity(); }
EapType EapServer::method() const { return state_->type(); }
const ChainResult& EapServer::tls_chain_result() const { return state_->chain(); }

}  // namespace penstock::ike
