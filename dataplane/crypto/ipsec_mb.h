// What the engines on ipsec-mb share. For the files of this folder only.
#pragma once

#include <intel-ipsec-mb.h>

#include <cstring>
#include <memory>
#include <string>

#include "dataplane/crypto/aead.h"
#include "gateway/base/byte_order.h"
#include "gateway/base/result.h"

namespace penstock {

struct ImbManagerDeleter {
  void operator()(IMB_MGR* manager) const { free_mb_mgr(manager); }
};
using ImbManager = std::unique_ptr<IMB_MGR, ImbManagerDeleter>;

// Initialised for a path; refuses a library or CPU without what it needs.
Result<ImbManager> make_imb_manager(AeadPath path);

// "ipsec-mb 1.3.0 avx512"
std::string describe(const IMB_MGR& manager);

// Time does not depend on the bytes.
inline bool same_tag(const uint8_t* a, const uint8_t* b) {
  static_assert(kAeadTagBytes == 16);
  uint64_t difference = (load_unaligned<uint64_t>(a) ^ load_unaligned<uint64_t>(b)) |
                        (load_unaligned<uint64_t>(a + 8) ^ load_unaligned<uint64_t>(b + 8));
  __asm__ __volatile__("" : "+r"(difference));
  return difference == 0;
}

// One engine a file: chacha20_poly1305_engine.cc, gcm_engine.cc, cbc_engine.cc. Not self-tested.
Result<std::unique_ptr<AeadEngine>> make_chacha20_poly1305_engine(AeadPath path);
Result<std::unique_ptr<AeadEngine>> make_gcm_engine(SaAlgorithm algorithm, AeadPath path);
Result<std::unique_ptr<AeadEngine>> make_cbc_engine(SaAlgorithm algorithm, AeadPath path);

// The forms of keys, by the functions of a manager, which change nothing in it.
void expand_imb_key(const IMB_MGR& manager, SaAlgorithm algorithm, const SaKeys& keys, void* to);

// CBC with HMAC: the form of the key. The layout of the AEADs' is the library's own.
struct alignas(kExpandedKeyAlignment) CbcKey {
  uint8_t inner[SHA256_DIGEST_SIZE_IN_BYTES];  // HMAC's hash of key ^ ipad, and of key ^ opad
  uint8_t outer[SHA256_DIGEST_SIZE_IN_BYTES];
  alignas(16) uint8_t encrypt[16 * 15];
  alignas(64) uint8_t decrypt[16 * 15];
};

}  // namespace penstock
