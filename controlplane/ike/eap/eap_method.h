// One EAP method on the side of the authenticator. It sees and makes the data after the type of the
// packets; identifiers and the choice of the method are the exchange's.
#pragma once

#include <string>

#include "controlplane/ike/eap/eap_server.h"

namespace penstock::ike {

struct MethodStep {
  enum class Kind : uint8_t { kRequest, kSuccess, kFailure } kind = Kind::kFailure;
  ByteVector data;     // kRequest
  std::string reason;  // kFailure, and kRequest that says so
};

class EapMethod {
 public:
  virtual ~EapMethod() = default;
  virtual MethodStep start() = 0;
  virtual MethodStep on_response(Bytes data, Nanoseconds wall_time_ns) = 0;
  // After kSuccess.
  [[nodiscard]] virtual const SecretBytes& msk() const = 0;
  [[nodiscard]] virtual const Identity& identity() const = 0;
};

// What the client said about itself before the method began.
struct ClaimedIdentity {
  bool asked = false;  // it answered an identity request: then the method has to agree
  Identity identity;
  std::string text;  // as it was sent; empty where it was not asked
};

}  // namespace penstock::ike
