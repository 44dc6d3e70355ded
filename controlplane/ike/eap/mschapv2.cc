#include "controlplane/ike/eap/mschapv2.h"

#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

constexpr uint8_t kOpChallenge = 1;
constexpr uint8_t kOpResponse = 2;
constexpr uint8_t kOpSuccess = 3;
constexpr uint8_t kOpFailure = 4;
constexpr size_t kResponseValueSize = 49;
constexpr size_t kUserNameMaxSize = 256;  // RFC 2759 section 4

// "DOMAIN\user" without the domain, which is in no hash.
std::string_view without_domain(std::string_view name) {
  const size_t backslash = name.rfind('\\');
  return backslash == std::string_view::npos ? name : name.substr(backslash + 1);
}

// A user name as an identity. "*" and the like are a name here, not a pattern.
Identity identity_of(std::string_view name) {
  auto identity = Identity::parse(name);
  if (identity.ok() && !identity->is_any()) return std::move(identity).value();
  return Identity::fqdn(name);
}

bool is_user_name(std::string_view name) {
  return !name.empty() && name.size() <= kUserNameMaxSize &&
         name.find('\0') == std::string_view::npos;
}

}  // namespace

Mschapv2::Mschapv2(CredentialSnapshotPtr credentials, std::string server_name,
                   ClaimedIdentity claimed, RandomSource& random)
    : credentials_(std::move(credentials)),
      server_name_(std::move(server_name)),
      claimed_(std::move(claimed)),
      random_(&random) {}

// Op code, message id, length of all of it, the rest.
ByteVector Mschapv2::message(uint8_t op_code, Bytes value) const {
  ByteVector data(4 + value.size());
  Writer writer(data);
  writer.u8(op_code);
  writer.u8(message_id_);
  writer.be16(static_cast<uint16_t>(data.size()));
  writer.bytes(value);
  return data;
}

MethodStep Mschapv2::start() {
  random_->fill(challenge_);
  random_->fill({&message_id_, 1});
  ByteVector value = {static_cast<uint8_t>(challenge_.size())};
  value.insert(value.end(), challenge_.begin(), challenge_.end());
  value.insert(value.end(), server_name_.begin(), server_name_.end());
  state_ = State::kChallenged;
  return {MethodStep::Kind::kRequest, message(kOpChallenge, value), {}};
}

// A random hash for users that do not exist: they take the same time and fail.
mschapv2::NtHash Mschapv2::hash_for(std::string_view user_name, bool& known) {
  const SharedSecret* secret =
      claimed_.asked ? credentials_->eap_secret(claimed_.identity) : nullptr;
  if (secret == nullptr) secret = credentials_->eap_secret(identity_of(user_name));
  if (secret == nullptr) {
    secret = credentials_->eap_secret(identity_of(without_domain(user_name)));
  }
  known = secret != nullptr;
  mschapv2::NtHash hash;
  if (secret == nullptr) {
    random_->fill(hash.mutable_bytes());
    return mschapv2::nt_password_hash(hash.bytes());
  }
  if (secret->type == SecretType::kNtlm) return mschapv2::NtHash::copy_of(secret->value.bytes());
  return mschapv2::nt_password_hash(secret->value.bytes());
}

MethodStep Mschapv2::refuse(std::string reason) {
  static constexpr std::string_view kWrong = "E=691 R=0 C=";  // ERROR_AUTHENTICATION_FAILURE
  mschapv2::Challenge unused{};
  random_->fill(unused);
  const std::string text = std::string(kWrong) + to_hex(unused) + " V=3 M=Authentication failed";
  refused_because_ = std::move(reason);
  state_ = State::kFailureSent;
  return {MethodStep::Kind::kRequest, message(kOpFailure, bytes_of(text)), refused_because_};
}

MethodStep Mschapv2::on_challenge_response(Bytes data) {
  Reader reader(data);
  const uint8_t op_code = reader.u8();
  reader.skip(1);  // the message id says no more than the identifier of the packet
  const uint16_t length = reader.be16();
  const uint8_t value_size = reader.u8();
  const auto peer_challenge = reader.array<16>();
  reader.skip(8);  // reserved
  const auto response = reader.array<24>();
  reader.skip(1);  // flags
  const std::string_view name = text_of(reader.take_rest());
  if (!reader.ok() || op_code != kOpResponse || length != data.size() ||
      value_size != kResponseValueSize || !is_user_name(name)) {
    state_ = State::kOver;
    return {MethodStep::Kind::kFailure, {}, "MSCHAPv2 response that is none"};
  }
  bool known = false;
  const mschapv2::NtHash hash = hash_for(name, known);
  const std::string_view user_name = without_domain(name);
  const auto challenge = mschapv2::challenge_hash(peer_challenge, challenge_, user_name);
  const bool right = equal_constant_time(mschapv2::nt_response(challenge, hash), response);
  // One may not log in as one user and be known as another.
  const bool same_user = equal_ignoring_case(
      user_name, without_domain(claimed_.asked ? std::string_view(claimed_.text) : name));
  const std::string printed = identity_of(name).to_string();
  if (!known) return refuse("no EAP secret for user " + printed);
  if (!right) return refuse("wrong password of user " + printed);
  if (!same_user) {
    return refuse("EAP identity " + claimed_.identity.to_string() + " logs in as " + printed);
  }
  const bool hint_fits = !claimed_.asked && (identity_of(name) == claimed_.identity ||
                                             identity_of(user_name) == claimed_.identity);
  identity_ = claimed_.asked || hint_fits ? claimed_.identity : identity_of(name);
  msk_ = mschapv2::master_session_key(hash, response);
  const std::string text =
      mschapv2::authenticator_response(hash, response, challenge) + " M=Welcome";
  state_ = State::kSuccessSent;
  return {MethodStep::Kind::kRequest, message(kOpSuccess, bytes_of(text)), {}};
}

MethodStep Mschapv2::on_response(Bytes data, Nanoseconds /*wall_time_ns*/) {
  switch (state_) {
    case State::kChallenged:
      return on_challenge_response(data);
    case State::kSuccessSent:
      state_ = State::kOver;
      // One byte; clients that send more after it exist, its meaning is in the first.
      if (!data.empty() && data[0] == kOpSuccess) return {MethodStep::Kind::kSuccess, {}, {}};
      return {
          MethodStep::Kind::kFailure, {}, "the client does not accept our proof of the password"};
    case State::kFailureSent:
      state_ = State::kOver;
      return {MethodStep::Kind::kFailure, {}, refused_because_};
    case State::kStart:
    case State::kOver:
      break;
  }
  return {MethodStep::Kind::kFailure, {}, "MSCHAPv2 is over"};
}

}  // namespace penstock::ike
