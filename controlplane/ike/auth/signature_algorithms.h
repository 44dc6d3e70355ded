// The AlgorithmIdentifiers of RFC 7427 as whole byte strings: what a peer sends is compared with
// these, never taken apart.
#pragma once

#include <optional>

#include "controlplane/ike/auth/signature.h"

namespace penstock::ike {

struct SignatureAlgorithm {
  KeyType key = KeyType::kRsa;
  bool pss = false;
  SignatureHash hash = SignatureHash::kSha256;
};

// The encoding that we send (RFC 7427 appendix A, RFC 8420 appendix A).
ByteVector algorithm_identifier(const SignatureAlgorithm& algorithm);
// Which one these bytes are, in any encoding that the standards allow: parameters of PSS hashes
// absent or NULL, the trailer field left out or given (RFC 4055 section 3.1). PSS only with MGF1
// over the same hash and a salt of its size. SHA-1 is not there.
std::optional<SignatureAlgorithm> find_algorithm(Bytes identifier);

}  // namespace penstock::ike
