// Trust in a peer's certificate: path, time, usage, name constraints, strength, identity and
// revocation, each failure with its name. Pure: any thread, time is given.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/ike/auth/credentials.h"
#include "controlplane/ike/auth/signature.h"

namespace penstock::ike {

inline constexpr size_t kPeerCertificatesMax = 16;  // of one peer; more are refused
inline constexpr size_t kChainDepthMax = 8;         // intermediates between leaf and anchor

enum class ChainVerdict : uint8_t {
  kGood,
  kNoCertificate,
  kMalformed,
  kExpired,
  kNotYetValid,
  kUntrustedIssuer,
  kBadSignature,  // of a certificate in the path
  kRevoked,
  kRevocationUnknown,
  kIdentityMismatch,
  kWrongUsage,
  kKeyTooWeak,  // or a signature by SHA-1 or MD5, or outside the constraints of `auth`
  kNameConstraint,
  kPolicyMismatch,  // cert_policy
};
const char* to_string(ChainVerdict verdict);  // "expired", "not yet valid", "untrusted issuer", ...

// remote.revocation of swanctl.conf: strict: no proof is a failure; ifuri: a failure if the
// certificate names a CRL or OCSP URI; relaxed: only a proven revocation is one.
enum class RevocationPolicy : uint8_t { kRelaxed, kIfUri, kStrict };
Result<RevocationPolicy> parse_revocation_policy(std::string_view text);

enum class PeerRole : uint8_t {
  kClient,  // EKU, if any, has clientAuth, serverAuth, ipsec IKE or any: peers are lenient
  kServer,  // EKU, if any, has serverAuth, ipsec IKE or any
};

struct ChainPolicy {
  PeerRole role = PeerRole::kClient;
  Identity identity;  // what the leaf must confirm; any: not asked
  RevocationPolicy revocation = RevocationPolicy::kRelaxed;
  SignatureConstraints constraints;         // PublicKeyAuth::chain
  std::vector<CertificatePtr> leaves;       // remote.certs: only these; trusted as they are
  std::vector<CertificatePtr> authorities;  // remote.cacerts: the path must end in one of these
  std::vector<std::string> policies;        // remote.cert_policy: one of these OIDs
};

// A URL worth asking, for the helper that fetches. Only for paths that verified; ask only after the
// peer's AUTH has verified too.
struct StatusFetch {
  enum class Kind : uint8_t { kCrl, kOcsp } kind = Kind::kCrl;
  std::string url;
  ByteVector body;  // kOcsp: DER of the request, POST application/ocsp-request; else GET
  std::string key;  // for CredentialStore::add_fetched_ocsp; kCrl: the URL
};

struct ChainResult {
  ChainVerdict verdict = ChainVerdict::kNoCertificate;
  std::string detail;                // which certificate, what about it
  CertificatePtr leaf;               // set as soon as it parsed
  std::vector<CertificatePtr> path;  // leaf first, anchor last; only if it verified
  // Status that is not known or no longer current. Set with kGood (relaxed; or a CRL says good and
  // an OCSP responder has not been asked) and with kRevocationUnknown: fetch, give it to the store,
  // verify again with the new snapshot.
  std::vector<StatusFetch> to_fetch;
};

// `certificates`: the DER of the peer's CERT payloads, the leaf first, then in any order. If empty,
// stored certificates that confirm policy.identity are tried (the peer sent none).
ChainResult verify_chain(const CredentialSnapshot& snapshot,
                         const std::vector<ByteVector>& certificates, const ChainPolicy& policy,
                         Nanoseconds wall_time_ns);

}  // namespace penstock::ike
