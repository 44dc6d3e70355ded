// libFuzzer target: certificates, CRLs, OCSP responses, keys. The first byte says what the rest is;
// half of the kinds are only the part that is signed, and a CA that is trusted here signs it, so
// that the input gets past the signature.
//
// Checks beside crashes: nothing that the trusted CA did not sign is good; what is good confirms
// the identity that was asked for.
#include <openssl/evp.h>
#include <openssl/ocsp.h>

#include <cstdlib>

#include "controlplane/ike/auth/chain.h"
#include "controlplane/ike/auth/der.h"
#include "tests/unit/ike_auth/test_pki.h"

using namespace penstock;
using namespace penstock::ike;
using test::Entity;
using test::kNow;

namespace {

struct World {
  Entity root = Entity::root("root");
  Entity leaf = root.issue({});
  Identity leaf_name = leaf.certificate()->subject();
};
const World& world() {
  static const World made;
  return made;
}

void append(ByteVector& to, Bytes from) { to.insert(to.end(), from.begin(), from.end()); }

// SEQUENCE { to be signed, ecdsa-with-SHA256, BIT STRING }
ByteVector signed_by_root(Bytes to_be_signed) {
  static constexpr uint8_t kAlgorithm[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                           0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ByteVector signature(129);
  size_t size = signature.size() - 1;
  if (EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr,
                         world().root.key().native.get()) != 1 ||
      EVP_DigestSign(context, signature.data() + 1, &size, to_be_signed.data(),
                     to_be_signed.size()) != 1) {
    std::abort();
  }
  EVP_MD_CTX_free(context);
  signature.resize(size + 1);
  ByteVector content = to_vector(to_be_signed);
  append(content, kAlgorithm);
  append(content, der::wrap(der::kBitString, signature));
  return der::wrap(der::kSequence, content);
}

ChainResult verify(CredentialStore& store, const ByteVector& leaf, const ChainPolicy& policy) {
  return verify_chain(*store.snapshot(), {leaf}, policy, kNow);
}

// A leaf. `trusted`: our CA has signed it.
void try_certificate(const ByteVector& der, bool trusted) {
  CredentialStore store;
  if (!store.load_cert("X509", "CA", world().root.der()).ok()) std::abort();
  ChainPolicy policy;
  const ChainResult any = verify(store, der, policy);
  if (any.verdict == ChainVerdict::kGood && !trusted) std::abort();
  if (any.verdict != ChainVerdict::kGood && any.detail.empty()) std::abort();
  policy.identity = Identity::fqdn("moon.x.org");
  policy.role = PeerRole::kServer;
  policy.policies = {"1.2.3.4"};
  const ChainResult named = verify(store, der, policy);
  if (named.verdict == ChainVerdict::kGood && !named.leaf->confirms(policy.identity)) std::abort();
  // As a CA above something.
  (void)store.load_cert("X509", "CA", der);
  (void)verify_chain(*store.snapshot(), {world().leaf.der(), der}, {}, kNow);
}

void try_status(const ByteVector& der, bool is_crl, bool trusted) {
  CredentialStore store;
  if (!store.load_cert("X509", "CA", world().root.der()).ok()) std::abort();
  ChainPolicy policy;
  policy.revocation = RevocationPolicy::kStrict;
  if (is_crl) {
    (void)store.load_cert("X509_CRL", "", der);
  } else {
    const Authority authority{"a", world().root.certificate(), {}, {"http://x/"}};
    if (!store.load_authority(authority).ok()) std::abort();
    const ChainResult before = verify(store, world().leaf.der(), policy);
    (void)store.add_fetched_ocsp(before.to_fetch.at(0).key, der);
  }
  const ChainVerdict verdict = verify(store, world().leaf.der(), policy).verdict;
  if (verdict != ChainVerdict::kRevocationUnknown && !trusted) std::abort();
}

// ResponseData, signed, inside OCSPResponse { successful, { id-pkix-ocsp-basic, ... } }.
ByteVector ocsp_around(const ByteVector& basic) {
  static constexpr uint8_t kOid[] = {0x06, 0x09, 0x2b, 0x06, 0x01, 0x05,
                                     0x05, 0x07, 0x30, 0x01, 0x01};
  ByteVector bytes(std::begin(kOid), std::end(kOid));
  append(bytes, der::wrap(0x04, basic));
  ByteVector response = {0x0a, 0x01, 0x00};
  append(response, der::wrap(0xa0, der::wrap(der::kSequence, bytes)));
  return der::wrap(der::kSequence, response);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > 16384) return 0;
  const Bytes rest(data + 1, size - 1);
  const ByteVector bytes = to_vector(rest);
  switch (data[0] % 8) {
    case 0:
      try_certificate(bytes, false);
      break;
    case 1:
      try_certificate(signed_by_root(rest), true);
      break;
    case 2:
      try_status(bytes, true, false);
      break;
    case 3:
      try_status(signed_by_root(rest), true, true);
      break;
    case 4:
      try_status(bytes, false, false);
      break;
    case 5:
      try_status(ocsp_around(signed_by_root(rest)), false, true);
      break;
    case 6:
      (void)PrivateKey::parse(rest, {}, "secret");
      break;
    default:
      (void)PublicKey::from_spki(rest);
      break;
  }
  return 0;
}
