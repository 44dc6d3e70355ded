#include "controlplane/ike/crypto/hmac.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "controlplane/ike/crypto/openssl_handles.h"
#include "gateway/base/secret.h"

namespace penstock::ike {
namespace {

void require(bool ok) {
  if (ok) return;
  std::fputs("penstock: HMAC of OpenSSL does not work\n", stderr);
  std::abort();
}

}  // namespace

struct Hmac::Context {
  explicit Context(const char* digest) {
    const openssl::Owned<EVP_MAC> mac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
    require(mac != nullptr);
    context.reset(EVP_MAC_CTX_new(mac.get()));
    require(context != nullptr);
    char name[16] = {};
    std::snprintf(name, sizeof name, "%s", digest);
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end()};
    require(EVP_MAC_CTX_set_params(context.get(), parameters) == 1);
  }
  openssl::Owned<EVP_MAC_CTX> context;
};

Hmac::Context& Hmac::context_of(HashId hash) {
  thread_local Context sha256("SHA256");
  thread_local Context sha384("SHA384");
  thread_local Context sha512("SHA512");
  switch (hash) {
    case HashId::kSha256:
      return sha256;
    case HashId::kSha384:
      return sha384;
    case HashId::kSha512:
      return sha512;
  }
  return sha512;
}

Hmac::Hmac(HashId hash) : context_(context_of(hash)) {}

void Hmac::begin(Bytes key) {
  // An empty key is a key: OpenSSL takes a null pointer for "the one before".
  static constexpr uint8_t kNothing = 0;
  const uint8_t* bytes = key.empty() ? &kNothing : key.data();
  require(EVP_MAC_init(context_.context.get(), bytes, key.size(), nullptr) == 1);
}

void Hmac::restart() { require(EVP_MAC_init(context_.context.get(), nullptr, 0, nullptr) == 1); }

void Hmac::add(Bytes data) {
  if (data.empty()) return;
  require(EVP_MAC_update(context_.context.get(), data.data(), data.size()) == 1);
}

void Hmac::end(MutableBytes out) {
  uint8_t whole[EVP_MAX_MD_SIZE];
  size_t size = 0;
  require(EVP_MAC_final(context_.context.get(), whole, &size, sizeof whole) == 1 &&
          size >= out.size());
  std::copy_n(whole, out.size(), out.begin());
  wipe(whole);
}

}  // namespace penstock::ike
