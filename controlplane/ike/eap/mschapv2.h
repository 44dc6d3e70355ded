// EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2), authenticator:
//
//   <-- Challenge        value, our name
//   --> Response         peer challenge, NT response, user name
//   <-- Success Request  "S=... M=..." proves that we know the password too
//   --> Success Response
// or
//   <-- Failure Request  "E=691 R=0 ...": no second try in this exchange
//   --> Failure Response
#pragma once

#include "controlplane/ike/eap/eap_method.h"
#include "controlplane/ike/eap/mschapv2_crypto.h"
#include "gateway/base/random.h"

namespace penstock::ike {

class Mschapv2 final : public EapMethod {
 public:
  Mschapv2(CredentialSnapshotPtr credentials, std::string server_name, ClaimedIdentity claimed,
           RandomSource& random);
  MethodStep start() override;
  MethodStep on_response(Bytes data, Nanoseconds wall_time_ns) override;
  [[nodiscard]] const SecretBytes& msk() const override { return msk_; }
  [[nodiscard]] const Identity& identity() const override { return identity_; }

 private:
  enum class State : uint8_t { kStart, kChallenged, kSuccessSent, kFailureSent, kOver };
  MethodStep on_challenge_response(Bytes data);
  MethodStep refuse(std::string reason);
  [[nodiscard]] mschapv2::NtHash hash_for(std::string_view user_name, bool& known);
  [[nodiscard]] ByteVector message(uint8_t op_code, Bytes value) const;

  CredentialSnapshotPtr credentials_;
  std::string server_name_;
  ClaimedIdentity claimed_;
  RandomSource* random_;
  State state_ = State::kStart;
  uint8_t message_id_ = 0;
  mschapv2::Challenge challenge_{};
  std::string refused_because_;
  Identity identity_;
  SecretBytes msk_;
};

}  // namespace penstock::ike
