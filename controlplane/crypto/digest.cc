#include "controlplane/crypto/digest.h"

#include <openssl/evp.h>

#include <cstdio>
#include <cstdlib>

namespace penstock {
namespace {

void require(bool ok) {
  if (ok) return;
  std::fputs("penstock: a hash of OpenSSL does not work\n", stderr);
  std::abort();
}

}  // namespace

Digest::Digest(const char* name)
    : algorithm_(EVP_MD_fetch(nullptr, name, nullptr)), context_(EVP_MD_CTX_new()) {
  require(algorithm_ != nullptr && context_ != nullptr);
  bytes_ = static_cast<size_t>(EVP_MD_get_size(algorithm_));
  block_bytes_ = static_cast<size_t>(EVP_MD_get_block_size(algorithm_));
  require(bytes_ <= kMaxBytes && block_bytes_ <= kMaxBlockBytes);
}

Digest::~Digest() {
  EVP_MD_CTX_free(context_);
  EVP_MD_free(algorithm_);
}

Digest& Digest::sha1() {
  thread_local Digest digest("SHA1");
  return digest;
}
Digest& Digest::sha256() {
  thread_local Digest digest("SHA256");
  return digest;
}
Digest& Digest::sha384() {
  thread_local Digest digest("SHA384");
  return digest;
}
Digest& Digest::sha512() {
  thread_local Digest digest("SHA512");
  return digest;
}
Digest& Digest::blake2s() {
  thread_local Digest digest("BLAKE2S-256");
  return digest;
}

void Digest::begin() { require(EVP_DigestInit_ex2(context_, algorithm_, nullptr) == 1); }

void Digest::add(Bytes data) {
  if (!data.empty()) require(EVP_DigestUpdate(context_, data.data(), data.size()) == 1);
}

void Digest::end(MutableBytes out) {
  unsigned written = 0;
  require(out.size() == bytes_ && EVP_DigestFinal_ex(context_, out.data(), &written) == 1 &&
          written == bytes_);
}

void Digest::compute(Bytes data, MutableBytes out) {
  begin();
  add(data);
  end(out);
}

}  // namespace penstock
