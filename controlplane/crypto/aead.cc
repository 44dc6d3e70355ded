#include "controlplane/crypto/aead.h"

#include <sodium.h>

#include <cassert>

#include "gateway/base/byte_order.h"

namespace penstock {
namespace {

std::array<uint8_t, 12> nonce_of(uint64_t counter) {
  std::array<uint8_t, 12> nonce{};
  store_unaligned(nonce.data() + 4, Le64(counter));
  return nonce;
}

}  // namespace

void chacha20_poly1305_seal(const Secret<32>& key, uint64_t counter, Bytes additional, Bytes plain,
                            MutableBytes sealed) {
  assert(sealed.size() == plain.size() + kAeadTagSize);
  const auto nonce = nonce_of(counter);
  crypto_aead_chacha20poly1305_ietf_encrypt(sealed.data(), nullptr, plain.data(), plain.size(),
                                            additional.data(), additional.size(), nullptr,
                                            nonce.data(), key.data());
}

bool chacha20_poly1305_open(const Secret<32>& key, uint64_t counter, Bytes additional, Bytes sealed,
                            MutableBytes plain) {
  if (sealed.size() != plain.size() + kAeadTagSize) return false;
  const auto nonce = nonce_of(counter);
  if (crypto_aead_chacha20poly1305_ietf_decrypt(plain.data(), nullptr, nullptr, sealed.data(),
                                                sealed.size(), additional.data(), additional.size(),
                                                nonce.data(), key.data()) == 0) {
    return true;
  }
  wipe(plain);
  return false;
}

void xchacha20_poly1305_seal(const Secret<32>& key, const XchachaNonce& nonce, Bytes additional,
                             Bytes plain, MutableBytes sealed) {
  assert(sealed.size() == plain.size() + kAeadTagSize);
  crypto_aead_xchacha20poly1305_ietf_encrypt(sealed.data(), nullptr, plain.data(), plain.size(),
                                             additional.data(), additional.size(), nullptr,
                                             nonce.data(), key.data());
}

bool xchacha20_poly1305_open(const Secret<32>& key, const XchachaNonce& nonce, Bytes additional,
                             Bytes sealed, MutableBytes plain) {
  if (sealed.size() != plain.size() + kAeadTagSize) return false;
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(
          plain.data(), nullptr, nullptr, sealed.data(), sealed.size(), additional.data(),
          additional.size(), nonce.data(), key.data()) == 0) {
    return true;
  }
  wipe(plain);
  return false;
}

}  // namespace penstock
