// Certificates, CRLs and OCSP responses made with OpenSSL while a test runs, so that they can be
// wrong in every way a test needs.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/ike/auth/certificate.h"
#include "gateway/base/bytes.h"

namespace penstock::ike::test {

inline constexpr Nanoseconds kNow = 1'800'000'000 * kSecond;  // 2027-01-15, the wall clock of tests
inline constexpr Nanoseconds kDay = 86400 * kSecond;

enum class Algorithm {
  kRsa2048,
  kRsa1024,
  kRsaExponent3,
  kP256,
  kP384,
  kP521,
  kEd25519,
  kSecp256k1
};

struct KeyPair {
  std::shared_ptr<evp_pkey_st> native;
  [[nodiscard]] ByteVector der() const;  // PKCS#8
  [[nodiscard]] std::string pem(const std::string& passphrase = {}) const;
};
KeyPair make_key(Algorithm algorithm);  // RSA keys are made once and handed out again

struct Request {
  std::vector<std::pair<std::string, std::string>> subject = {{"C", "CH"}, {"CN", "x"}};
  // OpenSSL's configuration syntax: {"subjectAltName", "DNS:x"}, {"basicConstraints", "CA:TRUE"}.
  std::vector<std::pair<std::string, std::string>> extensions;
  Nanoseconds not_before = kNow - 30 * kDay;
  Nanoseconds not_after = kNow + 300 * kDay;
  Algorithm algorithm = Algorithm::kP256;
  std::string digest = "SHA256";  // ignored for Ed25519
  unsigned serial = 0;            // 0: the next free one
};

// A key with its certificate; as a CA it issues others.
class Entity {
 public:
  static Entity self_signed(const Request& request);
  static Entity root(const std::string& name, Algorithm algorithm = Algorithm::kP256);
  [[nodiscard]] Entity issue(const Request& request) const;
  [[nodiscard]] Entity intermediate(const std::string& name) const;

  [[nodiscard]] const ByteVector& der() const { return der_; }
  [[nodiscard]] std::string pem() const;
  [[nodiscard]] CertificatePtr certificate() const;
  [[nodiscard]] const KeyPair& key() const { return key_; }
  [[nodiscard]] x509_st* native() const { return native_.get(); }

  struct CrlRequest {
    std::vector<const Entity*> revoked;
    Nanoseconds this_update = kNow - kDay;
    Nanoseconds next_update = kNow + kDay;
    std::string digest = "SHA256";
    unsigned number = 1;
  };
  [[nodiscard]] ByteVector crl(const CrlRequest& request) const;

  enum class OcspStatus { kGood, kRevoked, kUnknown };
  // About `subject`, which this entity issued; signed by `signer` (this one if null).
  [[nodiscard]] ByteVector ocsp(const Entity& subject, OcspStatus status,
                                const Entity* signer = nullptr,
                                Nanoseconds this_update = kNow - kDay,
                                Nanoseconds next_update = kNow + kDay) const;

 private:
  static Entity make(const Request& request, const Entity* issuer);
  KeyPair key_;
  std::shared_ptr<x509_st> native_;
  ByteVector der_;
};

}  // namespace penstock::ike::test
