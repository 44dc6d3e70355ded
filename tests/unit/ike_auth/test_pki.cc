#include "tests/unit/ike_auth/test_pki.h"

#include <openssl/ec.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <map>

namespace penstock::ike::test {
namespace {

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "test_pki: %s\n", what);
  std::abort();
}

template <class T>
ByteVector encoded(int (*encode)(T*, unsigned char**), std::remove_const_t<T>* object) {
  unsigned char* bytes = nullptr;
  const int size = encode(object, &bytes);
  require(size > 0, "encode");
  ByteVector out(bytes, bytes + size);
  OPENSSL_free(bytes);
  return out;
}

std::shared_ptr<EVP_PKEY> generate_rsa(unsigned bits, unsigned long exponent) {
  BIGNUM* e = BN_new();
  BN_set_word(e, exponent);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr);
  EVP_PKEY* key = nullptr;
  require(EVP_PKEY_keygen_init(context) == 1 &&
              EVP_PKEY_CTX_set_rsa_keygen_bits(context, static_cast<int>(bits)) == 1 &&
              EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, e) == 1 &&
              EVP_PKEY_generate(context, &key) == 1,
          "generate RSA");
  EVP_PKEY_CTX_free(context);
  BN_free(e);
  return {key, EVP_PKEY_free};
}

std::shared_ptr<EVP_PKEY> generate(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kRsa2048:
      return generate_rsa(2048, 65537);
    case Algorithm::kRsa1024:
      return generate_rsa(1024, 65537);
    case Algorithm::kRsaExponent3:
      return generate_rsa(2048, 3);
    case Algorithm::kP256:
      return {EVP_EC_gen("P-256"), EVP_PKEY_free};
    case Algorithm::kP384:
      return {EVP_EC_gen("P-384"), EVP_PKEY_free};
    case Algorithm::kP521:
      return {EVP_EC_gen("P-521"), EVP_PKEY_free};
    case Algorithm::kSecp256k1:
      return {EVP_EC_gen("secp256k1"), EVP_PKEY_free};
    case Algorithm::kEd25519:
      break;
  }
  return {EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), EVP_PKEY_free};
}

bool is_rsa(Algorithm algorithm) {
  return algorithm == Algorithm::kRsa2048 || algorithm == Algorithm::kRsa1024 ||
         algorithm == Algorithm::kRsaExponent3;
}

const EVP_MD* digest_for(const EVP_PKEY* key, const std::string& digest) {
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? nullptr
                                                       : EVP_get_digestbyname(digest.c_str());
}

void set_time(ASN1_TIME* time, Nanoseconds wall_time_ns) {
  require(ASN1_TIME_set(time, wall_time_ns / kSecond) != nullptr, "time");
}

}  // namespace

KeyPair make_key(Algorithm algorithm) {
  static std::map<Algorithm, std::shared_ptr<EVP_PKEY>> made;
  if (!is_rsa(algorithm)) return {generate(algorithm)};
  auto& key = made[algorithm];
  if (!key) key = generate(algorithm);
  return {key};
}

ByteVector KeyPair::der() const {
  PKCS8_PRIV_KEY_INFO* info = EVP_PKEY2PKCS8(native.get());
  ByteVector out = encoded(i2d_PKCS8_PRIV_KEY_INFO, info);
  PKCS8_PRIV_KEY_INFO_free(info);
  return out;
}

std::string KeyPair::pem(const std::string& passphrase) const {
  BIO* bio = BIO_new(BIO_s_mem());
  require(PEM_write_bio_PKCS8PrivateKey(
              bio, native.get(), passphrase.empty() ? nullptr : EVP_aes_128_cbc(),
              passphrase.data(), static_cast<int>(passphrase.size()), nullptr, nullptr) == 1,
          "write key");
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  std::string out(text, static_cast<size_t>(size));
  BIO_free(bio);
  return out;
}

Entity Entity::make(const Request& request, const Entity* issuer) {
  static unsigned next_serial = 1000;
  Entity entity;
  entity.key_ = make_key(request.algorithm);
  X509* x509 = X509_new();
  entity.native_ = std::shared_ptr<x509_st>(x509, X509_free);
  X509_set_version(x509, X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509),
                          request.serial != 0 ? request.serial : ++next_serial);
  X509_NAME* name = X509_NAME_new();
  for (const auto& [type, value] : request.subject) {
    require(X509_NAME_add_entry_by_txt(name, type.c_str(), MBSTRING_UTF8,
                                       reinterpret_cast<const unsigned char*>(value.data()),
                                       static_cast<int>(value.size()), -1, 0) == 1,
            "subject");
  }
  X509_set_subject_name(x509, name);
  X509_set_issuer_name(x509, issuer != nullptr ? X509_get_subject_name(issuer->native()) : name);
  X509_NAME_free(name);
  set_time(X509_getm_notBefore(x509), request.not_before);
  set_time(X509_getm_notAfter(x509), request.not_after);
  X509_set_pubkey(x509, entity.key_.native.get());
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer != nullptr ? issuer->native() : x509, x509, nullptr, nullptr, 0);
  auto extensions = request.extensions;
  extensions.emplace_back("subjectKeyIdentifier", "hash");
  for (const auto& [type, value] : extensions) {
    X509_EXTENSION* extension = X509V3_EXT_nconf(nullptr, &context, type.c_str(), value.c_str());
    require(extension != nullptr && X509_add_ext(x509, extension, -1) == 1, value.c_str());
    X509_EXTENSION_free(extension);
  }
  EVP_PKEY* signer = issuer != nullptr ? issuer->key_.native.get() : entity.key_.native.get();
  require(X509_sign(x509, signer, digest_for(signer, request.digest)) > 0, "sign certificate");
  entity.der_ = encoded(i2d_X509, x509);
  return entity;
}

Entity Entity::self_signed(const Request& request) { return make(request, nullptr); }

Entity Entity::root(const std::string& name, Algorithm algorithm) {
  Request request;
  request.subject = {{"C", "CH"}, {"O", "test"}, {"CN", name}};
  request.extensions = {{"basicConstraints", "critical,CA:TRUE"},
                        {"keyUsage", "critical,keyCertSign,cRLSign"}};
  request.algorithm = algorithm;
  request.not_after = kNow + 3000 * kDay;
  return make(request, nullptr);
}

Entity Entity::issue(const Request& request) const { return make(request, this); }

Entity Entity::intermediate(const std::string& name) const {
  Request request;
  request.subject = {{"C", "CH"}, {"O", "test"}, {"CN", name}};
  request.extensions = {{"basicConstraints", "critical,CA:TRUE"},
                        {"keyUsage", "critical,keyCertSign,cRLSign"}};
  return make(request, this);
}

std::string Entity::pem() const {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, native_.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  std::string out(text, static_cast<size_t>(size));
  BIO_free(bio);
  return out;
}

CertificatePtr Entity::certificate() const {
  auto parsed = Certificate::parse(der_);
  require(parsed.ok(), "parse certificate");
  return std::move(parsed).value();
}

ByteVector Entity::crl(const CrlRequest& request) const {
  X509_CRL* crl = X509_CRL_new();
  X509_CRL_set_version(crl, X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(crl, X509_get_subject_name(native_.get()));
  ASN1_TIME* time = ASN1_TIME_new();
  set_time(time, request.this_update);
  X509_CRL_set1_lastUpdate(crl, time);
  for (const Entity* entity : request.revoked) {
    X509_REVOKED* revoked = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(entity->native()));
    X509_REVOKED_set_revocationDate(revoked, time);
    X509_CRL_add0_revoked(crl, revoked);
  }
  set_time(time, request.next_update);
  X509_CRL_set1_nextUpdate(crl, time);
  ASN1_TIME_free(time);
  ASN1_INTEGER* number = ASN1_INTEGER_new();
  ASN1_INTEGER_set_uint64(number, request.number);
  X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0);
  ASN1_INTEGER_free(number);
  X509_CRL_sort(crl);
  EVP_PKEY* key = key_.native.get();
  require(X509_CRL_sign(crl, key, digest_for(key, request.digest)) > 0, "sign CRL");
  ByteVector out = encoded(i2d_X509_CRL, crl);
  X509_CRL_free(crl);
  return out;
}

ByteVector Entity::ocsp(const Entity& subject, OcspStatus status, const Entity* signer,
                        Nanoseconds this_update, Nanoseconds next_update) const {
  if (signer == nullptr) signer = this;
  OCSP_BASICRESP* basic = OCSP_BASICRESP_new();
  OCSP_CERTID* id = OCSP_cert_to_id(EVP_sha1(), subject.native(), native_.get());
  ASN1_TIME* from = ASN1_GENERALIZEDTIME_new();
  ASN1_TIME* until = ASN1_GENERALIZEDTIME_new();
  ASN1_GENERALIZEDTIME_set(from, this_update / kSecond);
  ASN1_GENERALIZEDTIME_set(until, next_update / kSecond);
  const int code = status == OcspStatus::kGood      ? V_OCSP_CERTSTATUS_GOOD
                   : status == OcspStatus::kRevoked ? V_OCSP_CERTSTATUS_REVOKED
                                                    : V_OCSP_CERTSTATUS_UNKNOWN;
  require(
      OCSP_basic_add1_status(basic, id, code, 0, code == V_OCSP_CERTSTATUS_REVOKED ? from : nullptr,
                             from, next_update == 0 ? nullptr : until) != nullptr,
      "OCSP status");
  EVP_PKEY* key = signer->key_.native.get();
  require(OCSP_basic_sign(basic, signer->native(), key, digest_for(key, "SHA256"), nullptr, 0) == 1,
          "sign OCSP");
  OCSP_RESPONSE* response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
  ByteVector out = encoded(i2d_OCSP_RESPONSE, response);
  OCSP_RESPONSE_free(response);
  OCSP_BASICRESP_free(basic);
  OCSP_CERTID_free(id);
  ASN1_TIME_free(from);
  ASN1_TIME_free(until);
  return out;
}

}  // namespace penstock::ike::test
