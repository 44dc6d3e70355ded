#include "controlplane/ike/auth/signature.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>

#include <array>

#include "controlplane/ike/auth/openssl_ptr.h"
#include "controlplane/ike/auth/signature_algorithms.h"

namespace penstock::ike {
namespace {

using EcdsaSigPtr = std::unique_ptr<ECDSA_SIG, OpensslFree<ECDSA_SIG_free>>;

const EVP_MD* digest_of(SignatureHash hash) {
  switch (hash) {
    case SignatureHash::kSha1:
      return EVP_sha1();
    case SignatureHash::kSha256:
      return EVP_sha256();
    case SignatureHash::kSha384:
      return EVP_sha384();
    case SignatureHash::kSha512:
      return EVP_sha512();
    case SignatureHash::kIdentity:
      break;
  }
  return nullptr;  // Ed25519 hashes by itself (RFC 8420 section 2)
}

// DigestInfo of PKCS#1 v1.5 up to the digest (RFC 8017 section 9.2, note 1).
Bytes digest_info_prefix(SignatureHash hash) {
  static constexpr uint8_t kSha1[] = {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e,
                                      0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14};
  static constexpr uint8_t kSha256[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                        0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
  static constexpr uint8_t kSha384[] = {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                        0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30};
  static constexpr uint8_t kSha512[] = {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                        0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40};
  switch (hash) {
    case SignatureHash::kSha1:
      return kSha1;
    case SignatureHash::kSha256:
      return kSha256;
    case SignatureHash::kSha384:
      return kSha384;
    case SignatureHash::kSha512:
      return kSha512;
    case SignatureHash::kIdentity:
      break;
  }
  return {};
}

// EMSA-PKCS1-v1_5: 00 01 FF.. 00 DigestInfo digest, as long as the modulus.
ByteVector pkcs1_encoding(SignatureHash hash, Bytes octets, size_t size) {
  const Bytes prefix = digest_info_prefix(hash);
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned digest_size = 0;
  if (EVP_Digest(octets.data(), octets.size(), digest.data(), &digest_size, digest_of(hash),
                 nullptr) != 1 ||
      size < prefix.size() + digest_size + 11) {
    return {};
  }
  ByteVector encoding(size, 0xff);
  encoding[0] = 0;
  encoding[1] = 1;
  const size_t at = size - digest_size - prefix.size();
  encoding[at - 1] = 0;
  std::copy(prefix.begin(), prefix.end(), encoding.begin() + static_cast<ptrdiff_t>(at));
  std::copy_n(digest.begin(), digest_size, encoding.end() - static_cast<ptrdiff_t>(digest_size));
  return encoding;
}

// The number that a signature is of, as long as the modulus; empty where the signature has another
// size or is no residue.
ByteVector rsa_recover(const PublicKey& key, Bytes signature) {
  const PkeyContextPtr context(EVP_PKEY_CTX_new(key.native(), nullptr));
  ByteVector recovered((key.bits() + 7) / 8);
  size_t size = recovered.size();
  if (!context || signature.size() != size || EVP_PKEY_verify_recover_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_NO_PADDING) != 1 ||
      EVP_PKEY_verify_recover(context.get(), recovered.data(), &size, signature.data(),
                              signature.size()) != 1 ||
      size != recovered.size()) {
    return {};
  }
  return recovered;
}

// The expected encoding is built and compared whole: nothing of the peer's is parsed.
bool verify_pkcs1(const PublicKey& key, SignatureHash hash, Bytes signature, Bytes octets) {
  const ByteVector recovered = rsa_recover(key, signature);
  const ByteVector expected = pkcs1_encoding(hash, octets, recovered.size());
  return !expected.empty() && equal_bytes(recovered, expected);
}

bool set_pss(EVP_PKEY_CTX* context, const EVP_MD* digest) {
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md(context, digest) == 1;
}

// PSS, ECDSA in DER (strict: OpenSSL encodes again and compares), Ed25519.
bool verify_digest(const PublicKey& key, bool pss, SignatureHash hash, Bytes signature,
                   Bytes octets) {
  const DigestContextPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;
  const EVP_MD* digest = digest_of(hash);
  return context &&
         EVP_DigestVerifyInit(context.get(), &parameters, digest, nullptr, key.native()) == 1 &&
         (!pss || set_pss(parameters, digest)) &&
         EVP_DigestVerify(context.get(), signature.data(), signature.size(), octets.data(),
                          octets.size()) == 1;
}

Result<ByteVector> sign_digest(const PrivateKey& key, bool pss, SignatureHash hash, Bytes octets) {
  const DigestContextPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;
  const EVP_MD* digest = digest_of(hash);
  size_t size = 0;
  if (!context ||
      EVP_DigestSignInit(context.get(), &parameters, digest, nullptr, key.native()) != 1 ||
      (pss && !set_pss(parameters, digest)) ||
      EVP_DigestSign(context.get(), nullptr, &size, octets.data(), octets.size()) != 1) {
    return Error{"the private key does not sign"};
  }
  ByteVector signature(size);
  if (EVP_DigestSign(context.get(), signature.data(), &size, octets.data(), octets.size()) != 1) {
    return Error{"the private key does not sign"};
  }
  signature.resize(size);
  return signature;
}

// RFC 4754 section 7: the curve fixes the hash; r and s have the size of the curve's order.
struct RawEcdsa {
  AuthMethod method = AuthMethod::kEcdsaP256;
  SignatureHash hash = SignatureHash::kSha256;
  size_t half_size = 32;
};
RawEcdsa raw_ecdsa(unsigned bits) {
  if (bits == 384) return {AuthMethod::kEcdsaP384, SignatureHash::kSha384, 48};
  if (bits == 521) return {AuthMethod::kEcdsaP521, SignatureHash::kSha512, 66};
  return {};
}

Result<ByteVector> ecdsa_der_to_raw(Bytes der, size_t half_size) {
  const uint8_t* at = der.data();
  const EcdsaSigPtr signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  ByteVector raw(2 * half_size);
  const int half = static_cast<int>(half_size);
  if (!signature || BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), raw.data(), half) != half ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), raw.data() + half, half) != half) {
    return Error{"the private key does not sign"};
  }
  return raw;
}

// Empty where the size is not exactly that of r and s.
ByteVector ecdsa_raw_to_der(Bytes raw, size_t half_size) {
  if (raw.size() != 2 * half_size) return {};
  const int half = static_cast<int>(half_size);
  BignumPtr r(BN_bin2bn(raw.data(), half, nullptr));
  BignumPtr s(BN_bin2bn(raw.data() + half, half, nullptr));
  const EcdsaSigPtr signature(ECDSA_SIG_new());
  if (!r || !s || !signature || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return {};
  (void)r.release();
  (void)s.release();
  return der_of(i2d_ECDSA_SIG, signature.get());
}

bool contains(const std::vector<SignatureHash>& hashes, SignatureHash hash) {
  return std::find(hashes.begin(), hashes.end(), hash) != hashes.end();
}

// The best fit to the strength of the key first.
std::vector<SignatureHash> preferred_hashes(const PublicKey& key) {
  using enum SignatureHash;
  if (key.type() == KeyType::kEd25519) return {kIdentity};
  if (key.type() == KeyType::kEcdsa && key.bits() == 384) return {kSha384, kSha512, kSha256};
  if (key.type() == KeyType::kEcdsa && key.bits() == 521) return {kSha512, kSha384, kSha256};
  return {kSha256, kSha384, kSha512};
}

bool wants_pss(const SignatureConstraints& constraints, const PublicKey& key) {
  if (key.type() != KeyType::kRsa) return false;
  for (const auto& scheme : constraints.schemes) {
    if (scheme.key == KeyType::kRsa && key.bits() >= scheme.bits_min) return scheme.pss;
  }
  return false;
}

Result<AuthValue> sign_rfc7427(const PrivateKey& key, const SignatureConstraints& constraints,
                               const std::vector<SignatureHash>& peer_hashes, Bytes octets) {
  const PublicKey& public_key = key.public_key();
  const bool pss = wants_pss(constraints, public_key);
  for (const SignatureHash hash : preferred_hashes(public_key)) {
    if (!contains(peer_hashes, hash) ||
        !allows(constraints, key.type(), public_key.bits(), hash, pss)) {
      continue;
    }
    PENSTOCK_TRY(const ByteVector signature, sign_digest(key, pss, hash, octets));
    const ByteVector identifier = algorithm_identifier({key.type(), pss, hash});
    AuthValue payload{AuthMethod::kSignature, {static_cast<uint8_t>(identifier.size())}};
    payload.data.insert(payload.data.end(), identifier.begin(), identifier.end());
    payload.data.insert(payload.data.end(), signature.begin(), signature.end());
    return payload;
  }
  return errorf("no hash for a signature by this %s key that the peer and `auth` allow",
                to_string(key.type()));
}

// For peers without RFC 7427.
Result<AuthValue> sign_classic(const PrivateKey& key, const SignatureConstraints& constraints,
                               Bytes octets) {
  const PublicKey& public_key = key.public_key();
  if (key.type() == KeyType::kEd25519) {
    return Error{"the peer does not take signatures by Ed25519 (RFC 7427 is needed)"};
  }
  if (key.type() == KeyType::kEcdsa) {
    const RawEcdsa raw = raw_ecdsa(public_key.bits());
    if (!allows(constraints, key.type(), public_key.bits(), raw.hash, false)) {
      return Error{"the peer takes only the hash of the curve, which `auth` does not allow"};
    }
    PENSTOCK_TRY(const ByteVector der, sign_digest(key, false, raw.hash, octets));
    PENSTOCK_TRY(ByteVector signature, ecdsa_der_to_raw(der, raw.half_size));
    return AuthValue{raw.method, std::move(signature)};
  }
  // RFC 7296 section 3.8: SHA-1 unless one knows that the peer prefers another hash.
  for (const SignatureHash hash : {SignatureHash::kSha1, SignatureHash::kSha256,
                                   SignatureHash::kSha384, SignatureHash::kSha512}) {
    if (!allows(constraints, KeyType::kRsa, public_key.bits(), hash, false)) continue;
    PENSTOCK_TRY(ByteVector signature, sign_digest(key, false, hash, octets));
    return AuthValue{AuthMethod::kRsa, std::move(signature)};
  }
  return Error{"the peer takes only PKCS#1 v1.5, which `auth` does not allow"};
}

SignatureVerdict verify_rsa_classic(const PublicKey& key, const SignatureConstraints& constraints,
                                    Bytes data, Bytes octets) {
  const ByteVector recovered = rsa_recover(key, data);
  for (const SignatureHash hash : {SignatureHash::kSha1, SignatureHash::kSha256,
                                   SignatureHash::kSha384, SignatureHash::kSha512}) {
    const ByteVector expected = pkcs1_encoding(hash, octets, recovered.size());
    if (expected.empty() || !equal_bytes(recovered, expected)) continue;
    return allows(constraints, KeyType::kRsa, key.bits(), hash, false)
               ? SignatureVerdict::kGood
               : SignatureVerdict::kRefusedByPolicy;
  }
  return SignatureVerdict::kBad;
}

// RFC 7427 section 3: length of the AlgorithmIdentifier, the AlgorithmIdentifier, the signature.
SignatureVerdict verify_rfc7427(const PublicKey& key, const SignatureConstraints& constraints,
                                Bytes data, Bytes octets) {
  Reader reader(data);
  const Bytes identifier = reader.take(reader.u8());
  const Bytes signature = reader.take_rest();
  if (!reader.ok() || identifier.empty()) return SignatureVerdict::kBad;
  const auto algorithm = find_algorithm(identifier);
  if (!algorithm) return SignatureVerdict::kRefusedByPolicy;
  if (algorithm->key != key.type()) return SignatureVerdict::kMethodMismatch;
  if (!allows(constraints, key.type(), key.bits(), algorithm->hash, algorithm->pss)) {
    return SignatureVerdict::kRefusedByPolicy;
  }
  const bool good = key.type() == KeyType::kRsa && !algorithm->pss
                        ? verify_pkcs1(key, algorithm->hash, signature, octets)
                        : verify_digest(key, algorithm->pss, algorithm->hash, signature, octets);
  return good ? SignatureVerdict::kGood : SignatureVerdict::kBad;
}

}  // namespace

std::vector<SignatureHash> offered_signature_hashes() {
  return {SignatureHash::kSha256, SignatureHash::kSha384, SignatureHash::kSha512,
          SignatureHash::kIdentity};
}

const char* to_string(SignatureVerdict verdict) {
  switch (verdict) {
    case SignatureVerdict::kGood:
      return "good";
    case SignatureVerdict::kBad:
      return "signature does not verify";
    case SignatureVerdict::kMethodMismatch:
      return "authentication method does not fit the key";
    case SignatureVerdict::kRefusedByPolicy:
      return "signature algorithm not allowed";
  }
  return "unknown";
}

Result<AuthValue> sign_auth(const PrivateKey& key, const SignatureConstraints& constraints,
                            const std::vector<SignatureHash>& peer_hashes, Bytes octets) {
  const ErrorQueueGuard guard;
  return peer_hashes.empty() ? sign_classic(key, constraints, octets)
                             : sign_rfc7427(key, constraints, peer_hashes, octets);
}

SignatureVerdict verify_auth(const PublicKey& key, const SignatureConstraints& constraints,
                             bool announced_hashes, AuthMethod method, Bytes data, Bytes octets) {
  const ErrorQueueGuard guard;
  switch (method) {
    case AuthMethod::kRsa:
      if (key.type() != KeyType::kRsa) return SignatureVerdict::kMethodMismatch;
      return verify_rsa_classic(key, constraints, data, octets);
    case AuthMethod::kEcdsaP256:
    case AuthMethod::kEcdsaP384:
    case AuthMethod::kEcdsaP521: {
      const RawEcdsa raw = raw_ecdsa(key.bits());
      if (key.type() != KeyType::kEcdsa || raw.method != method) {
        return SignatureVerdict::kMethodMismatch;
      }
      if (!allows(constraints, KeyType::kEcdsa, key.bits(), raw.hash, false)) {
        return SignatureVerdict::kRefusedByPolicy;
      }
      const ByteVector der = ecdsa_raw_to_der(data, raw.half_size);
      return !der.empty() && verify_digest(key, false, raw.hash, der, octets)
                 ? SignatureVerdict::kGood
                 : SignatureVerdict::kBad;
    }
    case AuthMethod::kSignature:
      if (!announced_hashes) return SignatureVerdict::kMethodMismatch;
      return verify_rfc7427(key, constraints, data, octets);
    case AuthMethod::kSharedKey:
    case AuthMethod::kNull:
      break;
  }
  return SignatureVerdict::kMethodMismatch;
}

}  // namespace penstock::ike
