// The AUTH payload by signature (RFC 7296 2.15 and 3.8, RFC 4754, RFC 7427, RFC 8420). Shared keys
// are with the key derivation. Pure functions: any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/ike/auth/certificate.h"
#include "controlplane/ike/wire/iana.h"
#include "gateway/base/bytes.h"
#include "gateway/base/result.h"

namespace penstock::ike {

// "IKEv2 Hash Algorithms" of IANA, the content of SIGNATURE_HASH_ALGORITHMS (RFC 7427 section 4).
enum class SignatureHash : uint16_t {
  kSha1 = 1,
  kSha256 = 2,
  kSha384 = 3,
  kSha512 = 4,
  kIdentity = 5,  // Ed25519 (RFC 8420)
};
// What we announce: SHA2-256, -384, -512 and Identity.
std::vector<SignatureHash> offered_signature_hashes();

// What one side's signature may look like: the `auth` of local and remote sections.
struct SignatureConstraints {
  struct Scheme {
    KeyType key = KeyType::kRsa;
    bool pss = false;                     // RSA only
    unsigned bits_min = 0;                // 0: the policy floor
    std::vector<SignatureHash> hashes{};  // empty: every one of ours
  };
  std::vector<Scheme> schemes;  // empty: everything that is ours
};
struct PublicKeyAuth {
  SignatureConstraints chain;  // signatures of the certificates
  SignatureConstraints ike;    // the signature of AUTH
};
// "pubkey", "pubkey-sha256-sha512", "rsa-3072-sha256", "rsa/pss-sha384", "ecdsa-384-ed25519": what
// swanctl.conf(5) describes for `auth`, and what may follow the colon of "eap-tls:...". Such
// constraints hold for the chain and for AUTH, after "ike:" for AUTH alone. "rsa" takes both
// paddings (and signs with PKCS#1 v1.5), "rsa/pss" only PSS. Unknown words are refused by name.
Result<PublicKeyAuth> parse_public_key_auth(std::string_view text);
// Whether a signature by such a key is inside the constraints; unset: whatever hash or padding.
bool allows(const SignatureConstraints& constraints, KeyType key, unsigned bits,
            std::optional<SignatureHash> hash, std::optional<bool> pss);

// The content of an AUTH payload (RFC 7296 3.8).
struct AuthValue {
  AuthMethod method = AuthMethod::kSharedKey;
  ByteVector data;
};

// Signs `octets` (RFC 7296 2.15: RealMessage | Nonce | prf(SK_p, RestOfID)). `peer_hashes`: what
// the peer announced; empty: it knows no RFC 7427, then methods 1, 9, 10 or 11 are used (Ed25519
// has none: an error that says so). Otherwise method 14 with the first hash both sides take. PSS is
// used where the constraints ask for it.
Result<AuthValue> sign_auth(const PrivateKey& key, const SignatureConstraints& constraints,
                            const std::vector<SignatureHash>& peer_hashes, Bytes octets);

enum class SignatureVerdict : uint8_t {
  kGood,
  kBad,              // does not verify, or is not encoded exactly as it must be
  kMethodMismatch,   // not a method for this kind of key, or not one that we speak
  kRefusedByPolicy,  // hash, padding or key size outside the constraints
};
const char* to_string(SignatureVerdict verdict);  // words for the log

// `announced_hashes`: whether we sent SIGNATURE_HASH_ALGORITHMS, without which 14 is refused.
// Method 1 takes SHA-1, SHA2-256, -384 and -512 digests (SHA-1 as RFC 7296 prescribes).
SignatureVerdict verify_auth(const PublicKey& key, const SignatureConstraints& constraints,
                             bool announced_hashes, AuthMethod method, Bytes data, Bytes octets);

}  // namespace penstock::ike
