// Keys: decoding and the sanity checks without which no key gets in.
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "controlplane/crypto/digest.h"
#include "controlplane/ike/auth/certificate.h"
#include "controlplane/ike/auth/der.h"
#include "controlplane/ike/auth/openssl_ptr.h"

namespace penstock::ike {
namespace {

KeyId sha1_of(Bytes bytes) {
  KeyId id{};
  Digest::sha1().compute(bytes, id);
  return id;
}

BignumPtr number_of(const EVP_PKEY* key, const char* parameter) {
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, parameter, &number) != 1) return nullptr;
  return BignumPtr(number);
}

// Keys with which others were fooled: tiny or huge moduli, exponents of 0, 1, 3, even ones.
Status check_rsa(const EVP_PKEY* key) {
  const BignumPtr n = number_of(key, OSSL_PKEY_PARAM_RSA_N);
  const BignumPtr e = number_of(key, OSSL_PKEY_PARAM_RSA_E);
  if (!n || !e) return Error{"RSA key without modulus or exponent"};
  const auto bits = static_cast<unsigned>(BN_num_bits(n.get()));
  if (bits < kRsaMinBits)
    return errorf("RSA key of %u bits, at least %u are needed", bits, kRsaMinBits);
  if (bits > kRsaMaxBits)
    return errorf("RSA key of %u bits, at most %u are taken", bits, kRsaMaxBits);
  if (!BN_is_odd(n.get())) return Error{"RSA key with an even modulus"};
  const BN_ULONG exponent = BN_num_bits(e.get()) <= 33 ? BN_get_word(e.get()) : 0;
  if (!BN_is_odd(e.get()) || exponent < 65537) {
    return Error{"RSA key with an exponent that is even, below 65537 or above 2^33"};
  }
  return {};
}

Result<unsigned> check_curve(const EVP_PKEY* key) {
  int explicit_parameters = 0;
  if (EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                             &explicit_parameters) == 1 &&
      explicit_parameters != 0) {
    return Error{"EC key with explicit curve parameters"};
  }
  char name[64] = {};
  if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof name, nullptr) !=
      1) {
    return Error{"EC key without a named curve"};
  }
  const std::string_view curve = name;
  if (curve == "prime256v1" || curve == "P-256") return 256U;
  if (curve == "secp384r1" || curve == "P-384") return 384U;
  if (curve == "secp521r1" || curve == "P-521") return 521U;
  return errorf("EC key on curve %.60s, only P-256, P-384 and P-521 are taken", name);
}

// The private key must belong to the public one: sign something and verify it.
bool pair_works(EVP_PKEY* key, KeyType type) {
  static constexpr uint8_t kMessage[] = "does this pair of keys work";
  const EVP_MD* digest = type == KeyType::kEd25519 ? nullptr : EVP_sha256();
  const DigestContextPtr signer(EVP_MD_CTX_new());
  size_t size = 0;
  if (!signer || EVP_DigestSignInit(signer.get(), nullptr, digest, nullptr, key) != 1 ||
      EVP_DigestSign(signer.get(), nullptr, &size, kMessage, sizeof kMessage) != 1 || size > 4096) {
    return false;
  }
  ByteVector signature(size);
  if (EVP_DigestSign(signer.get(), signature.data(), &size, kMessage, sizeof kMessage) != 1) {
    return false;
  }
  const DigestContextPtr verifier(EVP_MD_CTX_new());
  return verifier && EVP_DigestVerifyInit(verifier.get(), nullptr, digest, nullptr, key) == 1 &&
         EVP_DigestVerify(verifier.get(), signature.data(), size, kMessage, sizeof kMessage) == 1;
}

struct Passphrase {
  std::string_view text;
  bool asked = false;
};

int give_passphrase(char* room, int size, int /*writing*/, void* context) {
  auto* passphrase = static_cast<Passphrase*>(context);
  passphrase->asked = true;
  const size_t length = passphrase->text.size();
  if (length == 0 || length > static_cast<size_t>(size)) return -1;
  std::memcpy(room, passphrase->text.data(), length);
  return static_cast<int>(length);
}

// EncryptedPrivateKeyInfo ::= SEQUENCE { AlgorithmIdentifier, OCTET STRING } (RFC 5958 section 3);
// a key that is not encrypted begins with a version number.
bool is_encrypted_pkcs8(Bytes der) {
  Reader whole(der);
  Reader outer(der::take(whole, der::kSequence));
  (void)der::take(outer, der::kSequence);
  (void)der::take(outer, 0x04);
  return outer.ok() && outer.at_end();
}

PkeyPtr read_private_key(Bytes bytes, Passphrase& passphrase) {
  const bool pem = text_of(bytes).find("-----BEGIN ") != std::string_view::npos;
  if (!pem && !is_encrypted_pkcs8(bytes)) {
    const uint8_t* at = bytes.data();
    PkeyPtr key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(bytes.size())));
    return at == bytes.data() + bytes.size() ? std::move(key) : nullptr;
  }
  const BioPtr bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  if (!bio) return nullptr;
  return PkeyPtr(pem ? PEM_read_bio_PrivateKey(bio.get(), nullptr, give_passphrase, &passphrase)
                     : d2i_PKCS8PrivateKey_bio(bio.get(), nullptr, give_passphrase, &passphrase));
}

}  // namespace

const char* to_string(KeyType type) {
  switch (type) {
    case KeyType::kRsa:
      return "RSA";
    case KeyType::kEcdsa:
      return "ECDSA";
    case KeyType::kEd25519:
      return "ED25519";
  }
  return "unknown";
}

Result<PublicKey> PublicKey::from_native(evp_pkey_st* native) {
  return from_native(native, native == nullptr ? ByteVector{} : der_of(i2d_PUBKEY, native));
}

Result<PublicKey> PublicKey::from_native(evp_pkey_st* native, Bytes spki) {
  const ErrorQueueGuard guard;
  // A certificate may be well-formed around a key that is not.
  if (native == nullptr) return Error{"a key that cannot be read"};
  PublicKey key;
  switch (EVP_PKEY_get_base_id(native)) {
    case EVP_PKEY_RSA:
      PENSTOCK_CHECK(check_rsa(native));
      key.type_ = KeyType::kRsa;
      key.bits_ = static_cast<unsigned>(EVP_PKEY_get_bits(native));
      break;
    case EVP_PKEY_EC: {
      PENSTOCK_TRY(key.bits_, check_curve(native));
      key.type_ = KeyType::kEcdsa;
      break;
    }
    case EVP_PKEY_ED25519:
      key.type_ = KeyType::kEd25519;
      key.bits_ = 256;
      break;
    default:
      return Error{"a key that is neither RSA nor ECDSA nor Ed25519"};
  }
  // SubjectPublicKeyInfo ::= SEQUENCE { AlgorithmIdentifier, BIT STRING } (RFC 5280 section 4.1)
  Reader whole(spki);
  Reader info(der::take(whole, der::kSequence));
  (void)der::take(info, der::kSequence);
  const Bytes bits = der::take(info, der::kBitString);
  if (!info.ok() || !info.at_end() || bits.size() < 2 || bits[0] != 0) {
    return Error{"a public key that is not encoded as one"};
  }
  key.id_ = sha1_of(bits.subspan(1));
  key.spki_id_ = sha1_of(spki);
  if (EVP_PKEY_up_ref(native) != 1) return Error{"out of memory"};
  key.key_ = std::shared_ptr<evp_pkey_st>(native, EVP_PKEY_free);
  return key;
}

Result<PublicKey> PublicKey::from_spki(Bytes spki) {
  const ErrorQueueGuard guard;
  if (spki.size() > kKeyFileMaxSize) return Error{"a public key that is too long"};
  const uint8_t* at = spki.data();
  const PkeyPtr native(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size())));
  if (!native || at != spki.data() + spki.size()) return Error{"no DER of a public key"};
  return from_native(native.get(), spki);
}

Result<std::shared_ptr<const PrivateKey>> PrivateKey::parse(Bytes bytes,
                                                            std::optional<KeyType> type,
                                                            std::string_view passphrase_text) {
  const ErrorQueueGuard guard;
  if (bytes.empty() || bytes.size() > kKeyFileMaxSize)
    return Error{"no private key of a usual size"};
  Passphrase passphrase{passphrase_text};
  const PkeyPtr native = read_private_key(bytes, passphrase);
  if (!native && passphrase.asked) {
    return passphrase_text.empty()
               ? Error{"the private key is encrypted and there is no secret for it"}
               : Error{"the private key is encrypted and the secret does not open it"};
  }
  if (!native) return Error{"no private key in PEM or DER"};
  PENSTOCK_TRY(PublicKey public_key, PublicKey::from_native(native.get()));
  if (type && *type != public_key.type()) {
    return errorf("the private key is of type %s, not %s", to_string(public_key.type()),
                  to_string(*type));
  }
  if (!pair_works(native.get(), public_key.type())) {
    return Error{"the parts of the private key do not fit one another"};
  }
  return std::shared_ptr<const PrivateKey>(new PrivateKey(std::move(public_key)));
}

}  // namespace penstock::ike
