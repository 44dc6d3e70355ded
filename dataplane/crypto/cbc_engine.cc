// AES-CBC with HMAC-SHA2-256-128 by ipsec-mb's bursts of one cipher and of one hash, which return
// with all jobs complete: nothing is held back, and nothing has to be flushed.
//
// Measured (AES-128, one key, 256 packets in cache, bursts of 32, TSC cycles a packet at 2.6 GHz on
// a Zen 4 core; 80, 528 and 1424 B): two bursts 342, 728 and 1495; chained jobs, submitted and
// flushed, 364, 747 and 1518.
//
// The library's AVX-512 code takes 16 packets at a time. With fewer lanes filled it is slower than
// its SSE code, which uses the CPU's SHA instructions: one packet of 1424 B is hashed in 17,554
// cycles by the one, 2,336 by the other. So small bursts take the latter, and whether full ones do
// (Zen 4: 1,169 against 1,199) is measured at start.
#include <x86intrin.h>

#include <algorithm>
#include <array>

#include "dataplane/crypto/ipsec_mb.h"

namespace penstock {
namespace {

// From here on the wide code is worth its while.
constexpr size_t kWideBurst = 16;

class CbcEngine final : public AeadEngine {
 public:
  // `narrow` may be null: then everything is `wide`.
  CbcEngine(ImbManager wide, ImbManager narrow, SaAlgorithm algorithm)
      : wide_(std::move(wide)),
        narrow_(std::move(narrow)),
        algorithm_(algorithm),
        key_size_(algorithm == SaAlgorithm::kAes128CbcSha256 ? IMB_KEY_128_BYTES
                                                             : IMB_KEY_256_BYTES) {
    fill_in_constants();
    if (narrow_ != nullptr) choose_hash();
  }

  void seal(std::span<AeadJob> jobs) override;
  void open(std::span<AeadJob> jobs) override;

  void expand_key(const SaKeys& keys, void* to) const override {
    expand_imb_key(*wide_, algorithm_, keys, to);
  }

  [[nodiscard]] std::string description() const override { return describe(*wide_); }

 private:
  void fill_in_constants();
  template <IMB_CIPHER_DIRECTION kDirection>
  void fill_in(IMB_JOB& to, const AeadJob& from, uint8_t* tag);
  void choose_hash();
  uint64_t time_hash(IMB_MGR* manager);
  bool hash(uint32_t count);
  bool cipher(IMB_CIPHER_DIRECTION direction, uint32_t count);

  ImbManager wide_, narrow_;
  SaAlgorithm algorithm_;
  IMB_KEY_SIZE_BYTES key_size_;
  size_t wide_hash_from_ = 0;  // jobs
  alignas(64) std::array<IMB_JOB, kAeadMaxBurst> jobs_{};
  // Tags that open() computed, compared with the packets' own.
  alignas(64) std::array<std::array<uint8_t, kAeadTagBytes>, kAeadMaxBurst> computed_{};
  // open(): the tags' first bytes while the ends of sequence numbers stand there.
  std::array<uint32_t, kAeadMaxBurst> put_aside_{};
};

void CbcEngine::fill_in_constants() {
  for (IMB_JOB& job : jobs_) {
    job.cipher_mode = IMB_CIPHER_CBC;
    job.hash_alg = IMB_AUTH_HMAC_SHA_256;
    job.key_len_in_bytes = static_cast<uint64_t>(key_size_);
    job.iv_len_in_bytes = kCbcIvBytes;
    job.auth_tag_output_len_in_bytes = kAeadTagBytes;
  }
}

// Fetches the key too: with one for each packet it comes from far away.
template <IMB_CIPHER_DIRECTION kDirection>
void CbcEngine::fill_in(IMB_JOB& to, const AeadJob& from, uint8_t* tag) {
  const auto* key = static_cast<const CbcKey*>(from.key);
  const uint8_t* schedule = kDirection == IMB_DIR_ENCRYPT ? key->encrypt : key->decrypt;
  __builtin_prefetch(key->inner);
  for (size_t at = 0; at < sizeof key->encrypt; at += 64) __builtin_prefetch(schedule + at);
  to.enc_keys = key->encrypt;
  to.dec_keys = key->decrypt;
  to.u.HMAC._hashed_auth_key_xor_ipad = key->inner;
  to.u.HMAC._hashed_auth_key_xor_opad = key->outer;
  to.iv = from.data - kCbcIvBytes;
  to.src = from.data - from.aad_length;
  to.dst = from.data;
  to.cipher_start_src_offset_in_bytes = from.aad_length;
  to.msg_len_to_cipher_in_bytes = from.length;
  to.msg_len_to_hash_in_bytes =
      uint64_t{from.aad_length} + from.length + (from.appends_sequence_high ? 4 : 0);
  to.auth_tag_output = tag;
}

// Encrypt, then authenticate. What is authenticated without being sent stands where the tag will.
void CbcEngine::seal(std::span<AeadJob> jobs) {
  if (jobs.empty()) return;
  for (size_t i = 0; i < jobs.size(); ++i) {
    fill_in<IMB_DIR_ENCRYPT>(jobs_[i], jobs[i], jobs[i].tag);
    if (jobs[i].appends_sequence_high) store_unaligned(jobs[i].tag, jobs[i].sequence_high);
  }
  const auto count = static_cast<uint32_t>(jobs.size());
  const bool ok = cipher(IMB_DIR_ENCRYPT, count) && hash(count);
  for (AeadJob& job : jobs) job.ok = ok;
}

void CbcEngine::open(std::span<AeadJob> jobs) {
  if (jobs.empty()) return;
  for (size_t i = 0; i < jobs.size(); ++i) {
    fill_in<IMB_DIR_DECRYPT>(jobs_[i], jobs[i], computed_[i].data());
    if (jobs[i].appends_sequence_high) {
      put_aside_[i] = load_unaligned<uint32_t>(jobs[i].tag);
      store_unaligned(jobs[i].tag, jobs[i].sequence_high);
    }
  }
  const auto count = static_cast<uint32_t>(jobs.size());
  const bool hashed = hash(count);
  for (size_t i = 0; i < jobs.size(); ++i) {
    AeadJob& job = jobs[i];
    if (job.appends_sequence_high) store_unaligned(job.tag, put_aside_[i]);
    const bool same = same_tag(computed_[i].data(), job.tag);
    job.ok = hashed && same;
  }
  if (!cipher(IMB_DIR_DECRYPT, count)) {
    for (AeadJob& job : jobs) job.ok = false;
  }
}

bool CbcEngine::hash(uint32_t count) {
  IMB_MGR* manager = count >= wide_hash_from_ ? wide_.get() : narrow_.get();
  return IMB_SUBMIT_HASH_BURST_NOCHECK(manager, jobs_.data(), count, IMB_AUTH_HMAC_SHA_256) ==
         count;
}

// Encryption of one packet is serial, so that it needs many; decryption is not.
bool CbcEngine::cipher(IMB_CIPHER_DIRECTION direction, uint32_t count) {
  const bool wide = narrow_ == nullptr || direction == IMB_DIR_DECRYPT || count >= kWideBurst;
  IMB_MGR* manager = wide ? wide_.get() : narrow_.get();
  return IMB_SUBMIT_CIPHER_BURST_NOCHECK(manager, jobs_.data(), count, IMB_CIPHER_CBC, direction,
                                         key_size_) == count;
}

// TSC cycles of a typical burst.
uint64_t CbcEngine::time_hash(IMB_MGR* manager) {
  constexpr uint32_t kCount = 32;
  constexpr uint32_t kBytes = 512;
  static const uint8_t kMessage[kBytes] = {};
  CbcKey key{};
  for (uint32_t i = 0; i < kCount; ++i) {
    jobs_[i].src = kMessage;
    jobs_[i].msg_len_to_hash_in_bytes = kBytes;
    jobs_[i].u.HMAC._hashed_auth_key_xor_ipad = key.inner;
    jobs_[i].u.HMAC._hashed_auth_key_xor_opad = key.outer;
    jobs_[i].auth_tag_output = computed_[i].data();
  }
  uint64_t best = UINT64_MAX;
  for (int round = 0; round < 8; ++round) {  // the quietest: the first ones warm up
    const uint64_t start = __rdtsc();
    (void)IMB_SUBMIT_HASH_BURST_NOCHECK(manager, jobs_.data(), kCount, IMB_AUTH_HMAC_SHA_256);
    best = std::min<uint64_t>(best, __rdtsc() - start);
  }
  return best;
}

void CbcEngine::choose_hash() {
  const bool wide_is_faster = time_hash(wide_.get()) < time_hash(narrow_.get());
  wide_hash_from_ = wide_is_faster ? kWideBurst : kAeadMaxBurst + 1;
}

}  // namespace

Result<std::unique_ptr<AeadEngine>> make_cbc_engine(SaAlgorithm algorithm, AeadPath path) {
  PENSTOCK_TRY(ImbManager wide, make_imb_manager(path));
  ImbManager narrow;
  if (path == AeadPath::kBest && (wide->features & IMB_FEATURE_SHANI) != 0 &&
      wide->used_arch == IMB_ARCH_AVX512) {
    PENSTOCK_TRY(narrow, make_imb_manager(AeadPath::kSse));
  }
  return std::unique_ptr<AeadEngine>(
      std::make_unique<CbcEngine>(std::move(wide), std::move(narrow), algorithm));
}

}  // namespace penstock
