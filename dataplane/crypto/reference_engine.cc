// The slow reference, one packet at a time: libsodium for ChaCha20-Poly1305, OpenSSL for the rest.
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

#include <cstring>
#include <vector>

#include "dataplane/crypto/aead.h"
#include "gateway/base/bytes.h"
#include "gateway/base/secret.h"

namespace penstock {
namespace {

static_assert(kAeadTagBytes == crypto_aead_chacha20poly1305_IETF_ABYTES);
static_assert(kAeadNonceBytes == crypto_aead_chacha20poly1305_IETF_NPUBBYTES);

// Its form of keys.
struct ReferenceKey {
  uint8_t cipher[32];
  uint8_t auth[32];
};

class ReferenceEngine : public AeadEngine {
 public:
  void seal(std::span<AeadJob> jobs) final {
    for (AeadJob& job : jobs) {
      job.ok = seal_one(job, data_of(job), *static_cast<const ReferenceKey*>(job.key));
    }
  }
  void open(std::span<AeadJob> jobs) final {
    for (AeadJob& job : jobs) {
      job.ok = open_one(job, data_of(job), *static_cast<const ReferenceKey*>(job.key));
    }
  }
  void expand_key(const SaKeys& keys, void* to) const final {
    auto* key = static_cast<ReferenceKey*>(to);
    std::memcpy(key->cipher, keys.cipher_key.data(), sizeof key->cipher);
    std::memcpy(key->auth, keys.auth_key.data(), sizeof key->auth);
  }

 private:
  virtual bool seal_one(const AeadJob& job, uint8_t* data, const ReferenceKey& key) = 0;
  virtual bool open_one(const AeadJob& job, uint8_t* data, const ReferenceKey& key) = 0;
  // Neither library takes a null pointer, even to nothing.
  uint8_t* data_of(const AeadJob& job) { return job.length != 0 ? job.data : &nothing_; }

  uint8_t nothing_ = 0;
};

class SodiumEngine final : public ReferenceEngine {
 public:
  [[nodiscard]] std::string description() const override {
    return std::string("libsodium ") + sodium_version_string();
  }

 private:
  bool seal_one(const AeadJob& job, uint8_t* data, const ReferenceKey& key) override {
    return crypto_aead_chacha20poly1305_ietf_encrypt_detached(data, job.tag, nullptr, data,
                                                              job.length, job.aad, job.aad_length,
                                                              nullptr, job.nonce, key.cipher) == 0;
  }
  bool open_one(const AeadJob& job, uint8_t* data, const ReferenceKey& key) override {
    return crypto_aead_chacha20poly1305_ietf_decrypt_detached(data, nullptr, data, job.length,
                                                              job.tag, job.aad, job.aad_length,
                                                              job.nonce, key.cipher) == 0;
  }
};

struct ContextDeleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, ContextDeleter>;

class OpensslEngine : public ReferenceEngine {
 public:
  explicit OpensslEngine(const EVP_CIPHER* cipher)
      : context_(EVP_CIPHER_CTX_new()), cipher_(cipher) {}
  [[nodiscard]] bool works() const { return context_ != nullptr; }
  [[nodiscard]] std::string description() const override {
    return std::string("OpenSSL ") + OPENSSL_VERSION_TEXT;
  }

 protected:
  Context context_;
  const EVP_CIPHER* cipher_;
};

class OpensslGcmEngine final : public OpensslEngine {
 public:
  using OpensslEngine::OpensslEngine;

 private:
  bool run(const AeadJob& job, uint8_t* data, const ReferenceKey& key, int encrypt) {
    int done = 0;
    return EVP_CipherInit_ex(context_.get(), cipher_, nullptr, key.cipher, job.nonce, encrypt) ==
               1 &&
           (job.aad_length == 0 || EVP_CipherUpdate(context_.get(), nullptr, &done, job.aad,
                                                    static_cast<int>(job.aad_length)) == 1) &&
           EVP_CipherUpdate(context_.get(), data, &done, data, static_cast<int>(job.length)) == 1;
  }
  bool seal_one(const AeadJob& job, uint8_t* data, const ReferenceKey& key) override {
    int done = 0;
    return run(job, data, key, 1) && EVP_CipherFinal_ex(context_.get(), data, &done) == 1 &&
           EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, kAeadTagBytes, job.tag) == 1;
  }
  bool open_one(const AeadJob& job, uint8_t* data, const ReferenceKey& key) override {
    int done = 0;
    return run(job, data, key, 0) &&
           EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, kAeadTagBytes, job.tag) ==
               1 &&
           EVP_CipherFinal_ex(context_.get(), data, &done) == 1;
  }
};

class OpensslCbcEngine final : public OpensslEngine {
 public:
  using OpensslEngine::OpensslEngine;

 private:
  bool run(const AeadJob& job, uint8_t* data, const ReferenceKey& key, int encrypt) {
    int done = 0;
    return EVP_CipherInit_ex(context_.get(), cipher_, nullptr, key.cipher, data - kCbcIvBytes,
                             encrypt) == 1 &&
           EVP_CIPHER_CTX_set_padding(context_.get(), 0) == 1 &&
           EVP_CipherUpdate(context_.get(), data, &done, data, static_cast<int>(job.length)) == 1;
  }
  static bool authenticate(const AeadJob& job, const ReferenceKey& key, uint8_t* tag) {
    const uint8_t* first = job.data - job.aad_length;
    std::vector<uint8_t> message(first, first + job.aad_length + job.length);
    if (job.appends_sequence_high) {
      const auto* high = reinterpret_cast<const uint8_t*>(&job.sequence_high);
      message.insert(message.end(), high, high + sizeof job.sequence_high);
    }
    uint8_t full[EVP_MAX_MD_SIZE];
    if (HMAC(EVP_sha256(), key.auth, sizeof key.auth, message.data(), message.size(), full,
             nullptr) == nullptr) {
      return false;
    }
    std::memcpy(tag, full, kAeadTagBytes);
    return true;
  }
  bool seal_one(const AeadJob& job, uint8_t* data, const ReferenceKey& key) override {
    return run(job, data, key, 1) && authenticate(job, key, job.tag);
  }
  bool open_one(const AeadJob& job, uint8_t* data, const ReferenceKey& key) override {
    uint8_t computed[kAeadTagBytes];
    return authenticate(job, key, computed) &&
           equal_constant_time(computed, {job.tag, kAeadTagBytes}) && run(job, data, key, 0);
  }
};

template <class Engine>
Result<std::unique_ptr<AeadEngine>> make_openssl(const EVP_CIPHER* cipher) {
  auto engine = std::make_unique<Engine>(cipher);
  if (!engine->works()) return errorf("OpenSSL does not start");
  return std::unique_ptr<AeadEngine>(std::move(engine));
}

Result<std::unique_ptr<AeadEngine>> make(SaAlgorithm algorithm) {
  switch (algorithm) {
    case SaAlgorithm::kChacha20Poly1305:
      if (sodium_init() < 0) return errorf("libsodium does not start");
      return std::unique_ptr<AeadEngine>(std::make_unique<SodiumEngine>());
    case SaAlgorithm::kAes128Gcm16:
      return make_openssl<OpensslGcmEngine>(EVP_aes_128_gcm());
    case SaAlgorithm::kAes256Gcm16:
      return make_openssl<OpensslGcmEngine>(EVP_aes_256_gcm());
    case SaAlgorithm::kAes128CbcSha256:
      return make_openssl<OpensslCbcEngine>(EVP_aes_128_cbc());
    case SaAlgorithm::kAes256CbcSha256:
      return make_openssl<OpensslCbcEngine>(EVP_aes_256_cbc());
  }
  return errorf("unknown packet cipher %u", static_cast<unsigned>(algorithm));
}

}  // namespace

Result<std::unique_ptr<AeadEngine>> make_reference_engine(SaAlgorithm algorithm) {
  PENSTOCK_TRY(std::unique_ptr<AeadEngine> engine, make(algorithm));
  PENSTOCK_CHECK(aead_self_test(*engine, algorithm));
  return engine;
}

}  // namespace penstock
