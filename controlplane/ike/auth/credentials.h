// What the gateway knows and trusts: keys, certificates, CAs, CRLs, shared secrets. The store
// belongs to the control thread; jobs elsewhere read the immutable snapshot that they were given.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/ike/auth/certificate.h"
#include "controlplane/ike/auth/identity.h"
#include "controlplane/ike/auth/secret_index.h"
#include "gateway/base/random.h"

namespace penstock::ike {

// The limits of the store: a management client cannot grow it without end.
inline constexpr size_t kKeysMax = 4096;
inline constexpr size_t kCertificatesMax = 16384;
inline constexpr size_t kCrlsMax = 1024;
inline constexpr size_t kSharedSecretsMax = 262144;
inline constexpr size_t kSecretOwnersMax = 64;
inline constexpr size_t kSecretMaxSize = 4096;
inline constexpr size_t kAuthoritiesMax = 1024;
inline constexpr size_t kOcspResponsesMax = 4096;
inline constexpr size_t kOcspResponseMaxSize = 64 * 1024;

// What load-cert says besides the bytes.
enum class CertificateFlag : uint8_t { kNone, kCa, kOcsp };

struct StoredCertificate {
  CertificatePtr certificate;
  CertificateFlag flag = CertificateFlag::kNone;
};

// An authorities.NAME section of swanctl.conf.
struct Authority {
  std::string name;
  CertificatePtr ca;
  std::vector<std::string> crl_uris;
  std::vector<std::string> ocsp_uris;
};

// Peer certificates whose path has verified, parsed, with that path, keyed by SHA-256 of their
// bytes. Only what a CA signed gets in, so a stranger cannot push others out; bounded, a random
// entry makes room. Any thread.
class CertificateCache {
 public:
  using Key = std::array<uint8_t, 32>;
  struct TrustedPath {
    std::vector<CertificatePtr> certificates;  // leaf first, anchor last; empty: unknown
    // While every certificate is known not to be revoked; until is 0 where that is not known.
    Nanoseconds status_from_wall_ns = 0;
    Nanoseconds status_until_wall_ns = 0;
  };

  explicit CertificateCache(size_t entries_max = 4096);
  // From the cache, or parsed from the bytes.
  [[nodiscard]] Result<CertificatePtr> parse(Bytes der) const;
  [[nodiscard]] TrustedPath find_path(const Key& key) const;
  // Adds or replaces the path, and adds its certificates but the anchor.
  void add_path(const Key& key, const TrustedPath& path);
  void flush();
  [[nodiscard]] size_t size() const;
  [[nodiscard]] std::vector<CertificatePtr> certificates() const;  // for list-certs

 private:
  void make_room();  // for one more entry
  mutable std::mutex mutex_;
  size_t entries_max_;
  SystemRandom random_;
  std::vector<Key> order_;  // keys of both maps, for random replacement
  std::map<Key, CertificatePtr> certificates_;
  std::map<Key, TrustedPath> paths_;
};

// Everything at one moment. Immutable but for the cache behind it; any thread.
class CredentialSnapshot {
 public:
  // Own private key of a certificate, or nullptr.
  [[nodiscard]] std::shared_ptr<const PrivateKey> key_for(const Certificate& certificate) const;
  [[nodiscard]] std::shared_ptr<const PrivateKey> key_by_id(const KeyId& id) const;

  struct OwnCertificate {
    CertificatePtr certificate;
    std::shared_ptr<const PrivateKey> key;
    std::vector<CertificatePtr> chain;  // intermediates to send after it, the root left out
  };
  // The certificate to show as `identity`: of `candidates` (the connection's certs), or of all with
  // a private key if that is empty. Those that lead to a CA of `requested_cas` (SHA-1 of
  // subjectPublicKeyInfo, the content of the peer's CERTREQs) go first, valid ones before others,
  // then the better fit to `identity`.
  [[nodiscard]] std::optional<OwnCertificate> own_certificate(
      const Identity& identity, const std::vector<CertificatePtr>& candidates,
      const std::vector<KeyId>& requested_cas, Nanoseconds wall_time_ns) const;

  // The PSK between two identities: an owner list that has both > one of them > no owners. `mine`
  // or `peer` may be unset (any).
  [[nodiscard]] const SharedSecret* psk(const Identity& mine, const Identity& peer) const;
  // A password (kEap) or NT hash (kNtlm) for the EAP identity of a client; one whose owner is %any
  // only if no other fits.
  [[nodiscard]] const SharedSecret* eap_secret(const Identity& peer) const;

  // The trust anchors: certificates of CAs, and those of authorities.
  [[nodiscard]] std::vector<CertificatePtr> authorities_trusted() const;
  // The hashes of all trusted CAs, for CERTREQ (RFC 7296 3.7); of `only` if that is not empty.
  [[nodiscard]] std::vector<KeyId> certificate_request(
      const std::vector<CertificatePtr>& only = {}) const;

  [[nodiscard]] const std::vector<StoredCertificate>& certificates() const { return certificates_; }
  [[nodiscard]] const std::vector<CrlPtr>& crls() const { return crls_; }
  [[nodiscard]] const std::vector<Authority>& authorities() const { return authorities_; }
  [[nodiscard]] CertificateCache& cache() const { return *cache_; }
  [[nodiscard]] uint64_t generation() const { return generation_; }  // unlike in every other one
  // DER of a status response that the fetcher brought: untrusted, verified where it is used.
  [[nodiscard]] const ByteVector* ocsp(const std::string& key) const;

 private:
  friend class CredentialStore;
  uint64_t generation_ = 0;
  std::map<KeyId, std::shared_ptr<const PrivateKey>> keys_;
  std::vector<StoredCertificate> certificates_;
  std::vector<CrlPtr> crls_;
  // Certificates with a private key, as loaded; their chains with the roots. Made when one is
  // asked for: as the credentials change with each that is loaded, nobody may ever ask.
  struct Own {
    std::vector<OwnCertificate> list;
    std::map<std::array<uint8_t, 32>, size_t> places;  // in the list, by fingerprint
  };
  [[nodiscard]] const Own& own() const;
  [[nodiscard]] std::vector<CertificatePtr> known() const;
  mutable std::once_flag own_made_;
  mutable Own own_;
  SecretView psks_, eap_secrets_;
  std::vector<Authority> authorities_;
  std::map<std::string, std::shared_ptr<const ByteVector>> ocsp_;
  std::shared_ptr<CertificateCache> cache_;
};
using CredentialSnapshotPtr = std::shared_ptr<const CredentialSnapshot>;

// Control thread only. Every change makes the next snapshot() a new object; snapshots in use stay
// as they are.
class CredentialStore {
 public:
  CredentialStore();

  // VICI load-key. `type`: "any", "rsa", "ecdsa", "ed25519"/"eddsa" (others refused by name).
  // Returns the key id as 40 hex digits. Loading a key again is no error.
  Result<std::string> load_key(std::string_view type, Bytes pem_or_der,
                               std::string_view passphrase = {});
  Status unload_key(std::string_view hex_id);
  [[nodiscard]] std::vector<std::string> key_ids() const;  // hex
  // Tokens and smart cards: always refused, by name.
  Status load_token(std::string_view handle);

  // VICI load-cert. `type`: "X509", "X509_CRL" (X509_AC refused by name). `flag`: "NONE", "CA",
  // "OCSP", "" (AA refused). Loading again replaces.
  Status load_cert(std::string_view type, std::string_view flag, Bytes pem_or_der);
  // For certs/cacerts of connections and authorities: added, and returned for the configuration.
  Result<CertificatePtr> add_certificate(Bytes pem_or_der, CertificateFlag flag);

  // VICI load-shared; an id that exists is replaced.
  Status load_shared(SharedSecret secret);
  Status unload_shared(std::string_view id);
  [[nodiscard]] std::vector<std::string> shared_ids() const;  // only those that have an id

  // VICI load-authority; a name that exists is replaced. `ca` must be a CA certificate.
  Status load_authority(Authority authority);
  Status unload_authority(std::string_view name);

  void clear();        // VICI clear-creds: keys, certificates, CRLs, shared secrets
  void flush_certs();  // VICI flush-certs: the cache of peer certificates, fetched CRLs and OCSP

  // What the fetcher brought for a StatusFetch (chain.h). A CRL that does not parse is refused.
  Status add_fetched_crl(const std::string& url, Bytes bytes);
  Status add_fetched_ocsp(const std::string& key, Bytes bytes);

  [[nodiscard]] CredentialSnapshotPtr snapshot();

 private:
  void changed() { snapshot_.reset(); }
  Status add(StoredCertificate certificate);
  Status add(CrlPtr crl);
  SecretIndex& index_of(const SharedSecret& secret) {
    return secret.type == SecretType::kIke ? psks_ : eap_secrets_;
  }
  std::map<KeyId, std::shared_ptr<const PrivateKey>> keys_;
  std::vector<StoredCertificate> certificates_;
  std::vector<CrlPtr> crls_;
  std::map<std::string, CrlPtr> fetched_crls_;  // by URL
  SecretIndex psks_, eap_secrets_;
  std::map<std::string, SharedSecretPtr, std::less<>> secrets_;  // of both, by id
  size_t secrets_without_id_ = 0;                                // how many more there are
  uint64_t next_secret_ = 1;
  std::vector<Authority> authorities_;
  std::map<std::string, std::shared_ptr<const ByteVector>> ocsp_;
  std::shared_ptr<CertificateCache> cache_;
  CredentialSnapshotPtr snapshot_;
};

}  // namespace penstock::ike
