// Look-ups in what is loaded.
#include <openssl/x509v3.h>

#include <algorithm>
#include <tuple>

#include "controlplane/ike/auth/chain.h"
#include "controlplane/ike/auth/credentials.h"

namespace penstock::ike {
namespace {

MatchStrength best_owner(const SharedSecret& secret, const Identity& identity) {
  if (secret.owners.empty() || identity.is_any()) return kMatchAny;
  MatchStrength best = kMatchNone;
  for (const Identity& owner : secret.owners) best = std::max(best, identity.match(owner));
  return best;
}

// Whether the names and key ids say that `issuer` made `certificate`; no signature is checked here.
bool looks_issued_by(const Certificate& certificate, const Certificate& issuer) {
  return issuer.is_ca() && certificate.issuer() == issuer.subject() &&
         X509_check_issued(issuer.native(), certificate.native()) == X509_V_OK;
}

// The CAs above our own certificate, among what is loaded: nearest first, the root included.
std::vector<CertificatePtr> issuers_of(CertificatePtr certificate,
                                       const std::vector<CertificatePtr>& known) {
  std::vector<CertificatePtr> path;
  while (!certificate->is_self_issued() && path.size() < kChainDepthMax) {
    const auto issuer = std::find_if(known.begin(), known.end(), [&](const CertificatePtr& other) {
      return looks_issued_by(*certificate, *other) &&
             std::find(path.begin(), path.end(), other) == path.end();
    });
    if (issuer == known.end()) break;
    path.push_back(*issuer);
    certificate = *issuer;
  }
  return path;
}

bool leads_to(const std::vector<CertificatePtr>& path, const std::vector<KeyId>& cas) {
  return std::any_of(path.begin(), path.end(), [&](const CertificatePtr& certificate) {
    const PublicKey* key = certificate->public_key();
    return key != nullptr && std::find(cas.begin(), cas.end(), key->spki_id()) != cas.end();
  });
}

}  // namespace

SecretIndex::SecretIndex(const List& secrets, bool eap) {
  for (uint32_t number = 0; number < secrets.size(); ++number) {
    const SharedSecret& secret = *secrets[number];
    if ((secret.type != SecretType::kIke) != eap) continue;
    bool wide = secret.owners.empty();
    for (const Identity& owner : secret.owners) {
      wide = wide || owner.has_wildcards();
      if (owner.has_wildcards()) continue;
      std::vector<uint32_t>& list = by_owner_[owner.key()];
      if (list.empty() || list.back() != number) list.push_back(number);
    }
    if (wide) wide_.push_back(number);
  }
  for (auto& [key, list] : by_owner_) {
    std::stable_sort(list.begin(), list.end(), [&](uint32_t a, uint32_t b) {
      return secrets[a]->owners.size() < secrets[b]->owners.size();
    });
  }
}

const std::vector<uint32_t>& SecretIndex::naming(const Identity& identity) const {
  static const std::vector<uint32_t> kNobody;
  const auto found = by_owner_.find(identity.key());
  return found == by_owner_.end() ? kNobody : found->second;
}

std::shared_ptr<const PrivateKey> CredentialSnapshot::key_for(
    const Certificate& certificate) const {
  const PublicKey* key = certificate.public_key();
  return key == nullptr ? nullptr : key_by_id(key->id());
}

std::shared_ptr<const PrivateKey> CredentialSnapshot::key_by_id(const KeyId& id) const {
  const auto found = keys_.find(id);
  return found == keys_.end() ? nullptr : found->second;
}

std::optional<CredentialSnapshot::OwnCertificate> CredentialSnapshot::own_certificate(
    const Identity& identity, const std::vector<CertificatePtr>& candidates,
    const std::vector<KeyId>& requested_cas, Nanoseconds wall_time_ns) const {
  std::vector<CertificatePtr> known;
  for (const StoredCertificate& stored : certificates_) known.push_back(stored.certificate);
  for (const Authority& authority : authorities_) {
    if (authority.ca) known.push_back(authority.ca);
  }
  std::optional<OwnCertificate> best;
  // Requested, valid now, fit, how long it is still valid: compared in this order.
  std::tuple<bool, bool, int, Nanoseconds> best_rank;
  for (const CertificatePtr& certificate : candidates.empty() ? known : candidates) {
    auto key = key_for(*certificate);
    const MatchStrength fit = certificate->match(identity);
    if (!key || certificate->is_ca() || fit == kMatchNone) continue;
    std::vector<CertificatePtr> path = issuers_of(certificate, known);
    const bool valid = certificate->not_before_wall_ns() <= wall_time_ns &&
                       wall_time_ns <= certificate->not_after_wall_ns();
    const std::tuple rank(leads_to(path, requested_cas), valid, static_cast<int>(fit),
                          certificate->not_after_wall_ns());
    if (best && rank <= best_rank) continue;
    if (!path.empty() && path.back()->is_self_issued()) path.pop_back();  // the peer has its root
    best = OwnCertificate{certificate, std::move(key), std::move(path)};
    best_rank = rank;
  }
  return best;
}

const CredentialSnapshot::SecretIndexes& CredentialSnapshot::secret_indexes() const {
  std::call_once(secrets_indexed_, [this] {
    secret_indexes_ = std::make_unique<const SecretIndexes>(
        SecretIndexes{SecretIndex(secrets_, false), SecretIndex(secrets_, true)});
  });
  return *secret_indexes_;
}

const SharedSecret* CredentialSnapshot::psk(const Identity& mine, const Identity& peer) const {
  constexpr uint32_t kNone = UINT32_MAX;
  uint32_t best = kNone;
  // How many of the two are named, then how well the peer, then how well we; then the secret that
  // fewer others share, then the one that was loaded before.
  std::tuple<int, int, int, int> best_rank;
  const auto consider = [&](uint32_t number) {
    const SharedSecret& secret = *secrets_[number];
    if (secret.type != SecretType::kIke) return;
    const MatchStrength fit_mine = best_owner(secret, mine);
    const MatchStrength fit_peer = best_owner(secret, peer);
    if (fit_mine == kMatchNone && fit_peer == kMatchNone) return;
    const int named = (fit_mine > kMatchAny ? 1 : 0) + (fit_peer > kMatchAny ? 1 : 0);
    const std::tuple rank(named, static_cast<int>(fit_peer), static_cast<int>(fit_mine),
                          -static_cast<int>(secret.owners.size()));
    if (best == kNone || rank > best_rank || (rank == best_rank && number < best)) {
      best = number;
      best_rank = rank;
    }
  };
  if (mine.is_any() || peer.is_any()) {
    for (uint32_t i = 0; i < secrets_.size(); ++i) consider(i);
  } else {
    const SecretIndex& index = secret_indexes().ike;
    for (const uint32_t number : index.naming(peer)) consider(number);
    for (const uint32_t number : index.wide()) consider(number);
    // Of those that name us alone, which may be all there are, the first one is the best.
    const auto& ours = index.naming(mine);
    if (!ours.empty()) consider(ours.front());
  }
  return best == kNone ? nullptr : secrets_[best].get();
}

const SharedSecret* CredentialSnapshot::eap_secret(const Identity& peer) const {
  if (peer.is_any()) return nullptr;  // nobody in particular has no password
  const SecretIndex& index = secret_indexes().eap;
  uint32_t best = UINT32_MAX;
  MatchStrength best_fit = kMatchNone;
  for (const auto* const list : {&index.naming(peer), &index.wide()}) {
    for (const uint32_t number : *list) {
      const MatchStrength fit = best_owner(*secrets_[number], peer);
      if (fit < best_fit || (fit == best_fit && number >= best)) continue;
      best = number;
      best_fit = fit;
    }
  }
  return best_fit == kMatchNone ? nullptr : secrets_[best].get();
}

std::vector<CertificatePtr> CredentialSnapshot::authorities_trusted() const {
  std::vector<CertificatePtr> out;
  for (const StoredCertificate& stored : certificates_) {
    if (stored.flag == CertificateFlag::kCa) out.push_back(stored.certificate);
  }
  for (const Authority& authority : authorities_) {
    if (authority.ca && std::find(out.begin(), out.end(), authority.ca) == out.end()) {
      out.push_back(authority.ca);
    }
  }
  return out;
}

std::vector<KeyId> CredentialSnapshot::certificate_request(
    const std::vector<CertificatePtr>& only) const {
  std::vector<KeyId> out;
  for (const CertificatePtr& ca : only.empty() ? authorities_trusted() : only) {
    const PublicKey* key = ca->public_key();
    if (key == nullptr || std::find(out.begin(), out.end(), key->spki_id()) != out.end()) continue;
    out.push_back(key->spki_id());
  }
  return out;
}

const ByteVector* CredentialSnapshot::ocsp(const std::string& key) const {
  const auto found = ocsp_.find(key);
  return found == ocsp_.end() ? nullptr : found->second.get();
}

}  // namespace penstock::ike
