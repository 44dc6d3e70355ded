// libFuzzer target: the content of AUTH payloads under public keys whose private keys are gone. The
// first byte chooses the key, the second is the method.
//
// Check beside crashes: nothing verifies.
#include <cstdlib>

#include "controlplane/ike/auth/signature.h"
#include "tests/unit/ike_auth/test_pki.h"

using namespace penstock;
using namespace penstock::ike;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<PublicKey> keys = [] {
    std::vector<PublicKey> made;
    for (const auto algorithm : {test::Algorithm::kRsa2048, test::Algorithm::kP256,
                                 test::Algorithm::kP521, test::Algorithm::kEd25519}) {
      made.push_back(PublicKey::from_native(test::make_key(algorithm).native.get()).value());
    }
    return made;
  }();
  if (size < 2) return 0;
  const Bytes value(data + 2, size - 2);
  const auto verdict = verify_auth(keys[data[0] % keys.size()], {}, true, AuthMethod{data[1]},
                                   value, bytes_of("octets"));
  if (verdict == SignatureVerdict::kGood) std::abort();
  return 0;
}
