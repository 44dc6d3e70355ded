#include "controlplane/crypto/blake2s.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "controlplane/crypto/digest.h"

namespace penstock {
namespace {

void require(bool ok) {
  if (ok) return;
  std::fputs("penstock: BLAKE2s of OpenSSL does not work\n", stderr);
  std::abort();
}

struct Free {
  void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};

// Fetching costs microseconds, so each thread does it once.
class Mac {
 public:
  Mac()
      : mac_(EVP_MAC_fetch(nullptr, "BLAKE2SMAC", nullptr)), context_(EVP_MAC_CTX_new(mac_.get())) {
    require(mac_ != nullptr && context_ != nullptr);
  }
  Mac128 compute(Bytes key, Bytes data) {
    size_t size = sizeof(Mac128);
    const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                                     OSSL_PARAM_construct_end()};
    Mac128 out{};
    size_t length = 0;
    require(EVP_MAC_init(context_.get(), key.data(), key.size(), parameters) == 1 &&
            EVP_MAC_update(context_.get(), data.data(), data.size()) == 1 &&
            EVP_MAC_final(context_.get(), out.data(), &length, out.size()) == 1 &&
            length == out.size());
    return out;
  }

 private:
  std::unique_ptr<EVP_MAC, Free> mac_;
  std::unique_ptr<EVP_MAC_CTX, Free> context_;
};

}  // namespace

Secret<32> blake2s(std::initializer_list<Bytes> parts) {
  Digest& digest = Digest::blake2s();
  Secret<32> out;
  digest.begin();
  for (const Bytes part : parts) digest.add(part);
  digest.end(out.mutable_bytes());
  return out;
}

Mac128 blake2s_mac128(Bytes key, Bytes data) {
  thread_local Mac mac;
  return mac.compute(key, data);
}

Secret<32> hmac_blake2s(const Secret<32>& key, std::initializer_list<Bytes> parts) {
  constexpr size_t kBlockSize = 64;
  Secret<kBlockSize> pad;
  const auto fill = [&](uint8_t mask) {
    for (size_t i = 0; i < kBlockSize; ++i) {
      pad.data()[i] = static_cast<uint8_t>((i < key.size() ? key.data()[i] : 0) ^ mask);
    }
  };
  Digest& digest = Digest::blake2s();
  Secret<32> inner;
  fill(0x36);
  digest.begin();
  digest.add(pad.bytes());
  for (const Bytes part : parts) digest.add(part);
  digest.end(inner.mutable_bytes());
  fill(0x5c);
  return blake2s({pad.bytes(), inner.bytes()});
}

void kdf_blake2s(const Secret<32>& key, Bytes input, std::span<Secret<32>* const> outputs) {
  const Secret<32> extracted = hmac_blake2s(key, {input});
  Secret<32> previous;
  uint8_t counter = 0;
  for (Secret<32>* const output : outputs) {
    ++counter;
    const Bytes number(&counter, 1);
    previous = counter == 1 ? hmac_blake2s(extracted, {number})
                            : hmac_blake2s(extracted, {previous.bytes(), number});
    *output = previous;
  }
}

}  // namespace penstock
