#include "dataplane/crypto/cbc_iv.h"

#include <cstdlib>

#include "dataplane/crypto/ipsec_mb.h"

namespace penstock {

struct CbcIvSource::Cipher {
  ImbManager manager;
  IMB_JOB job{};
  alignas(64) uint8_t schedule[16 * 15] = {};
  alignas(64) uint8_t decryption_schedule[16 * 15] = {};  // which the library makes too
};

CbcIvSource::CbcIvSource(RandomSource& random) : cipher_(std::make_unique<Cipher>()) {
  auto manager = make_imb_manager(AeadPath::kBest);
  if (!manager.ok()) std::abort();  // the engines beside it have started
  cipher_->manager = std::move(*manager);
  random.fill(MutableBytes(pool_).first(kKeyBytes));
  refill();
}

CbcIvSource::~CbcIvSource() {
  wipe(pool_.data(), pool_.size());
  wipe(cipher_->schedule, sizeof cipher_->schedule);
  wipe(cipher_->decryption_schedule, sizeof cipher_->decryption_schedule);
}

void CbcIvSource::refill() {
  // Zeros in, so that key stream comes out; the counter begins anew under each key.
  static constexpr uint8_t kCounter[16] = {};
  IMB_MGR* manager = cipher_->manager.get();
  IMB_AES_KEYEXP_256(manager, pool_.data(), cipher_->schedule, cipher_->decryption_schedule);
  pool_.fill(0);
  IMB_JOB& job = cipher_->job;
  job.cipher_mode = IMB_CIPHER_CNTR;
  job.hash_alg = IMB_AUTH_NULL;
  job.cipher_direction = IMB_DIR_ENCRYPT;
  job.chain_order = IMB_ORDER_CIPHER_HASH;
  job.key_len_in_bytes = kKeyBytes;
  job.enc_keys = cipher_->schedule;
  job.iv = kCounter;
  job.iv_len_in_bytes = sizeof kCounter;
  job.src = job.dst = pool_.data();
  job.msg_len_to_cipher_in_bytes = pool_.size();
  if (IMB_SUBMIT_CIPHER_BURST(manager, &job, 1, IMB_CIPHER_CNTR, IMB_DIR_ENCRYPT,
                              IMB_KEY_256_BYTES) != 1) {
    std::abort();  // rather than vectors that can be foretold
  }
  at_ = kKeyBytes;
}

}  // namespace penstock
