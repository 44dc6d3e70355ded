// What keys may be used for, and whether they are strong enough.
#include <array>

#include "controlplane/ike/auth/chain_parts.h"
#include "controlplane/ike/auth/openssl_ptr.h"

namespace penstock::ike {
namespace {

using ExtendedKeyUsagePtr =
    std::unique_ptr<EXTENDED_KEY_USAGE, OpensslFree<EXTENDED_KEY_USAGE_free>>;

constexpr std::string_view kServerAuth = "1.3.6.1.5.5.7.3.1";
constexpr std::string_view kClientAuth = "1.3.6.1.5.5.7.3.2";
constexpr std::string_view kIpsecEndSystem = "1.3.6.1.5.5.7.3.5";
constexpr std::string_view kIpsecUser = "1.3.6.1.5.5.7.3.7";
constexpr std::string_view kIpsecIke = "1.3.6.1.5.5.7.3.17";        // RFC 4945 section 5.1.3.12
constexpr std::string_view kIkeIntermediate = "1.3.6.1.5.5.8.2.2";  // older drafts, Apple
constexpr std::string_view kAnyUsage = "2.5.29.37.0";

bool is_accepted(std::string_view usage, PeerRole role) {
  if (usage == kServerAuth || usage == kIpsecIke || usage == kIkeIntermediate ||
      usage == kAnyUsage) {
    return true;
  }
  return role == PeerRole::kClient &&
         (usage == kClientAuth || usage == kIpsecEndSystem || usage == kIpsecUser);
}

// True without the extension.
bool extended_usage_fits(const Certificate& certificate, PeerRole role) {
  int critical = 0;
  const ExtendedKeyUsagePtr usages(static_cast<EXTENDED_KEY_USAGE*>(
      X509_get_ext_d2i(certificate.native(), NID_ext_key_usage, &critical, nullptr)));
  if (!usages) return critical == -1;  // absent; broken ones do not fit
  for (int i = 0; i < sk_ASN1_OBJECT_num(usages.get()); ++i) {
    std::array<char, 80> text{};
    const int length = OBJ_obj2txt(text.data(), static_cast<int>(text.size()),
                                   sk_ASN1_OBJECT_value(usages.get(), i), 1);
    if (length > 0 && static_cast<size_t>(length) < text.size() &&
        is_accepted({text.data(), static_cast<size_t>(length)}, role)) {
      return true;
    }
  }
  return false;
}

std::optional<SignatureHash> hash_of(int nid) {
  switch (nid) {
    case NID_sha256:
      return SignatureHash::kSha256;
    case NID_sha384:
      return SignatureHash::kSha384;
    case NID_sha512:
      return SignatureHash::kSha512;
    default:
      return std::nullopt;
  }
}

}  // namespace

Finding check_usage(const std::vector<CertificatePtr>& path, PeerRole role) {
  const Certificate& leaf = *path.front();
  // RFC 4945 section 5.1.3.2; all ones where the certificate does not say.
  constexpr uint32_t kSigning = KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION;
  if ((X509_get_key_usage(leaf.native()) & kSigning) == 0) {
    return {ChainVerdict::kWrongUsage,
            "key usage without signatures: " + leaf.subject().to_string()};
  }
  for (const CertificatePtr& certificate : path) {
    if (certificate == path.back() && path.size() > 1) break;  // the anchor is trusted by itself
    if (!extended_usage_fits(*certificate, role)) {
      return {ChainVerdict::kWrongUsage,
              "extended key usage does not fit: " + certificate->subject().to_string()};
    }
  }
  return {};
}

Finding check_strength(const std::vector<CertificatePtr>& path,
                       const SignatureConstraints& constraints) {
  for (size_t i = 0; i < path.size(); ++i) {
    const Certificate& certificate = *path[i];
    const std::string subject = certificate.subject().to_string();
    const PublicKey* key = certificate.public_key();
    if (key == nullptr) {
      return {ChainVerdict::kKeyTooWeak, certificate.key_error() + ": " + subject};
    }
    if (!allows(constraints, key->type(), key->bits(), std::nullopt, std::nullopt)) {
      return {ChainVerdict::kKeyTooWeak, "kind or size of key not allowed: " + subject};
    }
    if (i + 1 == path.size()) break;  // how an anchor was signed does not matter
    const PublicKey* issuer = path[i + 1]->public_key();
    int digest_nid = 0;
    int key_nid = 0;
    if (issuer == nullptr || X509_get_signature_info(certificate.native(), &digest_nid, &key_nid,
                                                     nullptr, nullptr) != 1) {
      return {ChainVerdict::kKeyTooWeak, "signature of an unknown kind: " + subject};
    }
    const auto hash = hash_of(digest_nid);
    if ((!hash && issuer->type() != KeyType::kEd25519) ||
        !allows(constraints, issuer->type(), issuer->bits(), hash, key_nid == NID_rsassaPss)) {
      return {ChainVerdict::kKeyTooWeak, "signature algorithm not allowed: " + subject};
    }
  }
  return {};
}

}  // namespace penstock::ike
