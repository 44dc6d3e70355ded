// Loading and unloading, as VICI's commands do it.
#include <atomic>

#include "controlplane/ike/auth/credentials.h"
#include "gateway/base/text.h"

namespace penstock::ike {
namespace {

std::string short_text(std::string_view text) { return std::string(text.substr(0, 64)); }

Result<std::optional<KeyType>> parse_key_type(std::string_view type) {
  if (type.empty() || equal_ignoring_case(type, "any")) return std::optional<KeyType>{};
  if (equal_ignoring_case(type, "rsa")) return std::optional(KeyType::kRsa);
  if (equal_ignoring_case(type, "ecdsa")) return std::optional(KeyType::kEcdsa);
  if (equal_ignoring_case(type, "ed25519") || equal_ignoring_case(type, "eddsa")) {
    return std::optional(KeyType::kEd25519);
  }
  return errorf("private keys of type %s are not supported", short_text(type).c_str());
}

std::optional<KeyId> parse_key_id(std::string_view hex) {
  const auto bytes = from_hex(hex);
  KeyId id{};
  if (!bytes || bytes->size() != id.size()) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), id.begin());
  return id;
}

// Same issuer, and the same parts of its certificates (issuing distribution point): then the newer
// one takes the place of the older one.
bool same_series(const Crl& a, const Crl& b) {
  return a.issuer() == b.issuer() && a.scope() == b.scope();
}

}  // namespace

Result<SecretType> parse_secret_type(std::string_view name) {
  if (equal_ignoring_case(name, "IKE")) return SecretType::kIke;
  if (equal_ignoring_case(name, "EAP")) return SecretType::kEap;
  if (equal_ignoring_case(name, "NTLM")) return SecretType::kNtlm;
  return errorf("shared secrets of type %s are not supported", short_text(name).c_str());
}

CredentialStore::CredentialStore() : cache_(std::make_shared<CertificateCache>()) {}

Result<std::string> CredentialStore::load_key(std::string_view type, Bytes pem_or_der,
                                              std::string_view passphrase) {
  PENSTOCK_TRY(const auto key_type, parse_key_type(type));
  PENSTOCK_TRY(auto key, PrivateKey::parse(pem_or_der, key_type, passphrase));
  if (keys_.size() >= kKeysMax && !keys_.contains(key->id())) return Error{"too many private keys"};
  const std::string id = to_hex(key->id());
  keys_.insert_or_assign(key->id(), std::move(key));
  changed();
  return id;
}

Status CredentialStore::unload_key(std::string_view hex_id) {
  const auto id = parse_key_id(hex_id);
  if (!id || keys_.erase(*id) == 0) return Error{"no private key has this id"};
  changed();
  return {};
}

std::vector<std::string> CredentialStore::key_ids() const {
  std::vector<std::string> ids;
  for (const auto& entry : keys_) ids.push_back(to_hex(entry.first));
  return ids;
}

Status CredentialStore::load_token(std::string_view handle) {
  return errorf("private keys on tokens and smart cards (%s) are not supported",
                short_text(handle).c_str());
}

Status CredentialStore::add(StoredCertificate certificate) {
  if (certificate.flag == CertificateFlag::kCa && !certificate.certificate->is_ca()) {
    return Error{"a certificate without the CA constraint is no CA"};
  }
  for (StoredCertificate& stored : certificates_) {
    if (stored.certificate->fingerprint() != certificate.certificate->fingerprint()) continue;
    // A CA that a connection names too stays one.
    if (stored.flag == CertificateFlag::kNone) stored.flag = certificate.flag;
    changed();
    return {};
  }
  if (certificates_.size() >= kCertificatesMax) return Error{"too many certificates"};
  certificates_.push_back(std::move(certificate));
  changed();
  return {};
}

Status CredentialStore::add(CrlPtr crl) {
  changed();
  for (CrlPtr& old : crls_) {
    if (!same_series(*old, *crl)) continue;
    if (crl->this_update_wall_ns() >= old->this_update_wall_ns()) old = std::move(crl);
    return {};
  }
  if (crls_.size() >= kCrlsMax) return Error{"too many CRLs"};
  crls_.push_back(std::move(crl));
  return {};
}

Status CredentialStore::load_cert(std::string_view type, std::string_view flag, Bytes pem_or_der) {
  if (equal_ignoring_case(type, "X509_CRL")) {
    PENSTOCK_TRY(CrlPtr crl, Crl::parse(pem_or_der));
    return add(std::move(crl));
  }
  if (!equal_ignoring_case(type, "X509")) {
    return errorf("certificates of type %s are not supported", short_text(type).c_str());
  }
  CertificateFlag parsed = CertificateFlag::kNone;
  if (equal_ignoring_case(flag, "CA")) {
    parsed = CertificateFlag::kCa;
  } else if (equal_ignoring_case(flag, "OCSP")) {
    parsed = CertificateFlag::kOcsp;
  } else if (!flag.empty() && !equal_ignoring_case(flag, "NONE")) {
    return errorf("certificates with flag %s are not supported", short_text(flag).c_str());
  }
  auto added = add_certificate(pem_or_der, parsed);
  return added.ok() ? Status{} : Status(added.error());
}

Result<CertificatePtr> CredentialStore::add_certificate(Bytes pem_or_der, CertificateFlag flag) {
  PENSTOCK_TRY(CertificatePtr certificate, Certificate::parse(pem_or_der));
  PENSTOCK_CHECK(add(StoredCertificate{certificate, flag}));
  return certificate;
}

Status CredentialStore::load_shared(SharedSecret secret) {
  if (secret.value.size() > kSecretMaxSize) return Error{"the shared secret is too long"};
  if (secret.owners.size() > kSecretOwnersMax)
    return Error{"the shared secret has too many owners"};
  if (secret.type == SecretType::kNtlm && secret.value.size() != 16) {
    return Error{"an NTLM secret is an NT hash of 16 bytes"};
  }
  const auto old = secrets_.find(secret.id);
  if (old == secrets_.end() && secrets_.size() + secrets_without_id_ >= kSharedSecretsMax) {
    return Error{"too many shared secrets"};
  }
  secret.number = next_secret_++;
  const auto added = std::make_shared<const SharedSecret>(std::move(secret));
  if (old != secrets_.end()) {
    index_of(*old->second).remove(old->second);
    old->second = added;
  } else if (added->id.empty()) {
    ++secrets_without_id_;
  } else {
    secrets_.emplace(added->id, added);
  }
  index_of(*added).add(added);
  changed();
  return {};
}

Status CredentialStore::unload_shared(std::string_view id) {
  const auto found = secrets_.find(id);
  if (found == secrets_.end()) return Error{"no shared secret has this id"};
  index_of(*found->second).remove(found->second);
  secrets_.erase(found);
  changed();
  return {};
}

std::vector<std::string> CredentialStore::shared_ids() const {
  std::vector<std::string> ids;
  for (const auto& entry : secrets_) ids.push_back(entry.first);
  return ids;
}

Status CredentialStore::load_authority(Authority authority) {
  if (!authority.ca || !authority.ca->is_ca()) return Error{"an authority needs a CA certificate"};
  if (authority.crl_uris.size() > kUrisMax || authority.ocsp_uris.size() > kUrisMax) {
    return Error{"the authority has too many URIs"};
  }
  changed();
  for (Authority& old : authorities_) {
    if (old.name != authority.name) continue;
    old = std::move(authority);
    return {};
  }
  if (authorities_.size() >= kAuthoritiesMax) return Error{"too many authorities"};
  authorities_.push_back(std::move(authority));
  return {};
}

Status CredentialStore::unload_authority(std::string_view name) {
  if (std::erase_if(authorities_, [&](const Authority& a) { return a.name == name; }) == 0) {
    return Error{"no authority has this name"};
  }
  changed();
  return {};
}

void CredentialStore::clear() {
  keys_.clear();
  certificates_.clear();
  crls_.clear();
  secrets_.clear();
  secrets_without_id_ = 0;
  psks_.clear();
  eap_secrets_.clear();
  flush_certs();
}

void CredentialStore::flush_certs() {
  cache_->flush();
  fetched_crls_.clear();
  ocsp_.clear();
  changed();
}

Status CredentialStore::add_fetched_crl(const std::string& url, Bytes bytes) {
  PENSTOCK_TRY(CrlPtr crl, Crl::parse(bytes));
  if (fetched_crls_.size() >= kCrlsMax && !fetched_crls_.contains(url)) {
    fetched_crls_.erase(fetched_crls_.begin());  // it can be fetched again
  }
  fetched_crls_.insert_or_assign(url, std::move(crl));
  changed();
  return {};
}

Status CredentialStore::add_fetched_ocsp(const std::string& key, Bytes bytes) {
  if (bytes.empty() || bytes.size() > kOcspResponseMaxSize) {
    return Error{"an OCSP response of no usual size"};
  }
  if (ocsp_.size() >= kOcspResponsesMax && !ocsp_.contains(key)) ocsp_.erase(ocsp_.begin());
  ocsp_.insert_or_assign(key, std::make_shared<const ByteVector>(to_vector(bytes)));
  changed();
  return {};
}

CredentialSnapshotPtr CredentialStore::snapshot() {
  // Unlike across stores too: the number is part of the keys of caches.
  static std::atomic<uint64_t> generations{0};
  if (snapshot_) return snapshot_;
  auto next = std::make_shared<CredentialSnapshot>();
  next->generation_ = ++generations;
  next->keys_ = keys_;
  next->certificates_ = certificates_;
  next->crls_ = crls_;
  for (const auto& entry : fetched_crls_) next->crls_.push_back(entry.second);
  next->psks_ = psks_.view();
  next->eap_secrets_ = eap_secrets_.view();
  next->authorities_ = authorities_;
  next->ocsp_ = ocsp_;
  next->cache_ = cache_;
  snapshot_ = std::move(next);
  return snapshot_;
}

}  // namespace penstock::ike
