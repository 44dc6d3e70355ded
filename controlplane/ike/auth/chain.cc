#include "controlplane/ike/auth/chain.h"

#include "controlplane/crypto/digest.h"
#include "controlplane/ike/auth/chain_parts.h"
#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

using Path = std::vector<CertificatePtr>;

bool contains(const Path& list, const Certificate& certificate) {
  return std::any_of(list.begin(), list.end(), [&](const CertificatePtr& other) {
    return other->fingerprint() == certificate.fingerprint();
  });
}

bool is_current(const Certificate& certificate, Nanoseconds wall_time_ns) {
  return certificate.not_before_wall_ns() <= wall_time_ns &&
         wall_time_ns <= certificate.not_after_wall_ns();
}

// The same certificates under the same credentials and policies lead to the same path.
CertificateCache::Key path_key(const CredentialSnapshot& snapshot, const Path& certificates,
                               const ChainPolicy& policy) {
  ByteVector text;
  const Be64 generation(snapshot.generation());
  const auto* raw = reinterpret_cast<const uint8_t*>(&generation);
  text.insert(text.end(), raw, raw + sizeof generation);
  for (const std::string& oid : policy.policies) {
    text.insert(text.end(), oid.begin(), oid.end());
    text.push_back(0);
  }
  text.push_back(1);
  for (const CertificatePtr& certificate : certificates) {
    const auto& fingerprint = certificate->fingerprint();
    text.insert(text.end(), fingerprint.begin(), fingerprint.end());
  }
  CertificateCache::Key key{};
  Digest::sha256().compute(text, key);
  return key;
}

// The peer's certificates; those of ours that confirm the identity if it sent none.
Finding read_certificates(const CredentialSnapshot& snapshot, const std::vector<ByteVector>& ders,
                          const ChainPolicy& policy, Path& out) {
  if (ders.size() > kPeerCertificatesMax) {
    return {ChainVerdict::kMalformed, "more certificates than are taken"};
  }
  for (const ByteVector& der : ders) {
    auto certificate = snapshot.cache().parse(der);
    if (certificate.ok()) {
      if (!contains(out, **certificate)) out.push_back(std::move(certificate).value());
    } else if (out.empty()) {
      return {ChainVerdict::kMalformed, certificate.error().text};
    }  // a broken one among the others is of no use, and no harm
  }
  if (!out.empty()) return {};
  for (const CertificatePtr& certificate : policy.leaves) {
    if (policy.identity.is_any() || certificate->confirms(policy.identity)) {
      out.push_back(certificate);
      return {};
    }
  }
  for (const StoredCertificate& stored : snapshot.certificates()) {
    if (stored.flag == CertificateFlag::kNone && stored.certificate->confirms(policy.identity)) {
      out.push_back(stored.certificate);
      return {};
    }
  }
  return {ChainVerdict::kNoCertificate, "the peer sent no certificate and none is stored for it"};
}

// A certificate that was loaded as that of a peer needs no CA.
bool is_trusted_itself(const CredentialSnapshot& snapshot, const Certificate& leaf,
                       const ChainPolicy& policy) {
  if (contains(policy.leaves, leaf)) return true;
  return std::any_of(snapshot.certificates().begin(), snapshot.certificates().end(),
                     [&](const StoredCertificate& stored) {
                       return stored.flag == CertificateFlag::kNone &&
                              !stored.certificate->is_ca() &&
                              stored.certificate->fingerprint() == leaf.fingerprint();
                     });
}

Finding find_path(const CredentialSnapshot& snapshot, const Path& certificates,
                  const ChainPolicy& policy, Nanoseconds wall_time_ns, Path& path) {
  const CertificateCache::Key key = path_key(snapshot, certificates, policy);
  path = snapshot.cache().find_path(key).certificates;
  const bool usable =
      !path.empty() && std::all_of(path.begin(), path.end(), [&](const CertificatePtr& c) {
        return is_current(*c, wall_time_ns);
      });
  if (usable) return {};
  path.clear();
  // Our own intermediates help peers that send only their leaf.
  Path others(certificates.begin() + 1, certificates.end());
  for (const StoredCertificate& stored : snapshot.certificates()) {
    if (stored.flag == CertificateFlag::kNone && stored.certificate->is_ca()) {
      others.push_back(stored.certificate);
    }
  }
  Path anchors = snapshot.authorities_trusted();
  Finding finding =
      build_path(certificates.front(), others, anchors, policy.policies, wall_time_ns, path);
  if (finding.verdict == ChainVerdict::kGood) snapshot.cache().add_path(key, {path, 0, 0});
  return finding;
}

// cacerts of the connection: the path has to go through one of them.
Finding check_authorities(const Path& path, const ChainPolicy& policy) {
  if (policy.authorities.empty()) return {};
  const bool through = std::any_of(path.begin() + 1, path.end(), [&](const CertificatePtr& c) {
    return contains(policy.authorities, *c);
  });
  if (through) return {};
  return {ChainVerdict::kUntrustedIssuer,
          "not issued by a CA of this connection: " + path.front()->subject().to_string()};
}

// Fills in `to_fetch` too.
Finding check_revocation(const CredentialSnapshot& snapshot, const ChainPolicy& policy,
                         Nanoseconds wall_time_ns, ChainResult& result) {
  const Path& path = result.path;
  const CertificateCache::Key key = path_key(snapshot, path, {});
  const auto known = snapshot.cache().find_path(key);
  if (known.status_from_wall_ns <= wall_time_ns && wall_time_ns < known.status_until_wall_ns) {
    return {};
  }
  const auto statuses = revocation_of(snapshot, path, wall_time_ns);
  Nanoseconds good_until = kNever;
  Finding finding;
  for (size_t i = 0; i < statuses.size(); ++i) {
    const std::string subject = path[i]->subject().to_string();
    if (statuses[i].status == Revocation::kRevoked) {
      result.to_fetch.clear();
      return {ChainVerdict::kRevoked, statuses[i].why + ": " + subject};
    }
    auto places = status_places(snapshot, *path[i], *path[i + 1]);
    if (statuses[i].status == Revocation::kGood) {
      // A responder may know of a revocation before the CRL does: ask it all the same.
      std::erase_if(places, [&](const StatusFetch& place) {
        return place.kind == StatusFetch::Kind::kCrl || statuses[i].ocsp_answered;
      });
      good_until = places.empty() ? std::min(good_until, statuses[i].good_until_wall_ns) : 0;
      result.to_fetch.insert(result.to_fetch.end(), places.begin(), places.end());
      continue;
    }
    good_until = 0;
    const bool named = path[i]->names_status_uri() || !places.empty();
    result.to_fetch.insert(result.to_fetch.end(), places.begin(), places.end());
    const bool needed = policy.revocation == RevocationPolicy::kStrict ||
                        (policy.revocation == RevocationPolicy::kIfUri && named);
    if (needed && finding.verdict == ChainVerdict::kGood) {
      const std::string& why = statuses[i].why;
      finding = {ChainVerdict::kRevocationUnknown,
                 (why.empty() ? "no CRL and no OCSP response" : why) + ": " + subject};
    }
  }
  if (path.size() == 1 && policy.revocation == RevocationPolicy::kStrict && !path[0]->is_ca()) {
    return {ChainVerdict::kRevocationUnknown,
            "no CA that could revoke: " + path[0]->subject().to_string()};
  }
  if (!statuses.empty() && good_until > wall_time_ns) {
    snapshot.cache().add_path(key, {path, wall_time_ns, good_until});
  }
  return finding;
}

Finding check_leaf(const CredentialSnapshot& snapshot, const Path& certificates,
                   const ChainPolicy& policy, Nanoseconds wall_time_ns, Path& path) {
  const CertificatePtr& leaf = certificates.front();
  const std::string subject = leaf->subject().to_string();
  if (leaf->public_key() == nullptr) {
    return {ChainVerdict::kKeyTooWeak, leaf->key_error() + ": " + subject};
  }
  if (!policy.leaves.empty() && !contains(policy.leaves, *leaf)) {
    return {ChainVerdict::kUntrustedIssuer, "not a certificate of this connection: " + subject};
  }
  Finding finding = find_path(snapshot, certificates, policy, wall_time_ns, path);
  if (finding.verdict != ChainVerdict::kUntrustedIssuer) return finding;
  if (!policy.authorities.empty() || !policy.policies.empty() ||
      !is_trusted_itself(snapshot, *leaf, policy)) {
    return finding;
  }
  if (wall_time_ns < leaf->not_before_wall_ns()) return {ChainVerdict::kNotYetValid, subject};
  if (wall_time_ns > leaf->not_after_wall_ns()) return {ChainVerdict::kExpired, subject};
  path = {leaf};
  return {};
}

Finding verify(const CredentialSnapshot& snapshot, const std::vector<ByteVector>& ders,
               const ChainPolicy& policy, Nanoseconds wall_time_ns, ChainResult& result) {
  Path certificates;
  Finding finding = read_certificates(snapshot, ders, policy, certificates);
  if (finding.verdict != ChainVerdict::kGood) return finding;
  result.leaf = certificates.front();
  Path path;
  finding = check_leaf(snapshot, certificates, policy, wall_time_ns, path);
  if (finding.verdict != ChainVerdict::kGood) return finding;
  finding = check_authorities(path, policy);
  if (finding.verdict != ChainVerdict::kGood) return finding;
  finding = check_strength(path, policy.constraints);
  if (finding.verdict != ChainVerdict::kGood) return finding;
  finding = check_usage(path, policy.role);
  if (finding.verdict != ChainVerdict::kGood) return finding;
  if (!policy.identity.is_any() && !result.leaf->confirms(policy.identity)) {
    return {ChainVerdict::kIdentityMismatch, "identity " + policy.identity.to_string() +
                                                 " is not in the certificate of " +
                                                 result.leaf->subject().to_string()};
  }
  result.path = std::move(path);
  return check_revocation(snapshot, policy, wall_time_ns, result);
}

}  // namespace

const char* to_string(ChainVerdict verdict) {
  switch (verdict) {
    case ChainVerdict::kGood:
      return "good";
    case ChainVerdict::kNoCertificate:
      return "no certificate";
    case ChainVerdict::kMalformed:
      return "malformed";
    case ChainVerdict::kExpired:
      return "expired";
    case ChainVerdict::kNotYetValid:
      return "not yet valid";
    case ChainVerdict::kUntrustedIssuer:
      return "untrusted issuer";
    case ChainVerdict::kBadSignature:
      return "bad signature";
    case ChainVerdict::kRevoked:
      return "revoked";
    case ChainVerdict::kRevocationUnknown:
      return "revocation unknown";
    case ChainVerdict::kIdentityMismatch:
      return "identity mismatch";
    case ChainVerdict::kWrongUsage:
      return "wrong usage";
    case ChainVerdict::kKeyTooWeak:
      return "key too weak";
    case ChainVerdict::kNameConstraint:
      return "name constraint violated";
    case ChainVerdict::kPolicyMismatch:
      return "certificate policy not met";
  }
  return "unknown";
}

Result<RevocationPolicy> parse_revocation_policy(std::string_view text) {
  if (text.empty() || equal_ignoring_case(text, "relaxed")) return RevocationPolicy::kRelaxed;
  if (equal_ignoring_case(text, "ifuri")) return RevocationPolicy::kIfUri;
  if (equal_ignoring_case(text, "strict")) return RevocationPolicy::kStrict;
  return errorf("revocation: \"%.*s\" is none of strict, ifuri, relaxed",
                static_cast<int>(std::min<size_t>(text.size(), 64)), text.data());
}

ChainResult verify_chain(const CredentialSnapshot& snapshot,
                         const std::vector<ByteVector>& certificates, const ChainPolicy& policy,
                         Nanoseconds wall_time_ns) {
  ChainResult result;
  Finding finding = verify(snapshot, certificates, policy, wall_time_ns, result);
  result.verdict = finding.verdict;
  result.detail = std::move(finding.detail);
  if (result.verdict != ChainVerdict::kGood && result.verdict != ChainVerdict::kRevocationUnknown) {
    result.path.clear();
  }
  return result;
}

}  // namespace penstock::ike
