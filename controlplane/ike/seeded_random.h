// Random bytes from a seed: ChaCha20 in libsodium. For jobs on compute threads, whose randomness
// the engine draws beforehand, so that a recorded run replays to the same bytes.
#pragma once

#include <sodium.h>

#include <algorithm>

#include "gateway/base/random.h"
#include "gateway/base/secret.h"

namespace penstock::ike {

class SeededRandom final : public RandomSource {
 public:
  explicit SeededRandom(const Secret<32>& seed) : key_(seed) {}
  void fill(MutableBytes out) override {
    static_assert(crypto_stream_chacha20_KEYBYTES == 32);
    std::array<uint8_t, crypto_stream_chacha20_NONCEBYTES> nonce{};
    store_unaligned(nonce.data(), Le64(block_++));
    if (!out.empty()) crypto_stream_chacha20(out.data(), out.size(), nonce.data(), key_.data());
  }

 private:
  Secret<32> key_;
  uint64_t block_ = 0;  // one nonce a call
};

}  // namespace penstock::ike
