// Initialisation vectors for AES-CBC: unpredictable (RFC 3602 3, RFC 4303 3.3.3), so that nobody
// who chooses plaintext can choose a cipher's input.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>

#include "gateway/base/random.h"
#include "gateway/base/secret.h"

namespace penstock {

// A generator of one worker: AES-256 in counter mode under a random key. The first bytes of each
// piece of output become the next key (fast key erasure), so that a key serves once. One thread.
class CbcIvSource {
 public:
  static constexpr size_t kIvBytes = 16;

  // Aborts without memory.
  explicit CbcIvSource(RandomSource& random);
  ~CbcIvSource();
  CbcIvSource(const CbcIvSource&) = delete;
  CbcIvSource& operator=(const CbcIvSource&) = delete;

  void next(uint8_t* iv) {
    if (at_ == pool_.size()) [[unlikely]]
      refill();
    std::memcpy(iv, &pool_[at_], kIvBytes);
    at_ += kIvBytes;
  }

 private:
  struct Cipher;
  static constexpr size_t kKeyBytes = 32;
  void refill();

  alignas(64) std::array<uint8_t, 2048> pool_{};  // its first kKeyBytes are the next key
  size_t at_ = kKeyBytes;
  std::unique_ptr<Cipher> cipher_;
};

}  // namespace penstock
