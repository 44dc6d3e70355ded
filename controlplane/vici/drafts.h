// What the keys of a section are collected in until the section is whole.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "controlplane/vici/configuration.h"
#include "controlplane/vici/keys.h"
#include "gateway/base/clock.h"

namespace penstock::vici {

struct ConnectionDraft {
  ike::ConnectionConfig config;
  std::vector<std::string> local_addrs, remote_addrs;
  std::optional<Nanoseconds> rekey_ns, reauth_ns, over_ns, random_ns;
  uint32_t if_id_in = 0, if_id_out = 0;
  bool proposals_given = false;
  std::vector<std::string> warnings;
};

// A local or a remote section.
struct AuthDraft {
  std::string auth = "pubkey";
  ike::Identity id;
  std::optional<ike::Identity> eap_id;  // any: ask
  std::vector<ike::CertificatePtr> certs, ca_certs;
  std::vector<std::string> cert_policies;
  ike::RevocationPolicy revocation = ike::RevocationPolicy::kRelaxed;
  std::vector<std::string> warnings;
};

// A cert<suffix> or cacert<suffix> section.
struct CertificateDraft {
  ike::CertificatePtr certificate;
  std::vector<std::string> warnings;
};

struct ChildDraft {
  ike::ChildConfig config;
  std::optional<Nanoseconds> life_ns, random_ns;
  Nanoseconds rekey_ns = 3600 * kSecond;
  uint64_t rekey_bytes = 0, rekey_packets = 0;
  std::optional<uint64_t> life_bytes, random_bytes, life_packets, random_packets;
  uint32_t if_id_in = 0, if_id_out = 0;
  std::vector<std::string> warnings;
};

struct PoolDraft {
  std::string addresses;
  std::vector<std::string> warnings;
};

struct AuthorityDraft {
  ike::Authority authority;
  std::vector<std::string> warnings;
};

extern const std::span<const Key<ConnectionDraft>> kConnectionKeys;
extern const std::span<const Key<AuthDraft>> kLocalKeys;
extern const std::span<const Key<AuthDraft>> kRemoteKeys;
extern const std::span<const Key<CertificateDraft>> kCertificateKeys;
extern const std::span<const Key<ChildDraft>> kChildKeys;
extern const std::span<const Key<PoolDraft>> kPoolKeys;
extern const std::span<const Key<AuthorityDraft>> kAuthorityKeys;
// Of the `secrets` sections; swanctl reads them itself and sends load-shared, or unlocks a key.
std::span<const KeyTable> secret_tables();

// A certificate out of a file of ours, bounded.
Result<ike::CertificatePtr> read_certificate(const std::string& path);

}  // namespace penstock::vici
