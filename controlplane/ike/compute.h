// The slow part of the exchanges as jobs: all inputs by value (or shared and immutable), no state
// shared with the engine, so that any thread may run one. Diffie-Hellman, signatures, certificates
// and EAP happen here and nowhere else.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "controlplane/ike/auth/chain.h"
#include "controlplane/ike/auth/credentials.h"
#include "controlplane/ike/auth/signature.h"
#include "controlplane/ike/eap/eap_server.h"
#include "controlplane/ike/wire/iana.h"
#include "gateway/base/clock.h"
#include "gateway/base/secret.h"

namespace penstock::ike {

using ComputeId = uint64_t;

// Our public value; where `peer_public` is there (responders), the shared secret too.
struct DhJob {
  DhGroup group = DhGroup::kNone;
  SecretBytes private_key;
  ByteVector peer_public;
  bool make_public = true;  // false: initiators, once the peer's value has come
};
struct DhResult {
  bool ok = false;
  std::string error;  // the peer's value is refused (RFC 6989)
  ByteVector public_value;
  SecretBytes shared;  // g^ir
};

// Our AUTH by signature. The certificate has been chosen.
struct SignJob {
  std::shared_ptr<const PrivateKey> key;
  SignatureConstraints constraints;
  std::vector<SignatureHash> peer_hashes;
  ByteVector octets;
};
struct SignResult {
  bool ok = false;
  std::string error;
  AuthMethod method{};
  ByteVector data;
};

// The peer's AUTH by signature: its certificates, then the signature.
struct VerifyJob {
  CredentialSnapshotPtr credentials;
  std::vector<ByteVector> certificates;
  ChainPolicy policy;
  SignatureConstraints constraints;
  bool announced_hashes = true;
  AuthMethod method{};
  ByteVector data;
  ByteVector octets;
  Nanoseconds wall_ns = 0;
};
struct VerifyResult {
  ChainResult chain;
  // Looked at if the chain is good, or lacks nothing but its revocation status.
  SignatureVerdict signature = SignatureVerdict::kBad;
};

// One step of EAP. The exchange is used by nobody else until the result is back.
struct EapJob {
  std::shared_ptr<EapServer> server;
  ByteVector response;  // empty: the first request
  Nanoseconds wall_ns = 0;
};
struct EapResult {
  EapStep step;
};

using ComputeJob = std::variant<DhJob, SignJob, VerifyJob, EapJob>;
using ComputeResult = std::variant<DhResult, SignResult, VerifyResult, EapResult>;

// Any thread.
[[nodiscard]] ComputeResult run_compute(const ComputeJob& job);

}  // namespace penstock::ike
