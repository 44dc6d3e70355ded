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

std::shared_ptr<const PrivateKey> CredentialSnapshot::key_for(
    const Certificate& certificate) const {
  const PublicKey* key = certificate.public_key();
  return key == nullptr ? nullptr : key_by_id(key->id());
}

std::shared_ptr<const PrivateKey> CredentialSnapshot::key_by_id(const KeyId& id) const {
  const auto found = keys_.find(id);
  return found == keys_.end() ? nullptr : found->second;
}

std::vector<CertificatePtr> CredentialSnapshot::known() const {
  std::vector<CertificatePtr> known;
  known.reserve(certificates_.size() + authorities_.size());
  for (const StoredCertificate& stored : certificates_) known.push_back(stored.certificate);
  for (const Authority& authority : authorities_) {
    if (authority.ca) known.push_back(authority.ca);
  }
  return known;
}

const CredentialSnapshot::Own& CredentialSnapshot::own() const {
  std::call_once(own_made_, [this] {
    const std::vector<CertificatePtr> all = known();
    for (const CertificatePtr& certificate : all) {
      auto key = key_for(*certificate);
      if (!key || certificate->is_ca()) continue;
      if (!own_.places.try_emplace(certificate->fingerprint(), own_.list.size()).second) continue;
      own_.list.push_back({certificate, std::move(key), issuers_of(certificate, all)});
    }
  });
  return own_;
}

std::optional<CredentialSnapshot::OwnCertificate> CredentialSnapshot::own_certificate(
    const Identity& identity, const std::vector<CertificatePtr>& candidates,
    const std::vector<KeyId>& requested_cas, Nanoseconds wall_time_ns) const {
  std::optional<OwnCertificate> best;
  // Requested, valid now, fit, how long it is still valid: compared in this order.
  std::tuple<bool, bool, int, Nanoseconds> best_rank;
  const auto consider = [&](const OwnCertificate& each) {
    const Certificate& certificate = *each.certificate;
    const MatchStrength fit = certificate.match(identity);
    if (fit == kMatchNone) return;
    const bool valid = certificate.not_before_wall_ns() <= wall_time_ns &&
                       wall_time_ns <= certificate.not_after_wall_ns();
    const std::tuple rank(leads_to(each.chain, requested_cas), valid, static_cast<int>(fit),
                          certificate.not_after_wall_ns());
    if (best && rank <= best_rank) return;
    best = each;
    best_rank = rank;
  };
  if (candidates.empty()) {
    for (const OwnCertificate& each : own().list) consider(each);
  }
  for (const CertificatePtr& certificate : candidates) {
    const auto found = own().places.find(certificate->fingerprint());
    if (found != own().places.end()) {
      consider(own().list[found->second]);
    } else if (auto key = key_for(*certificate); key && !certificate->is_ca()) {
      consider({certificate, std::move(key), issuers_of(certificate, known())});  // unloaded since
    }
  }
  // The peer has its root.
  if (best && !best->chain.empty() && best->chain.back()->is_self_issued()) best->chain.pop_back();
  return best;
}

const SharedSecret* CredentialSnapshot::psk(const Identity& mine, const Identity& peer) const {
  const SharedSecret* best = nullptr;
  // How many of the two are named, then how well the peer, then how well we; then the secret that
  // fewer others share, then the one that goes first.
  std::tuple<int, int, int, int> best_rank;
  const auto consider = [&](const SharedSecret* secret) {
    if (secret == nullptr) return;
    const MatchStrength fit_mine = best_owner(*secret, mine);
    const MatchStrength fit_peer = best_owner(*secret, peer);
    if (fit_mine == kMatchNone && fit_peer == kMatchNone) return;
    const int named = (fit_mine > kMatchAny ? 1 : 0) + (fit_peer > kMatchAny ? 1 : 0);
    const std::tuple rank(named, static_cast<int>(fit_peer), static_cast<int>(fit_mine),
                          -static_cast<int>(secret->owners.size()));
    if (best == nullptr || rank > best_rank || (rank == best_rank && goes_first(*secret, *best))) {
      best = secret;
      best_rank = rank;
    }
  };
  for (const SharedSecret* const secret : psks_.naming(peer)) consider(secret);
  for (const SharedSecret* const secret : psks_.wide()) consider(secret);
  // Of those that name us alone, which may be all there are, the first one is the best.
  consider(psks_.first_naming(mine));
  // Where one side is not known yet, every secret fits it.
  if (mine.is_any() || peer.is_any()) consider(psks_.fewest_owners());
  return best;
}

const SharedSecret* CredentialSnapshot::eap_secret(const Identity& peer) const {
  if (peer.is_any()) return nullptr;  // nobody in particular has no password
  const SharedSecret* best = nullptr;
  MatchStrength best_fit = kMatchNone;
  for (const auto& list : {eap_secrets_.naming(peer), eap_secrets_.wide()}) {
    for (const SharedSecret* const secret : list) {
      const MatchStrength fit = best_owner(*secret, peer);
      if (fit < best_fit || fit == kMatchNone) continue;
      if (fit == best_fit && !goes_first(*secret, *best)) continue;
      best = secret;
      best_fit = fit;
    }
  }
  return best;
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
