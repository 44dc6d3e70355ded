// The cipher alone, as the library offers it.
#pragma once

#include <intel-ipsec-mb.h>

#include <memory>

#include "bench/path/world.h"

namespace penstock::bench {

// Over the same buffers, lengths and keys as the path, in bursts of kBurst, by the library's
// fastest call: of ChaCha20-Poly1305 unchecked job bursts, of AES-GCM direct calls; of AES-CBC with
// HMAC the engine, which chooses among bursts of two instruction sets. Jobs are filled in each
// time. Tags are computed, and not compared.
class RawCipher {
 public:
  RawCipher(World& world, bool encrypt);
  ~RawCipher();
  RawCipher(const RawCipher&) = delete;
  RawCipher& operator=(const RawCipher&) = delete;

  // Says under which key each item is ciphered: outside the measured time.
  void choose_keys(const std::vector<Item>& items);
  // The items from `first` on, as many as kBurst.
  void run(const std::vector<Item>& items, size_t first);

 private:
  void run_chacha20_poly1305(const std::vector<Item>& items, size_t first);
  void run_gcm(const std::vector<Item>& items, size_t first);
  void run_cbc(const std::vector<Item>& items, size_t first);
  [[nodiscard]] uint8_t* payload_of(const Item& item) const;

  World& world_;
  const bool encrypt_;
  const size_t offset_;
  IMB_MGR* manager_;
  std::unique_ptr<AeadEngine> cbc_;
  std::vector<const uint8_t*> keys_;
  alignas(64) uint8_t tags_[kBurst][16];
};

}  // namespace penstock::bench
