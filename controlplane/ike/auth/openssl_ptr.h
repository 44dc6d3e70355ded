// Owners of OpenSSL objects, for the sources of this folder and of EAP; no public header needs it.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

#include "gateway/base/bytes.h"
#include "gateway/base/clock.h"

namespace penstock::ike {

template <auto kFree>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using BioPtr = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using PkeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, OpensslFree<EVP_PKEY_CTX_free>>;
using DigestContextPtr = std::unique_ptr<EVP_MD_CTX, OpensslFree<EVP_MD_CTX_free>>;
using BignumPtr = std::unique_ptr<BIGNUM, OpensslFree<BN_clear_free>>;

// Leaves the error queue of the thread empty, however a function is left: what a peer sent may not
// show up in a later call.
struct ErrorQueueGuard {
  ErrorQueueGuard() { ERR_clear_error(); }
  ~ErrorQueueGuard() { ERR_clear_error(); }
  ErrorQueueGuard(const ErrorQueueGuard&) = delete;
  ErrorQueueGuard& operator=(const ErrorQueueGuard&) = delete;
};

// DER of an object that i2d_... of OpenSSL writes; empty where it cannot.
template <class T>
ByteVector der_of(int (*encode)(T*, unsigned char**), std::remove_const_t<T>* object) {
  unsigned char* bytes = nullptr;
  const int size = encode(object, &bytes);
  ByteVector out;
  if (size > 0) out.assign(bytes, bytes + size);
  OPENSSL_free(bytes);
  return out;
}

// Nanoseconds since 1970, clamped to what fits: certificates may be valid until the year 9999.
bool wall_time_of(const ASN1_TIME* time, Nanoseconds& out);

}  // namespace penstock::ike
