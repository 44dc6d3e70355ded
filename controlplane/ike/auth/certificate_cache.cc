#include "controlplane/crypto/digest.h"
#include "controlplane/ike/auth/credentials.h"

namespace penstock::ike {

CertificateCache::CertificateCache(size_t entries_max) : entries_max_(entries_max) {}

// A random victim: with any fixed order a peer could choose what is thrown out next.
void CertificateCache::make_room() {
  while (order_.size() >= entries_max_) {
    const size_t victim = random_.below(static_cast<uint32_t>(order_.size()));
    certificates_.erase(order_[victim]);
    paths_.erase(order_[victim]);
    order_[victim] = order_.back();
    order_.pop_back();
  }
}

Result<CertificatePtr> CertificateCache::parse(Bytes der) const {
  Key key{};
  Digest::sha256().compute(der, key);
  {
    const std::lock_guard lock(mutex_);
    const auto found = certificates_.find(key);
    if (found != certificates_.end()) return found->second;
  }
  PENSTOCK_TRY(CertificatePtr certificate, Certificate::parse(der));
  // Peers send DER; PEM is for files.
  if (!equal_bytes(certificate->der(), der)) return Error{"certificate that is not DER"};
  return certificate;
}

CertificateCache::TrustedPath CertificateCache::find_path(const Key& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = paths_.find(key);
  return found == paths_.end() ? TrustedPath{} : found->second;
}

void CertificateCache::add_path(const Key& key, const TrustedPath& path) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i + 1 < path.certificates.size(); ++i) {
    const CertificatePtr& certificate = path.certificates[i];
    if (certificates_.contains(certificate->fingerprint())) continue;
    make_room();
    order_.push_back(certificate->fingerprint());
    certificates_.emplace(certificate->fingerprint(), certificate);
  }
  if (!paths_.contains(key)) {
    make_room();
    order_.push_back(key);
  }
  paths_.insert_or_assign(key, path);
}

void CertificateCache::flush() {
  const std::lock_guard lock(mutex_);
  order_.clear();
  certificates_.clear();
  paths_.clear();
}

size_t CertificateCache::size() const {
  const std::lock_guard lock(mutex_);
  return order_.size();
}

std::vector<CertificatePtr> CertificateCache::certificates() const {
  const std::lock_guard lock(mutex_);
  std::vector<CertificatePtr> out;
  out.reserve(certificates_.size());
  for (const auto& entry : certificates_) out.push_back(entry.second);
  return out;
}

}  // namespace penstock::ike
