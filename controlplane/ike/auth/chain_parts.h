// What verify_chain() is made of.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controlplane/ike/auth/chain.h"

namespace penstock::ike {

struct Finding {
  ChainVerdict verdict = ChainVerdict::kGood;
  std::string detail;
};

// Builds and verifies a path from `leaf` over `others` to one of `anchors` at that time:
// signatures, times, CA constraints, path length, name constraints, critical extensions, strength,
// policies. On success `path` is leaf first, anchor last.
Finding build_path(const CertificatePtr& leaf, const std::vector<CertificatePtr>& others,
                   const std::vector<CertificatePtr>& anchors,
                   const std::vector<std::string>& policies, Nanoseconds wall_time_ns,
                   std::vector<CertificatePtr>& path);

// Key usage and extended key usage of the leaf and of the CAs above it.
Finding check_usage(const std::vector<CertificatePtr>& path, PeerRole role);
// Keys, and the signatures of all but the anchor, against floor and constraints.
Finding check_strength(const std::vector<CertificatePtr>& path,
                       const SignatureConstraints& constraints);

// What is known of the revocation of each certificate below the anchor.
enum class Revocation : uint8_t { kGood, kRevoked, kUnknown };
struct RevocationStatus {
  Revocation status = Revocation::kUnknown;
  std::string why;
  Nanoseconds good_until_wall_ns = 0;  // kGood: when the proof grows old
  bool ocsp_answered = false;          // a responder has said so, currently
};
// One entry for each certificate of `path` but the anchor.
std::vector<RevocationStatus> revocation_of(const CredentialSnapshot& snapshot,
                                            const std::vector<CertificatePtr>& path,
                                            Nanoseconds wall_time_ns);
// Where the status of `certificate` can be asked.
std::vector<StatusFetch> status_places(const CredentialSnapshot& snapshot,
                                       const Certificate& certificate, const Certificate& issuer);

}  // namespace penstock::ike
