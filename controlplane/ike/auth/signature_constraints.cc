// The words of `auth` that limit keys, paddings and hashes.
#include <array>

#include "controlplane/ike/auth/signature.h"
#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

using Scheme = SignatureConstraints::Scheme;

std::optional<SignatureHash> hash_named(std::string_view word) {
  if (word == "sha256" || word == "sha2_256") return SignatureHash::kSha256;
  if (word == "sha384" || word == "sha2_384") return SignatureHash::kSha384;
  if (word == "sha512" || word == "sha2_512") return SignatureHash::kSha512;
  if (word == "identity") return SignatureHash::kIdentity;
  return std::nullopt;
}

std::vector<Scheme> schemes_named(std::string_view word) {
  if (word == "rsa") return {{KeyType::kRsa}};
  if (word == "rsa/pss") return {{KeyType::kRsa, true}};
  if (word == "ecdsa") return {{KeyType::kEcdsa}};
  if (word == "ed25519") return {{KeyType::kEd25519}};
  if (word == "pubkey") return {{KeyType::kRsa}, {KeyType::kEcdsa}, {KeyType::kEd25519}};
  return {};
}

}  // namespace

Result<PublicKeyAuth> parse_public_key_auth(std::string_view text) {
  const bool ike_only = text.starts_with("ike:");
  if (ike_only) text.remove_prefix(4);
  SignatureConstraints constraints;
  size_t group = 0;  // where the schemes begin to which the next number or hash belongs
  for (const std::string_view word : split(text, '-')) {
    const auto named = schemes_named(word);
    const auto hash = hash_named(word);
    const auto bits = parse_unsigned(word, 65536);
    if (!named.empty()) {
      group = constraints.schemes.size();
      constraints.schemes.insert(constraints.schemes.end(), named.begin(), named.end());
    } else if (constraints.schemes.empty() || (!hash && !bits)) {
      return errorf("auth: \"%.*s\" is no key type, size or hash that is supported",
                    static_cast<int>(std::min<size_t>(word.size(), 64)), word.data());
    }
    for (size_t i = group; i < constraints.schemes.size(); ++i) {
      Scheme& scheme = constraints.schemes[i];
      if (hash) scheme.hashes.push_back(*hash);
      if (bits) scheme.bits_min = static_cast<unsigned>(*bits);
    }
    if (constraints.schemes.size() > 16) return Error{"auth: too many key types"};
  }
  // A hash says nothing about Ed25519, which has its own.
  for (Scheme& scheme : constraints.schemes) {
    if (scheme.key == KeyType::kEd25519) scheme.hashes.clear();
  }
  if (text == "pubkey") constraints.schemes.clear();  // everything that is ours
  PublicKeyAuth auth;
  auth.ike = constraints;
  if (!ike_only) auth.chain = std::move(constraints);
  return auth;
}

bool allows(const SignatureConstraints& constraints, KeyType key, unsigned bits,
            std::optional<SignatureHash> hash, std::optional<bool> pss) {
  if (constraints.schemes.empty()) return true;
  for (const Scheme& scheme : constraints.schemes) {
    if (scheme.key != key || bits < scheme.bits_min) continue;
    if (scheme.pss && pss && !*pss) continue;
    if (hash && !scheme.hashes.empty() &&
        std::find(scheme.hashes.begin(), scheme.hashes.end(), *hash) == scheme.hashes.end()) {
      continue;
    }
    return true;
  }
  return false;
}

}  // namespace penstock::ike
