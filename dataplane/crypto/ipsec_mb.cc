#include "dataplane/crypto/ipsec_mb.h"

namespace penstock {
namespace {

void initialise(IMB_MGR* manager, AeadPath path) {
  switch (path) {
    case AeadPath::kBest:
      init_mb_mgr_auto(manager, nullptr);
      return;
    case AeadPath::kSse:
      init_mb_mgr_sse(manager);
      return;
    case AeadPath::kAvx:
      init_mb_mgr_avx(manager);
      return;
    case AeadPath::kAvx2:
      init_mb_mgr_avx2(manager);
      return;
    case AeadPath::kAvx512:
      init_mb_mgr_avx512(manager);
      return;
  }
}

uint64_t features_needed(AeadPath path) {
  switch (path) {
    case AeadPath::kBest:
      return 0;
    case AeadPath::kSse:
      return IMB_CPUFLAGS_SSE;
    case AeadPath::kAvx:
      return IMB_CPUFLAGS_AVX;
    case AeadPath::kAvx2:
      return IMB_CPUFLAGS_AVX2;
    case AeadPath::kAvx512:
      return IMB_CPUFLAGS_AVX512;
  }
  return 0;
}

// The state of HMAC (RFC 2104) behind the first block: the key, filled up with zeros, ^ `pad`.
void hash_key_block(const IMB_MGR& manager, const Secret<32>& key, uint8_t pad, uint8_t* to) {
  uint8_t block[SHA_256_BLOCK_SIZE];
  std::memset(block, pad, sizeof block);
  for (size_t i = 0; i < key.size(); ++i) block[i] = static_cast<uint8_t>(key.data()[i] ^ pad);
  IMB_SHA256_ONE_BLOCK(&manager, block, to);
  wipe(block, sizeof block);
}

}  // namespace

Result<ImbManager> make_imb_manager(AeadPath path) {
  // Built for one layout of IMB_JOB and IMB_MGR: the calls are macros over these structures.
  if (imb_get_version() != IMB_VERSION_NUM) {
    return errorf("ipsec-mb is version %s, this program was built for %s", imb_get_version_str(),
                  IMB_VERSION_STR);
  }
  ImbManager manager(alloc_mb_mgr(0));
  if (manager == nullptr) return errorf("ipsec-mb: no memory for a job manager");
  if ((manager->features & features_needed(path)) != features_needed(path)) {
    return errorf("ipsec-mb: this CPU has no such instruction set");
  }
  initialise(manager.get(), path);
  if (const int error = imb_get_errno(manager.get()); error != 0) {
    return errorf("ipsec-mb does not start: %s", imb_get_strerror(error));
  }
  const uint64_t features = manager->features;
  if ((features & IMB_FEATURE_SELF_TEST) != 0 && (features & IMB_FEATURE_SELF_TEST_PASS) == 0) {
    return errorf("ipsec-mb failed its own self-test");
  }
  return manager;
}

std::string describe(const IMB_MGR& manager) {
  const char* path = "?";
  switch (manager.used_arch) {
    case IMB_ARCH_NOAESNI:
      path = "sse without aes";
      break;
    case IMB_ARCH_SSE:
      path = "sse";
      break;
    case IMB_ARCH_AVX:
      path = "avx";
      break;
    case IMB_ARCH_AVX2:
      path = "avx2";
      break;
    case IMB_ARCH_AVX512:
      path = "avx512";
      break;
    default:
      break;
  }
  return std::string("ipsec-mb ") + imb_get_version_str() + " " + path;
}

static_assert(sizeof(gcm_key_data) <= expanded_key_bytes(SaAlgorithm::kAes128Gcm16));
static_assert(sizeof(gcm_key_data) <= expanded_key_bytes(SaAlgorithm::kAes256Gcm16));
static_assert(sizeof(CbcKey) == expanded_key_bytes(SaAlgorithm::kAes128CbcSha256));
static_assert(sizeof(CbcKey) == expanded_key_bytes(SaAlgorithm::kAes256CbcSha256));

void expand_imb_key(const IMB_MGR& manager, SaAlgorithm algorithm, const SaKeys& keys, void* to) {
  const uint8_t* cipher_key = keys.cipher_key.data();
  auto* cbc = static_cast<CbcKey*>(to);
  std::memset(to, 0, expanded_key_bytes(algorithm));
  switch (algorithm) {
    case SaAlgorithm::kChacha20Poly1305:
      std::memcpy(to, cipher_key, keys.cipher_key.size());
      return;
    case SaAlgorithm::kAes128Gcm16:
      IMB_AES128_GCM_PRE(&manager, cipher_key, static_cast<gcm_key_data*>(to));
      return;
    case SaAlgorithm::kAes256Gcm16:
      IMB_AES256_GCM_PRE(&manager, cipher_key, static_cast<gcm_key_data*>(to));
      return;
    case SaAlgorithm::kAes128CbcSha256:
      IMB_AES_KEYEXP_128(&manager, cipher_key, cbc->encrypt, cbc->decrypt);
      break;
    case SaAlgorithm::kAes256CbcSha256:
      IMB_AES_KEYEXP_256(&manager, cipher_key, cbc->encrypt, cbc->decrypt);
      break;
  }
  hash_key_block(manager, keys.auth_key, 0x36, cbc->inner);
  hash_key_block(manager, keys.auth_key, 0x5c, cbc->outer);
}

Status expand_key(SaAlgorithm algorithm, const SaKeys& keys, void* to) {
  static const Result<ImbManager> manager = make_imb_manager(AeadPath::kBest);
  if (!manager.ok()) return manager.error();
  expand_imb_key(*manager.value(), algorithm, keys, to);
  return {};
}

Result<std::unique_ptr<AeadEngine>> make_ipsec_mb_engine(SaAlgorithm algorithm, AeadPath path) {
  const auto make = [&] {
    return algorithm == SaAlgorithm::kChacha20Poly1305 ? make_chacha20_poly1305_engine(path)
           : is_cbc(algorithm)                         ? make_cbc_engine(algorithm, path)
                                                       : make_gcm_engine(algorithm, path);
  };
  PENSTOCK_TRY(std::unique_ptr<AeadEngine> engine, make());
  PENSTOCK_CHECK(aead_self_test(*engine, algorithm));
  return engine;
}

Result<AeadEngines> AeadEngines::create() {
  All engines;
  for (size_t i = 0; i < kSaAlgorithmCount; ++i) {
    PENSTOCK_TRY(engines[i], make_ipsec_mb_engine(static_cast<SaAlgorithm>(i)));
  }
  return AeadEngines(std::move(engines));
}

}  // namespace penstock
