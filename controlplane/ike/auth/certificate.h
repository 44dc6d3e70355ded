// Public and private keys, X.509 certificates and CRLs, parsed once and shared between threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/ike/auth/identity.h"
#include "gateway/base/clock.h"
#include "gateway/base/secret.h"

struct evp_pkey_st;
struct x509_st;
struct X509_crl_st;

namespace penstock::ike {

enum class KeyType : uint8_t { kRsa, kEcdsa, kEd25519 };
const char* to_string(KeyType type);  // as VICI names them: "RSA", "ECDSA", "ED25519"

// SHA-1 of the subjectPublicKey BIT STRING (RFC 5280 4.2.1.2 (1)): the key id of strongSwan, VICI's
// load-key and get-keys, in binary.
using KeyId = std::array<uint8_t, 20>;

inline constexpr size_t kCertificateMaxSize = 64 * 1024;
inline constexpr size_t kCrlMaxSize = 16 * 1024 * 1024;
inline constexpr size_t kKeyFileMaxSize = 64 * 1024;
inline constexpr unsigned kRsaMinBits = 2048;  // policy floor
inline constexpr unsigned kRsaMaxBits = 8192;  // more would let a peer burn our time
inline constexpr size_t kAlternativeNamesMax = 256;
inline constexpr size_t kUrisMax = 16;
inline constexpr size_t kUriMaxSize = 1024;

// An immutable public key that passed the sanity checks: RSA of kRsaMinBits..kRsaMaxBits with an
// odd exponent of 65537..2^32, ECDSA on P-256, P-384, P-521 with a point on the curve, Ed25519.
class PublicKey {
 public:
  static Result<PublicKey> from_spki(Bytes subject_public_key_info);
  // Takes a reference of its own.
  static Result<PublicKey> from_native(evp_pkey_st* key);

  [[nodiscard]] KeyType type() const { return type_; }
  [[nodiscard]] unsigned bits() const { return bits_; }  // RSA modulus, curve size, 256
  [[nodiscard]] const KeyId& id() const { return id_; }
  [[nodiscard]] const KeyId& spki_id() const { return spki_id_; }  // CERTREQ (RFC 7296 3.7)
  [[nodiscard]] evp_pkey_st* native() const { return key_.get(); }

 private:
  friend class Certificate;
  PublicKey() = default;
  static Result<PublicKey> from_native(evp_pkey_st* key, Bytes subject_public_key_info);
  std::shared_ptr<evp_pkey_st> key_;
  KeyType type_ = KeyType::kRsa;
  unsigned bits_ = 0;
  KeyId id_{};
  KeyId spki_id_{};
};

// OpenSSL wipes the numbers when the last holder lets go.
class PrivateKey {
 public:
  // PEM (PKCS#1, SEC1, PKCS#8, encrypted ones with `passphrase`) or DER of these; `type` as the
  // load-key of VICI gives it: unset for "any". Refused with a sentence: encrypted without or with
  // a wrong passphrase, another type than `type`, weak or inconsistent keys, trailing bytes.
  static Result<std::shared_ptr<const PrivateKey>> parse(Bytes pem_or_der,
                                                         std::optional<KeyType> type = {},
                                                         std::string_view passphrase = {});
  [[nodiscard]] const PublicKey& public_key() const { return public_key_; }
  [[nodiscard]] KeyType type() const { return public_key_.type(); }
  [[nodiscard]] const KeyId& id() const { return public_key_.id(); }
  [[nodiscard]] evp_pkey_st* native() const { return public_key_.native(); }

 private:
  explicit PrivateKey(PublicKey public_key) : public_key_(std::move(public_key)) {}
  PublicKey public_key_;  // its native key has the private part too
};

// A parsed certificate. Parsing proves nothing about it. Immutable; any thread.
class Certificate {
 public:
  // One certificate, DER or PEM. Refused: trailing bytes, sizes beyond the bounds.
  static Result<std::shared_ptr<const Certificate>> parse(Bytes pem_or_der);

  [[nodiscard]] Bytes der() const { return der_; }
  [[nodiscard]] const std::array<uint8_t, 32>& fingerprint() const { return fingerprint_; }
  [[nodiscard]] const Identity& subject() const { return subject_; }
  [[nodiscard]] const Identity& issuer() const { return issuer_; }
  [[nodiscard]] const std::vector<Identity>& alternative_names() const { return names_; }
  [[nodiscard]] const ByteVector& serial() const { return serial_; }
  [[nodiscard]] Nanoseconds not_before_wall_ns() const { return not_before_; }
  [[nodiscard]] Nanoseconds not_after_wall_ns() const { return not_after_; }
  [[nodiscard]] bool is_ca() const { return is_ca_; }
  [[nodiscard]] bool is_self_issued() const { return subject_ == issuer_; }
  [[nodiscard]] bool has_server_auth() const { return server_auth_; }  // EKU serverAuth or any
  // Unset: the key is of a kind or size that we refuse; key_error() has the sentence.
  [[nodiscard]] const PublicKey* public_key() const { return key_ ? &*key_ : nullptr; }
  [[nodiscard]] const std::string& key_error() const { return key_error_; }
  [[nodiscard]] const std::vector<std::string>& crl_uris() const { return crl_uris_; }
  [[nodiscard]] const std::vector<std::string>& ocsp_uris() const { return ocsp_uris_; }
  // Whether it names any place where its status can be asked, fetchable by us or not.
  [[nodiscard]] bool names_status_uri() const { return !crl_uris_.empty() || !ocsp_uris_.empty(); }
  [[nodiscard]] x509_st* native() const { return native_.get(); }

  // Whether this certificate speaks for a peer's identity: equal to the subject or to one of the
  // alternative names; a key id is equal to the id of its key. No wildcards on either side.
  [[nodiscard]] bool confirms(const Identity& identity) const;
  // How well subject or an alternative name fit a configured pattern.
  [[nodiscard]] MatchStrength match(const Identity& pattern) const;

 private:
  Certificate() = default;
  Status read_names();
  Status read_uris();
  ByteVector der_;
  std::array<uint8_t, 32> fingerprint_{};
  Identity subject_, issuer_;
  std::vector<Identity> names_;
  ByteVector serial_;
  Nanoseconds not_before_ = 0, not_after_ = 0;
  bool is_ca_ = false, server_auth_ = false;
  std::optional<PublicKey> key_;
  std::string key_error_;
  std::vector<std::string> crl_uris_, ocsp_uris_;
  std::shared_ptr<x509_st> native_;
};
using CertificatePtr = std::shared_ptr<const Certificate>;

// A parsed CRL; its signature is checked where it is used.
class Crl {
 public:
  static Result<std::shared_ptr<const Crl>> parse(Bytes pem_or_der);
  [[nodiscard]] Bytes der() const { return der_; }
  [[nodiscard]] const Identity& issuer() const { return issuer_; }
  [[nodiscard]] Nanoseconds this_update_wall_ns() const { return this_update_; }
  [[nodiscard]] Nanoseconds next_update_wall_ns() const { return next_update_; }  // 0: none
  [[nodiscard]] const ByteVector& number() const { return number_; }
  // The issuing distribution point and delta CRL indicator as they are encoded; empty: complete.
  [[nodiscard]] const ByteVector& scope() const { return scope_; }
  [[nodiscard]] X509_crl_st* native() const { return native_.get(); }

 private:
  Crl() = default;
  ByteVector der_;
  Identity issuer_;
  Nanoseconds this_update_ = 0, next_update_ = 0;
  ByteVector number_, scope_;
  std::shared_ptr<X509_crl_st> native_;
};
using CrlPtr = std::shared_ptr<const Crl>;

}  // namespace penstock::ike
